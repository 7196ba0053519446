"""One process a run folder: who writes there holds its lock, and others can see who it is.

filelock takes locks that forked loader processes inherit, and does not say who holds one.
"""

import fcntl
import json
import os
import platform
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dr_lib.errors import InputError
from dr_lib.storage.files import naming

_FLOCK = struct.Struct("@hhqqi0q")
"""Linux's ``struct flock``: type, whence, start, length, process."""


@contextmanager
def acquire_lock(lock: Path) -> Iterator[None]:
    """Hold the lock file ``lock`` while the block runs.

    Raises :class:`InputError` that names the process that holds it. The system lets go of the lock when its holder
    ends in whatever way, so that of a dead process is simply taken over. It is a record lock: loader processes that
    are forked meanwhile do not inherit it, and so cannot keep it beyond the death of the run.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+", encoding="utf-8") as stream:
        try:
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.seek(0)
            raise InputError(f"{lock.parent}: {_describe_owner(stream.read())}; wait for it, or end it first") from None
        me = {"pid": os.getpid(), "host": platform.node(), "since": time.strftime("%F %T")}
        with naming(lock):
            stream.truncate(0)
            os.write(stream.fileno(), json.dumps(me).encode())
        yield


def lock_owner(lock: Path) -> str | None:
    """Say who holds a lock; None where nobody does.

    Looks without taking it, so that a run that starts meanwhile is not refused. Not for a process that holds the lock
    itself: closing the file would let go of it.
    """
    try:
        with lock.open("rb") as stream:
            asked = _FLOCK.pack(fcntl.F_WRLCK, 0, 0, 0, 0)
            kind, *_ = _FLOCK.unpack(fcntl.fcntl(stream, fcntl.F_GETLK, asked))
            text = stream.read()
    except FileNotFoundError:
        return None
    return None if kind == fcntl.F_UNLCK else _describe_owner(text)


def _describe_owner(text: str | bytes) -> str:
    try:
        owner = json.loads(text)
        return f"process {owner['pid']} on {owner['host']} has been at this run since {owner['since']}"
    except (ValueError, KeyError, TypeError):  # it has just taken the lock and not yet written who it is
        return "another process has just begun with this run"
