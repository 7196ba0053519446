"""Numba's compiler, with its machine code kept on the disk where there is a place for it."""

import functools
from collections.abc import Callable
from contextlib import suppress

import numba
from numba import njit

from dr_lib.errors import InputError
from dr_lib.storage.files import private_folder
from dr_lib.system.terminal import logger

log = logger("data")


def compiled(function: Callable) -> Callable:
    """Return ``function`` compiled at its first call, without the lock of Python's threads.

    The code is kept beside the module or in the user's cache folder. Where neither can be written, as in a read-only
    installation without a home, it is kept among the temporary files; without these every process compiles anew, which
    takes some seconds, and a line in the log says so.
    """
    with suppress(RuntimeError):  # numba: no locator available
        return njit(cache=True, nogil=True)(function)
    with suppress(RuntimeError, OSError, InputError):
        numba.config.CACHE_DIR = str(private_folder() / "numba")  # type: ignore[attr-defined]  # set while importing
        return njit(cache=True, nogil=True)(function)
    _say_once()
    return njit(nogil=True)(function)


@functools.cache
def _say_once() -> None:
    log.warning("no place for compiled code: every process compiles anew; set NUMBA_CACHE_DIR to a folder of yours")
