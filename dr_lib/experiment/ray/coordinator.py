"""What a driver and its runs on other machines tell each other: how runs stand, and whether they are to stop."""

from dataclasses import dataclass
from pathlib import Path

from dr_lib.experiment.ray.parcels import Parcels
from dr_lib.experiment.status import RunStatus


@dataclass(frozen=True)
class Ended:
    """How a job ended: ``state`` and ``reason`` as in :class:`dr_lib.experiment.job.Job`."""

    state: str
    reason: str = ""


class Superseded(Exception):
    """Another attempt has taken the place of this one, which is to leave everything alone."""


class Coordinator:
    """Where runs report and their driver looks; an actor on the driver's machine, so that no other's death ends it.

    Ray begins a task again when its machine dies, or is thought to. Each time is an attempt; only the newest is
    listened to, and once one has ended, none is made any more. ``experiment``: the driver's folder, see
    :class:`dr_lib.experiment.ray.parcels.Parcels`.
    """

    def __init__(self, experiment: Path):
        self._parcels = Parcels(experiment)
        self._attempts: dict[str, int] = {}
        self._ended: dict[str, Ended] = {}
        self._news: dict[str, RunStatus] = {}
        self._stopping = False

    def start(self, job: str) -> tuple[int, Ended | None]:
        """Return the number of this attempt at a job, from 1, and how an earlier attempt has ended, if it has."""
        self._attempts[job] = self._attempts.get(job, 0) + 1
        return self._attempts[job], self._ended.get(job)

    def tell(self, job: str, attempt: int, standing: RunStatus) -> bool:
        """Take note of how a job stands; return whether it is to stop. Raises :class:`Superseded`."""
        self._require_newest(job, attempt)
        self._news[job] = standing
        return self._stopping

    def end(self, job: str, attempt: int, ended: Ended) -> None:
        """Take note of how a job has ended. Raises :class:`Superseded`."""
        self._require_newest(job, attempt)
        self._ended[job] = ended

    def stop(self) -> None:
        """Have all jobs told to stop when they next report."""
        self._stopping = True

    def news(self) -> dict[str, RunStatus]:
        """Return how those jobs stand that have reported since this was last asked."""
        news, self._news = self._news, {}
        return news

    def forget(self, job: str) -> None:
        """Let go of what is kept of a job that has ended and been judged."""
        for kept in (self._attempts, self._ended, self._news):
            kept.pop(job, None)

    def listing(self, folder: str) -> list[str]:
        """Return the files in a folder of the experiment, as :meth:`Parcels.listing`."""
        return self._parcels.listing(folder)

    def read(self, path: str, offset: int) -> bytes:
        """Return a piece of a file of the experiment, as :meth:`Parcels.read`."""
        return self._parcels.read(path, offset)

    def receive(self, job: str, attempt: int, path: str, offset: int, piece: bytes) -> None:
        """Keep a piece of a file that an attempt sends. Raises :class:`Superseded`."""
        self._require_newest(job, attempt)
        self._parcels.receive(_sender(job, attempt), path, offset, piece)

    def accept(self, job: str, attempt: int) -> None:
        """Put all that an attempt has sent in its place. Raises :class:`Superseded`."""
        self._require_newest(job, attempt)
        self._parcels.accept(_sender(job, attempt))

    def _require_newest(self, job: str, attempt: int) -> None:
        if self._attempts.get(job) != attempt:
            raise Superseded(f"attempt {attempt} at {job} is not the newest any more")


def _sender(job: str, attempt: int) -> str:
    return f"{job}-{attempt}"
