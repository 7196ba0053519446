"""The grid's jobs as tasks of Ray, which places them, begins them again where machines die, and shares out GPUs."""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from dr_lib.experiment.job import Job
from dr_lib.experiment.ray.connection import Cluster, Machine, while_it_lasts
from dr_lib.experiment.ray.coordinator import Coordinator, Ended
from dr_lib.experiment.ray.task import MOST_ATTEMPTS, execute
from dr_lib.experiment.ray.task_spec import make_task_spec, write_token
from dr_lib.experiment.status import RunStatus
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.system.terminal import logger

log = logger("experiment")

_SECONDS_TO_STOP = 180.0
"""A run may take two minutes to write its checkpoint and end; its files are on the way after that."""


class RayEngine:
    """Executes jobs on the machines of a cluster; an :class:`dr_lib.experiment.jobs.Engine`.

    A job is a task that demands ``threads`` processors and, where the cluster has GPUs and it may use one, as many as
    its ``devices``. Tasks are handed to Ray at once, what takes longest first, so that a cluster that grows by demand
    sees all of it. A job's first start and each of its retries is one task, which Ray begins again by itself where
    a machine dies.
    """

    def __init__(self, cluster: Cluster, experiment: Path, *, threads: int, timeout: float | None = None):
        self._cluster, self._threads, self._timeout = cluster, threads, timeout
        self._gpus = any(machine.gpus for machine in cluster.machines())
        self._token = write_token(ExperimentFolder(experiment))
        here = NodeAffinitySchedulingStrategy(cluster.here(), soft=False)
        board = ray.remote(Coordinator).options(num_cpus=0, scheduling_strategy=here)
        self._board: Any = board.remote(experiment.resolve())  # the handle's methods are made at run time
        self._execute = ray.remote(execute)
        self._keys: dict[ray.ObjectRef, str] = {}
        self._jobs: dict[str, Job] = {}
        self._moves: Counter[str] = Counter()
        self._stopping = False

    def room(self, running: int) -> int:
        return sys.maxsize  # Ray has the queue

    @while_it_lasts()
    def start(self, job: Job) -> None:
        demand = demand_of(job.parameters, self._threads, self._gpus)
        wanted = make_task_spec(job, threads=self._threads, timeout=self._timeout, token=self._token)
        task = self._execute.options(max_retries=MOST_ATTEMPTS, name=job.title, **demand).remote(wanted, self._board)
        self._keys[task], self._jobs[wanted.key] = wanted.key, job
        job.state, job.starts = "running", job.starts + 1
        job.told = RunStatus(job.title, "queued", reason=job.reason or self._why_it_waits(demand))

    def poll(self, running: list[Job]) -> None:
        self._cluster.require_coordinator()
        self._hear()

    @while_it_lasts()
    def _hear(self) -> None:
        for key, standing in ray.get(self._board.news.remote()).items():
            if key in self._jobs:
                self._jobs[key].told = standing
        ended, _ = ray.wait(list(self._keys), num_returns=len(self._keys), timeout=0) if self._keys else ([], [])
        for task in ended:
            self._judge(task)

    @while_it_lasts()
    def wait(self, running: list[Job], seconds: float) -> None:
        if self._keys:
            ray.wait(list(self._keys), num_returns=1, timeout=seconds)

    def stop(self, running: list[Job]) -> None:
        self._stopping = True
        try:
            self._stop_tasks()
            self._hear()
        finally:
            for job in running:
                job.told = None
                if job.state in ("running", "interrupted"):
                    job.state = "interrupted"
                    job.reason = "interrupted; the same command goes on from its last checkpoint"

    @while_it_lasts()
    def _stop_tasks(self) -> None:
        ray.get(self._board.stop.remote())
        for task, key in self._keys.items():
            if (told := self._jobs[key].told) and told.state == "queued":
                ray.cancel(task)
        if self._keys:
            ray.wait(list(self._keys), num_returns=len(self._keys), timeout=_SECONDS_TO_STOP)

    def _judge(self, task: ray.ObjectRef) -> None:
        """Let a job know how its task has ended."""
        key = self._keys.pop(task)
        job = self._jobs.pop(key)
        job.told = None
        ended = _result(task)
        self._board.forget.remote(key)
        job.render()
        if ended.state == "interrupted" and not self._stopping and self._moves[job.title] < MOST_ATTEMPTS:
            # Somebody has told the run, not us: a batch system that takes its machine away, for instance.
            self._moves[job.title] += 1
            job.state, job.reason = "queued", f"told to stop where it was ({ended.reason}); goes on elsewhere"
        elif ended.state == "failed":
            job.fail(ended.reason)
        else:
            job.state, job.reason = ended.state, ended.reason

    def _why_it_waits(self, demand: dict[str, int]) -> str:
        if any(_fits(machine, demand) for machine in self._cluster.machines()):
            return ""
        gpus = f" and {demand['num_gpus']} GPUs" if demand.get("num_gpus") else ""
        return f"no machine of the cluster has {demand['num_cpus']} processors{gpus}; waiting for one"


def threads_in(cluster: Cluster, parallel: int) -> int:
    """Return the threads of each run where every machine has ``parallel`` at a time: by the smallest machine.

    All runs have the same number, wherever they are, since it decides the last bits of the figures. Of a cluster with
    GPUs those machines alone are counted that have some.
    """
    machines = cluster.machines()
    counted = [machine for machine in machines if machine.gpus] or machines
    return max(1, min((machine.cpus for machine in counted if machine.cpus), default=1) // parallel)


def demand_of(parameters: dict[str, Any], threads: int, gpus: bool) -> dict[str, int]:
    """Return what a job asks Ray for; ``gpus``: whether the cluster has any."""
    wanted = gpus and parameters.get("device", "auto") in ("auto", "cuda")
    return {"num_cpus": threads, "num_gpus": parameters.get("devices", 1) if wanted else 0}


def _fits(machine: Machine, demand: dict[str, int]) -> bool:
    return machine.cpus >= demand["num_cpus"] and machine.gpus >= demand["num_gpus"]


def _result(task: ray.ObjectRef) -> Ended:
    try:
        return ray.get(task)
    except ray.exceptions.TaskCancelledError:
        return Ended("interrupted")
    except ray.exceptions.RayError as error:
        last = [line for line in str(error).splitlines() if line.strip()][-1]
        return Ended("failed", f"its task has failed: {' '.join(last.split())}")
