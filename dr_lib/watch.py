"""The table of an experiment's runs: state, phase, epoch, accuracy, time left."""

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dr_lib.report.wording import duration
from dr_lib.status import Standing

if TYPE_CHECKING:  # looking at folders from another terminal needs nothing of what executes notebooks
    from dr_lib.job import Job

_SECONDS_BETWEEN_LOOKS = 2.0

_STYLES = {
    "queued": "dim",
    "running": "bold",
    "done": "green",
    "failed": "red",
    "interrupted": "yellow",
    "skipped": "green dim",
}


class Watch:
    """Shows jobs as they go: a table that is redrawn in a terminal, a line per change elsewhere."""

    def __init__(self, console: Console):
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._said: dict[str, tuple] = {}

    def __enter__(self) -> "Watch":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, jobs: "list[Job]") -> None:
        """Draw the jobs as they are now."""
        found = [job.standing() for job in jobs]
        if self._live:
            self._live.update(standing_table(found), refresh=True)
            return
        for run in found:
            news = (run.state, run.epoch, run.reason)
            if self._said.get(run.title, ("queued", 0, "")) != news:
                self._said[run.title] = news
                self._console.print(
                    f"{time.strftime('%H:%M:%S')} {run.title}: "
                    + ", ".join(value for value in (run.state, *_cells(run), run.reason) if value),
                    markup=False, highlight=False, soft_wrap=True,
                )  # fmt: skip


def follow(console: Console, look: Callable[[], Sequence[Standing]]) -> None:
    """Draw what ``look`` finds, again and again, until no run is at work; Ctrl-C leaves the runs alone."""
    with Live(console=console, auto_refresh=False) as live:
        try:
            while True:
                found = look()
                live.update(standing_table(found), refresh=True)
                if not any(run.state == "running" for run in found):
                    return
                time.sleep(_SECONDS_BETWEEN_LOOKS)
        except KeyboardInterrupt:
            return


def standing_table(runs: Sequence[Standing]) -> Group:
    """Return the table of runs, and how many are in which state; accuracies are per cent."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("run", "state", "phase", "epoch", "testing accuracy", "kappa", "time left"):
        table.add_column(heading, justify="left" if heading in ("run", "state", "phase") else "right")
    for run in runs:
        table.add_row(Text(run.title), run.state, *_cells(run), style=_STYLES[run.state])
    reasons = [
        Text(f"{run.title}: {run.reason}", style=_STYLES[run.state] if run.state != "running" else "yellow")
        for run in runs
        if run.reason
    ]
    counts = Counter(run.state for run in runs)
    totals = ", ".join(f"{counts[state]} {state}" for state in _STYLES if counts[state])
    return Group(table, *reasons, Text(totals))


def _cells(run: Standing) -> tuple[str, str, str, str, str]:
    """Return phase, epoch, accuracy, kappa and time left as text; empty where there is nothing to say."""
    return (
        run.phase,
        f"{run.epoch}/{run.epochs}" if run.epochs else "",
        f"{100 * run.accuracy:.2f} %" if not math.isnan(run.accuracy) else "",
        f"{run.kappa:.3f}" if not math.isnan(run.kappa) else "",
        duration(run.left) if not math.isnan(run.left) else "",
    )
