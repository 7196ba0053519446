"""Executing one of the project's notebooks in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

import dr_lib
from dr_lib.errors import InputError
from dr_lib.files import write_text
from dr_lib.runs import NotebookFiles

NOTEBOOKS = Path(dr_lib.__file__).parent.parent / "notebooks"
"""The notebooks of the checkout that the library is installed from."""


def start_notebook(
    name: str, files: NotebookFiles, parameters: dict[str, Any], *, threads: int, scratch: Path
) -> subprocess.Popen:
    """Start papermill on ``notebooks/<name>.ipynb`` and return its process, the leader of its own group.

    The executed notebook, the parameters and all that is printed go to ``files``. The process computes with
    ``threads`` threads and keeps IPython's files in ``scratch``, so that notebooks that run at the same time do not
    meet there.
    """
    notebook = NOTEBOOKS / f"{name}.ipynb"
    if not notebook.exists():
        raise InputError(f"{notebook}: no such notebook; install the project with pip install -e from its checkout")
    write_text(files.parameters, yaml.safe_dump(parameters, sort_keys=False))
    command = [sys.executable, "-m", "papermill", str(notebook), str(files.notebook), "-f", str(files.parameters)]
    environment = os.environ | {
        "IPYTHONDIR": str(scratch),
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        # A thread that waits for its sibling sleeps instead of spinning. Where other processes use the cores too, as
        # with several jobs, a training step is three times as fast so.
        "OMP_WAIT_POLICY": "PASSIVE",
        # The frozen-modules notice of the debugger would be the first line of every log.
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    with files.log.open("wb") as stream:
        return subprocess.Popen(
            [*command, "--no-progress-bar", "--log-output", "--kernel", "python3"],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def last_line(log: Path) -> str:
    """Return the last line of a log that says something; for an exception that is its type and message."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()] if log.exists() else []
    return next((line for line in reversed(lines) if line), "nothing was printed")
