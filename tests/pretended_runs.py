"""Processes that pretend to be notebooks, for the workers of a Ray cluster; the notebook's name says what they do."""

import os
import subprocess
import sys
from pathlib import Path

PRETENDED_RUN = """
import signal, sys, time
from pathlib import Path
from dr_lib.storage.run_folder import RunFolder
kind, folder = sys.argv[1], RunFolder(Path(sys.argv[2]))
def running(epoch=1):
    folder.write_status("running", epoch=epoch, epochs=2, phase="fine-tuning")
def note(word):
    with (folder.path / "notes").open("a") as stream:
        stream.write(word + chr(10))
def stop(number, frame):
    folder.write_status("interrupted", reason="told to")
    sys.exit(1)
began = time.time()
note("begun")
print("computing", flush=True)
running()
if kind == "dies":
    print("Killed", flush=True)
    sys.exit(137)
if kind == "hangs":
    time.sleep(120)
if kind == "waits":
    signal.signal(signal.SIGTERM, stop)
    while not (folder.path.parent.parent / "go").exists():
        time.sleep(0.05)
if kind == "lasts":
    time.sleep(3)
if kind == "works the second time" and (folder.path / "notes").read_text().count("begun") == 1:
    sys.exit("no luck")
(folder.path / "checkpoints").mkdir(exist_ok=True)
for name in ("last.pt", "best.pt"):
    (folder.path / "checkpoints" / name).write_bytes(bytes(5_000_000))
note("done")
(folder.path / "times").write_text(f"{began} {time.time()}")
folder.write_status("done", epoch=2, epochs=2)
"""


def start(kind, files, parameters, *, threads, gpus=(), again=False):
    """Start a pretended run in the place of :func:`dr_lib.notebook.process.start_notebook`."""
    files.parameters.write_text("{}")
    (files.path / "threads").write_text(f"{threads} {os.environ.get('CUDA_VISIBLE_DEVICES', '')}")
    with files.log.open("ab" if again else "wb") as stream:
        return subprocess.Popen(
            # Its command line ends as papermill's does: that is how others find it.
            [sys.executable, "-c", PRETENDED_RUN, kind, str(files.path), "papermill", str(files.notebook)],
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
        )


def pretend():
    """Have this process start pretended runs instead of notebooks."""
    from dr_lib.experiment import job

    job.start_notebook = start
