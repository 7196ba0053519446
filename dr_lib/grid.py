"""The eight runs of the lab, or any others: one papermill process each, watched to its end."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dr_lib.config import RunConfig
from dr_lib.data.prepare import PreparedData
from dr_lib.execution import last_line, start_notebook
from dr_lib.report.render import render_page
from dr_lib.runs import Experiment, NotebookFiles, RunFolder
from dr_lib.training.run import same_run

_SECONDS_BETWEEN_LOOKS = 0.5


@dataclass
class Job:
    """One notebook to execute, and how it fared."""

    title: str
    notebook: str
    config: RunConfig
    files: NotebookFiles
    state: str = "queued"
    """``queued``, ``running``, ``done``, ``failed`` or ``skipped`` (was done before)."""
    reason: str = ""
    started: float = 0.0
    process: subprocess.Popen | None = field(default=None, repr=False)


def training_jobs(configs: list[RunConfig], data: dict[str, PreparedData]) -> list[Job]:
    """Return a job per run; those that are done with the same parameters on the same photographs are skipped."""
    jobs = []
    for config in configs:
        folder = Experiment(Path(config.out_dir)).run(config.run_name)
        done = folder.read_status()["state"] == "done" and same_run(folder, config, data[config.run_name].fingerprint)
        jobs.append(Job(config.run_name, "train", config, folder, state="skipped" if done else "queued"))
    return jobs


def pretraining_jobs(configs: list[RunConfig]) -> list[Job]:
    """Return a job per network that some run wants generated weights of and that has none yet."""
    jobs = {}
    for config in configs:
        if config.pretrained and config.pretrained_weights == "generated" and config.model not in jobs:
            folder = Experiment(Path(config.out_dir)).pretraining(config.model)
            jobs[config.model] = Job(f"pretraining {config.model}", "pretrain", config, folder)
    return list(jobs.values())


def audit_job(config: RunConfig) -> Job:
    """Return the job that writes the audit of the experiment's photographs."""
    experiment = Experiment(Path(config.out_dir))
    return Job("audit", "audit", config, experiment.audit_files)


def run_jobs(jobs: list[Job], parallel: int, watch: Callable[[list[Job]], None]) -> None:
    """Execute what is queued, ``parallel`` at a time; a job that fails does not stop the others.

    ``watch`` is called twice a second with all jobs. On an interrupt the running processes are ended and marked.
    """
    threads = max(1, (os.cpu_count() or 1) // parallel)
    with tempfile.TemporaryDirectory(prefix="dr-lab-") as scratch:
        try:
            while any(job.state in ("queued", "running") for job in jobs):
                running = [job for job in jobs if job.state == "running"]
                waiting = [job for job in jobs if job.state == "queued"]
                for job in waiting[: parallel - len(running)]:
                    _start(job, threads, Path(scratch))
                for job in running:
                    if job.process.poll() is not None:
                        _finish(job)
                watch(jobs)
                time.sleep(_SECONDS_BETWEEN_LOOKS)
        except BaseException:
            for job in jobs:
                if job.state == "running":
                    os.killpg(job.process.pid, signal.SIGTERM)
                    job.process.wait()
                    _fail(job, "interrupted; the same command goes on after its last whole epoch")
            raise
    watch(jobs)


def _start(job: Job, threads: int, scratch: Path) -> None:
    job.files.path.mkdir(parents=True, exist_ok=True)
    if isinstance(job.files, RunFolder):
        job.files.write_status("queued")
    job.process = start_notebook(
        job.notebook,
        job.files,
        job.config.model_dump(),
        threads=threads,
        scratch=scratch / job.title.replace(" ", "-"),
    )
    job.state, job.started = "running", time.monotonic()


def _finish(job: Job) -> None:
    """Judge a job whose process has ended, by its own files first: papermill's word is not enough."""
    if isinstance(job.files, RunFolder):
        status = job.files.read_status()
        ended_well = status["state"] == "done"
        reason = status.get("reason")
    else:
        ended_well, reason = job.process.returncode == 0, None
    if ended_well:
        job.state = "done"
    else:
        _fail(job, reason or f"its process ended with status {job.process.returncode}: {last_line(job.files.log)}")
    if job.files.notebook.exists():
        depth = "../" * len(job.files.path.relative_to(job.config.out_dir).parts)
        render_page(job.files.notebook, job.files.page, title=job.title, home=f"{depth}index.html")


def _fail(job: Job, reason: str) -> None:
    job.state, job.reason = "failed", reason
    if isinstance(job.files, RunFolder):
        job.files.write_status("failed", reason=reason)
