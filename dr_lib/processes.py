"""Worker processes that do not outlive the process that has started them."""

import ctypes
import os
import signal
import sys
import threading
import time

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
        threading.Thread(target=_look_after, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # it has ended before this
        os._exit(1)


def _look_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os._exit(1)
