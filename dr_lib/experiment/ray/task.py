"""A job on a machine of the cluster: executed by the machine as any local one, and reported to the board."""

import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray

from dr_lib.experiment.job import Job, find_running_process
from dr_lib.experiment.jobs import ThisMachine, run_jobs
from dr_lib.experiment.ray.coordinator import Ended, Superseded
from dr_lib.experiment.ray.parcels import fetch, send
from dr_lib.experiment.ray.task_spec import TaskSpec, differing, shares_disk
from dr_lib.experiment.ray.watchdog import guarded, guarded_folder
from dr_lib.experiment.status import RunStatus
from dr_lib.notebook.process import NOTEBOOKS
from dr_lib.system.signals import Interrupted

MOST_ATTEMPTS = 4
"""How often a job is begun without its driver's asking: a run that takes its machine down must not take all down."""

_SECONDS_BETWEEN_REPORTS = 1.0
_SECONDS_BETWEEN_PARCELS = 60.0
_SECONDS_FOR_THE_ONE_BEFORE_TO_GO = 20.0


def execute(order: TaskSpec, board: Any) -> Ended:
    """Execute a job and return how it ended, which the ``board`` (a handle of the actor) has been told before.

    What a task raises is a bug, or the end of the board and so of the driver. Where the machine does not share the
    driver's disk the job works in a folder of its own, begins with the files that the driver has of it, and sends
    what there is after epochs, at most once a minute, and at its end.
    """
    attempt, ended = _answer(board.start.remote(order.key))
    if ended is not None:
        return ended
    report = _Report(order, board, attempt)
    try:
        if attempt > MOST_ATTEMPTS:
            ended = Ended("failed", f"its machine, or its process there, has died {MOST_ATTEMPTS} times under it")
        else:
            os.chdir(order.folder if os.path.isdir(order.folder) else NOTEBOOKS.parent)
            ended = _execute(order, report)
        report.end(ended)
    except ray.exceptions.RayTaskError as error:
        if not isinstance(error.cause, Superseded):
            raise
        ended = Ended("interrupted", "another machine has taken it over")
    return ended


_asking = ThreadPoolExecutor(1)


def _answer(question: ray.ObjectRef) -> Any:
    """Return what the board answers.

    Not waited for in the main thread, or Ray would take the task's processors for idle and begin another one on them.
    """
    return _asking.submit(ray.get, question).result()


def _execute(order: TaskSpec, report: "_Report") -> Ended:
    machine = platform.node()
    if changed := differing(order):
        return Ended("failed", f"{machine} has {changed}; give it the driver's versions (constraints.txt)")
    with _workplace(order, report) as job:
        job.starts = int(order.again or report.attempt > 1)
        job.reason = f"begun again on {machine}; the machine before is gone" if report.attempt > 1 else ""
        if report.attempt > 1 and _is_done(job):
            return Ended("done")
        _let_the_one_before_go(job)
        with _told_to_stop(job):
            here = _Guarded(1, timeout=order.timeout, threads=order.threads, gpus=())
            run_jobs([job], 1, report, engine=here)
        return Ended(job.state, job.reason)


class _Stop(BaseException):
    """The driver wants its runs to stop; no :class:`Exception`, so that nobody takes it for a failure."""


class _Report:
    """Tells the board how a job stands, and has it stop when the board says so."""

    def __init__(self, order: TaskSpec, board: Any, attempt: int):
        self.order, self.board, self.attempt = order, board, attempt
        self.parcel: Callable[[], None] | None = None
        self._told: RunStatus | None = None
        self._at = self._sent_at = time.monotonic()
        self._sent_epoch = 0

    def __call__(self, jobs: list[Job]) -> None:
        (job,) = jobs
        now, standing = time.monotonic(), job.standing()
        if standing == self._told and now - self._at < _SECONDS_BETWEEN_REPORTS:
            return
        stop = self._ask(self.board.tell, standing)
        self._told, self._at = standing, now
        if stop and job.state in ("queued", "running"):
            raise _Stop
        if self.parcel and standing.epoch > self._sent_epoch and now - self._sent_at > _SECONDS_BETWEEN_PARCELS:
            self.parcel()
            self._sent_epoch, self._sent_at = standing.epoch, time.monotonic()

    def send(self, experiment: Path, folder: Path) -> None:
        """Send a job's files to the driver, who takes all of them or none."""
        send(experiment, folder, lambda *piece: self._ask(self.board.receive, *piece))
        self._ask(self.board.accept)

    def end(self, ended: Ended) -> None:
        self._ask(self.board.end, ended)

    def _ask(self, method: Any, *values: Any) -> Any:
        return _answer(method.remote(self.order.key, self.attempt, *values))


class _Job(Job):
    """A job whose page the driver makes, which has in memory already what that takes."""

    def render(self) -> None:
        pass


class _Guarded(ThisMachine):
    """This machine, with a guard that ends a job if this worker dies."""

    def start(self, job: Job) -> None:
        super().start(job)
        if job.state == "running":
            self._guard = guarded(job.at_work.pid)
            self._guard.__enter__()

    def poll(self, running: list[Job]) -> None:
        super().poll(running)
        self._let_go(running)

    def stop(self, running: list[Job]) -> None:
        super().stop(running)
        self._let_go(running)

    def _let_go(self, jobs: list[Job]) -> None:
        if any(job.state != "running" for job in jobs):
            self._guard.__exit__(None, None, None)


@contextmanager
def _told_to_stop(job: Job) -> Iterator[None]:
    """Go on behind a job that was stopped, or was not begun yet: by the driver, or with this worker by its machine."""
    try:
        yield
    except (_Stop, Interrupted):
        if job.state == "queued":
            job.state, job.reason = "interrupted", "interrupted before it began"


@contextmanager
def _workplace(order: TaskSpec, report: _Report) -> Iterator[Job]:
    """Give the job its folder: the driver's, or one of this machine whose files go to the driver at the end."""
    job = _Job(order.title, order.notebook, order.parameters, order.files)
    if shares_disk(order):
        yield job
        return
    experiment = Path(tempfile.mkdtemp(prefix="dr-lab-experiment-"))
    with guarded_folder(experiment):
        wanted = [order.inside, *([order.starts_from] if order.starts_from else [])]
        board = report.board
        for folder in wanted:
            paths = _answer(board.listing.remote(folder))
            fetch(experiment, paths, lambda path, offset: _answer(board.read.remote(path, offset)))
        job.parameters = order.parameters | {"out_dir": str(experiment)}
        job.files = replace(job.files, path=experiment / order.inside)
        report.parcel = lambda: report.send(experiment, job.files.path)
        yield job
        report.parcel()


def _is_done(job: Job) -> bool:
    """Tell whether a machine that has died since had finished the job: there is nothing left to do then."""
    return job.trains and job.run_folder.done


def _let_the_one_before_go(job: Job) -> None:
    """Wait for a process of a worker that has just died, which its guard is about to end."""
    deadline = time.monotonic() + _SECONDS_FOR_THE_ONE_BEFORE_TO_GO
    while find_running_process(job.files) and time.monotonic() < deadline:
        time.sleep(0.2)
