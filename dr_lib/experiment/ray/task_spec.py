"""What a machine of the cluster needs to know to execute a job as its driver would."""

import os
import platform
import secrets
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dr_lib.experiment.job import Job
from dr_lib.storage.files import write_text
from dr_lib.storage.folders import ExperimentFolder, NotebookFiles


@dataclass(frozen=True)
class TaskSpec:
    """One execution of a job. Paths are the driver's, from ``folder``, where it works."""

    key: str
    """Tells this execution from all others, also of the same job."""
    title: str
    notebook: str
    parameters: dict[str, Any]
    files: NotebookFiles
    again: bool
    """Whether it was begun before, so that its log is to be continued."""
    starts_from: str
    """Folder in the experiment with the results that it starts from; empty where it needs none."""
    threads: int
    timeout: float | None
    folder: str
    token: str
    versions: dict[str, str]

    @property
    def experiment(self) -> ExperimentFolder:
        return ExperimentFolder(Path(self.parameters["out_dir"]))

    @property
    def inside(self) -> str:
        """The job's folder in the experiment."""
        return str(self.files.path.relative_to(self.experiment.path))


def make_task_spec(job: Job, *, threads: int, timeout: float | None, token: str) -> TaskSpec:
    """Return the order to execute ``job`` now."""
    out_dir = Path(job.parameters["out_dir"])
    return TaskSpec(
        key=f"{job.title}#{job.starts}",
        title=job.title,
        notebook=job.notebook,
        parameters=job.parameters,
        files=job.files,
        again=job.starts > 0,
        starts_from=str(job.needs.files.path.relative_to(out_dir)) if job.needs else "",
        threads=threads,
        timeout=timeout,
        folder=os.getcwd(),
        token=token,
        versions=versions(),
    )


def write_token(experiment: ExperimentFolder) -> str:
    """Put a random word into the experiment folder and return it: who reads it there shares the driver's disk."""
    token = secrets.token_hex(16)
    write_text(experiment.token, token)
    return token


def shares_disk(make_task_spec: TaskSpec) -> bool:
    """Tell whether this machine, in the driver's folder, sees the experiment folder of the driver."""
    try:
        return make_task_spec.experiment.token.read_text(encoding="utf-8") == make_task_spec.token
    except OSError:
        return False


@cache
def versions() -> dict[str, str]:
    """Return the versions of what decides the numbers: a machine with others would not give the same."""
    names = ("torch", "torchvision", "accelerate", "numpy", "numba", "pillow", "simplejpeg")
    return {"Python": platform.python_version()} | {name: version(name) for name in names}


def differing(make_task_spec: TaskSpec) -> str:
    """Return in which versions this machine differs from the driver; empty: in none."""
    return ", ".join(
        f"{name} {here} instead of {make_task_spec.versions[name]}"
        for name, here in versions().items()
        if here != make_task_spec.versions[name]
    )
