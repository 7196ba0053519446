"""The experiment folder: the one place that knows the names of its files, and what a sweep in it varies.

And the experiments in ``reports/``, for notebooks that name none.
"""

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dr_lib.errors import InputError, closest_path
from dr_lib.storage.files import with_home
from dr_lib.storage.lock import acquire_lock, lock_owner
from dr_lib.storage.run_folder import SUPERSEDED, NamedFile, NotebookFiles, RunFolder

REPORTS = Path("reports")

SHIPPED = Path(__file__).parents[1] / "shipped"
"""The params files and notebooks that come with the package; in a checkout, links to the folders at its top."""

EVALUATE_ON = ("testing", "validation")
"""The photographs whose figures answer a sweep: what it chooses by must not be what it is tested on in the end."""

GO_TOGETHER = {
    "model": {"model"},
    "pretrained": {
        "pretrained", "pretrained_weights", "pretraining_photographs", "pretraining_epochs",
        "feature_extraction_epochs",
    },
    "weighted": {"class_weights"},
}  # fmt: skip
"""Parameters that differ when runs differ in their network, their start or their loss alone."""


@dataclass(frozen=True)
class ExperimentFolder:
    """The files of one experiment: its report, its audit, its runs; ``~`` in ``path`` is the home folder."""

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(with_home(str(self.path))))

    report = NamedFile("index.html")
    """The HTML lab report."""
    report_notebook = NamedFile("report.ipynb")
    """The results as tables and figures to take apart."""
    summary = NamedFile("summary.md")
    """The report in a few lines, for a repository."""
    results_table = NamedFile("results.csv")
    """One row a run: what it is, how it stands, and its main figures."""
    all_results = NamedFile("results-long.csv")
    """One row a figure of a run, with its interval: all figures there are."""
    results_columns = NamedFile("results-columns.csv")
    """What the columns and figures of the two are."""
    results = NamedFile("results.json")
    """The same and more: differences between runs, the data, versions."""
    audit = NamedFile("audit.json")
    """What was found in the photographs and their labels."""
    audit_page = NamedFile("audit.html")
    """The same as a page to read."""
    sweep = NamedFile("sweep.json")
    """What a sweep varies, and which run answers for which of its combinations."""
    lock = NamedFile("lock")
    """Held by the ``dr-lab run`` that is at this experiment."""

    def run(self, name: str) -> RunFolder:
        return RunFolder(self.path / "runs" / name)

    def runs(self) -> Iterator[RunFolder]:
        """Yield the run folders in order of their names."""
        for folder in sorted((self.path / "runs").glob("*/")):
            yield RunFolder(folder)

    def existing_runs(self) -> list[RunFolder]:
        """Return the run folders; raises :class:`InputError` where there are none."""
        if runs := list(self.runs()):
            return runs
        slip = closest_path(self.path / "runs")
        raise InputError(f"{self.path / 'runs'}: no runs there{slip}; dr-lab run --out {self.path} makes some")

    def unneeded(self, *, superseded: bool = False) -> list[Path]:
        """Return what may be deleted: the states that finished runs have gone on from.

        ``superseded``: also the results that were set aside, which nothing reads. A run whose results are damaged
        keeps its states: it is made again from them. Networks, tables, pages and pretrained weights stay.
        """
        paths = [
            path
            for run in self.runs()
            if run.complete and not run.damaged() and lock_owner(run.lock) is None
            for path in (run.last_checkpoint, run.previous_checkpoint)
        ]
        set_aside = sorted((self.path / SUPERSEDED).glob("*/")) if superseded else []
        return [path for path in paths if path.exists()] + set_aside

    def clean(self, *, superseded: bool = False) -> list[Path]:
        """Delete what is :meth:`unneeded` and return it; :class:`InputError` while a ``dr-lab run`` is at it."""
        with acquire_lock(self.lock):
            paths = self.unneeded(superseded=superseded)
            for path in paths:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
        return paths

    def other_runs(self) -> Iterator[RunFolder]:
        """Yield the run folders of the experiments beside this one."""
        for other in sorted(self.path.resolve().parent.glob("*/")):
            if other != self.path.resolve():
                yield from ExperimentFolder(other).runs()

    def pretraining_photographs(self, count: int, size: int) -> Path:
        """Folder of ``count`` photographs, ``size`` px wide, drawn to pretrain on."""
        return self.path / "pretraining" / f"photographs-{count}-{size}px"

    def pretraining(self, model: str) -> "PretrainingFolder":
        return PretrainingFolder(self.path / "pretraining" / model)


@dataclass(frozen=True)
class PretrainingFolder(NotebookFiles):
    """The files of one generated pretraining."""

    stem: str = "pretrain"

    weights = NamedFile("weights.pt")
    """State dict of the pretrained network."""
    record = NamedFile("pretraining.json")
    """What it was trained on and how well it counts."""


def finished_experiments() -> list[Path]:
    """Return the folders in ``reports/`` in which a run is done, the one whose run finished last first."""
    finished: dict[Path, float] = {}
    for experiment in REPORTS.glob("*/"):
        runs = ExperimentFolder(experiment).runs()
        ends = [folder.read_status()["heartbeat"] for folder in runs if folder.done]
        if ends:
            finished[experiment] = max(ends)
    return sorted(finished, key=finished.__getitem__, reverse=True)


def latest_experiment() -> Path:
    """Return the folder in ``reports/`` whose run finished last; :class:`InputError` where none has."""
    if finished := finished_experiments():
        return finished[0]
    raise InputError(
        f"{REPORTS.absolute()}: no run has finished there; `dr-lab run --data params/data/demo.yaml` trains some"
    )


@dataclass(frozen=True)
class SweepRun:
    """One combination of what is varied, and the name of the run that answers for it."""

    name: str
    values: dict[str, Any]


@dataclass(frozen=True)
class SweepGrid:
    """A sweep as ``sweep.json`` keeps it. Combinations that come to the same share a run, each with its own entry."""

    sweep: str
    """The stem of its file."""
    title: str
    question: str
    vary: dict[str, list[Any]]
    runs: tuple[SweepRun, ...]
    telling: tuple[str, ...]
    """What of ``vary`` changes more than network, start and loss, by which runs are called anyway; seeds aside."""
    evaluate_on: str = "testing"
    """One of :data:`EVALUATE_ON`."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "SweepGrid":
        """Return the grid that :meth:`as_json` gave; ``KeyError`` or ``TypeError`` for what is none."""
        runs = tuple(SweepRun(**run) for run in record["runs"])
        return cls(**record | {"runs": runs, "telling": tuple(record["telling"])})
