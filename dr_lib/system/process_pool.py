"""Work in processes that may die: a decoder that crashes, hangs or eats all memory costs the one file it was at.

What may have been the machine's fault is tried again, alone: a process that was killed, found no memory, or slept.

Workers are plain subprocesses with a pipe, not those of :mod:`multiprocessing`. Those fork a process that may hold
torch's threads and a GPU, or they import the caller's ``__main__`` again, be it a command, a notebook's kernel or a
script without a guard; and a daemonic process may not have any. These start light, and from anywhere. joblib's pools
(loky) give up all items where one worker dies, and bound neither the time nor the memory of one item.
"""

import ctypes
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

import psutil

from dr_lib.system.posix import bound_memory

_PR_SET_PDEATHSIG = 1
"""From ``linux/prctl.h``."""

_SECONDS_BETWEEN_PARENT_CHECKS = 1.0

MEMORY = 2 * 2**30
"""Bytes that a worker may allocate; beyond, its function meets a ``MemoryError``. The largest photograph that is
decoded (89 Mpx, Pillow's limit) takes about half."""

_SECONDS_TO_START = 120.0
_SECONDS_TO_END = 5.0
_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_WITHOUT_PARENT = 3600
"""A worker that sleeps in one call for ever, and whose parent was killed, ends then."""

_ASLEEP = (psutil.STATUS_SLEEPING, psutil.STATUS_DISK_SLEEP, psutil.STATUS_IDLE)
_OF_ITSELF = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGPROF)
"""Signals that a process brings upon itself; all others come from outside."""

_ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
_NOTHING = object()


def end_with_parent(parent: int) -> None:
    """Have this process killed when ``parent``, which has started it, ends in whatever way; to be called first.

    On Linux the system does it, also where the process hangs outside of Python. It goes by the thread that has started
    the process, which is to live as long as the worker is needed.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        _watch(parent, lambda: os._exit(1))
    if os.getppid() != parent:  # it has ended before this
        os._exit(1)


def stop_with_parent() -> None:
    """Send this process SIGTERM as soon as its parent has ended, in whatever way, so that it can save its work first.

    Once: what Linux can send by itself comes again for each thread of the parent, and the second signal would end the
    process before its checkpoint.
    """
    _watch(os.getppid(), lambda: os.kill(os.getpid(), signal.SIGTERM))


def _watch(parent: int, act: Callable[[], None]) -> None:
    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_SECONDS_BETWEEN_PARENT_CHECKS)
        act()

    threading.Thread(target=look, daemon=True).start()


@dataclass(frozen=True)
class WorkerDied:
    """What stands in place of the result of an item that its workers did not survive.

    ``reason``: in a few words. ``passing``: whether the machine may be at fault, so that another time it may go well.
    """

    reason: str
    passing: bool = field(default=False, compare=False)


def map_in_workers(
    function: Callable[[Any], Any], items: Iterable[Any], *, workers: int, timeout: float
) -> Generator[tuple[Any, Any], None, None]:
    """Yield each item with ``function(item)``, or with :class:`WorkerDied`, in the order in which the results arrive.

    ``function`` is pickled once for each worker, so that a :func:`functools.partial` may carry what all items need;
    items and results are pickled, too. ``timeout``: seconds of the processor that one item may take, and seconds
    that it may sleep. Time in which a worker is stopped, or waits for its turn on a busy machine, does not count. An
    item that its worker did not survive is tried once more when all others are done, alone. An exception of the
    function is a bug and is raised here, but for :class:`MemoryError`, which is a death. What a worker prints goes
    nowhere. The workers end with the generator, also where it is left early, and with this process.
    """
    task = pickle.dumps(function)
    again = []
    with closing(_at_once(task, iter(items), workers, timeout)) as answers:
        for item, answer in answers:
            if isinstance(answer, WorkerDied):
                again.append(item)
            else:
                yield item, answer
    yield from _at_once(task, iter(again), 1, timeout)


class SingleWorker:
    """Calls a function in one worker, again and again, with the limits of :func:`map_in_workers`.

    The worker starts with the first call, anew after one that it did not survive, and ends with this object or process.
    """

    def __init__(self, function: Callable[[Any], Any], timeout: float):
        self._task, self._timeout = pickle.dumps(function), timeout
        self._worker: _Worker | None = None

    def __call__(self, item: Any) -> Any:
        """Return ``function(item)``, or :class:`WorkerDied`; raises what the function raises."""
        look = min(_SECONDS_BETWEEN_LOOKS, self._timeout / 4)
        if self._worker is None:
            self._worker = _Worker(self._timeout, look)
            self._finalizer = weakref.finalize(self, self._worker.end)
            self._worker.send(self._task)
        try:
            self._worker.give(item)
            while (answer := self._worker.answer()) is _NOTHING:
                wait([self._worker.pipe], look)
        except KeyboardInterrupt:  # its answer would be taken for that of the next
            self.end()
            raise
        if isinstance(answer, WorkerDied):
            self.end()
        return answer

    def end(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._finalizer()
            self._worker = None


def _at_once(
    task: bytes, coming: Iterator[Any], workers: int, timeout: float
) -> Generator[tuple[Any, Any], None, None]:
    pool: dict[int, _Worker] = {}
    look = min(_SECONDS_BETWEEN_LOOKS, timeout / 4)
    try:
        begun = list(islice(coming, workers))
        for place in range(len(begun)):  # all of them, before the first is waited for
            pool[place] = _Worker(timeout, look)
        for worker, item in zip(pool.values(), begun, strict=True):
            worker.send(task)
            worker.give(item)
        while pool:
            wait([worker.pipe for worker in pool.values()], look)
            for place, worker in list(pool.items()):
                answer, item = worker.answer(), worker.item
                if answer is _NOTHING:
                    continue
                if not worker.ready:  # it did not die of its item
                    if worker.is_second:
                        raise RuntimeError(f"a worker could not start: {answer.reason}")
                    worker.end()
                    pool[place] = _Worker(timeout, look, is_second=True)
                    pool[place].send(task)
                    pool[place].give(item)
                    continue
                following = next(coming, _NOTHING)
                if following is _NOTHING:
                    worker.end()
                    del pool[place]
                else:
                    if isinstance(answer, WorkerDied):
                        worker.end()
                        pool[place] = _Worker(timeout, look)
                        pool[place].send(task)
                    pool[place].give(following)
                yield item, answer
    finally:
        for worker in pool.values():
            worker.end()


class _Worker:
    """One process and the item that it is at; ``is_second``: whether it stands in for one that did not start."""

    def __init__(self, timeout: float, look: float, is_second: bool = False):
        self.timeout, self.item, self.ready, self.is_second = timeout, _NOTHING, False, is_second
        self.look, self.looked, self.slept = look, time.monotonic(), 0.0
        self.pipe, theirs = Pipe()
        path = [str(folder) for folder in sys.path]
        begin = f"from {__name__} import _serve; _serve({theirs.fileno()}, {timeout!r}, {os.getpid()})"
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", f"import sys; sys.path[:] = {path!r}; {begin}"],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=os.environ | _ONE_THREAD,
                start_new_session=True,  # Ctrl-C is this process's alone, which ends its workers
            )

    def give(self, item: Any) -> None:
        self.item, self.looked, self.slept = item, time.monotonic(), 0.0
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
                return _how_it_ended(self.process.wait(), self.timeout if self.ready else _SECONDS_TO_START)
            result, error = pickle.loads(reply)
            if isinstance(error, MemoryError):
                return WorkerDied(f"out of memory (it may use {MEMORY / 1e9:.1f} GB)", passing=True)
            if error is not None:
                raise error
            if self.ready:
                return result
            self.ready, self.slept = True, 0.0
        elif self._sleeps_too_long():
            limit = self.timeout if self.ready else _SECONDS_TO_START
            return WorkerDied(f"no answer within {limit:g} s", passing=True)
        return _NOTHING

    def _sleeps_too_long(self) -> bool:
        now = time.monotonic()
        if now - self.looked < self.look:
            return False
        # More than two looks: this process itself was stopped, and its worker with it.
        passed, self.looked = min(now - self.looked, 2 * self.look), now
        with suppress(psutil.NoSuchProcess):
            self.slept += passed * (psutil.Process(self.process.pid).status() in _ASLEEP)
        return self.slept > (self.timeout if self.ready else _SECONDS_TO_START)

    def end(self) -> None:
        self.pipe.close()
        self.process.kill()
        with suppress(subprocess.TimeoutExpired):  # held in the kernel, by a disk that does not answer
            self.process.wait(_SECONDS_TO_END)


def _how_it_ended(status: int, timeout: float) -> WorkerDied:
    if status >= 0:
        return WorkerDied(f"its process ended with status {status}")
    if status == -signal.SIGPROF:
        return WorkerDied(f"more than {timeout:g} s of processor time")
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = "unknown"
    return WorkerDied(f"its process ended with signal {-status} ({name})", passing=-status not in _OF_ITSELF)


def _serve(descriptor: int, timeout: float, parent: int) -> None:
    """Answer what comes through the pipe, the task first, until its other end is closed: the life of a worker."""
    end_with_parent(parent)
    pipe = Connection(descriptor)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    bound_memory(MEMORY)
    function = None
    while True:
        try:
            message = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        # The system counts the processor's time, which, other than a clock's, is that of the item alone.
        signal.setitimer(signal.ITIMER_PROF, _SECONDS_TO_START if function is None else timeout)
        signal.alarm(_SECONDS_WITHOUT_PARENT)
        try:
            if function is None:
                function, result = pickle.loads(message), None
            else:
                result = function(pickle.loads(message))
            reply = pickle.dumps((result, None))
        except Exception as error:
            reply = _failure(error)
        pipe.send_bytes(reply)
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)


def _failure(error: Exception) -> bytes:
    """Return ``error`` for the pipe, with the place where it was raised as a note."""
    error.add_note("in a worker: " + "".join(traceback.format_tb(error.__traceback__)[-1:]).strip())
    try:
        reply = pickle.dumps((None, error))
        pickle.loads(reply)  # some exceptions can be pickled, but not unpickled
    except Exception:
        reply = pickle.dumps((None, RuntimeError(f"{type(error).__name__}: {error}")))
    return reply
