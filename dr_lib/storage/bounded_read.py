"""The bytes of a file that others named; nothing that could take for ever, or all memory, is opened."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

MAX_BYTES = 600_000_000
"""The most that is read: 89 Mpx, Pillow's limit, of 16-bit RGB, uncompressed, are 537 MB."""


class TooLarge(OSError):
    """A file of more than :data:`MAX_BYTES`: other than the rest of ``OSError`` it tells of the file."""


def read_bounded(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises :class:`TooLarge`, and :class:`OSError` where it cannot be read now or is no regular file: a pipe waits for
    a writer for ever and gives its contents once, and to open a device may do something.
    """
    with open_regular(path) as stream:
        file_stat = os.fstat(stream.fileno())
        if file_stat.st_size > MAX_BYTES:
            size = f"{file_stat.st_size / 1e9:.1f} GB, of which no more than {MAX_BYTES / 1e9:.1f} are read"
            raise TooLarge(errno.EFBIG, size, str(path))
        return stream.read(file_stat.st_size)


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read its bytes; raises :class:`OSError` where it is not there or is no regular file."""
    check_regular(path)
    # In between it may have become one: without O_NONBLOCK opening a pipe would wait.
    stream = open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")  # noqa: SIM115
    try:
        _refuse(os.fstat(stream.fileno()), path)
    except OSError:
        stream.close()
        raise
    return stream


def check_regular(path: Path) -> None:
    """Raise :class:`OSError` where ``path`` is not there or is no regular file."""
    _refuse(os.stat(path), path)


def _refuse(file_stat: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(file_stat.st_mode):
        raise OSError(errno.EINVAL, "no regular file", str(path))
