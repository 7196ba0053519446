"""The commands without the seconds that Python takes to import torch: in the process of the tests, or in a fork."""

import multiprocessing
import os
import sys
from multiprocessing import forkserver
from pathlib import Path

import pytest

from dr_lib.cli import app as cli


def dr_lab(*arguments):
    """Run the command in this process; return its exit status."""
    before = sys.argv
    sys.argv = ["dr-lab", *map(str, arguments)]
    try:
        cli.main()
    except SystemExit as ended:
        return ended.code or 0
    finally:
        sys.argv = before
    return 0


_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["dr_lib.training.run", "dr_lib.report.audit_page", "test_inference"])


def fork(function, *arguments):
    """Call ``function`` in a fork of a process that has imported what it needs, with no thread of torch's running yet.

    Returns the :class:`multiprocessing.Process`.
    """
    with pytest.MonkeyPatch.context() as patch:
        folders = (Path(__file__).parent, Path(__file__).parents[1])
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, folders)))
        forkserver.ensure_running()
    process = _FORKS.Process(target=function, args=arguments)
    process.start()
    return process


class ForkedTraining:
    """``python -m dr_lib.training`` with one thread, in a fork. ``errors`` is the file of its standard error."""

    def __init__(self, errors, *arguments):
        self._errors = errors
        self._process = fork(_train, errors, arguments)
        self.pid = self._process.pid

    def running(self):
        """Tell whether it has not ended."""
        return self._process.is_alive()

    def wait(self, timeout=None):
        """Return its exit status, the negative signal where one killed it, and its standard error."""
        self._process.join(timeout)
        assert not self.running()
        return self._process.exitcode, self._errors.read_text()


def _train(errors, arguments):
    import torch

    from dr_lib.training import __main__ as training

    torch.set_num_threads(1)
    for number, path in enumerate((os.devnull, errors), start=1):
        os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
    sys.argv = ["dr_lib.training", *map(str, arguments)]
    training.main()
