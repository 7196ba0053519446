"""Notebooks executed as the grid has them executed: what their kernels talk through, and what their logs say."""

import os
import subprocess
import sys

import nbformat
import pytest

from dr_lib.storage.run_folder import NotebookFiles

pytestmark = pytest.mark.notebooks

TALKS = "from ipykernel.kernelapp import IPKernelApp\nprint('by', IPKernelApp.instance().transport)"
TRAINS = """
import time
from dr_lib.system.progress import Progress
with Progress() as progress:
    for epoch in range(1, 4):
        for step in range(1, 6):
            progress.bar(f"epoch {epoch}", step, 5)
            time.sleep(0.35)
        progress.line(f"epoch {epoch}: done")
"""
SHOWS = "from IPython.display import HTML\nHTML('<b>seen on a page only</b>')"
DIES = TRAINS.replace("progress.line", "import os; os.kill(os.getpid(), 9); progress.line")


@pytest.fixture
def execute(tmp_path):
    """Executes cells behind a parameter ``word``; returns the exit status and the lines of the log."""

    def run(*cells):
        notebook = nbformat.v4.new_notebook()
        first = nbformat.v4.new_code_cell("word = 'its own'  # a parameter", metadata={"tags": ["parameters"]})
        notebook.cells = [first, *map(nbformat.v4.new_code_cell, cells)]
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, tmp_path / "in.ipynb")
        (tmp_path / "parameters.yaml").write_text("word: given\n")
        command = [sys.executable, "-m", "dr_lib.notebook.runner", "in.ipynb", "out.ipynb", "parameters.yaml"]
        with (tmp_path / "log").open("wb") as stream:
            environment = os.environ | {"IPYTHONDIR": str(tmp_path / "ipython"), "TMPDIR": str(tmp_path)}
            done = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, cwd=tmp_path, env=environment)
        return done.returncode, (tmp_path / "log").read_text().splitlines()

    return run


@pytest.mark.slow
def test_kernels_talk_through_sockets_of_their_own_and_logs_tell_what_stays(execute, tmp_path):
    status, log = execute(TALKS, TRAINS, SHOWS, "print('word is', word)")
    assert status == 0, log
    assert "by ipc" in log and "word is given" in log
    assert [line for line in log if "epoch" in line] == [f"epoch {number}: done" for number in (1, 2, 3)]
    assert not any("object at" in line or "core.display" in line or "WARNING" in line for line in log)
    assert "epoch 3: done" in (tmp_path / "out.ipynb").read_text()
    assert list(tmp_path.glob("dr-lab-kernel-*")) == [], "sockets are removed"


def test_a_kernel_that_dies_leaves_how_far_it_was(execute):
    status, log = execute(DIES)
    assert status != 0
    assert (
        log[-1] == "Kernel died with signal SIGKILL"
        and log[-2].startswith("epoch 1: ")
        and "Traceback" not in "\n".join(log)
    )


def test_the_kernel_is_the_running_interpreter_whatever_is_installed(execute, tmp_path, monkeypatch):
    """As modules of clusters do, another specification called python3 comes first in JUPYTER_PATH."""
    other = tmp_path / "jupyter" / "kernels" / "python3"
    other.mkdir(parents=True)
    (other / "kernel.json").write_text('{"argv": ["/bin/false"], "display_name": "other", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    status, log = execute("import sys; print('it is', sys.executable)")
    assert status == 0 and f"it is {sys.executable}" in log


def test_a_kernel_that_ends_by_itself_says_with_which_status(execute):
    status, log = execute("import os; os._exit(7)")
    assert status != 0 and log[-1] == "Kernel died with status 7"


def test_an_error_is_the_cells_own(execute):
    status, log = execute("def f():\n    raise ValueError('too many eyes')\nf()", "print('never')")
    assert status == 1
    assert log[-1] == "ValueError: too many eyes" and "papermill" not in log[-2] and "never" not in log
    assert not any("\\x1b" in line for line in log)


@pytest.mark.slow
def test_what_a_kernel_sends_is_a_heartbeat_while_it_is_executed(execute, tmp_path):
    """A kernel that computes says so by its bar, of which the log holds nothing."""
    beats = "import pathlib; first = pathlib.Path('out.heartbeat').read_text()"
    moved = "assert float(pathlib.Path('out.heartbeat').read_text()) > float(first) + 1"
    status, log = execute(beats, TRAINS.replace("progress.line", "str"), moved)
    assert status == 0, log
    assert not (tmp_path / "out.heartbeat").exists()


def test_a_disk_that_takes_no_heartbeat_is_no_reason_to_fail(tmp_path):
    (tmp_path / "none").touch()  # a file where the folder is to be
    NotebookFiles(tmp_path / "none", "run").write_heartbeat()
    assert NotebookFiles(tmp_path / "none", "run").signs_of_life() == (0, "")
