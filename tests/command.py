"""The commands without the seconds that Python takes to import torch: in the process of the tests, or in a fork."""

import multiprocessing
import os
import sys

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
_FORKS.set_forkserver_preload(["dr_lib.training.run"])


class ForkedTraining:
    """``python -m dr_lib.training`` with one thread, in a fork of a process that has imported it: it begins at once.

    To be stopped, killed and waited for as a :class:`subprocess.Popen`; ``errors`` is the file of its standard error.
    """

    def __init__(self, errors, *arguments):
        self._errors = errors
        self._process = _FORKS.Process(target=_train, args=(str(errors), [*map(str, arguments)]))
        self._process.start()
        self.pid = self._process.pid

    def running(self):
        return self._process.is_alive()

    def send_signal(self, number):
        os.kill(self.pid, number)

    def wait(self, timeout=None):
        """Return its exit status, that of a killed one being negative, and its standard error."""
        self._process.join(timeout)
        assert not self.running()
        return self._process.exitcode, self._errors.read_text()


def _train(errors, arguments):
    import torch

    from dr_lib.training import __main__ as training

    torch.set_num_threads(1)
    with open(os.devnull, "wb") as output, open(errors, "wb") as stream:
        os.dup2(output.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    sys.argv = ["dr_lib.training", *arguments]
    training.main()
