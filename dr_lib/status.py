"""What the folders alone say of runs: who is at work, how far they are, what has stopped them."""

import fcntl
import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dr_lib.files import read_json
from dr_lib.runs import Experiment, RunFolder

_FLOCK = struct.Struct("@hhqqi0q")
"""Linux's ``struct flock``: type, whence, start, length, process."""


@dataclass(frozen=True)
class Standing:
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


def standings(experiment: Experiment) -> list[Standing]:
    """Return how each run of an experiment stands, in order of their names."""
    return [standing_of(folder) for folder in experiment.runs()]


def standing_of(folder: RunFolder) -> Standing:
    """Return how the run in ``folder`` stands; one that claims to be at work and whose process is gone has failed."""
    status = folder.read_status()
    state, reason, epochs = status["state"], status.get("reason", ""), status.get("epochs", 0)
    if state == "running" and holder(folder.lock) is None:
        state, reason = "failed", "its process has gone without a word; the same command goes on from its checkpoint"
    if not epochs and state != "queued":
        epochs = _planned_epochs(folder)
    return standing(folder.name, state, status, folder.last_epoch(), epochs=epochs, reason=reason)


def standing(
    title: str, state: str, status: Mapping[str, Any], last: Mapping[str, str], *, epochs: int, reason: str
) -> Standing:
    """Put together what ``status.json`` and the last row of the history say of a run that is to have ``epochs``."""
    ended, working = int(last.get("epoch") or 0), state == "running"
    return Standing(
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


def holder(lock: Path) -> str | None:
    """Say who holds a run's lock; None where nobody does.

    Looks without taking it, so that a run that starts meanwhile is not refused. Not for a process that holds the lock
    itself: closing the file would let go of it.
    """
    try:
        with lock.open("rb") as stream:
            asked = _FLOCK.pack(fcntl.F_WRLCK, 0, 0, 0, 0)
            kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(stream, fcntl.F_GETLK, asked))
            text = stream.read()
    except FileNotFoundError:
        return None
    if kind == fcntl.F_UNLCK:
        return None
    try:
        found = json.loads(text)
        return f"process {found['pid']} on {found['host']} has been at this run since {found['since']}"
    except (ValueError, KeyError, TypeError):  # it has just taken the lock and not yet written who it is
        return f"process {pid} has just begun with this run"


def _number(row: Mapping[str, str], name: str) -> float:
    return float(row.get(name) or math.nan)
