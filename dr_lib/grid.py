"""The eight runs of the lab, or any others: one papermill process each, watched to its end."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dr_lib.config import RunConfig
from dr_lib.data.prepare import PreparedData
from dr_lib.execution import last_line, start_notebook
from dr_lib.progress import Progress
from dr_lib.report.render import render_page
from dr_lib.runs import Experiment, NotebookFiles, RunFolder
from dr_lib.training.interruption import Interruption
from dr_lib.training.pretrain import PRETRAINING_PARAMETERS, draw_photographs, uses_generated_weights
from dr_lib.training.run import same_run

_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_UNTIL_KERNELS_END = 3.0
_SECONDS_TO_STOP = 120.0


@dataclass
class Job:
    """One notebook to execute, and how it fared."""

    title: str
    notebook: str
    parameters: dict[str, Any]
    files: NotebookFiles
    needs: "Job | None" = None
    """The job whose results this one starts from."""
    state: str = "queued"
    """``queued``, ``running``, ``done``, ``failed``, ``interrupted`` or ``skipped`` (was done before)."""
    reason: str = ""
    process: subprocess.Popen | None = field(default=None, repr=False)


def experiment_jobs(configs: list[RunConfig], data: dict[str, PreparedData]) -> list[Job]:
    """Return all that an experiment has to do: generated pretrainings, and a job per run.

    Runs that are done with the same parameters on the same photographs (``data``, by run name) are skipped.
    """
    pretraining = _pretraining_jobs(configs)
    runs = []
    for config in configs:
        folder = Experiment(Path(config.out_dir)).run(config.run_name)
        done = folder.read_status()["state"] == "done" and same_run(folder, config, data[config.run_name].fingerprint)
        needs = pretraining.get(config.model) if uses_generated_weights(config) else None
        state = "skipped" if done else "queued"
        runs.append(Job(config.run_name, "train", config.model_dump(), folder, needs=needs, state=state))
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


def draw_pretraining_photographs(jobs: list[Job]) -> None:
    """Draw what the pretraining jobs share before any starts; side by side, each would draw all of it."""
    with Progress() as progress:
        for job in jobs:
            if job.notebook == "pretrain" and job.state == "queued":
                draw_photographs(RunConfig.from_mapping(job.parameters), progress)


def run_jobs(jobs: list[Job], parallel: int, watch: Callable[[list[Job]], None]) -> None:
    """Execute what is queued, ``parallel`` at a time; a job that fails stops only those that need it.

    ``watch`` is called twice a second with all jobs. On an interrupt the runs that are under way are told to stop,
    which they do after a checkpoint; :class:`dr_lib.training.interruption.Interrupted` is raised then.
    """
    threads = max(1, (os.cpu_count() or 1) // parallel)
    with tempfile.TemporaryDirectory(prefix="dr-lab-") as scratch, Interruption() as interruption:
        try:
            while any(job.state in ("queued", "running") for job in jobs):
                running = [job for job in jobs if job.state == "running"]
                for job in running:
                    if job.process.poll() is not None:
                        _finish(job)
                for job in jobs:
                    if job.state == "queued" and job.needs and job.needs.state == "failed":
                        _fail(job, f"{job.needs.title} failed, which it starts from")
                free = parallel - sum(job.state == "running" for job in jobs)
                for job in [job for job in jobs if _can_start(job)][:free]:
                    _start(job, threads, Path(scratch))
                watch(jobs)
                time.sleep(_SECONDS_BETWEEN_LOOKS)
                interruption.obey()
        except BaseException:
            _end([job for job in jobs if job.state == "running"])
            raise
    watch(jobs)


def _can_start(job: Job) -> bool:
    return job.state == "queued" and (job.needs is None or job.needs.state == "done")


def _start(job: Job, threads: int, scratch: Path) -> None:
    job.files.path.mkdir(parents=True, exist_ok=True)
    if isinstance(job.files, RunFolder):
        job.files.write_status("queued")
    job.process = start_notebook(
        job.notebook,
        job.files,
        job.parameters,
        threads=threads,
        scratch=scratch / job.title.replace(" ", "-"),
    )
    job.state = "running"


def _finish(job: Job) -> None:
    """Judge a job whose process has ended by the run's own record too: papermill's word is not enough."""
    status = job.files.read_status() if isinstance(job.files, RunFolder) else {"state": "done"}
    if job.process.returncode == 0 and status["state"] == "done":
        job.state = "done"
    elif status["state"] == "interrupted":
        job.state, job.reason = "interrupted", status["reason"]
    else:
        ended = f"its process ended with status {job.process.returncode}: {last_line(job.files.log)}"
        _fail(job, status.get("reason") or ended)
    if job.files.notebook.exists():
        depth = "../" * len(job.files.path.relative_to(job.parameters["out_dir"]).parts)
        render_page(job.files.notebook, job.files.page, title=job.title, home=f"{depth}index.html")


def _end(running: list[Job]) -> None:
    """Stop jobs that are under way, and see to it that their folders say so."""
    training = [job for job in running if isinstance(job.files, RunFolder) and _tell_to_stop(job.files)]
    deadline = time.monotonic() + _SECONDS_TO_STOP
    while any(job.process.poll() is None for job in training) and time.monotonic() < deadline:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    left = [job for job in running if job.process.poll() is None]
    for job in left:
        os.killpg(job.process.pid, signal.SIGTERM)
    for job in left:
        job.process.wait()
    if left:
        # A kernel is in a session of its own; it looks once a second whether papermill is still there, and ends
        # itself. What it writes until then must not be the last word.
        time.sleep(_SECONDS_UNTIL_KERNELS_END)
    for job in running:
        job.state, job.reason = "interrupted", "interrupted; the same command goes on from its last checkpoint"
        if isinstance(job.files, RunFolder) and job.files.read_status()["state"] != "interrupted":
            job.files.write_status("interrupted", reason=job.reason)


def _tell_to_stop(folder: RunFolder) -> bool:
    """Send SIGTERM to the kernel that writes into ``folder``, and return whether there is one."""
    status = folder.read_status()
    if status["state"] != "running":
        return False
    try:
        os.kill(status["pid"], signal.SIGTERM)
    except ProcessLookupError:
        return False
    return True


def _fail(job: Job, reason: str) -> None:
    job.state, job.reason = "failed", reason
    job.files.path.mkdir(parents=True, exist_ok=True)
    if isinstance(job.files, RunFolder):
        job.files.write_status("failed", reason=reason)
