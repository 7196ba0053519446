"""Being told to stop: Ctrl-C, SIGTERM from a batch system or a spot machine, SIGHUP from a terminal that closes."""

import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any

from dr_lib.system.terminal import silence


class Interrupted(BaseException):
    """A run has stopped because it was told to; what it had done is in its checkpoint.

    No :class:`Exception`, so that nobody takes it for a failure of the run.
    """

    def __init__(self, number: int):
        self.signal = signal.Signals(number)
        super().__init__(f"interrupted by {self.signal.name}; the same command goes on where it stopped")

    @property
    def exit_status(self) -> int:
        """What a shell expects of a process that the signal ended: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
        return 128 + self.signal


class Interruption:
    """While entered, SIGINT, SIGTERM and SIGHUP are noted instead of ending the process at once.

    The run asks :attr:`requested` where it can stop; ``act`` is called at once. A second signal of a kind acts as it
    did before, for whoever cannot wait. Outside the main thread, where Python takes no signals, nothing is changed.
    """

    def __init__(self, act: Callable[[], None] = lambda: None) -> None:
        self.requested: int | None = None
        self._act = act
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = number
        signal.signal(number, self._before[number])
        _leave_terminal(number)
        self._act()

    def raise_if_requested(self) -> None:
        """Raise :class:`Interrupted` if a signal has come."""
        if self.requested is not None:
            raise Interrupted(self.requested)


@contextmanager
def raising_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise :class:`Interrupted` in the block, so that what was begun is cleared up.

    A second one ends the process at once. Signals that somebody else takes, or that are ignored, stay as they are; so
    do all outside the main thread.
    """
    taken = []
    if threading.current_thread() is threading.main_thread():
        taken = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) == signal.SIG_DFL]
    try:
        for number in taken:
            signal.signal(number, _raise)
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _raise(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    _leave_terminal(number)
    raise Interrupted(number)


def _leave_terminal(number: int) -> None:
    """Print nothing more on a terminal that has closed: that would raise an error in the midst of stopping."""
    if number == signal.SIGHUP:
        for stream in (1, 2):
            # Not isatty, which no terminal answers any more.
            with suppress(OSError):
                if stat.S_ISCHR(os.fstat(stream).st_mode):
                    silence(stream)
