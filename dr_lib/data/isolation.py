"""Work in processes that may die: a decoder that crashes, hangs or eats all memory costs the one file it was at.

Workers are plain subprocesses with a pipe, not those of :mod:`multiprocessing`. Those fork a process that may hold
torch's threads and a GPU, or they import the caller's ``__main__`` again, be it a command, a notebook's kernel or a
script without a guard; and a daemonic process may not have any. These start light, and from anywhere.
"""

import math
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

from dr_lib.processes import end_with_parent

MEMORY = 2 * 2**30
"""Bytes that a worker may allocate; beyond, its function meets a ``MemoryError``. The largest photograph that is
decoded (89 Mpx, Pillow's limit) takes about half."""

_SECONDS_TO_START = 120.0
_SECONDS_TO_END = 5.0
_ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
_NOTHING = object()


@dataclass(frozen=True)
class Died:
    """What stands in place of the result of an item that its worker did not survive; ``reason``: in a few words."""

    reason: str


def isolated(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    *,
    workers: int,
    timeout: float,
    initializer: Callable[..., None] | None = None,
    initargs: tuple = (),
) -> Iterator[tuple[Any, Any]]:
    """Yield each item with ``function(item)``, or with :class:`Died`, in the order in which the results arrive.

    ``function`` and ``initializer``, which each worker calls first with ``initargs``, are found by their names in
    modules; items and results are pickled. ``timeout``: seconds that one item may take. An exception of the function
    is a bug and is raised here. What a worker prints goes nowhere. The workers end with the generator, also where
    it is left early, and with this process.
    """
    task = pickle.dumps((function, initializer, initargs))
    coming = iter(items)
    pool: list[_Worker] = []
    try:
        begun = list(islice(coming, workers))
        pool.extend(_Worker(timeout) for _ in begun)  # all of them, before the first is waited for
        for worker, item in zip(pool, begun, strict=True):
            worker.send(task)
            worker.give(item)
        while pool:
            soonest = min(worker.deadline for worker in pool)
            wait([worker.pipe for worker in pool], max(soonest - time.monotonic(), 0))
            for worker in list(pool):
                answer = worker.answer()
                if answer is _NOTHING:
                    continue
                item, following = worker.item, next(coming, _NOTHING)
                if following is _NOTHING or isinstance(answer, Died):
                    worker.end()
                    pool.remove(worker)
                if following is not _NOTHING:
                    if worker not in pool:
                        worker = _Worker(timeout)
                        pool.append(worker)
                        worker.send(task)
                    worker.give(following)
                yield item, answer
    finally:
        for worker in pool:
            worker.end()


class _Worker:
    """One process and the item that it is at."""

    def __init__(self, timeout: float):
        self.timeout, self.item, self.ready = timeout, _NOTHING, False
        self.deadline = time.monotonic() + _SECONDS_TO_START
        self.pipe, theirs = Pipe()
        seconds = math.ceil(max(timeout, _SECONDS_TO_START) + _SECONDS_TO_END)
        path = [str(folder) for folder in sys.path]
        begin = f"from {__name__} import _serve; _serve({theirs.fileno()}, {seconds}, {os.getpid()})"
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", f"import sys; sys.path[:] = {path!r}; {begin}"],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=os.environ | _ONE_THREAD,
                start_new_session=True,  # Ctrl-C is this process's alone, which ends its workers
            )

    def give(self, item: Any) -> None:
        self.item = item
        if self.ready:
            self.deadline = time.monotonic() + self.timeout
        self.send(pickle.dumps(item))

    def send(self, message: bytes) -> None:
        with suppress(OSError):  # where it is dead, which shows when it is asked for its answer
            self.pipe.send_bytes(message)

    def answer(self) -> Any:
        """Return the result for the item, how the worker died over it, or ``_NOTHING`` yet."""
        if self.pipe.poll():
            try:
                reply = self.pipe.recv_bytes()
            except (EOFError, OSError):
                return self._died(_how_it_ended(self.process.wait()))
            result, error = pickle.loads(reply)
            if error is not None:
                raise error
            if self.ready:
                return result
            self.ready, self.deadline = True, time.monotonic() + self.timeout
        elif time.monotonic() > self.deadline:
            return self._died(f"no answer within {self.timeout if self.ready else _SECONDS_TO_START:g} s")
        return _NOTHING

    def _died(self, reason: str) -> Died:
        if not self.ready:
            raise RuntimeError(f"a worker could not start: {reason}")
        return Died(reason)

    def end(self) -> None:
        self.pipe.close()
        self.process.kill()
        with suppress(subprocess.TimeoutExpired):  # held in the kernel, by a disk that does not answer
            self.process.wait(_SECONDS_TO_END)


def _how_it_ended(status: int) -> str:
    if status >= 0:
        return f"its process ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = "unknown"
    return f"its process ended with signal {-status} ({name})"


def _serve(descriptor: int, seconds: int, parent: int) -> None:
    """Answer what comes through the pipe, the task first, until its other end is closed: the life of a worker."""
    end_with_parent(parent)
    pipe = Connection(descriptor)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    # Not the address space: numba and OpenBLAS reserve a lot of it that they never use.
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY if most == resource.RLIM_INFINITY else min(MEMORY, most), most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    function = None
    while True:
        try:
            message = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        signal.alarm(seconds)  # the system's own end to a worker that hangs and has no parent any more
        try:
            if function is None:
                function, result = _begin(message), None
            else:
                result = function(pickle.loads(message))
            reply = pickle.dumps((result, None))
        except Exception as error:
            reply = _failure(error)
        pipe.send_bytes(reply)
        signal.alarm(0)


def _begin(task: bytes) -> Callable[[Any], Any]:
    function, initializer, initargs = pickle.loads(task)
    if initializer is not None:
        initializer(*initargs)
    return function


def _failure(error: Exception) -> bytes:
    """Return ``error`` for the pipe, with the place where it was raised as a note."""
    error.add_note("in a worker: " + "".join(traceback.format_tb(error.__traceback__)[-1:]).strip())
    try:
        reply = pickle.dumps((None, error))
        pickle.loads(reply)  # some exceptions can be pickled, but not unpickled
    except Exception:
        reply = pickle.dumps((None, RuntimeError(f"{type(error).__name__}: {error}")))
    return reply
