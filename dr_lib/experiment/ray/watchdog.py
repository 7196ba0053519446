"""Ends a notebook whose Ray worker has died: it must not go on where nobody knows of it any more.

Ray ends its workers when their machine's raylet or their driver dies; what they have started is not Ray's. The watchdog
is a process of its own, which learns of its worker's death because the pipe between them closes.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dr_lib.notebook.process import find_executing, kill_with_children
from dr_lib.storage.folders import NotebookFiles


@contextmanager
def end_with_this_process(files: NotebookFiles) -> Iterator[None]:
    """Have the process that executes into ``files`` killed if this process dies within the block."""
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
