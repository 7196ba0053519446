"""The experiments that a notebook can look at, and the one that it does when none is named."""

from pathlib import Path

from dr_lib.errors import InputError
from dr_lib.storage.folders import ExperimentFolder

REPORTS = Path("reports")


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
