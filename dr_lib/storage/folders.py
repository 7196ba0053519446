"""The experiment folder: the one place that knows the names of its files; and the experiments in ``reports/``."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dr_lib.errors import InputError
from dr_lib.storage.files import with_home
from dr_lib.storage.run_folder import NotebookFiles, RunFolder

REPORTS = Path("reports")


@dataclass(frozen=True)
class ExperimentFolder:
    """The files of one experiment: its report, its audit, its runs; ``~`` in ``path`` is the home folder."""

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(with_home(str(self.path))))

    @property
    def report(self) -> Path:
        """The HTML lab report."""
        return self.path / "index.html"

    @property
    def report_notebook(self) -> Path:
        """The results as tables and figures to take apart."""
        return self.path / "report.ipynb"

    @property
    def summary(self) -> Path:
        """The report in a few lines, for a repository."""
        return self.path / "summary.md"

    @property
    def results_table(self) -> Path:
        """One row a run: what it is, how it stands, and its figures with their intervals."""
        return self.path / "results.csv"

    @property
    def results(self) -> Path:
        """The same and more: differences between runs, the data, versions."""
        return self.path / "results.json"

    @property
    def audit(self) -> Path:
        """What was found in the photographs and their labels."""
        return self.path / "audit.json"

    @property
    def audit_page(self) -> Path:
        """The same as a page to read."""
        return self.path / "audit.html"

    @property
    def sweep(self) -> Path:
        """What a sweep varies, and which run answers for which of its combinations."""
        return self.path / "sweep.json"

    @property
    def lock(self) -> Path:
        """Held by the ``dr-lab run`` that is at this experiment."""
        return self.path / "lock"

    def run(self, name: str) -> RunFolder:
        return RunFolder(self.path / "runs" / name)

    def runs(self) -> Iterator[RunFolder]:
        """Yield the run folders in order of their names."""
        for folder in sorted((self.path / "runs").glob("*/")):
            yield RunFolder(folder)

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

    @property
    def weights(self) -> Path:
        """State dict of the pretrained network."""
        return self.path / "weights.pt"

    @property
    def record(self) -> Path:
        """What it was trained on and how well it counts."""
        return self.path / "pretraining.json"


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
