"""Progress for people: lines that stay, and one bar that is gone when the work is done.

The bar is tqdm's; tqdm's own in a notebook is a widget, of which a saved notebook keeps nothing to read.
"""

import logging
import shutil
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from tqdm import tqdm

from dr_lib.system.environment import started_by_editor
from dr_lib.system.terminal import printable, printable_lines, silence

if TYPE_CHECKING:
    import pandas as pd

_SECONDS_BETWEEN_DRAWINGS = 0.3
_SHORT_BAR = "{desc}: {percentage:3.0f}%|{bar:12}| "


class Progress:
    """Lines of text with one progress bar below them, in a terminal and in Jupyter.

    In a notebook everything is one output that is rewritten in place, so that the saved notebook holds the lines and
    no trace of the bar. Into a file or a pipe only the lines are printed. Use as a context manager.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._passing = False
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

    def line(self, text: str, *, passing: bool = False) -> None:
        """Add ``text`` for good, and take the bar away.

        ``passing``: in an editor, where somebody looks on, the bar and the next line take its place.
        """
        text = printable_lines(text)
        if self._passing:
            self._lines.pop()
        self._lines.append(text)
        self._passing = passing and self._shell is not None and started_by_editor()
        self._draw("")
        if self._shell is None:
            try:
                print(text, flush=True)
            except BrokenPipeError:  # nobody reads any more, which is no reason for the work to fail
                silence(sys.stdout.fileno())

    def bar(self, label: str, done: int, total: int, note: Callable[[], str] | None = None) -> None:
        """Show how far the work under ``label`` is; drawn at most three times a second.

        ``note`` gives what stands behind the bar, in place of its times; it is called when the bar is drawn.
        """
        now = time.monotonic()
        if label != self._label or done <= 1:
            self._label, self._bar_since = label, now
        if now - self._drawn >= _SECONDS_BETWEEN_DRAWINGS and (self._shell is not None or sys.stderr.isatty()):
            seconds = now - self._bar_since
            if note is None:
                self._draw(tqdm.format_meter(done, total, seconds, ncols=88, prefix=label))
            else:
                self._draw(tqdm.format_meter(done, total, seconds, prefix=label, bar_format=_SHORT_BAR) + note())

    def _draw(self, bar: str) -> None:
        self._drawn = time.monotonic()
        if self._shell is not None:
            lines = self._lines[:-1] if bar and self._passing else self._lines
            self._show(_Text("\n".join([*lines, bar] if bar else lines)))
        elif sys.stderr.isatty():
            bar = bar[: shutil.get_terminal_size().columns - 1]  # a line that wraps could not be taken back
            # Carriage return and erase-to-end-of-line: the bar is redrawn, or removed, in place.
            print(f"\r\x1b[K{bar}", end="", file=sys.stderr, flush=True)

    def _show(self, text: "_Text") -> None:
        """Put ``text`` into the cell's output; the output is made when there is something to say."""
        from IPython.display import display

        if self._display is None:
            self._display = display(text, display_id=True)
        else:
            self._display.update(text)


def show_table(caption: str, table: "pd.DataFrame", log: logging.Logger) -> None:
    """Show a table: as such in a notebook, where a log's lines would be a block in red; elsewhere as a warning."""
    if _notebook_shell() is None:
        rows = [tuple(table), *table.map(printable).itertuples(index=False)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        log.warning("%s" + "\n%s" * len(lines), caption, *lines)
        return
    from IPython.display import display

    print(printable(caption))
    display(table)


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
