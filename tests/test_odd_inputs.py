"""200 odd inputs, each drawn from its number: a right result, or one line with status 1 or 2; nothing lost silently."""

import json
import math
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from command import dr_lab, fork
from odd_inputs import (
    LABEL_CHANGES,
    PHOTOGRAPHS,
    PLACES,
    READ,
    REFUSED,
    as_json,
    beside,
    odd_labels,
    odd_photograph,
    opens_whole,
    pick,
)
from odd_parameters import PARAMETER_CHANGES, odd_parameters
from odd_surroundings import COMMANDS, odd_surroundings
from test_inference import write_checkpoint

from dr_lib.storage.checksums import damage

pytestmark = pytest.mark.odd

SECONDS = 100
"""After which a command hangs; most take two."""


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    status: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A small network with random weights, as a run keeps it."""
    path = tmp_path_factory.mktemp("network") / "net.pt"
    fork(write_checkpoint, path).join()
    return path


def command(folder: Path, *arguments: object) -> Ended:
    """Run ``dr-lab`` within ``folder``."""
    process = fork(_command, folder, arguments)
    process.join(SECONDS)
    if process.is_alive():
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail(f"hangs: dr-lab {' '.join(map(str, arguments))}")
    texts = ((folder / name).read_text(encoding="utf-8", errors="replace") for name in ("stdout", "stderr"))
    return Ended(process.exitcode, *texts)


def _command(folder: Path, arguments: tuple) -> None:
    os.setsid()
    os.chdir(folder)
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])  # and so with one decoder
    written = os.O_CREAT | os.O_WRONLY | os.O_TRUNC
    for number, (name, flags) in enumerate([(os.devnull, os.O_RDONLY), ("stdout", written), ("stderr", written)]):
        os.dup2(os.open(name, flags), number)
    sys.exit(dr_lab(*arguments))


def assert_tidy(ended: Ended, *, statuses: tuple[int, ...] = (0, 1, 2)) -> None:
    """Assert that a command succeeded, or said why it did not in one line, and that no terminal obeys what it says."""
    assert ended.status in statuses, ended
    assert "Traceback" not in ended.stderr, ended.stderr
    assert "\x1b" not in ended.stdout + ended.stderr
    if ended.status:
        said = [line for line in ended.stderr.splitlines() if line.startswith("dr-lab: ")]
        assert len(said) == 1 and len(said[0]) < 2000, ended


def audited(folder: Path, *settings: str) -> tuple[Ended, dict]:
    """Return how the audit of ``folder/data`` ended, and its ``audit.json``."""
    (folder / "data.yaml").write_text("data_dir: data\ncache_dir: cache\nlabels: auto\n", encoding="utf-8")
    options = [option for setting in settings for option in ("--set", setting)]
    ended = command(folder, "audit", "--data", "data.yaml", "--out", "out", *options)
    return ended, as_json(folder / "out" / "audit.json") if ended.status == 0 else {}


@pytest.mark.parametrize("number", range(70))
def test_label_file(number, tmp_path):
    rng = np.random.default_rng([1, number])
    change = [*LABEL_CHANGES][number] if number < len(LABEL_CHANGES) else pick(rng, LABEL_CHANGES)
    labels = odd_labels(rng, tmp_path / "data", change)
    ended, found = audited(tmp_path, "validation_share=0")
    assert_tidy(ended, statuses={READ: (0,), REFUSED: (2,)}.get(labels.must, (0, 2)))
    if ended.status == 0:
        counts = np.sum([split["counts"] for split in found["splits"].values()], axis=0)
        unlabeled, missing = found["files"]["unlabeled"], found["files"]["missing"]
        assert found["damage"]["checked"] + len(missing) == counts.sum()
        assert found["damage"]["checked"] + len(unlabeled) == len(labels.grades)
        if not missing:
            assert counts.tolist() == np.bincount([*labels.grades.values()], minlength=5).tolist()
        if labels.must == READ:
            assert not missing and not unlabeled


@pytest.mark.parametrize("batch", range(7))
def test_photographs(batch, tmp_path, network):
    kinds = [*PHOTOGRAPHS, *PLACES]
    numbers = range(10 * batch, 10 * (batch + 1))
    grades = {f"{patient}_left": patient % 5 for patient in range(6)} | {f"odd{number}": 2 for number in numbers}
    beside(tmp_path / "data", grades)
    paths = {}
    for number in numbers:
        rng = np.random.default_rng([2, number])
        paths[f"odd{number}"] = tmp_path / "data" / "images" / f"odd{number}{pick(rng, ['.jpeg', '.png', '.tif'])}"
        odd_photograph(rng, paths[f"odd{number}"], kinds[number] if number < len(kinds) else pick(rng, PHOTOGRAPHS))
    ended, found = audited(tmp_path)
    assert_tidy(ended, statuses=(0,))
    missing = set(found["files"]["missing"])
    damaged = {entry["image"]: entry["status"] for entry in found["damage"]["files"]}
    assert found["damage"]["checked"] + len(missing) == len(grades)
    assert {*missing, *damaged} <= {*paths}
    for image in {*paths} - {*missing, *damaged}:
        assert paths[image].is_file() and opens_whole(paths[image])

    graded = command(tmp_path, "predict", network, *paths.values(), "--json", "--cache", "cache")
    while graded.status == 2:  # of the paths that are no files, each is refused with its name
        assert_tidy(graded)
        refused = [image for image, path in paths.items() if str(path) in graded.stderr]
        assert refused and not any(paths.pop(image).is_file() for image in refused)
        graded = command(tmp_path, "predict", network, *paths.values(), "--json", "--cache", "cache")
    assert_tidy(graded)
    answers = {Path(one["image"]).stem: one for one in json.loads(graded.stdout)}
    assert answers.keys() >= paths.keys() - missing
    for image, one in answers.items():
        if one["grade"] is None:
            assert one["status"] != "intact" and (image in missing or damaged[image] == one["status"])
        else:
            assert math.isclose(sum(one["probabilities"]), 1, abs_tol=1e-6)
            assert damaged.get(image, "end marker missing") == "end marker missing"
    assert graded.status == (1 if any(one["grade"] is None for one in answers.values()) else 0)


@pytest.mark.parametrize("number", range(30))
def test_parameters(number, tmp_path):
    odd = odd_parameters(np.random.default_rng([3, number]), tmp_path, [*PARAMETER_CHANGES][number])
    ended = command(tmp_path, "check", odd.name, *(option for text in odd.sets for option in ("--set", text)))
    assert_tidy(ended, statuses=(2,) if odd.comes_to is None else (0, 2) if odd.may_be_refused else (0,))
    if ended.status == 0:
        assert ended.stdout.replace("\n", "").isprintable()
        said, end = ended.stdout.rstrip("\n").rpartition("\n")[::2]
        assert end.startswith("sound: ")
        assert (yaml.safe_load(said) or {}) == odd.comes_to
        (tmp_path / "said.yaml").write_text(said, encoding="utf-8")
        if len(said) < 10_000:
            assert command(tmp_path, "check", "said.yaml") == ended
    assert not (tmp_path / "gone").exists()


GRADES = {f"{patient}_ü": patient % 5 for patient in range(10)}


def lay_out(folder: Path, network: Path) -> None:
    """Write what the commands of :data:`COMMANDS` work on."""
    beside(folder / "data", GRADES)
    (folder / "data.yaml").write_text("data_dir: data\ncache_dir: cache\nnum_workers: 0\n", encoding="utf-8")
    (folder / "net.pt").symlink_to(network)
    (folder / "experiment" / "runs" / "ü").mkdir(parents=True)
    foreign = folder / "jupyter" / "kernels" / "python3"
    foreign.mkdir(parents=True)
    (foreign / "kernel.json").write_text(json.dumps({"argv": ["/bin/false"], "display_name": "x", "language": "x"}))


@pytest.fixture(scope="module")
def usual(tmp_path_factory, network):
    """What predict and evaluate say in usual surroundings."""
    folder = tmp_path_factory.mktemp("usual")
    lay_out(folder, network)
    return {name: command(folder, *COMMANDS[name].split()).stdout for name in ("predict", "evaluate")}


@pytest.mark.parametrize("number", range(30))
def test_surroundings(number, tmp_path, network, usual):
    lay_out(tmp_path, network)
    name, line, variables, must = odd_surroundings(number, tmp_path)
    ended = shell(line, tmp_path, variables)
    if "PIPESTATUS" in line:
        assert ended.status in (0, 1, 141) and not ended.stderr, ended
        return
    if "2>&-" not in line:
        assert_tidy(ended, statuses={READ: (0,), REFUSED: (1, 2)}.get(must, (0, 1, 2)))
    if ended.status == 0:
        assert_right(name, tmp_path, ended.stdout if ">&-" not in line.replace("<&-", "") else None, usual)


def shell(line: str, folder: Path, variables: dict[str, str | None]) -> Ended:
    """Run a line of bash within ``folder``, ``DR`` for the program, with these variables set, or not set."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])} | variables
    environment = {name: value for name, value in environment.items() if value is not None}
    process = subprocess.Popen(
        ["bash", "-c", re.sub(r"\bDR\b", f"{sys.executable} -m dr_lib.cli", line)], cwd=folder, env=environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=3 * SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail(f"hangs: {line} with {variables}")
    return Ended(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))


def assert_right(name: str, folder: Path, stdout: str | None, usual: dict[str, str]) -> None:
    """Assert that a command has done its work; ``stdout`` is None where it was closed."""
    if name == "make-data":
        assert len([*(folder / "new" / "images").glob("*.jpeg")]) == 4 and (folder / "new" / "generated.json").exists()
    elif name == "export":
        assert not damage(folder / "out" / "net.onnx") and (folder / "out" / "net.md").exists()
    elif name == "audit":
        found = as_json(folder / "out" / "audit.json")
        assert found["damage"]["checked"] == len(GRADES) and not found["damage"]["files"]
    elif stdout is None:
        return
    elif name == "predict":
        for one, other in zip(json.loads(stdout), json.loads(usual[name]), strict=True):
            assert one["grade"] == other["grade"] and np.allclose(one["probabilities"], other["probabilities"])
    elif name == "evaluate":
        assert json.loads(stdout)["confusion_matrix"] == json.loads(usual[name])["confusion_matrix"]
    elif name == "check":
        assert "num_workers: 0" in stdout and "sound: run" in stdout
    else:
        assert "queued" in stdout
