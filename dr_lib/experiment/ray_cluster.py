"""The connection to a Ray cluster: to one that exists, or one on this machine that lasts as long as the command."""

import os
import signal
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from dr_lib.errors import Failure, InputError
from dr_lib.system.environment import ray_address
from dr_lib.system.posix import cores
from dr_lib.system.terminal import silence

try:
    with warnings.catch_warnings():
        # Of Ray's own imports (pkg_resources, pydantic); nothing here can change them.
        warnings.simplefilter("ignore")
        import ray
        from ray._private.authentication.authentication_token_setup import ensure_token_if_auth_enabled
except ImportError:
    raise InputError("--engine ray: Ray is not installed; pip install 'dr-lab[cluster]', or --engine local") from None

OBJECT_STORE = 256 * 2**20
"""Bytes of shared memory of a cluster that is started here; the least that Ray takes is 75 MB, and runs use none."""

_LOCAL = "local"
_SECONDS_TO_ANSWER = 10.0
_SECONDS_BETWEEN_CHECKS = 5.0
_SECONDS_WITHOUT_COORDINATOR = 25.0
_HTTP2_SETTINGS = b"\x04"
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0" + _HTTP2_SETTINGS + bytes(5)
"""How a client starts to speak HTTP/2, as gRPC does: the preface, and an empty frame of settings (RFC 9113, 3.4)."""


@dataclass(frozen=True)
class Node:
    """A machine of the cluster: Ray's number of it, its name, and how many processors and GPUs Ray gives to tasks."""

    node_id: str
    name: str
    cpus: int
    gpus: int


def live_nodes() -> list[Node]:
    """Return the machines of the cluster that are alive."""
    return [
        Node(
            node["NodeID"],
            node["NodeManagerHostname"],
            int(node["Resources"].get("CPU", 0)),
            int(node["Resources"].get("GPU", 0)),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]


@contextmanager
def connect(address: str | None = None, **options: Any) -> Iterator[None]:
    """Connect to the cluster at ``address``, or at ``RAY_ADDRESS``; where neither is given, start one on this machine.

    One that is started here has this machine's processors and GPUs and no dashboard, and ends with the block, or with
    this process. SIGTERM ends the process with status 143. ``options`` go to ``ray.init``. Raises :class:`InputError`
    where no cluster answers, or one of another version of Ray or Python.
    """
    address = address or ray_address() or _LOCAL
    if address.startswith("ray://"):
        raise InputError(
            f"--address {address}: a Ray client is not part of the cluster; call dr-lab on one of its machines, "
            "with --address auto"
        )
    defaults: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": "ERROR"}
    if address == _LOCAL:
        defaults |= {
            "num_cpus": cores(),
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE,
            # Ray gives its own agents 15 s to start, which is not enough on a machine that is busy with training.
            "_system_config": {"agent_register_timeout_ms": 120_000},
        }
    before = signal.getsignal(signal.SIGTERM)
    try:
        if _is_host_and_port(address):
            # ray.init would try for more than five minutes, and print each try.
            _require_http2(address)
            ensure_token_if_auth_enabled(create_token_if_missing=False)
            with _quiet_stderr():
                ray._raylet.GcsClient(address=address)  # type: ignore[attr-defined]  # compiled, without a stub
        ray.init(**(defaults | options))
    except ray.exceptions.AuthenticationError:
        raise InputError(
            f"--address {address}: the cluster asks for a token; put its token into ~/.ray/auth_token and set "
            "RAY_AUTH_MODE=token"
        ) from None
    except Exception as error:  # a plain one of Ray's where its processes take more than 30 s to start
        ray.shutdown()
        cause = " ".join(str(error).split())
        if address == _LOCAL:
            raise InputError(
                f"--engine ray: no cluster can be started here ({cause}); Ray needs {OBJECT_STORE / 1e6:.0f} MB in "
                "/dev/shm or /tmp, ulimit -n of 1024 at least, and a machine that is not too busy to start it in 30 s"
            ) from None
        raise InputError(f"--address {address}: no Ray cluster answers there ({cause}); see ray status") from None
    signal.signal(signal.SIGTERM, _exit)  # Ray's own handler ends with status 15
    try:
        yield
    finally:
        ray.shutdown()
        signal.signal(signal.SIGTERM, before)


class CoordinatorCheck:
    """Notices a cluster that is lost: one whose coordinator, the GCS on the head machine, does not answer."""

    def __init__(self) -> None:
        self.lost = False
        self._checked = self._answered = time.monotonic()

    def check(self) -> None:
        """Raise :class:`Failure` where the coordinator has not answered for half a minute.

        After a minute Ray ends this process, and nothing could be said of the runs any more.
        """
        now = time.monotonic()
        if now - self._checked < _SECONDS_BETWEEN_CHECKS:
            return
        self._checked = now
        address = ray.get_runtime_context().gcs_address
        try:
            _require_http2(address)
            self._answered = now
        except OSError as error:
            if now - self._answered > _SECONDS_WITHOUT_COORDINATOR:
                self.lost = True
                raise Failure(
                    f"the Ray cluster is lost (its coordinator at {address} does not answer: {error}); the same "
                    "command goes on from the last checkpoints"
                ) from None


def _is_host_and_port(address: str) -> bool:
    host, _, port = address.rpartition(":")
    return bool(host) and port.isdecimal()


def _require_http2(address: str) -> None:
    """Raise :class:`OSError` where nothing listens at ``HOST:PORT``, or a program that is no gRPC server.

    A server of HTTP/2 answers the preface with a frame of settings (RFC 9113, 6.5).
    """
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS_TO_ANSWER) as connection:
        connection.sendall(_HTTP2_PREFACE)
        if connection.recv(4)[3:] != _HTTP2_SETTINGS:
            raise OSError("another program listens there")


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Keep what compiled code prints off the standard error: the error that follows says the same."""
    stderr = os.dup(2)
    silence(2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _exit(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
