"""Make the README's tables of results from the files in ``benchmarks/results``.

    python benchmarks/tables.py            # prints them
    python benchmarks/tables.py --write    # puts them into README.md, between their marks

A test fails where README and files disagree.
"""

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dr_lib.evaluation.seeds import against_control
from dr_lib.files import read_json, write_text
from dr_lib.runs import Experiment
from dr_lib.studies import StudyGrid

RESULTS = Path(__file__).parent / "results"
README = Path(__file__).parent.parent / "README.md"

FIGURES = {"macro_auc": "AUC", "accuracy": "accuracy", "kappa": "kappa"}


def kept_settings(name: str) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """Return the ``metrics.json`` of a study's kept runs by what varies, seeds aside, in the study's order."""
    experiment = Experiment(RESULTS / name)
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for point in StudyGrid.from_json(read_json(experiment.study)).runs:
        metrics = experiment.run(point.name).metrics
        if metrics.exists():
            setting = tuple(value for key, value in point.values.items() if key != "seed")
            found.setdefault(setting, []).append(read_json(metrics))
    return found


def ingredients() -> str:
    """Return what each change makes of the strong recipe on validation photographs: means over seeds."""
    (control, base), *others = kept_settings("ingredients").items()
    rows = [[control[0], *(f"{np.mean(_on_validation(base, name)):.3f}" for name in FIGURES), str(len(base))]]
    rows += [[label, *["" for _ in FIGURES], str(len(runs))] for (label,), runs in others]
    for column, name in enumerate(FIGURES, 1):
        changes = against_control(_on_validation(base, name), [_on_validation(runs, name) for _, runs in others])
        for row, change in zip(rows[1:], changes, strict=True):
            row[column] = f"{change.value:+.3f} ({change.low:+.3f} to {change.high:+.3f})".replace("-", "−")
    return _table(["", *FIGURES.values(), "seeds"], rows)


def _on_validation(runs: Sequence[dict[str, Any]], name: str) -> list[float]:
    return [metrics["validation"][name] for metrics in runs]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


TABLES: dict[str, Callable[[], str]] = {"ingredients": ingredients}


def with_tables(text: str) -> str:
    """Return ``text`` with each table between its marks, ``<!-- table NAME -->`` and ``<!-- end -->``, made anew."""

    def made(mark: re.Match[str]) -> str:
        return f"<!-- table {mark[1]} -->\n\n{TABLES[mark[1]]()}\n\n<!-- end -->"

    return re.sub(r"<!-- table (\w+) -->.*?<!-- end -->", made, text, flags=re.DOTALL)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--write", action="store_true", help="into README.md")
    if arguments.parse_args().write:
        write_text(README, with_tables(README.read_text()))
        return
    for name, table in TABLES.items():
        print(f"{name}\n\n{table()}\n")


if __name__ == "__main__":
    main()
