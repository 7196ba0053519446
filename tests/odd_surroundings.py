"""Odd surroundings, drawn at random from a seed: variables, limits and outputs of a shell that starts a command."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from odd_inputs import EITHER, READ, REFUSED, pick


@dataclass(frozen=True)
class Surroundings:
    """Assignments of variables (None: not set), what a shell does ``before`` and ``behind`` the command, its end."""

    variables: tuple[tuple[str, str | None], ...] = ()
    before: str = ""
    behind: str = ""
    must: str = READ


def _variables(**values: str | None) -> Surroundings:
    return Surroundings(tuple(values.items()))


VARIABLES = {
    "no home": _variables(HOME=None),
    "a home that cannot be written": _variables(HOME="/proc/none", XDG_CACHE_HOME="/proc/none"),
    "ASCII": _variables(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"),
    "a locale that is not there": _variables(LC_ALL="xx_YY.UTF-9", LANG="?"),
    "Latin-1 outputs": _variables(PYTHONIOENCODING="latin-1"),
    "ASCII outputs": _variables(PYTHONIOENCODING="ascii:strict"),
    "a narrow terminal": _variables(TERM="dumb", COLUMNS="3", LINES="1"),
    "a terminal of words": _variables(TERM="none-of-these", COLUMNS="x", LINES="-1"),
    "no temporary files": _variables(TMPDIR="/proc/none"),
    "many threads": _variables(OMP_NUM_THREADS="64", MKL_NUM_THREADS="64"),
    "caches that cannot be written": _variables(MPLCONFIGDIR="/proc/none", NUMBA_CACHE_DIR="/proc/none"),
    "Jupyter of somebody else": _variables(JUPYTER_PATH="{folder}/jupyter", JUPYTER_CONFIG_DIR="/proc/none"),
    "odd time": _variables(TZ="Nowhere/Else", SOURCE_DATE_EPOCH="-1"),
    "warnings are shown": _variables(PYTHONWARNINGS="always", PYTHONDEVMODE=None),
    "optimized": _variables(PYTHONOPTIMIZE="2", PYTHONDONTWRITEBYTECODE="1", CUDA_VISIBLE_DEVICES="99"),
}  # fmt: skip

LIMITS = {
    "0.3 GB of data": Surroundings(before="ulimit -d 300000;", must=EITHER),
    "3 GB of addresses": Surroundings(before="ulimit -v 3000000;", must=EITHER),
    "0.7 GB of data": Surroundings(before="ulimit -d 700000;", must=EITHER),
    "no folder": Surroundings(before="mkdir gone; cd gone; rmdir ../gone;", must=REFUSED),
    "few bytes in files": Surroundings(before="ulimit -f 1;", must=EITHER),
    "few files": Surroundings(before="ulimit -n 30;", must=EITHER),
    "no stdin": Surroundings(behind="<&-"),
    "hardly any files": Surroundings(before="ulimit -n 9;", must=EITHER),
    "no modes": Surroundings(before="umask 777;", must=EITHER),
    "no bytes in files": Surroundings(before="ulimit -f 0;", must=EITHER),
    "0.5 GB of addresses": Surroundings(before="ulimit -v 500000;", must=EITHER),
    "a full disk as output": Surroundings(behind=">/dev/full", must=REFUSED),
    "no stdout": Surroundings(behind=">&-"),
    "a reader who leaves": Surroundings(behind="| true; exit ${PIPESTATUS[0]}"),
    "no streams": Surroundings(behind="<&- >&- 2>&-"),
}

SURROUNDINGS = VARIABLES | LIMITS
"""All of them; each limit is tried together with some of :data:`VARIABLES`, and these with each other."""

COMMANDS = {
    "status": "status experiment",
    "make-data": "make-data new --train 3 --test 1 --size 96",
    "audit": "audit --data data.yaml --out out",
    "check": "check data.yaml --set name=ü",
    "predict": "predict net.pt data/images --json --cache cache",
    "evaluate": "evaluate net.pt --data data.yaml --split all --json",
    "export": "export net.pt --onnx --out out/net.onnx",
}
ORDER = [*COMMANDS, "status", "make-data", "audit", "predict"]
"""The commands in turn; those that cost most come less often, and want of memory meets those that load torch."""


def odd_surroundings(number: int, folder: Path) -> tuple[str, str, dict[str, str | None], str]:
    """Return a command's name, the shell's line with ``DR`` for the program, variables, and what must come of it."""
    rng = np.random.default_rng([4, number])
    odd = [*SURROUNDINGS.values()][number]
    more = pick(rng, VARIABLES.values())
    name = ORDER[number % len(ORDER)]
    variables = {
        key: value and value.replace("{folder}", str(folder)) for key, value in [*more.variables, *odd.variables]
    }
    return name, f"{odd.before} DR {COMMANDS[name]} {odd.behind}", variables, odd.must
