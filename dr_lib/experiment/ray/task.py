"""A job as a task of Ray: executed on a machine of the cluster as on any other, in the folder that all share."""

import os
import platform
import tempfile
import time
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path

from dr_lib.experiment.job import Job, find_running_process
from dr_lib.experiment.jobs import LocalBackend, run_jobs
from dr_lib.notebook.process import NOTEBOOKS, end_with_this_process
from dr_lib.system.signals import Interrupted

_SECONDS_FOR_EARLIER_ATTEMPT = 90.0
"""A machine that has lost the cluster ends its workers within a minute; their watchdogs end their runs."""


@cache
def versions() -> dict[str, str]:
    """Return the versions of all that decides the numbers: a machine with others would not give the same."""
    names = ("torch", "torchvision", "accelerate", "numpy", "numba", "pillow", "simplejpeg")
    return {"Python": platform.python_version()} | {name: version(name) for name in names}


@dataclass(frozen=True)
class DriverSettings:
    """What all machines know of the driver: its marker, each run's threads and timeout in minutes, its surroundings.

    ``marker``: a folder that the driver has made in its experiment folder, under a random name; who sees it there
    shares the driver's disk.
    """

    marker: Path
    threads: int
    timeout: float | None
    versions: dict[str, str] = field(default_factory=versions)
    working_folder: str = field(default_factory=os.getcwd)


def machine_problem(settings: DriverSettings) -> str:
    """Return in one line why this machine cannot execute the driver's runs; empty where it can."""
    machine, folder = platform.node(), settings.marker.parent
    if different := [
        f"{name} {here} instead of {settings.versions[name]}"
        for name, here in versions().items()
        if here != settings.versions[name]
    ]:
        return f"{machine} has {', '.join(different)}; give it the driver's versions (constraints.txt)"
    remedy = "; put --out on a disk that every machine of the cluster has at this path"
    if not settings.marker.exists():
        return f"{machine}: {folder} is not there, or not the folder that the driver sees{remedy}"
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return f"{machine}: {folder} cannot be written ({error.strerror}){remedy}, writable"
    return ""


def execute(job: Job, settings: DriverSettings) -> tuple[str, str]:
    """Execute a job on this machine; return its ``state`` and ``reason`` as :class:`Job` has them.

    Ray starts the same task again where the machine before has died; the run then goes on from its last checkpoint.
    ``ray.cancel``, as Ctrl-C, has the run write a checkpoint and stop.
    """
    if problem := machine_problem(settings):
        return "failed", problem
    # Relative paths are the driver's.
    os.chdir(settings.working_folder if os.path.isdir(settings.working_folder) else NOTEBOOKS.parent)
    if job.trains and (state := job.run_folder.read_status()["state"]) != "queued":  # as which the driver has left it
        if state == "done":
            job.render()
            return "done", ""
        job.starts = max(job.starts, 1)
        job.reason = f"started again on {platform.node()}; the machine before is gone"
    _await_earlier_attempt(job)
    try:
        with end_with_this_process(job.files):
            backend = LocalBackend(1, timeout=settings.timeout, threads=settings.threads, gpus=())
            run_jobs([job], backend, lambda jobs: None)
    except Interrupted as stop:
        if job.state == "queued":
            job.state, job.reason = "interrupted", str(stop)
    return job.state, job.reason


def _await_earlier_attempt(job: Job) -> None:
    """Wait for a run whose worker has just died, or lost the cluster; two attempts must not write at once."""
    deadline = time.monotonic() + _SECONDS_FOR_EARLIER_ATTEMPT
    while find_running_process(job.files) and time.monotonic() < deadline:
        time.sleep(0.5)
