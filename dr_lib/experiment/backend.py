"""What executes the runs of an experiment: this machine, or the machines of a Ray cluster."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

from dr_lib.config import RunConfig
from dr_lib.errors import InputError
from dr_lib.experiment.job import Job, stop
from dr_lib.notebook.process import wait_for_an_end
from dr_lib.storage.files import scratch_folder
from dr_lib.system.resources import GpuShares, threads_each, visible_gpus


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
            _look_after(job, self._timeout)
            if job.state != "running":
                self._gpus.give_back(job.gpus)

    def wait(self, running: list[Job], seconds: float) -> None:
        wait_for_an_end([job.at_work for job in running], seconds)

    def stop(self, running: list[Job]) -> None:
        stop(running)


def _look_after(job: Job, timeout: float | None) -> None:
    """Judge a job whose process has ended, and end one that has been silent for ``timeout`` minutes."""
    if job.at_work.poll() is not None:
        job.collect()
    elif timeout is not None and job.seconds_silent() > 60 * timeout:
        job.kill()
        job.collect(hung=f"it gave no sign of life for {timeout:g} minutes, and was ended")


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
    from dr_lib.experiment.ray.connection import connect
    from dr_lib.experiment.ray.ray_backend import RayBackend

    with connect(address):
        experiment.mkdir(parents=True, exist_ok=True)
        with scratch_folder(experiment.absolute()) as marker:
            yield RayBackend(marker, parallel, threads=threads, timeout=timeout)
