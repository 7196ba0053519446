"""The live table of a grid: run, phase, epoch, accuracy, time left."""

import time

from rich.console import Console
from rich.live import Live
from rich.table import Table

from dr_lib.grid import Job
from dr_lib.report.wording import duration
from dr_lib.runs import RunFolder

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

    def __call__(self, jobs: list[Job]) -> None:
        """Draw the jobs as they are now."""
        if self._live:
            self._live.update(job_table(jobs), refresh=True)
            return
        for job in jobs:
            facts = _facts(job)
            news = (job.state, facts["epoch"])
            if self._said.get(job.title) != news and job.state != "queued":
                self._said[job.title] = news
                self._console.print(
                    f"{time.strftime('%H:%M:%S')} {job.title}: "
                    + ", ".join(str(value) for value in (job.state, *facts.values(), job.reason) if value),
                    markup=False, highlight=False, soft_wrap=True,
                )  # fmt: skip


def job_table(jobs: list[Job]) -> Table:
    """Return the table of all jobs; accuracies are per cent."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("run", "state", "phase", "epoch", "testing accuracy", "kappa", "time left"):
        table.add_column(heading, justify="left" if heading in ("run", "state", "phase") else "right")
    for job in jobs:
        facts = _facts(job)
        table.add_row(job.title, job.state, *facts.values(), style=_STYLES[job.state])
        if job.reason:
            table.add_row("", "", job.reason, style="red")
    return table


def _facts(job: Job) -> dict[str, str]:
    """Return what ``status.json`` and ``history.csv`` say of a job, as text; empty where there is nothing to say."""
    facts = dict.fromkeys(("phase", "epoch", "accuracy", "kappa", "left"), "")
    if not isinstance(job.files, RunFolder) or job.state == "queued":
        return facts
    status = job.files.read_status()
    history = (
        job.files.read_history() if job.files.history.exists() and job.state not in ("failed", "interrupted") else None
    )
    if job.state == "running":
        facts["phase"] = status.get("phase", "")
        facts["epoch"] = f"{status.get('epoch', 0)}/{status.get('epochs', job.parameters['epochs'])}"
    elif history is not None:
        facts["epoch"] = f"{len(history)}/{len(history)}"
    if history is not None and len(history):
        last = history.iloc[-1]
        facts["accuracy"] = f"{100 * last.test_accuracy:.2f} %"
        facts["kappa"] = f"{last.test_kappa:.3f}"
        if job.state == "running":
            # The last epoch's time: epochs of the first phase are shorter than those that follow.
            facts["left"] = duration((job.parameters["epochs"] - len(history)) * last.seconds)
    return facts
