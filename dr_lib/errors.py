"""Errors that are one line on the command line."""

import errno
import os
import re
import resource

from dr_lib.terminal import printable


class InputError(ValueError):
    """Bad input in one line: what is wrong, where, and what to do.

    The command line prints the message alone and exits with status 2; everything else that is raised is a bug.
    """

    def __init__(self, message: str):
        super().__init__(printable(" ".join(str(message).split())))


class Failure(RuntimeError):
    """What has failed though the input was sound, in one line: exit status 1."""


_OF_THE_SYSTEM = frozenset({
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENAMETOOLONG, errno.ENOTDIR,
    errno.EISDIR, errno.ELOOP, errno.EIO, errno.ESTALE,
})  # fmt: skip
_NO_MEMORY = re.compile("failed to map segment|[Cc]annot allocate memory|can't allocate memory|not enough memory")


def of_the_machine(error: Exception) -> str:
    """Return in one line what the machine lacked or refused that led to ``error``; empty where that is not the cause.

    Of a file: whether it could not be read or not be written, by whether it can be.
    """
    text = str(error).strip()
    if isinstance(error, MemoryError) or (
        isinstance(error, ImportError | RuntimeError | OSError) and _NO_MEMORY.search(text)
    ):
        return f"not enough memory{_limits()}: {text or 'no more is given'}; give more, or ask for less"
    if not isinstance(error, OSError):
        return ""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return f"more files would have to be open than may be, {most}; raise ulimit -n"
    if error.errno == errno.ENOMEM:
        return f"not enough memory{_limits()}; give more, or ask for less"
    if error.errno not in _OF_THE_SYSTEM:
        return ""
    path = error.filename2 or error.filename
    return f"{printable(path or 'the output')}: cannot be {_verb(path, error.errno)}: {error.strerror}"


def _verb(path: object, number: int) -> str:
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG) or path is None or isinstance(path, int):
        return "written"
    if number in (errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP):
        return "used"
    try:
        return "read" if os.path.lexists(path) and not os.access(path, os.R_OK) else "written"
    except (OSError, ValueError):
        return "used"


def _limits() -> str:
    """Return the limits of the shell that bound memory, to be put behind a word."""
    limits = {"-v": resource.RLIMIT_AS, "-d": resource.RLIMIT_DATA}
    found = {flag: resource.getrlimit(which)[0] for flag, which in limits.items()}
    told = [f"ulimit {flag} is {most // 1024}" for flag, most in found.items() if most != resource.RLIM_INFINITY]
    return f" ({', '.join(told)})" if told else ""
