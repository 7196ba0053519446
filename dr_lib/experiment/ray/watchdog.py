"""Ends what a task has started when its worker dies: a notebook must not go on where nobody knows of it any more.

Ray ends its workers when their machine's raylet or their driver dies; what they have started is not Ray's. The guard
is a process of its own, which hears that its worker has gone because the pipe between them closes. One is enough for
a worker, whatever number of tasks it executes.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

import psutil

from dr_lib.notebook.process import kill_with_children


@contextmanager
def guarded(pid: int) -> Iterator[None]:
    """Have process ``pid`` and all that it has started killed if this process dies within the block."""
    pipe = _pipe()
    _say(pipe, f"+{pid}")
    try:
        yield
    finally:
        _say(pipe, f"-{pid}")


@contextmanager
def guarded_folder(folder: Path) -> Iterator[None]:
    """Remove ``folder`` at the end of the block, or by the guard if this process dies within."""
    pipe = _pipe()
    _say(pipe, f"+{folder}")
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _say(pipe, f"-{folder}")


@cache
def _pipe() -> IO[str]:
    """Start the guard of this process, and return the way to it."""
    path = [str(folder) for folder in sys.path]
    watch = f"import sys; sys.path[:] = {path!r}; from {__name__} import _watch; _watch()"
    guard = subprocess.Popen(
        [sys.executable, "-X", "utf8", "-c", watch],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        start_new_session=True,  # Ray ends a worker together with its group
    )
    assert guard.stdin is not None
    return guard.stdin


def _say(pipe: IO[str], line: str) -> None:
    pipe.write(f"{line}\n")
    pipe.flush()


def _watch() -> None:
    """Keep account of what is said on the standard input, and clear up what is left at its end: a guard's life."""
    left: dict[str, psutil.Process | None] = {}
    for line in sys.stdin:
        sign, name = line[0], line[1:].rstrip("\n")
        if sign == "+":
            left[name] = _process(name)
        else:
            left.pop(name, None)
    for process in left.values():
        # One that has ended may have left its number to another one.
        if process is not None and process.is_running():
            kill_with_children(process.pid)
    for name in left:
        if not name.isdecimal():
            shutil.rmtree(name, ignore_errors=True)


def _process(name: str) -> psutil.Process | None:
    try:
        return psutil.Process(int(name)) if name.isdecimal() else None
    except psutil.NoSuchProcess:
        return None
