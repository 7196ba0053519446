"""The way to a Ray cluster: one that is there, or one of this machine that lasts as long as the command."""

import os
import signal
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from dr_lib.config import RunConfig
from dr_lib.errors import Failure, InputError

TOKEN = Path("~/.ray/auth_token").expanduser()

if any(name in os.environ for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")) or TOKEN.exists():
    # As ray start does, which asks for a token where there is one. Ray reads it once, when it is imported.
    os.environ.setdefault("RAY_AUTH_MODE", "token")

try:
    with warnings.catch_warnings():
        # Of Ray's own imports (pkg_resources, pydantic); nothing here can change them.
        warnings.simplefilter("ignore")
        import ray
except ImportError:
    raise InputError("--engine ray: Ray is not installed; pip install 'dr-lab[cluster]', or --engine local") from None

OBJECT_STORE = 256 * 2**20
"""Bytes for what runs and their driver send each other, where the cluster is started here; pieces are a few MB."""

_HERE = "local"
_SECONDS_TO_ANSWER = 10.0
_SECONDS_BETWEEN_KNOCKS = 5.0
_SECONDS_WITHOUT_COORDINATOR = 25.0
_SETTINGS = b"\x04"
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0" + _SETTINGS + bytes(5)
"""How a client begins to speak HTTP/2: its preface, and an empty frame of settings."""
_QUICK_START = Path(__file__).parent / "quick_start"
_OF_A_CLUSTER_STARTED_HERE = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to anybody
    # Ray gives its own agents 15 s to start, which a machine that is busy with training does not keep.
    "RAY_agent_register_timeout_ms": "120000",
    # Dead nodes are noticed after five checks that fail, a second apart.
    "RAY_health_check_period_ms": "1000",
}


@dataclass(frozen=True)
class Machine:
    """A node of the cluster: its name, and what of it Ray gives to tasks."""

    identity: str
    name: str
    cpus: int
    gpus: int


class Cluster:
    """A cluster that this process is connected to."""

    def __init__(self) -> None:
        self._asked = self._answered = time.monotonic()

    def require_coordinator(self) -> None:
        """Raise :class:`Failure` where Ray's coordinator has not answered for half a minute.

        After a whole one Ray ends this process, and nothing could be said of the runs any more.
        """
        now = time.monotonic()
        if now - self._asked < _SECONDS_BETWEEN_KNOCKS:
            return
        self._asked = now
        address = ray.get_runtime_context().gcs_address
        try:
            _knock(address)
            self._answered = now
        except OSError as error:
            if now - self._answered > _SECONDS_WITHOUT_COORDINATOR:
                raise Failure(
                    f"the Ray cluster is lost (its coordinator at {address} does not answer: {error}); the same "
                    "command goes on from the last checkpoints"
                ) from None

    def machines(self) -> list[Machine]:
        """Return the nodes that are alive."""
        return [
            Machine(
                node["NodeID"],
                node["NodeManagerHostname"],
                int(node["Resources"].get("CPU", 0)),
                int(node["Resources"].get("GPU", 0)),
            )
            for node in ray.nodes()
            if node["Alive"]
        ]

    def check(self, config: RunConfig) -> None:
        """Raise :class:`InputError` for a device or a precision that no machine has; GPUs tell for themselves later."""
        from dr_lib.training.device import check_machine  # torch: nothing that the machines' workers need

        if not any(machine.gpus for machine in self.machines()):
            check_machine(config)

    def here(self) -> str:
        """Return the identity of the node that this process is on."""
        return ray.get_runtime_context().get_node_id()


@contextmanager
def connected(address: str | None = None, **options: Any) -> Iterator[Cluster]:
    """Connect to the cluster at ``address``, or at ``RAY_ADDRESS``; where neither says one, start one here.

    One that is started here has this machine's processors and GPUs and no dashboard, asks whoever comes for the token
    in ``~/.ray``, which Ray makes, and ends with the block, or with this process. SIGTERM ends the process with status
    143. ``options`` go to ``ray.init``. Raises :class:`InputError` where no cluster answers, or one of another version
    of Ray or Python.
    """
    address = address or os.environ.get("RAY_ADDRESS") or _HERE
    if address.startswith("ray://"):
        raise InputError(
            f"--address {address}: a Ray client is not part of the cluster; call dr-lab on one of its machines, "
            "with --address auto"
        )
    options = {"address": address, "log_to_driver": False, "logging_level": "ERROR"} | options
    if address == _HERE:
        for name, value in _OF_A_CLUSTER_STARTED_HERE.items():
            os.environ.setdefault(name, value)
        options = {
            "num_cpus": len(os.sched_getaffinity(0)),
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE,
        } | options
    before = signal.getsignal(signal.SIGTERM)
    try:
        if _knock(address):
            # Half a minute for another gRPC server; init would try 20 times.
            ray._raylet.GcsClient(address=address)  # type: ignore[attr-defined]  # compiled, without a stub
        with _quick_start(address == _HERE):
            ray.init(**options)
    except (RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        ray.shutdown()
        said = " ".join(str(error).split())
        if address == _HERE:
            raise InputError(
                f"--engine ray: no cluster can be started here ({said}); Ray needs {OBJECT_STORE / 1e6:.0f} MB in "
                "/dev/shm or /tmp, and ulimit -n of 1024 at least"
            ) from None
        raise InputError(
            f"--address {address}: no Ray cluster of use there ({said}); see ray status, and whether it asks for a "
            f"token that {TOKEN} has not"
        ) from None
    signal.signal(signal.SIGTERM, _end)  # Ray's own would end with status 15
    try:
        yield Cluster()
    finally:
        ray.shutdown()
        signal.signal(signal.SIGTERM, before)


@contextmanager
def while_it_lasts() -> Iterator[None]:
    """Raise :class:`Failure` where the cluster is lost in the block; what a task raises is its own."""
    try:
        yield
    except ray.exceptions.RayTaskError:
        raise
    except ray.exceptions.RayError as error:
        said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise Failure(
            f"the Ray cluster is lost ({said}); the same command goes on from the last checkpoints"
        ) from error


def _knock(address: str) -> bool:
    """Raise :class:`OSError` where nobody listens at ``HOST:PORT``, or another program; False for other addresses.

    Ray would try for minutes, and print what it tries. Its coordinator speaks gRPC, and so answers the beginning of
    HTTP/2 with a frame of settings (RFC 9113, 3.4 and 6.5).
    """
    host, _, port = address.rpartition(":")
    named = bool(host) and port.isdecimal()
    if named:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS_TO_ANSWER) as there:
            there.sendall(_HTTP2)
            if there.recv(4)[3:] != _SETTINGS:
                raise OSError("another program listens there")
    return named


@contextmanager
def _quick_start(here: bool) -> Iterator[None]:
    """Let the processes that are started meanwhile, and theirs, import ``quick_start`` before all else."""
    before = os.environ.get("PYTHONPATH")
    if here:
        os.environ["PYTHONPATH"] = os.pathsep.join([str(_QUICK_START), *([before] if before else [])])
    try:
        yield
    finally:
        os.environ.pop("PYTHONPATH", None)
        if before is not None:
            os.environ["PYTHONPATH"] = before


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
