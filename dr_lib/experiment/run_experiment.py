"""From configurations to a finished experiment: checked, trained, tested, reported.

All that can be known to go wrong before a run starts is looked at first: network, device, data, weights.
"""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console

from dr_lib.config import CROP_PARAMETERS, DATA_PARAMETERS, RunConfig
from dr_lib.data.class_weights import class_counts, class_weights
from dr_lib.data.prepare import DataSplits, prepare_data
from dr_lib.errors import Failure, InputError
from dr_lib.experiment import jobs as job_queue
from dr_lib.experiment.experiment import Experiment
from dr_lib.experiment.job import Job, find_running_process
from dr_lib.experiment.jobs import open_backend
from dr_lib.experiment.plan import repeated_name
from dr_lib.experiment.status import Monitor
from dr_lib.models.builders import check_model
from dr_lib.report.audit_results import write_audit
from dr_lib.report.build import build_report
from dr_lib.report.formatting import duration
from dr_lib.storage.checksums import write_sealed_json
from dr_lib.storage.folders import ExperimentFolder, SweepGrid
from dr_lib.storage.lock import acquire_lock
from dr_lib.system.terminal import PlainConsole, counted, printable
from dr_lib.training.device import check_machine
from dr_lib.training.loaders import check_trainable
from dr_lib.training.pretrain import PRETRAINING_PARAMETERS, uses_generated_weights
from dr_lib.training.resume import differences, format_values, has_begun, why_lost
from dr_lib.training.starting_weights import check_starting_weights

_OF_NO_WEIGHT = {"out_dir", "device", "num_workers", "cache_dir", "pixel_cache"}
"""Parameters of a pretraining that do not decide what comes of it."""


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
            for line in dict.fromkeys(data.labels.recognized for data in prepared.values()):
                console.print(printable(f"labels: {line}"), soft_wrap=True)
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
    console.print(f"{counted(runs, 'run')}, {len(failed)} failed, in {duration(seconds)}")
    for job in failed:
        line = printable(f"{job.title}: {job.reason} (log: {job.files.log})")
        console.print(line, style="red", soft_wrap=True)
        for line in job.last_words():
            console.print(f"    {line}", style="dim", soft_wrap=True)


def check_runs(
    configs: list[RunConfig], check_device: Callable[[RunConfig], None] = check_machine
) -> dict[str, DataSplits]:
    """Return the data of each run by its name, having checked everything, the quick and local things first.

    Runs on the same photographs share them. ``check_device`` raises where there is no device for a run. Raises
    :class:`InputError` for the first thing that is wrong.
    """
    check_one_pretraining(configs)
    for config in configs:
        check_model(config.model, config.resnet_version, config.residual, config.zero_init_residual)
        check_device(config)
    prepared, by_name = {}, {}
    for config in configs:
        key = json.dumps(config.model_dump(include={*DATA_PARAMETERS, *CROP_PARAMETERS}))
        if key not in prepared:
            prepared[key] = prepare_data(config)
        by_name[config.run_name] = prepared[key]
        class_weights(config.class_weights, class_counts(prepared[key].split("train").grade))
        check_trainable(config, prepared[key])
    for config in configs:
        check_starting_weights(config)
    return by_name


def make_way(configs: list[RunConfig], data: dict[str, DataSplits], fresh: bool) -> dict[str, str]:
    """Set aside what runs of other parameters or data have left, and say by run name why it is begun anew.

    ``fresh``: also what the same parameters have left. So it is with a run that is damaged and cannot go on; one that
    is done and has damaged results is queued, to make these again. Nothing is lost: earlier results move to
    ``superseded``. Raises :class:`InputError` before anything is touched where somebody is at such a run.
    """
    why, again = {}, {}
    for config in configs:
        folder = ExperimentFolder(Path(config.out_dir)).run(config.run_name)
        if not has_begun(folder):
            continue
        fingerprint = data[config.run_name].fingerprint
        if changed := differences(folder, config, fingerprint):
            why[folder] = format_values(changed)
        elif fresh:
            why[folder] = "begun anew, as --fresh asks"
        elif not folder.complete or (damaged := folder.damaged()):
            if lost := why_lost(folder, config, fingerprint):
                why[folder] = lost
            elif folder.complete:
                again[folder] = f"{', '.join(damaged)}: not as the run has left it; made again from its checkpoint"
        if folder in why and (at_it := find_running_process(folder)):
            raise InputError(f"{folder.path}: {at_it}, and {why[folder]}; wait for it, or end it first")
    for folder, reason in why.items():
        why[folder] = f"{reason}; its earlier results are now in {folder.set_results_aside()}"
    for folder, reason in (why | again).items():
        folder.write_status("queued", reason=reason)
    return {folder.name: reason for folder, reason in (why | again).items()}


def check_one_pretraining(configs: list[RunConfig]) -> None:
    """Raise where runs of one network ask for generated weights of two kinds: an experiment keeps one a network."""
    kinds: dict[str, tuple[str, dict]] = {}
    for config in filter(uses_generated_weights, configs):
        kind = config.model_dump(include={*PRETRAINING_PARAMETERS} - _OF_NO_WEIGHT)
        name, other = kinds.setdefault(config.model, (config.run_name, kind))
        if apart := [key for key in kind if kind[key] != other[key]]:
            raise InputError(
                f"{name} and {config.run_name} start from generated weights of {config.model} that differ in "
                f"{', '.join(apart)}; an experiment keeps one pretraining a network: give them an --out each"
            )
