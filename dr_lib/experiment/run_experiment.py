"""From configurations to a finished experiment: checked, trained, tested, reported."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console

from dr_lib.config import RunConfig
from dr_lib.errors import Failure, InputError
from dr_lib.experiment import jobs as job_queue
from dr_lib.experiment.experiment import Experiment
from dr_lib.experiment.job import Job
from dr_lib.experiment.jobs import open_backend
from dr_lib.experiment.plan import repeated_name
from dr_lib.experiment.preflight import check_runs, make_way
from dr_lib.experiment.status import Monitor
from dr_lib.report.audit_results import write_audit
from dr_lib.report.build import build_report
from dr_lib.report.formatting import duration
from dr_lib.storage.checksums import write_sealed_json
from dr_lib.storage.folders import ExperimentFolder, SweepGrid
from dr_lib.storage.lock import acquire_lock
from dr_lib.system.terminal import PlainConsole, printable


def run_experiment(
    configs: Sequence[RunConfig],
    out: str | Path,
    *,
    jobs: int = 1,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
    threads: int | None = None,
    timeout: float | None = None,
    retries: int = 0,
    fresh: bool = False,
    sweep: SweepGrid | None = None,
    console: Console | None = None,
) -> Experiment:
    """Train and test every configuration, write the report, and return the experiment. The same as ``dr-lab run``.

    Finished runs are skipped; interrupted ones go on from their last checkpoint. A run that fails stops no other:
    ``experiment.results`` has its state and reason. Everything that can be checked is checked before the first starts.

    configs: one a run; each is placed in ``out`` under its ``name``, or a name made from its parameters. jobs: runs at
    a time, each on a GPU of its own where there are as many. engine: ``local``, or ``ray`` with the ``address`` of its
    cluster, whose machines all see ``out``, and the ``threads`` of each run. timeout: minutes without a sign of life
    after which a run is ended. retries: times that a failed run starts again, from its checkpoint. fresh: begin all
    runs anew; earlier results move to ``superseded``. sweep: what the configurations vary, where they come from a sweep
    file. console: where progress is shown; standard output by default.

    Raises :class:`dr_lib.errors.InputError` for what cannot be run, :class:`dr_lib.errors.Failure` where the report
    cannot be written, and :class:`dr_lib.system.signals.Interrupted` when told to stop.

    >>> exp = dr_lib.run_experiment([config], out="reports/example")
    >>> exp.results["state"].tolist()
    ['done']
    """
    started = time.monotonic()
    out = Path(out)
    configs = _placed(configs, out)
    console = console or PlainConsole()
    folder = ExperimentFolder(out)
    with open_backend(engine, out, address=address, parallel=jobs, threads=threads, timeout=timeout) as backend:
        prepared = check_runs(configs, backend.check_device)
        with acquire_lock(folder.lock):
            reasons = make_way(configs, prepared, fresh)
            write_audit(configs[0])
            if sweep:
                write_sealed_json(folder.sweep, sweep.as_json())
            queue = job_queue.experiment_jobs(configs, prepared)
            for job in queue:
                job.reason = reasons.get(job.title, "")
            job_queue.draw_pretraining_photographs(queue)
            with Monitor(console) as monitor:
                job_queue.run_jobs(queue, backend, monitor, retries=retries)
            _print_end(console, queue, len(configs), time.monotonic() - started)
            try:
                build_report(out)
            except OSError as error:
                raise Failure(f"{out}: the report cannot be written: {error}; dr-lab report {out}") from None
    return Experiment(out)


def _placed(configs: Sequence[RunConfig], out: Path) -> list[RunConfig]:
    """Return configurations in the experiment folder ``out``, each with a name of its own."""
    if not configs:
        raise InputError("run_experiment: no configurations; give one at least")
    placed = [config.model_copy(update={"out_dir": str(out), "name": config.run_name}) for config in configs]
    if twice := repeated_name(placed):
        raise InputError(f"{twice}: two configurations have this name and would share a folder; set name in one")
    return placed


def _print_end(console: Console, queue: list[Job], runs: int, seconds: float) -> None:
    failed = [job for job in queue if job.state == "failed"]
    console.print(f"{runs} runs, {len(failed)} failed, in {duration(seconds)}")
    for job in failed:
        line = printable(f"{job.title}: {job.reason} (log: {job.files.log})")
        console.print(line, style="red", soft_wrap=True)
        for line in job.last_words():
            console.print(f"    {line}", style="dim", soft_wrap=True)
