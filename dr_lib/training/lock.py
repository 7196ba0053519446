"""One process a run folder: who writes there holds its lock."""

import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dr_lib.errors import InputError


@contextmanager
def held(lock: Path) -> Iterator[None]:
    """Hold the lock file ``lock`` while the block runs.

    Raises :class:`InputError` that names the process that holds it. The system lets go of the lock when its holder
    ends in whatever way, so that of a dead process is simply taken over. It is a record lock: loader processes that
    are forked meanwhile do not inherit it, and so cannot keep it beyond the death of the run.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+") as stream:
        try:
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.seek(0)
            raise InputError(f"{lock.parent}: {_holder(stream.read())}; wait for it, or end it first") from None
        stream.truncate(0)
        json.dump({"pid": os.getpid(), "host": platform.node(), "since": time.strftime("%F %T")}, stream)
        stream.flush()
        yield


def _holder(text: str) -> str:
    try:
        holder = json.loads(text)
        return f"process {holder['pid']} on {holder['host']} has been at this run since {holder['since']}"
    except (ValueError, KeyError, TypeError):  # it has just taken the lock and not yet written who it is
        return "another process has just begun with this run"
