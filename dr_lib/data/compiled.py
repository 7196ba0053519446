"""Numba's compiler, with its machine code kept on the disk where there is a place for it."""

import functools
import logging
import tempfile
from collections.abc import Callable

from numba import njit

log = logging.getLogger("dr_lib.data")


def compiled(function: Callable) -> Callable:
    """Return ``function`` compiled at its first call, without the lock of Python's threads.

    The code is kept beside the module or in the user's cache folder. Where neither can be written, as in a read-only
    installation without a home, every process compiles anew, which takes some seconds; a line in the log says so.
    """
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:  # numba: no locator available
        _say_once()
        return njit(nogil=True)(function)


@functools.cache
def _say_once() -> None:
    log.warning(
        "no place for compiled code: every process compiles anew; set NUMBA_CACHE_DIR to a folder of yours, such as "
        "one in %s",
        tempfile.gettempdir(),
    )
