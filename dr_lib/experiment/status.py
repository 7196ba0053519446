"""What the folders alone say of runs: who is at work, how far they are, what has stopped them."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dr_lib.storage.files import read_json
from dr_lib.storage.folders import ExperimentFolder, RunFolder
from dr_lib.storage.lock import lock_owner

SECONDS_WITHOUT_PROGRESS = 600
"""After which a run at work is said to make none; a step takes seconds."""


@dataclass(frozen=True)
class RunStatus:
    """How one run stands. Accuracy is a share, 0..1; ``left`` is in seconds; what is not known is NaN or empty."""

    title: str
    state: str
    phase: str = ""
    epoch: int = 0
    epochs: int = 0
    accuracy: float = math.nan
    kappa: float = math.nan
    left: float = math.nan
    reason: str = ""


def read_statuses(experiment: ExperimentFolder) -> list[RunStatus]:
    """Return how each run of an experiment stands, in order of their names."""
    return [status_of(folder) for folder in experiment.runs()]


def status_of(folder: RunFolder) -> RunStatus:
    """Return how the run in ``folder`` stands; one that claims to be at work and whose process is gone has failed."""
    status = folder.read_status()
    state, reason, epochs = status["state"], status.get("reason", ""), status.get("epochs", 0)
    last = folder.last_epoch()
    if state == "running" and lock_owner(folder.lock) is None:
        state, reason = "failed", "its process has gone without a word; the same command goes on from its checkpoint"
    if state == "done" and (damaged := folder.damaged(folder.history)):
        state, reason, last = "failed", f"{damaged[0]}: is not as the run has left it; dr-lab run makes it again", {}
    if not epochs and state != "queued":
        epochs = _planned_epochs(folder)
    return standing(folder.name, state, status, last, epochs=epochs, reason=reason)


def standing(
    title: str, state: str, status: Mapping[str, Any], last: Mapping[str, str], *, epochs: int, reason: str
) -> RunStatus:
    """Put together what ``status.json`` and the last row of the history say of a run that is to have ``epochs``.

    One at work whose last step is long ago gets that for its reason.
    """
    ended, working = int(last.get("epoch") or 0), state == "running"
    beat = status.get("heartbeat", math.inf) if working else math.inf
    if not reason and time.time() - beat > SECONDS_WITHOUT_PROGRESS:
        since = time.strftime("%F %H:%M", time.localtime(beat))
        reason = f"no progress since {since}: its loader processes, or other processes of it, may hang; see its log"
    return RunStatus(
        title=title,
        state=state,
        phase=status.get("phase", "") if working else "",
        epoch=status.get("epoch", 0) if working else ended,
        epochs=ended if state in ("done", "skipped") else epochs,
        accuracy=_number(last, "test_accuracy"),
        kappa=_number(last, "test_kappa"),
        # By the last epoch's time: epochs of the first phase are shorter than those that follow.
        left=(epochs - ended) * _number(last, "seconds") if working else math.nan,
        reason=reason,
    )


def _planned_epochs(folder: RunFolder) -> int:
    try:
        return read_json(folder.config)["parameters"]["epochs"]
    except (OSError, ValueError, KeyError):
        return 0


def _number(row: Mapping[str, str], name: str) -> float:
    return float(row.get(name) or math.nan)
