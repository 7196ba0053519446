"""What the folder of the run that a checkpoint lies in tells of it."""

from pathlib import Path
from typing import Any

from dr_lib.storage.folders import RunFolder


def run_of(checkpoint: Path) -> RunFolder | None:
    """Return the finished run whose chosen network ``checkpoint`` is; None where it lies anywhere else."""
    path = checkpoint.absolute()
    folder = RunFolder(path.parent.parent)
    return folder if folder.best_checkpoint == path and folder.done else None


def figures_of_run(checkpoint: Path) -> dict[str, Any] | None:
    """Return ``metrics.json`` of the run, None where there is no finished one: others' figures are in no report."""
    folder = run_of(checkpoint)
    return folder.read_metrics() if folder else None


def config_of_run(checkpoint: Path) -> dict[str, Any] | None:
    """Return ``config.json`` of the run, None where there is no finished one."""
    folder = run_of(checkpoint)
    return folder.read_config() if folder else None
