"""Decoders that die, for workers to find by name: a module of its own, since they would load all that a test loads."""

import errno
import os
import re
import resource
import signal
from pathlib import Path

from dr_lib.data import scan as scanner
from dr_lib.data.inspection import inspect

_examine_one = scanner.examine_one


def examine_or_die(photographs, item):
    """Examine a photograph, or die in the way that its contents or a file beside it ask for."""
    path = photographs.path(item[0])
    data = path.read_bytes() if path.is_file() else b""
    if data == b"crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    while data == b"compute":
        pass
    if path.with_suffix(".kill_once").exists():
        path.with_suffix(".kill_once").rename(path.with_suffix(".died"))
        os.kill(os.getpid(), signal.SIGKILL)
    if path.with_suffix(".kill").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    if path.with_suffix(".memory").exists():
        raise MemoryError
    return _examine_one(photographs, item)


def examine_without_permission(photographs, item):
    """Examine a photograph in a worker that may not open it; the tests run as root, who may."""

    def denied(path, *rest, **options):
        if str(path).endswith(".jpeg"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *rest, **options)

    opened, os.open = os.open, denied
    return _examine_one(photographs, item)


def status_within(item):
    """Return the status on an image, decoded with so many MB more than this process already has."""
    data, megabytes = item
    has = int(re.search(r"VmData:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (has + megabytes * 2**20, before[1]))
    try:
        return inspect(data).status.kind
    except MemoryError:
        return "no memory"
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
