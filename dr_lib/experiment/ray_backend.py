"""Jobs as tasks of Ray, which places them, starts them again where machines die, and shares out GPUs.

A task executes its job on a machine of the cluster as on any other, in the folder that all share. Nothing here is
imported unless ``--engine ray`` asks for it: Ray is an extra.
"""

import os
import platform
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from dr_lib.config import RunConfig
from dr_lib.errors import InputError
from dr_lib.experiment.job import Job, find_running_process
from dr_lib.experiment.jobs import LocalBackend, run_jobs
from dr_lib.experiment.ray_cluster import CoordinatorCheck, Node, live_nodes
from dr_lib.notebook.process import NOTEBOOKS, end_with_this_process
from dr_lib.system.signals import Interrupted
from dr_lib.system.terminal import logger

log = logger("experiment")

_SECONDS_FOR_EARLIER_ATTEMPT = 90.0
"""A machine that has lost the cluster ends its workers within a minute; their watchdogs end their runs."""

MAX_RETRIES = 4
"""How often Ray starts a run again whose machine or worker has died: it may be the run that takes its machine down."""

_SECONDS_TO_STOP = 180.0
"""A run may take two minutes to write its checkpoint and end."""


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


class RayBackend:
    """Executes jobs on the machines of the connected cluster; a :class:`dr_lib.experiment.jobs.Backend`.

    A job is a task that asks for ``threads`` processors and, where the cluster has GPUs and the job may use one, as
    many as its ``devices``. Without ``threads``, the processors of a machine are divided by ``parallel``. Ray gets all
    tasks at once, the longest first, so that a cluster that grows by demand sees them. ``marker``: see
    :class:`DriverSettings`. Raises :class:`InputError` where a machine cannot execute runs.
    """

    def __init__(self, marker: Path, parallel: int, *, threads: int | None = None, timeout: float | None = None):
        self._nodes = live_nodes()
        self._gpus = any(node.gpus for node in self._nodes)
        self._threads = threads or threads_per_run(self._nodes, parallel)
        self._settings = DriverSettings(marker, self._threads, timeout)
        self._execute = ray.remote(execute)
        self._jobs: dict[ray.ObjectRef, Job] = {}
        self._coordinator = CoordinatorCheck()
        self._stopping = False
        self._warned: list[dict[str, int]] = []
        _check_machines(self._nodes, self._settings)

    def check_device(self, config: RunConfig) -> None:
        from dr_lib.training.device import check_machine  # torch: a cluster's workers do without

        if not self._gpus:  # the machines with GPUs check it themselves
            check_machine(config)

    def room(self, running: int) -> int:
        return sys.maxsize  # Ray has the queue

    def start(self, job: Job) -> None:
        wanted = resources(job.parameters, self._threads, self._gpus)
        self._warn_if_too_large(wanted)
        task = self._execute.options(max_retries=MAX_RETRIES, retry_exceptions=False, name=job.title, **wanted)
        self._jobs[task.remote(replace(job, needs=None), self._settings)] = job
        job.hand_over()

    def poll(self, running: list[Job]) -> None:
        self._coordinator.check()
        self._collect()

    def wait(self, running: list[Job], seconds: float) -> None:
        if self._jobs:
            ray.wait(list(self._jobs), num_returns=1, timeout=seconds)

    def stop(self, running: list[Job]) -> None:
        self._stopping = True
        if self._jobs and not self._coordinator.lost:
            for task in self._jobs:
                ray.cancel(task)
            ray.wait(list(self._jobs), num_returns=len(self._jobs), timeout=_SECONDS_TO_STOP)
            self._collect()
        for job in running:
            if job.state in ("running", "interrupted"):
                job.state = "interrupted"
                job.reason = "interrupted; the same command goes on from its last checkpoint"

    def _warn_if_too_large(self, wanted: dict[str, int]) -> None:
        fits = any(node.cpus >= wanted["num_cpus"] and node.gpus >= wanted["num_gpus"] for node in self._nodes)
        if not fits and wanted not in self._warned:
            self._warned.append(wanted)
            gpus = f" and {wanted['num_gpus']} GPUs" if wanted["num_gpus"] else ""
            log.warning("no machine of the cluster has %d processors%s; waiting for one", wanted["num_cpus"], gpus)

    def _collect(self) -> None:
        """Take over how the tasks that have ended say that their jobs stand."""
        ended = ray.wait(list(self._jobs), num_returns=len(self._jobs), timeout=0)[0] if self._jobs else []
        for task in ended:
            job = self._jobs.pop(task)
            job.remote = False
            job.state, job.reason = _result(task)
            if job.state == "failed" and not find_running_process(job.files):
                job.fail(job.reason)  # its own record may be missing; whoever is at the folder writes another one
            elif job.state == "interrupted" and not self._stopping:
                # Somebody else told it to stop, such as a batch system that takes its machine away.
                job.state, job.reason = "queued", f"told to stop on its machine ({job.reason}); goes on elsewhere"
                job.starts -= 1  # no failure: --retries are for those
                job.announce()


def threads_per_run(nodes: list[Node], parallel: int) -> int:
    """Return the threads of each run where every machine has ``parallel`` at a time: by the smallest machine.

    All runs have the same number, wherever they are, since it decides the last bits of the results. Of a cluster with
    GPUs only the machines that have some count.
    """
    counted = [node for node in nodes if node.gpus] or nodes
    return max(1, min((node.cpus for node in counted if node.cpus), default=1) // parallel)


def resources(parameters: dict[str, Any], threads: int, gpus: bool) -> dict[str, int]:
    """Return what a run asks Ray for; ``gpus``: whether the cluster has any."""
    uses_gpus = gpus and parameters.get("device", "auto") in ("auto", "cuda")
    return {"num_cpus": threads, "num_gpus": parameters.get("devices", 1) if uses_gpus else 0}


def _check_machines(nodes: list[Node], settings: DriverSettings) -> None:
    """Raise :class:`InputError` for the first machine that cannot execute runs; those that join later check it too."""
    check = ray.remote(machine_problem)
    answers = {}
    for node in nodes:
        if node.cpus:
            on_node = NodeAffinitySchedulingStrategy(node.node_id, soft=False)
            answers[node] = check.options(num_cpus=0, scheduling_strategy=on_node).remote(settings)
    for node, answer in answers.items():
        try:
            problem = ray.get(answer)
        except ray.exceptions.RayError as error:
            problem = f"{node.name}: cannot execute runs ({_one_line(error)}); see ray status"
        if problem:
            raise InputError(problem)


def _result(task: ray.ObjectRef) -> tuple[str, str]:
    try:
        return ray.get(task)
    except ray.exceptions.TaskCancelledError:  # before it had started
        return "interrupted", ""
    except ray.exceptions.RayTaskError as error:
        return "failed", f"its task failed: {_one_line(error)}"
    except ray.exceptions.RayError as error:
        times = MAX_RETRIES + 1
        return "failed", f"its machine, or Ray's process there, died {times} times under it ({_one_line(error)})"


def _one_line(error: Exception) -> str:
    """Return the last line of an error of Ray: of a task's own that is type and message."""
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
