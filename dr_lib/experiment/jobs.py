"""The eight runs of the lab, or any others: one papermill process each, watched to its end."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dr_lib.config import RunConfig
from dr_lib.experiment.backend import Backend
from dr_lib.experiment.job import Job
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.system.progress import Progress
from dr_lib.system.signals import Interrupted, Interruption

# What knows networks is imported where an experiment is planned: looking after runs needs nothing of it, and does not
# have to fill a machine's memory with torch.
if TYPE_CHECKING:
    from dr_lib.data.prepare import DataSplits

_SECONDS_BETWEEN_LOOKS = 0.5


def experiment_jobs(configs: list[RunConfig], data: "dict[str, DataSplits]") -> list[Job]:
    """Return all that an experiment has to do: generated pretrainings, and a job per run.

    Runs that are done with the same parameters on the same photographs (``data``, by run name) are skipped.
    """
    from dr_lib.experiment.time_estimate import TimeEstimate
    from dr_lib.training.pretrain import uses_generated_weights
    from dr_lib.training.resume import same_run

    pretraining = _pretraining_jobs(configs)
    forecast = TimeEstimate(ExperimentFolder(Path(configs[0].out_dir)).runs())
    runs = []
    for config in configs:
        folder = ExperimentFolder(Path(config.out_dir)).run(config.run_name)
        done = folder.complete and same_run(folder, config, data[config.run_name].fingerprint)
        needs = pretraining.get(config.model) if uses_generated_weights(config) else None
        state = "skipped" if done else "queued"
        training = len(data[config.run_name].split("train"))
        cost = forecast.cost(config, training, len(data[config.run_name].table) - training)
        runs.append(Job(config.run_name, "train", config.model_dump(), folder, needs=needs, state=state, cost=cost))
    for job in runs:
        if job.state == "skipped":
            job.render()  # where its driver was killed before it could
        else:
            job.announce()
    wanted = [job for job in pretraining.values() if any(run.needs is job and run.state == "queued" for run in runs)]
    return [*wanted, *runs]


def _pretraining_jobs(configs: list[RunConfig]) -> dict[str, Job]:
    """Return by network the job that makes its generated weights."""
    from dr_lib.training.pretrain import PRETRAINING_PARAMETERS, uses_generated_weights

    jobs: dict[str, Job] = {}
    for config in filter(uses_generated_weights, configs):
        folder = ExperimentFolder(Path(config.out_dir)).pretraining(config.model)
        parameters = config.model_dump(include=set(PRETRAINING_PARAMETERS))
        jobs.setdefault(config.model, Job(f"pretraining {config.model}", "pretrain", parameters, folder))
    return jobs


def draw_pretraining_photographs(jobs: list[Job]) -> None:
    """Draw what the pretraining jobs share before any starts; side by side, each would draw all of it."""
    from dr_lib.training.pretrain import draw_photographs

    with Progress() as progress:
        for job in jobs:
            if job.notebook == "pretrain" and job.state == "queued":
                draw_photographs(RunConfig.from_mapping(job.parameters), progress)


def run_jobs(jobs: list[Job], backend: Backend, watch: Callable[[list[Job]], None], *, retries: int = 0) -> None:
    """Have the ``backend`` execute what is queued, longest first; a job that fails stops only those that need it.

    A run that fails is begun again up to ``retries`` times. ``watch`` is called twice a second with all jobs. On an
    interrupt the runs that are under way are told to stop, which they do after a checkpoint;
    :class:`dr_lib.system.signals.Interrupted` is raised then.
    """
    with Interruption() as interruption:
        shown = -math.inf
        try:
            while any(job.state in ("queued", "running") for job in jobs):
                running = [job for job in jobs if job.state == "running"]
                backend.poll(running)
                for job in running:
                    if job.state == "failed" and job.starts <= retries:
                        job.queue_again()
                for job in jobs:
                    if job.state == "queued" and job.needs and job.needs.state == "failed":
                        job.fail(f"{job.needs.title} failed, which it starts from")
                for job in _next(jobs, backend.room(sum(job.state == "running" for job in jobs))):
                    backend.start(job)
                if time.monotonic() - shown >= _SECONDS_BETWEEN_LOOKS:
                    watch(jobs)
                    shown = time.monotonic()
                backend.wait([job for job in jobs if job.state == "running"], _SECONDS_BETWEEN_LOOKS)
                interruption.raise_if_requested()
        except BaseException as error:
            running = [job for job in jobs if job.state == "running"]
            if isinstance(error, Interrupted):
                for job in running:
                    job.reason = "told to stop, which it does after a checkpoint; a second Ctrl-C leaves it behind"
                watch(jobs)
            backend.stop(running)
            if isinstance(error, Interrupted):
                watch(jobs)
            raise
    watch(jobs)


def _next(jobs: list[Job], free: int) -> list[Job]:
    """Return the jobs to begin now, ``free`` at most: what others wait for, then what takes longest."""
    ready = [job for job in jobs if job.state == "queued" and (job.needs is None or job.needs.state == "done")]
    awaited = {job.needs for job in jobs if job.state == "queued"}
    return sorted(ready, key=lambda job: (job not in awaited, -job.cost))[: max(0, free)]
