"""Who does the work of ``dr-lab run``: this machine, or the machines of a Ray cluster."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dr_lib.config import RunConfig
from dr_lib.data.scan import Decode
from dr_lib.errors import InputError
from dr_lib.experiment.jobs import Engine
from dr_lib.training.device import check_machine


@dataclass(frozen=True)
class Backend:
    """Who decodes photographs, who checks devices, and who executes the runs of an experiment; None: this machine."""

    decode: Decode | None = None
    check: Callable[[RunConfig], None] = check_machine
    engine: Callable[[Path], Engine | None] = lambda experiment: None


@contextmanager
def open_backend(
    name: Literal["local", "ray"], *, address: str | None, parallel: int, threads: int | None, timeout: float | None
) -> Iterator[Backend]:
    """Give who does the work, as long as the block lasts.

    ``address``: that of the cluster; without one it is started on this machine. Every machine of a cluster executes
    ``parallel`` runs at a time, with ``threads`` each where a number is given. A run that gives no sign of life for
    ``timeout`` minutes is ended. Raises :class:`InputError` for options that the engine has not, and where no cluster
    is to be had.
    """
    if name == "local":
        option = "--address" if address else "--threads" if threads else ""
        if option:
            raise InputError(f"{option}: is for clusters; add --engine ray, or leave it out")
        yield Backend()
        return
    # Late: Ray is an extra, and takes longer to import than a local run takes to start.
    from dr_lib.experiment.ray.connection import connected
    from dr_lib.experiment.ray.decoding import SpreadDecoding
    from dr_lib.experiment.ray.ray_backend import RayEngine, threads_in

    with connected(address) as cluster:
        each = threads or threads_in(cluster, parallel)
        yield Backend(
            SpreadDecoding(cluster),
            cluster.check,
            lambda experiment: RayEngine(cluster, experiment, threads=each, timeout=timeout),
        )
