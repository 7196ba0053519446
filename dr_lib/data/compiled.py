"""Numba's compiler, with its machine code kept on the disk where there is a place for it."""

from collections.abc import Callable
from contextlib import suppress

import numba
from numba import njit

from dr_lib.errors import InputError
from dr_lib.storage.files import private_folder
from dr_lib.system.terminal import logger

log = logger("data")


def _find_place() -> bool:
    """Tell whether code can be kept: beside the module or in the user's cache folder, else among the temporary files.

    Where none of these can be written, as in a read-only installation without a home, every process compiles anew,
    which takes some seconds, and a line in the log says so.
    """
    with suppress(RuntimeError):  # numba: no locator available
        njit(cache=True)(_find_place)
        return True
    with suppress(RuntimeError, OSError, InputError):
        numba.config.CACHE_DIR = str(private_folder() / "numba")  # type: ignore[attr-defined]  # set while importing
        njit(cache=True)(_find_place)
        return True
    log.warning("no place for compiled code: every process compiles anew; set NUMBA_CACHE_DIR to a folder of yours")
    return False


_IS_KEPT = _find_place()


def compiled(function: Callable) -> Callable:
    """Return ``function`` compiled at its first call, without the lock of Python's threads."""
    return njit(cache=_IS_KEPT, nogil=True)(function)
