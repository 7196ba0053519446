"""Executing one of the project's notebooks in a process of its own, finding one that is at it, and ending it.

``python -m dr_lib.notebook.process FOLDER STEM`` is a watchdog, see :func:`end_with_this_process`.
"""

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import yaml

from dr_lib.errors import InputError
from dr_lib.storage.files import write_text
from dr_lib.storage.folders import SHIPPED
from dr_lib.storage.run_folder import NotebookFiles

NOTEBOOKS = (SHIPPED / "notebooks").resolve()
"""The notebooks that come with the package; in a checkout those at its top."""

_MODULE = "dr_lib.notebook.runner"
_MODULES = {_MODULE, "papermill"}
"""What a process executes notebooks with: ours, or papermill as it comes."""

KERNEL_DIED = "Kernel died"
"""What the log of a kernel that did not survive ends with, in nbclient's words; how it ended follows."""

_SECONDS_TO_DIE = 10.0


class ShippedNotebooks:
    """papermill's way to the notebooks here: ``papermill dr-lab://train.ipynb out.ipynb -p model resnet50``."""

    @staticmethod
    def read(path: str) -> str:
        notebook = NOTEBOOKS / path.removeprefix("dr-lab://")
        if not notebook.is_file():
            raise InputError(f"{path}: no such notebook; there are {', '.join(ShippedNotebooks.listdir(path))}")
        return notebook.read_text(encoding="utf-8")

    @staticmethod
    def listdir(path: str) -> list[str]:
        return sorted(notebook.name for notebook in NOTEBOOKS.glob("*.ipynb"))

    @staticmethod
    def write(notebook: str, path: str) -> None:
        raise InputError(f"{path}: comes with the package and stays as it is; write to a file of yours")

    @staticmethod
    def pretty_path(path: str) -> str:
        return path


def start_notebook(
    name: str,
    files: NotebookFiles,
    parameters: dict[str, Any],
    *,
    threads: int,
    gpus: Sequence[str] = (),
    again: bool = False,
) -> subprocess.Popen:
    """Start papermill on ``notebooks/<name>.ipynb`` and return its process, the leader of its own group.

    The executed notebook, the parameters and all that is printed go to ``files``. The process computes with
    ``threads`` threads. It sees the ``gpus`` named as CUDA names them, where none are, those that this process sees.
    What is printed when it is done ``again`` follows what was printed before.
    """
    notebook = NOTEBOOKS / f"{name}.ipynb"
    if not notebook.exists():
        raise InputError(f"{notebook}: no such notebook; install dr-lab anew")
    write_text(files.parameters, yaml.safe_dump(parameters, sort_keys=False))
    command = [sys.executable, "-m", _MODULE, str(notebook), str(files.notebook), str(files.parameters)]
    environment = os.environ | {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        # A thread that waits for its sibling sleeps instead of spinning. Where other processes use the cores too, as
        # with several jobs, a training step is three times as fast so.
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONUTF8": "1",  # whatever the locale, notebooks and logs are UTF-8
    }
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    with files.log.open("ab" if again else "wb") as stream:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


class FoundProcess:
    """A process that another one has started, spoken to as to a :class:`subprocess.Popen`; how it ended is not told."""

    returncode = None

    def __init__(self, process: psutil.Process):
        self._process = process
        self.pid = process.pid

    def poll(self) -> int | None:
        """Return ``None`` while the process is there, 0 when it has gone."""
        try:
            # Nobody may be there to ask a dead orphan for its status, as in a container without an init.
            alive = self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            alive = False
        return None if alive else 0

    def wait(self) -> None:
        """Return when the process has gone."""
        while self.poll() is None:
            time.sleep(0.1)


def find_executing(files: NotebookFiles) -> FoundProcess | None:
    """Return the process on this machine that :func:`start_notebook` has begun for ``files``; None if there is none.

    Whoever has started it: another driver, killed since. Looking through all processes takes some milliseconds, which
    a folder is spared that nothing was ever begun in.
    """
    if not files.parameters.exists():
        return None
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
            if not _MODULES.intersection(command):
                continue
            folder = process.cwd()
        except psutil.Error:  # gone meanwhile, or somebody else's
            continue
        written = [Path(folder, part).resolve() for part in command if part.endswith(files.notebook.name)]
        executing = FoundProcess(process)
        if files.notebook.resolve() in written and executing.poll() is None:
            return executing
    return None


def read_executed_parameters(files: NotebookFiles) -> Any:
    """Return what papermill was given when it began; None where nothing was."""
    try:
        return yaml.safe_load(files.parameters.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def kill_with_children(pid: int) -> None:
    """Kill a process and all that it has started, a notebook's kernel in its own session included."""
    try:
        parent = psutil.Process(pid)
        family = parent.children(recursive=True)
    except psutil.NoSuchProcess:
        return
    for member in [*family, parent]:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    # Not for the parent: whoever has started it waits for it, and would not learn how it ended.
    psutil.wait_procs(family, timeout=_SECONDS_TO_DIE)


def last_lines(log: Path, count: int) -> list[str]:
    """Return the last ``count`` lines of a log that say something; the last of an exception is type and message."""
    if not log.exists():
        return []
    with log.open(encoding="utf-8", errors="replace") as stream:
        return list(deque((line.rstrip() for line in stream if line.strip()), maxlen=count))


@contextmanager
def end_with_this_process(files: NotebookFiles) -> Iterator[None]:
    """Have the process that executes into ``files`` killed if this process dies within the block.

    A notebook must not go on where nobody knows of it any more: what a worker of Ray has started is not Ray's to end.
    The watchdog is a process of its own, which learns of this one's death because the pipe between them closes.
    """
    with subprocess.Popen(
        [sys.executable, "-X", "utf8", "-m", __name__, str(files.path), files.stem],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ray ends a worker together with its group
    ) as watchdog:
        try:
            yield
        finally:
            watchdog.kill()


def main() -> None:
    """Wait for the end of the standard input, then kill what executes into the folder of the two arguments."""
    path, stem = sys.argv[1:]
    sys.stdin.read()
    if process := find_executing(NotebookFiles(Path(path), stem)):
        kill_with_children(process.pid)


if __name__ == "__main__":
    main()
