"""The eight runs of the lab, or any others: one papermill process each, watched to its end."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from dr_lib.config import RunConfig
from dr_lib.data.prepare import PreparedData
from dr_lib.errors import InputError
from dr_lib.forecast import Forecast
from dr_lib.job import Job, stop, who_is_at
from dr_lib.machine import GpuShares, threads_each, visible_gpus
from dr_lib.progress import Progress
from dr_lib.runs import Experiment
from dr_lib.training.interruption import Interruption
from dr_lib.training.pretrain import PRETRAINING_PARAMETERS, draw_photographs, uses_generated_weights
from dr_lib.training.run import same_run

_SECONDS_BETWEEN_LOOKS = 0.5


def experiment_jobs(configs: list[RunConfig], data: dict[str, PreparedData]) -> list[Job]:
    """Return all that an experiment has to do: generated pretrainings, and a job per run.

    Runs that are done with the same parameters on the same photographs (``data``, by run name) are skipped.
    """
    pretraining = _pretraining_jobs(configs)
    forecast = Forecast(Experiment(Path(configs[0].out_dir)).runs())
    runs = []
    for config in configs:
        folder = Experiment(Path(config.out_dir)).run(config.run_name)
        done = folder.read_status()["state"] == "done" and same_run(folder, config, data[config.run_name].fingerprint)
        needs = pretraining.get(config.model) if uses_generated_weights(config) else None
        state = "skipped" if done else "queued"
        training = len(data[config.run_name].split("train"))
        cost = forecast.cost(config, training, len(data[config.run_name].table) - training)
        runs.append(Job(config.run_name, "train", config.model_dump(), folder, needs=needs, state=state, cost=cost))
    for job in runs:
        if job.state == "skipped":
            job.render()  # where its driver was killed before it could
    wanted = [job for job in pretraining.values() if any(run.needs is job and run.state == "queued" for run in runs)]
    return [*wanted, *runs]


def _pretraining_jobs(configs: list[RunConfig]) -> dict[str, Job]:
    """Return by network the job that makes its generated weights."""
    jobs = {}
    for config in filter(uses_generated_weights, configs):
        folder = Experiment(Path(config.out_dir)).pretraining(config.model)
        parameters = config.model_dump(include=set(PRETRAINING_PARAMETERS))
        jobs.setdefault(config.model, Job(f"pretraining {config.model}", "pretrain", parameters, folder))
    return jobs


def refuse_work_under_way(configs: list[RunConfig]) -> None:
    """Raise :class:`InputError` that names a process which is at one of the runs: its results cannot be set aside."""
    for config in configs:
        folder = Experiment(Path(config.out_dir)).run(config.run_name)
        if at_it := who_is_at(folder):
            raise InputError(f"{folder.path}: {at_it}; wait for it, or end it first")


def draw_pretraining_photographs(jobs: list[Job]) -> None:
    """Draw what the pretraining jobs share before any starts; side by side, each would draw all of it."""
    with Progress() as progress:
        for job in jobs:
            if job.notebook == "pretrain" and job.state == "queued":
                draw_photographs(RunConfig.from_mapping(job.parameters), progress)


def run_jobs(
    jobs: list[Job],
    parallel: int,
    watch: Callable[[list[Job]], None],
    *,
    timeout: float | None = None,
    retries: int = 0,
) -> None:
    """Execute what is queued, ``parallel`` at a time, longest first; a job that fails stops only those that need it.

    A run that gives no sign of life for ``timeout`` minutes is killed. One that fails is begun again up to
    ``retries`` times. ``watch`` is called twice a second with all jobs. On an interrupt the runs that are under way
    are told to stop, which they do after a checkpoint; :class:`dr_lib.training.interruption.Interrupted` is raised
    then.
    """
    threads, gpus = threads_each(parallel), GpuShares(visible_gpus())
    with tempfile.TemporaryDirectory(prefix="dr-lab-") as scratch, Interruption() as interruption:
        try:
            while any(job.state in ("queued", "running") for job in jobs):
                for job in [job for job in jobs if job.state == "running"]:
                    _look_after(job, timeout)
                    if job.state != "running":
                        gpus.give_back(job.gpus)
                    if job.state == "failed" and job.starts <= retries:
                        job.queue_again()
                for job in jobs:
                    if job.state == "queued" and job.needs and job.needs.state == "failed":
                        job.fail(f"{job.needs.title} failed, which it starts from")
                for job in _next(jobs, parallel):
                    job.begin(threads=threads, scratch=Path(scratch), gpus=gpus.take(job.parameters))
                    if job.state != "running":
                        gpus.give_back(job.gpus)
                watch(jobs)
                time.sleep(_SECONDS_BETWEEN_LOOKS)
                interruption.obey()
        except BaseException:
            stop([job for job in jobs if job.state == "running"])
            raise
    watch(jobs)


def _look_after(job: Job, timeout: float | None) -> None:
    """Judge a job whose process has ended, and end one that has been silent for ``timeout`` minutes."""
    if job.process.poll() is not None:
        job.finish()
    elif timeout is not None and job.seconds_silent() > 60 * timeout:
        job.kill()
        job.finish(hung=f"it gave no sign of life for {timeout:g} minutes, and was ended")


def _next(jobs: list[Job], parallel: int) -> list[Job]:
    """Return the jobs to begin now: what others wait for, then what takes longest."""
    free = parallel - sum(job.state == "running" for job in jobs)
    ready = [job for job in jobs if job.state == "queued" and (job.needs is None or job.needs.state == "done")]
    awaited = [job.needs for job in jobs if job.state == "queued"]
    return sorted(ready, key=lambda job: (job not in awaited, -job.cost))[: max(0, free)]
