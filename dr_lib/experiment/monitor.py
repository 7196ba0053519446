"""Looking at runs while they are at work: from their driver, or from another terminal."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live

from dr_lib.experiment.status import RunStatus
from dr_lib.experiment.status_table import StatusTable, cells
from dr_lib.system.terminal import printable

if TYPE_CHECKING:  # looking at folders from another terminal needs nothing of what executes notebooks
    from dr_lib.experiment.job import Job

_SECONDS_BETWEEN_LOOKS = 2.0


class Monitor:
    """Shows jobs as they go: a table that is redrawn in a terminal, a line per change elsewhere.

    What is left on the screen in the end, after an interruption too, is how they stand then.
    """

    def __init__(self, console: Console):
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._said: dict[str, tuple] = {}
        self._jobs: list[Job] = []

    def __enter__(self) -> "Monitor":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self(self._jobs)
        if self._live:
            # All of them, also where they do not fit: the terminal scrolls.
            self._live.update(StatusTable([job.standing() for job in self._jobs]))
            self._live.vertical_overflow = "visible"
            self._live.stop()

    def __call__(self, jobs: "list[Job]") -> None:
        """Draw the jobs as they are now."""
        self._jobs = jobs
        statuses = [job.standing() for job in jobs]
        if self._live:
            self._live.update(StatusTable(statuses, self._console.height), refresh=True)
            return
        for run in statuses:
            news = (run.state, run.epoch, run.reason)
            if self._said.get(run.title, ("queued", 0, "")) != news:
                self._said[run.title] = news
                self._console.print(
                    f"{time.strftime('%H:%M:%S')} {printable(run.title)}: "
                    + printable(", ".join(value for value in (run.state, *cells(run), run.reason) if value)),
                    markup=False, highlight=False, soft_wrap=True,
                )  # fmt: skip


def follow(
    console: Console, look: Callable[[], Sequence[RunStatus]], driven: Callable[[], bool] = lambda: False
) -> None:
    """Draw what ``look`` finds, again and again, until no run is at work; Ctrl-C leaves the runs alone.

    ``driven``: whether a ``dr-lab run`` is at the experiment. Between two runs of it none may be at work.
    """
    statuses: Sequence[RunStatus] = ()
    with Live(console=console, auto_refresh=False) as live:
        try:
            while True:
                more = driven()  # asked first: what a driver leaves when it ends is looked at once more
                statuses = look()
                live.update(StatusTable(statuses, console.height), refresh=True)
                if not more and not any(run.state == "running" for run in statuses):
                    break
                time.sleep(_SECONDS_BETWEEN_LOOKS)
        except KeyboardInterrupt:
            pass
        live.vertical_overflow = "visible"
        live.update(StatusTable(statuses))
