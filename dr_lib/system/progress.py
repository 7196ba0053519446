"""Progress for people: lines that stay, and one bar that is gone when the work is done."""

import sys
import time
from types import TracebackType

from tqdm import tqdm

from dr_lib.system.terminal import printable_lines, silence

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
        self._shell = _notebook_shell()
        self._display = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn:
            self._draw("")

    def line(self, text: str) -> None:
        """Add ``text`` for good, and take the bar away."""
        text = printable_lines(text)
        self._lines.append(text)
        self._draw("")
        if self._shell is None:
            try:
                print(text, flush=True)
            except BrokenPipeError:  # nobody reads any more, which is no reason for the work to fail
                silence(sys.stdout.fileno())

    def bar(self, label: str, done: int, total: int) -> None:
        """Show how far the work under ``label`` is; drawn at most three times a second."""
        now = time.monotonic()
        if label != self._label or done <= 1:
            self._label, self._bar_since = label, now
        if now - self._drawn >= _SECONDS_BETWEEN_DRAWINGS:
            self._draw(tqdm.format_meter(done, total, now - self._bar_since, ncols=88, prefix=label))

    def _draw(self, bar: str) -> None:
        self._drawn = time.monotonic()
        if self._shell is not None:
            self._show(_Text("\n".join([*self._lines, bar] if bar else self._lines)))
        elif sys.stderr.isatty():
            # Carriage return and erase-to-end-of-line: the bar is redrawn, or removed, in place.
            print(f"\r\x1b[K{bar}", end="", file=sys.stderr, flush=True)

    def _show(self, text: "_Text") -> None:
        """Put ``text`` into the cell's output; the output is made when there is something to say."""
        from IPython.display import display

        if self._display is None:
            self._display = display(text, display_id=True)
        else:
            self._display.update(text)


class _Text:
    """Text that Jupyter shows as it is, without the quotes of ``repr``."""

    def __init__(self, text: str):
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _notebook_shell():
    """Return IPython's shell where it runs in a Jupyter kernel, else None."""
    # Looked up, not imported: outside Jupyter, IPython costs a third of a second.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell if hasattr(shell, "kernel") else None
