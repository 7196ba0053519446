"""Progress for people: lines that stay, and one bar that is gone when the work is done."""

import sys
import time
from types import TracebackType

from tqdm import tqdm

_SECONDS_BETWEEN_DRAWINGS = 0.3


class Progress:
    """Lines of text with one progress bar below them, in a terminal and in Jupyter.

    In a notebook everything is one output that is rewritten in place, so that the saved notebook holds the lines and
    no trace of the bar. Into a file or a pipe only the lines are printed. Use as a context manager.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._label = ""
        self._bar_since = self._drawn = 0.0
        self._display = _notebook_display()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._draw("")

    def line(self, text: str) -> None:
        """Add ``text`` for good, and take the bar away."""
        self._lines.append(text)
        if self._display is None:
            self._draw("")
            print(text, flush=True)
        else:
            self._draw("")

    def bar(self, label: str, done: int, total: int) -> None:
        """Show how far the work under ``label`` is; drawn at most three times a second."""
        now = time.monotonic()
        if label != self._label or done <= 1:
            self._label, self._bar_since = label, now
        if now - self._drawn >= _SECONDS_BETWEEN_DRAWINGS:
            self._drawn = now
            self._draw(tqdm.format_meter(done, total, now - self._bar_since, ncols=88, prefix=label))

    def _draw(self, bar: str) -> None:
        if self._display is not None:
            self._display.update(_Text("\n".join([*self._lines, bar] if bar else self._lines)))
        elif sys.stderr.isatty():
            # Carriage return and erase-to-end-of-line: the bar is redrawn, or removed, in place.
            print(f"\r\x1b[K{bar}", end="", file=sys.stderr, flush=True)


class _Text:
    """Text that Jupyter shows as it is, without the quotes of ``repr``."""

    def __init__(self, text: str):
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _notebook_display():
    """Return an updatable output of the running Jupyter cell, or None outside a kernel."""
    # Looked up, not imported: outside Jupyter, IPython costs a third of a second.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import display

    return display(_Text(""), display_id=True)
