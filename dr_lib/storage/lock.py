"""One process a run folder: who writes there holds its lock, and others can see who it is.

filelock takes locks that forked loader processes inherit, and does not say who holds one.
"""

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dr_lib.errors import InputError
from dr_lib.storage.files import naming
from dr_lib.system.posix import lock_record, record_is_locked


@contextmanager
def acquire_lock(lock: Path) -> Iterator[None]:
    """Hold the lock file ``lock`` while the block runs.

    Raises :class:`InputError` that names the process that holds it. The system lets go of the lock when its holder
    ends in whatever way, so that of a dead process is simply taken over. It is a record lock: loader processes that
    are forked meanwhile do not inherit it, and so cannot keep it beyond the death of the run.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+", encoding="utf-8") as stream:
        stream.seek(0)
        before = stream.read()
        locked, unknown = lock_record(stream.fileno()), record_is_locked(stream.fileno()) is None
        if not locked or (unknown and _is_at_work(before)):
            raise InputError(f"{lock.parent}: {_describe_owner(before)}; wait for it, or end it first")
        me = {"pid": os.getpid(), "host": platform.node(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        with naming(lock):
            stream.truncate(0)
            os.write(stream.fileno(), json.dumps(me).encode())
        try:
            yield
        finally:
            if unknown:  # the file is all that tells
                stream.truncate(0)


def lock_owner(lock: Path) -> str | None:
    """Say who holds a lock; None where nobody does.

    Looks without taking it, so that a run that starts meanwhile is not refused. Not for a process that holds the lock
    itself: closing the file would let go of it.
    """
    try:
        with lock.open("rb") as stream:
            locked, text = record_is_locked(stream.fileno()), stream.read()
    except FileNotFoundError:
        return None
    return _describe_owner(text) if locked or (locked is None and _is_at_work(text)) else None


def _is_at_work(text: str | bytes) -> bool:
    """Tell whether the process that a lock file names runs, where the system cannot tell who holds the lock.

    A process on another machine counts as running; the file of one that has ended there is to be deleted.
    """
    import psutil  # only where it is needed: commands start sooner without

    try:
        owner = json.loads(text)
        if owner["host"] != platform.node():
            return True
        process = psutil.Process(owner["pid"])
        began = time.mktime(time.strptime(owner["since"], "%Y-%m-%d %H:%M:%S"))
        return process.pid != os.getpid() and process.is_running() and process.create_time() <= began + 1
    except (ValueError, KeyError, TypeError, psutil.Error):
        return False


def _describe_owner(text: str | bytes) -> str:
    try:
        owner = json.loads(text)
        return f"process {owner['pid']} on {owner['host']} has been at this run since {owner['since']}"
    except (ValueError, KeyError, TypeError):  # it has just taken the lock and not yet written who it is
        return "another process has just begun with this run"
