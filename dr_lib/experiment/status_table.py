"""The table of an experiment's runs as text: state, phase, epoch, accuracy, time left; a thousand of them at once."""

import math
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from rich.style import Style

from dr_lib.experiment.status import RunStatus
from dr_lib.report.formatting import duration
from dr_lib.system.terminal import printable

_HEADINGS = ("run", "state", "phase", "epoch", "testing accuracy", "kappa", "time left")
_LEFT = 3
"""So many columns are words, the others numbers."""

_STYLES = {
    "queued": Style(dim=True),
    "running": Style(bold=True),
    "done": Style(color="green"),
    "failed": Style(color="red"),
    "interrupted": Style(color="yellow"),
    "skipped": Style(color="green", dim=True),
}
_WHY_IT_RUNS = Style(color="yellow")
_URGENCY = ("running", "failed", "interrupted", "queued", "done", "skipped")
"""Which runs are shown where there is no room for all."""


class StatusTable:
    """Draws runs, the reasons of those that have one, and how many are in which state.

    ``height``: lines that there is room for; runs that have none are counted. rich's own table would take half a
    second for a thousand runs, which are drawn twice a second.
    """

    def __init__(self, runs: Sequence[RunStatus], height: int | None = None):
        self._runs, self._height = runs, height

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        """Yield a line each; reasons are wrapped where the console wraps."""
        width = None if options.no_wrap else options.max_width
        for text, style in self._lines(width):
            yield Segment(text, style)
            yield Segment.line()

    def _lines(self, width: int | None) -> Iterator[tuple[str, Style | None]]:
        runs = self._runs
        reasons = [(line, style) for run in runs for line, style in _reason(run, width)]
        hidden = 0
        if self._height is not None and len(runs) + len(reasons) + 2 > self._height:
            room = max(2, self._height - 3)
            reasons = [line for run in _most_urgent(runs, len(runs)) for line in _reason(run, width)]
            reasons = reasons[: min(len(reasons), room // 2)]
            shown = set(map(id, _most_urgent(runs, room - len(reasons))))
            hidden = len(runs) - len(shown)
            runs = [run for run in runs if id(run) in shown]
        rows = [_HEADINGS, *((printable(run.title), run.state, *cells(run)) for run in runs)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row, run in zip(rows, (None, *runs), strict=True):
            aligned = [
                cell.ljust(size) if place < _LEFT else cell.rjust(size)
                for place, (cell, size) in enumerate(zip(row, widths, strict=True))
            ]
            yield "  ".join(aligned).rstrip(), _STYLES[run.state] if run else Style(bold=True)
        if hidden:
            yield f"... and {hidden} more", Style(dim=True)
        yield from reasons
        counts = Counter(run.state for run in self._runs)
        yield ", ".join(f"{counts[state]} {state}" for state in _STYLES if counts[state]), None


def _most_urgent(runs: Sequence[RunStatus], count: int) -> list[RunStatus]:
    return sorted(runs, key=lambda run: _URGENCY.index(run.state))[:count]


def _reason(run: RunStatus, width: int | None) -> list[tuple[str, Style]]:
    if not run.reason:
        return []
    text = f"{printable(run.title)}: {printable(run.reason)}"
    style = _WHY_IT_RUNS if run.state == "running" else _STYLES[run.state]
    return [(line, style) for line in (textwrap.wrap(text, width) if width else [text])]


def cells(run: RunStatus) -> tuple[str, str, str, str, str]:
    """Return phase, epoch, accuracy, kappa and time left as text; empty where there is nothing to say."""
    return (
        run.phase,
        f"{run.epoch}/{run.epochs}" if run.epochs else "",
        f"{100 * run.accuracy:.2f} %" if not math.isnan(run.accuracy) else "",
        f"{run.kappa:.3f}" if not math.isnan(run.kappa) else "",
        duration(run.left) if not math.isnan(run.left) else "",
    )
