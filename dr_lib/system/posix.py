"""What not every operating system has, each in one function with another way where it is missing.

Linux has all of it. macOS has no affinity, no pidfd and another ``struct flock``; Windows no POSIX locks and no limits.
"""

import os
import platform
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]
try:
    import resource
except ImportError:
    resource = None  # type: ignore[assignment]

_SECONDS_BETWEEN_LOOKS = 0.2
_ZEROS = bytes(2**20)


def cores() -> int:
    """Return the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    import psutil  # only where it is needed: commands start sooner without

    try:
        return len(psutil.Process().cpu_affinity() or ())
    except AttributeError:  # macOS ties no process to a processor
        return os.cpu_count() or 1


def processor_name() -> str:
    """Return what the processor calls itself."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def soft_limit(name: str) -> int | None:
    """Return a limit of this process, such as that of ``NOFILE`` or ``AS``; None where there is none."""
    if resource is None:
        return None
    soft, _ = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))
    return None if soft == resource.RLIM_INFINITY else soft


def bound_memory(most: int) -> None:
    """Let this process allocate no more than ``most`` bytes, and leave no core behind; without limits, nothing."""
    if resource is None:
        return
    # Not the address space: numba and OpenBLAS reserve a lot of it that they never use.
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def reserve(stream: IO[bytes], size: int, more: int) -> None:
    """Give a file of ``size`` bytes ``more``, which the disk then has; :class:`OSError` where it is full."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(stream.fileno(), size, more)
        return
    stream.seek(size)
    for start in range(0, more, len(_ZEROS)):
        stream.write(_ZEROS[: more - start])
    stream.flush()
    stream.seek(0)


def wait_for_an_end(processes: Sequence[int], seconds: float) -> None:
    """Return as soon as one of the processes has ended, at once if there is none, and at the latest after so long."""
    if not processes:
        return
    if hasattr(os, "pidfd_open"):
        _wait_by_handles(processes, seconds)
        return
    deadline = time.monotonic() + seconds
    while all(map(_runs, processes)) and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, _SECONDS_BETWEEN_LOOKS))


def _wait_by_handles(processes: Sequence[int], seconds: float) -> None:
    import select

    ends, opened = select.poll(), []
    try:
        for process in processes:
            try:
                opened.append(os.pidfd_open(process))
            except ProcessLookupError:
                return
            ends.register(opened[-1], select.POLLIN)
        ends.poll(1000 * seconds)
    finally:
        for handle in opened:
            os.close(handle)


def _runs(process: int) -> bool:
    import psutil

    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def lock_file(handle: int, *, wait: bool) -> bool:
    """Lock an open file or folder until it is closed everywhere, or its processes end.

    Returns False, and locks nothing, where the operating system has no such locks. Raises :class:`BlockingIOError`
    where another holds the lock and this one is not to ``wait``, and :class:`OSError` where the file system has none.
    """
    if fcntl is None:
        return False
    fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    return True


def lock_record(handle: int) -> bool:
    """Lock a file for this process alone, not for those that it forks; return whether nobody else holds it."""
    if fcntl is None:
        return True
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def record_is_locked(handle: int) -> bool | None:
    """Tell whether another process holds the lock of :func:`lock_record`; None where the system does not tell."""
    layout, fields, place = _FLOCKS.get(sys.platform, ("", (), 0))
    if fcntl is None or not layout:
        return None
    asked = struct.pack(layout, *(fcntl.F_WRLCK if field == "type" else 0 for field in fields))
    return struct.unpack(layout, fcntl.fcntl(handle, fcntl.F_GETLK, asked))[place] != fcntl.F_UNLCK


_FLOCKS = {
    "linux": ("@hhqqi0q", ("type", "whence", "start", "length", "process"), 0),
    "darwin": ("@qqihh", ("start", "length", "process", "type", "whence"), 3),
}
"""``struct flock`` of fcntl(2): its layout, its fields, and where the type of the lock is."""
