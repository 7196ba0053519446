"""The jobs of an experiment, one papermill process each, and the backend that executes them: this machine, or Ray's.

What knows networks is imported where an experiment is planned: looking after runs needs nothing of it, and does not
have to fill a machine's memory with torch.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from dr_lib.config import RunConfig
from dr_lib.errors import InputError
from dr_lib.experiment.job import Job, stop
from dr_lib.storage.files import scratch_folder
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.system.posix import wait_for_an_end
from dr_lib.system.progress import Progress
from dr_lib.system.resources import GpuShares, threads_each, visible_gpus
from dr_lib.system.signals import Interrupted, Interruption

if TYPE_CHECKING:
    from dr_lib.data.prepare import DataSplits

_SECONDS_BETWEEN_LOOKS = 0.5


class Backend(Protocol):
    """Executes jobs."""

    def check_device(self, config: RunConfig) -> None:
        """Raise :class:`InputError` where there is no device, or not the precision, that a run asks for."""

    def room(self, running: int) -> int:
        """Return how many more may be started while so many are running."""

    def start(self, job: Job) -> None:
        """Have a queued job executed; its state then says how it stands."""

    def poll(self, running: list[Job]) -> None:
        """Update the state of the jobs that have ended."""

    def wait(self, running: list[Job], seconds: float) -> None:
        """Return when there may be something to do, at the latest after so many seconds."""

    def stop(self, running: list[Job]) -> None:
        """Have running jobs write a checkpoint and end."""


class LocalBackend:
    """Executes jobs in processes of this machine, ``parallel`` at a time, its threads and GPUs divided among them.

    A run that gives no sign of life for ``timeout`` minutes is killed. ``threads`` and ``gpus`` are given where
    somebody else has divided them.
    """

    def __init__(
        self,
        parallel: int,
        *,
        timeout: float | None = None,
        threads: int | None = None,
        gpus: Sequence[str] | None = None,
    ):
        self._parallel, self._timeout = parallel, timeout
        self._threads = threads or threads_each(parallel)
        self._gpus = GpuShares(visible_gpus() if gpus is None else gpus)

    def check_device(self, config: RunConfig) -> None:
        from dr_lib.training.device import check_machine  # torch: a cluster's workers do without

        check_machine(config)

    def room(self, running: int) -> int:
        return self._parallel - running

    def start(self, job: Job) -> None:
        job.start(threads=self._threads, gpus=self._gpus.take(job.parameters))
        if job.state != "running":
            self._gpus.give_back(job.gpus)

    def poll(self, running: list[Job]) -> None:
        for job in running:
            if job.at_work.poll() is not None:
                job.collect()
            elif self._timeout is not None and job.seconds_silent() > 60 * self._timeout:
                job.kill()
                job.collect(hung=f"it gave no sign of life for {self._timeout:g} min, and was ended")
            if job.state != "running":
                self._gpus.give_back(job.gpus)

    def wait(self, running: list[Job], seconds: float) -> None:
        wait_for_an_end([job.at_work.pid for job in running], seconds)

    def stop(self, running: list[Job]) -> None:
        stop(running)


@contextmanager
def open_backend(
    name: Literal["local", "ray"],
    experiment: Path,
    *,
    address: str | None,
    parallel: int,
    threads: int | None,
    timeout: float | None,
) -> Iterator[Backend]:
    """Give the backend that executes the runs of the folder ``experiment``, as long as the block lasts.

    ``address``: that of the cluster; without one it is started on this machine. Every machine of a cluster executes
    ``parallel`` runs at a time, with ``threads`` each where a number is given. A run that gives no sign of life for
    ``timeout`` minutes is ended. Raises :class:`InputError` for options that the backend has not, where no cluster
    answers, and where a machine of it lacks the folder or the driver's versions.
    """
    if name == "local":
        option = "--address" if address else "--threads" if threads else ""
        if option:
            raise InputError(f"{option}: is for clusters; add --engine ray, or leave it out")
        yield LocalBackend(parallel, timeout=timeout)
        return
    # Late: Ray is an extra, and takes longer to import than a local run takes to start.
    from dr_lib.experiment.ray_backend import RayBackend
    from dr_lib.experiment.ray_cluster import connect

    with connect(address):
        experiment.mkdir(parents=True, exist_ok=True)
        with scratch_folder(experiment.absolute()) as marker:
            yield RayBackend(marker, parallel, threads=threads, timeout=timeout)


def experiment_jobs(configs: list[RunConfig], data: "dict[str, DataSplits]") -> list[Job]:
    """Return all that an experiment has to do: generated pretrainings, and a job per run.

    Runs that are done with the same parameters on the same photographs (``data``, by run name) are skipped.
    """
    from dr_lib.experiment.time_estimate import TimeEstimate
    from dr_lib.training.pretrain import uses_generated_weights
    from dr_lib.training.resume import same_run

    pretraining = _pretraining_jobs(configs)
    forecast = TimeEstimate(ExperimentFolder(Path(configs[0].out_dir)).runs())
    runs = []
    for config in configs:
        folder = ExperimentFolder(Path(config.out_dir)).run(config.run_name)
        done = folder.complete and same_run(folder, config, data[config.run_name].fingerprint)
        needs = pretraining.get(config.model) if uses_generated_weights(config) else None
        state = "skipped" if done else "queued"
        training = len(data[config.run_name].split("train"))
        cost = forecast.cost(config, training, len(data[config.run_name].table) - training)
        runs.append(Job(config.run_name, "train", config.model_dump(), folder, needs=needs, state=state, cost=cost))
    for job in runs:
        if job.state == "skipped":
            job.render()  # where its driver was killed before it could
        else:
            job.announce()
    wanted = [job for job in pretraining.values() if any(run.needs is job and run.state == "queued" for run in runs)]
    return [*wanted, *runs]


def _pretraining_jobs(configs: list[RunConfig]) -> dict[str, Job]:
    """Return by network the job that makes its generated weights."""
    from dr_lib.training.pretrain import PRETRAINING_PARAMETERS, uses_generated_weights

    jobs: dict[str, Job] = {}
    for config in filter(uses_generated_weights, configs):
        folder = ExperimentFolder(Path(config.out_dir)).pretraining(config.model)
        parameters = config.model_dump(include=set(PRETRAINING_PARAMETERS))
        jobs.setdefault(config.model, Job(f"pretraining {config.model}", "pretrain", parameters, folder))
    return jobs


def draw_pretraining_photographs(jobs: list[Job]) -> None:
    """Draw what the pretraining jobs share before any starts; side by side, each would draw all of it."""
    from dr_lib.training.pretrain import draw_photographs

    with Progress() as progress:
        for job in jobs:
            if job.notebook == "pretrain" and job.state == "queued":
                draw_photographs(RunConfig.from_mapping(job.parameters), progress)


def run_jobs(jobs: list[Job], backend: Backend, watch: Callable[[list[Job]], None], *, retries: int = 0) -> None:
    """Have the ``backend`` execute what is queued, longest first; a job that fails stops only those that need it.

    A run that fails is begun again up to ``retries`` times. ``watch`` is called twice a second with all jobs. On an
    interrupt the runs that are under way are told to stop, which they do after a checkpoint;
    :class:`dr_lib.system.signals.Interrupted` is raised then.
    """
    with Interruption() as interruption:
        shown = -math.inf
        try:
            while any(job.state in ("queued", "running") for job in jobs):
                running = [job for job in jobs if job.state == "running"]
                backend.poll(running)
                for job in running:
                    if job.state == "failed" and job.starts <= retries:
                        job.queue_again()
                for job in jobs:
                    if job.state == "queued" and job.needs and job.needs.state == "failed":
                        job.fail(f"{job.needs.title} failed, which it starts from")
                for job in _next(jobs, backend.room(sum(job.state == "running" for job in jobs))):
                    backend.start(job)
                if time.monotonic() - shown >= _SECONDS_BETWEEN_LOOKS:
                    watch(jobs)
                    shown = time.monotonic()
                backend.wait([job for job in jobs if job.state == "running"], _SECONDS_BETWEEN_LOOKS)
                interruption.raise_if_requested()
        except BaseException as error:
            running = [job for job in jobs if job.state == "running"]
            if isinstance(error, Interrupted):
                for job in running:
                    job.reason = "told to stop, which it does after a checkpoint; a second Ctrl-C leaves it behind"
                watch(jobs)
            backend.stop(running)
            if isinstance(error, Interrupted):
                watch(jobs)
            raise
    watch(jobs)


def _next(jobs: list[Job], free: int) -> list[Job]:
    """Return the jobs to begin now, ``free`` at most: what others wait for, then what takes longest."""
    ready = [job for job in jobs if job.state == "queued" and (job.needs is None or job.needs.state == "done")]
    awaited = {job.needs for job in jobs if job.state == "queued"}
    return sorted(ready, key=lambda job: (job not in awaited, -job.cost))[: max(0, free)]
