"""What the folders alone say of runs: who is at work, how far they are, what has stopped them.

As a table of text, a thousand of them at once, and looked at again and again from their driver or another terminal.
"""

import math
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions
from rich.live import Live
from rich.segment import Segment
from rich.style import Style

from dr_lib.report.formatting import duration
from dr_lib.storage.files import read_json
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.storage.lock import lock_owner
from dr_lib.storage.run_folder import RunFolder
from dr_lib.system.terminal import printable

if TYPE_CHECKING:
    from dr_lib.experiment.job import Job

SECONDS_WITHOUT_PROGRESS = 600
"""After which a run at work is said to make none; a step takes seconds."""

_HEADINGS = (
    "run", "state", "phase", "epoch", "testing accuracy", "kappa", "chosen epoch", "accuracy", "kappa", "time left",
)  # fmt: skip
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

_SECONDS_BETWEEN_LOOKS = 2.0


@dataclass(frozen=True)
class RunStatus:
    """How one run stands. Accuracy is a share, 0..1; ``left`` is in seconds; what is not known is NaN or empty.

    ``chosen``: the best epoch so far, whose network is kept; 0 where there is none.
    """

    title: str
    state: str
    phase: str = ""
    epoch: int = 0
    epochs: int = 0
    accuracy: float = math.nan
    kappa: float = math.nan
    chosen: int = 0
    chosen_accuracy: float = math.nan
    chosen_kappa: float = math.nan
    left: float = math.nan
    reason: str = ""


def read_statuses(experiment: ExperimentFolder) -> list[RunStatus]:
    """Return how each run of an experiment stands, in order of their names."""
    return [status_of(folder) for folder in experiment.runs()]


def status_of(folder: RunFolder) -> RunStatus:
    """Return how the run in ``folder`` stands; one that claims to be at work and whose process is gone has failed."""
    status = folder.read_status()
    state, reason, epochs = status["state"], status.get("reason", ""), status.get("epochs", 0)
    last, chosen = last_and_chosen(folder, status)
    if state == "running" and lock_owner(folder.lock) is None:
        state, reason = "failed", "its process has gone without a word; the same command goes on from its checkpoint"
    if state == "done" and (damaged := folder.damaged(folder.history)):
        state, reason, last = "failed", f"{damaged[0]}: is not as the run has left it; dr-lab run makes it again", {}
        chosen = {}
    if not epochs and state != "queued":
        epochs = _planned_epochs(folder)
    return standing(folder.name, state, status, last, chosen, epochs=epochs, reason=reason)


def last_and_chosen(folder: RunFolder, status: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the rows of the last epoch and of the chosen one, of which ``status`` tells; empty where there is none."""
    chosen = status.get("chosen", 0)
    return folder.last_epoch(), folder.last_epoch(chosen) if chosen else {}


def standing(
    title: str, state: str, status: Mapping[str, Any], last: Mapping[str, str], chosen: Mapping[str, str], *,
    epochs: int, reason: str,
) -> RunStatus:  # fmt: skip
    """Put together what ``status.json`` and two rows of the history say of a run that is to have ``epochs``.

    One at work whose last step is long ago gets that for its reason.
    """
    ended, working = int(last.get("epoch") or 0), state == "running"
    beat = status.get("heartbeat", math.inf) if working else math.inf
    if not reason and time.time() - beat > SECONDS_WITHOUT_PROGRESS:
        since = time.strftime("%F %H:%M", time.localtime(beat))
        reason = f"no progress since {since}: its loader processes, or other processes of it, may hang; see its log"
    return RunStatus(
        title=title,
        state=state,
        phase=status.get("phase", "") if working else "",
        epoch=status.get("epoch", 0) if working else ended,
        epochs=ended if state in ("done", "skipped") else epochs,
        accuracy=_number(last, "test_accuracy"),
        kappa=_number(last, "test_kappa"),
        chosen=int(chosen.get("epoch") or 0),
        chosen_accuracy=_number(chosen, "test_accuracy"),
        chosen_kappa=_number(chosen, "test_kappa"),
        # By the last epoch's time: epochs of the first phase are shorter than those that follow.
        left=(epochs - ended) * _number(last, "seconds") if working else math.nan,
        reason=reason,
    )


def _planned_epochs(folder: RunFolder) -> int:
    try:
        return read_json(folder.config)["parameters"]["epochs"]
    except (OSError, ValueError, KeyError):
        return 0


def _number(row: Mapping[str, str], name: str) -> float:
    return float(row.get(name) or math.nan)


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


def cells(run: RunStatus) -> tuple[str, ...]:
    """Return what stands below the headings after run and state; empty where there is nothing to say."""
    return (
        run.phase,
        f"{run.epoch}/{run.epochs}" if run.epochs else "",
        *_figures(run.accuracy, run.kappa),
        f"{run.chosen}" if run.chosen else "",
        *_figures(run.chosen_accuracy, run.chosen_kappa),
        duration(run.left) if not math.isnan(run.left) else "",
    )


def _figures(accuracy: float, kappa: float) -> tuple[str, str]:
    return (
        f"{100 * accuracy:.2f} %" if not math.isnan(accuracy) else "",
        f"{kappa:.3f}" if not math.isnan(kappa) else "",
    )


def _news(run: RunStatus) -> str:
    """Return the same as part of a line, where no heading says what a number is."""
    words = list(cells(run))
    if run.chosen:
        words[4] = f"chosen epoch {run.chosen}"
    return ", ".join(word for word in (run.state, *words, run.reason) if word)


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
                    + printable(_news(run)),
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
