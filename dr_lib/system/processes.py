"""Worker processes that do not outlive the process that has started them."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
"""From ``linux/prctl.h``."""

_SECONDS_BETWEEN_LOOKS = 1.0


def end_with_parent(parent: int) -> None:
    """Have this process killed when ``parent``, which has started it, ends in whatever way; to be called first.

    On Linux the system does it, also where the process hangs outside of Python. It goes by the thread that has started
    the process, which is to live as long as the worker is needed.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        _watch(parent, lambda: os._exit(1))
    if os.getppid() != parent:  # it has ended before this
        os._exit(1)


def stop_with_parent() -> None:
    """Send this process SIGTERM as soon as its parent has ended, in whatever way, so that it can save its work first.

    Once: what Linux can send by itself comes again for each thread of the parent, and the second signal would end the
    process before its checkpoint.
    """
    _watch(os.getppid(), lambda: os.kill(os.getpid(), signal.SIGTERM))


def _watch(parent: int, act: Callable[[], None]) -> None:
    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        act()

    threading.Thread(target=look, daemon=True).start()
