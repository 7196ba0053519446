"""One notebook of an experiment as the grid sees it: how it begins, whether it lives, how it has ended."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dr_lib.experiment.status import RunStatus, last_and_chosen, standing
from dr_lib.notebook.process import (
    KERNEL_DIED,
    FoundProcess,
    find_executing,
    kill_with_children,
    last_lines,
    read_executed_parameters,
    start_notebook,
)
from dr_lib.storage.files import remove_leftovers
from dr_lib.storage.folders import PretrainingFolder
from dr_lib.storage.lock import lock_owner
from dr_lib.storage.run_folder import NotebookFiles, RunFolder
from dr_lib.system.terminal import logger

log = logger("experiment")

_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_UNTIL_KERNELS_END = 3.0
_SECONDS_TO_STOP = 120.0
_LONGEST_STEP = 5.0
"""Seconds; of the driver at work, which asks twice a second and now and then makes a page in between."""
_LINES_OF_LOG = 12


@dataclass(eq=False)
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
    cost: float = 0.0
    """How long it takes, in any unit that its experiment's jobs share; the longest are begun first."""
    process: subprocess.Popen | FoundProcess | None = field(default=None, repr=False)
    gpus: tuple[str, ...] = ()
    starts: int = 0
    began: float = 0.0
    """When it was last begun, seconds since 1970."""
    remote: bool = False
    """Whether a cluster has it. Its folder alone then says whether it runs already."""
    _found: tuple[tuple[str, str], RunStatus] | None = field(default=None, repr=False)
    """How it stood when it was last looked at, and in which state and for what reason."""
    _signs: tuple[object, ...] = field(default=(), repr=False)
    _silent: float = field(default=0.0, repr=False)
    _asked: float = field(default=0.0, repr=False)
    """Its last signs of life; the seconds without one since; when that was asked, by a steady clock."""

    @property
    def trains(self) -> bool:
        """Whether it is a run, which keeps a record of its own and goes on from checkpoints."""
        return isinstance(self.files, RunFolder)

    @property
    def run_folder(self) -> RunFolder:
        """Its folder, of a job that :attr:`trains`."""
        assert isinstance(self.files, RunFolder)
        return self.files

    @property
    def at_work(self) -> subprocess.Popen | FoundProcess:
        """Its process, once it was begun."""
        assert self.process is not None
        return self.process

    def start(self, *, threads: int, gpus: Sequence[str] = ()) -> None:
        """Start its process; or take over one that another driver, killed since, has left at work on it.

        A run that somebody else is at, in a notebook or on another machine, fails by name and is not disturbed. So
        does one whose folder cannot be written.
        """
        self.began, self.gpus = time.time(), tuple(gpus)
        orphan = find_executing(self.files)
        if orphan and read_executed_parameters(self.files) == self.parameters:
            self.process, self.state, self.starts = orphan, "running", self.starts + 1
            self.reason = f"process {orphan.pid} is still at it, from an earlier start; waiting for it"
            return
        if other := _named(self.files, orphan):
            # Its folder is that one's to write into.
            self.state, self.reason = "failed", f"{other}; wait for it, or end it first"
            return
        try:
            self.files.path.mkdir(parents=True, exist_ok=True)
            self._record("queued", **({"reason": self.reason} if self.reason else {}))
            remove_leftovers(self.files.path)
            self.process = start_notebook(
                self.notebook, self.files, self.parameters,
                threads=threads, gpus=gpus, again=self.starts > 0,
            )  # fmt: skip
        except OSError as error:
            self.fail(f"{self.files.path}: cannot be written: {error.strerror or error}")
            return
        self.state = "running"
        self.starts += 1

    def hand_over(self) -> None:
        """Note that a cluster has it, which starts it when a machine is free; its folder says whether it runs."""
        self.state, self.starts, self.remote = "running", self.starts + 1, True
        self._signs = self.files.signs_of_life()

    def announce(self) -> None:
        """Let its folder say that it will be begun, for those who look from elsewhere; not over one that is at work."""
        known = self.run_folder.status.exists() and self.run_folder.read_status()["state"] == "queued"
        if not known and lock_owner(self.run_folder.lock) is None:
            self._record("queued")

    def standing(self) -> RunStatus:
        """Return how it stands, by what is known of its process and by what its folder says."""
        if not self.trains or self.state == "queued":
            waiting = self.remote and self.files.signs_of_life() == self._signs
            return RunStatus(self.title, "queued" if waiting else self.state, reason=self.reason)
        now = self.state, self.reason
        if self.state == "running" or self._found is None or self._found[0] != now:
            folder, epochs = self.run_folder, self.parameters["epochs"]
            status = folder.read_status()
            state, reason = self.state, self.reason
            if self.remote and status["state"] == "queued":
                state, reason = "queued", status.get("reason") or reason
            self._found = (
                now,
                standing(self.title, state, status, *last_and_chosen(folder, status), epochs=epochs, reason=reason),
            )
        return self._found[1]

    def seconds_silent(self) -> float:
        """Return the time since it last gave a sign of life.

        The sum of the steps from question to question, none of them long: while this machine sleeps, or its container
        is paused, nobody asks.
        """
        signs, now = (self.began, *self.files.signs_of_life()), time.monotonic()
        if signs != self._signs:
            self._signs, self._silent = signs, 0.0
        else:
            self._silent += min(now - self._asked, _LONGEST_STEP)
        self._asked = now
        return self._silent

    def kill(self) -> None:
        """End its process and its kernel at once; what it has trained since its last checkpoint is lost."""
        kill_with_children(self.at_work.pid)
        self.at_work.wait()

    def collect(self, *, hung: str = "") -> None:
        """Judge it once its process has ended, by its own record too: papermill's word is not enough.

        ``hung``: why it was killed, where it was.
        """
        self._await_kernel()
        status = self.run_folder.read_status() if self.trains else {"state": self._pretraining_state()}
        if not hung and self.at_work.returncode in (0, None) and status["state"] == "done":
            self.state, self.reason = "done", ""
        elif not hung and status["state"] == "interrupted":
            self.state, self.reason = "interrupted", status.get("reason", "")
        else:
            self.fail(hung or status.get("reason") or self._how_it_ended(status))
        self.render()

    def _await_kernel(self) -> None:
        """Wait for the end of a kernel that has outlived its papermill; it looks once a second whether that is there.

        What it writes until then must not be the last word, and a run that is begun again would find it at work.
        """
        deadline = time.monotonic() + _SECONDS_UNTIL_KERNELS_END
        while self.trains and lock_owner(self.run_folder.lock) is not None and time.monotonic() < deadline:
            time.sleep(0.05)

    def _pretraining_state(self) -> str:
        """Tell an orphan's end by what it leaves; of a process of our own the exit status tells."""
        kept = isinstance(self.files, PretrainingFolder) and self.files.weights.exists()
        return "done" if self.at_work.returncode == 0 or kept else "failed"

    def _how_it_ended(self, status: dict[str, Any]) -> str:
        """Say in one line what became of a process that recorded nothing itself."""
        *before, last = [line.strip() for line in last_lines(self.files.log, 2)] or ["nothing was printed"]
        code = self.at_work.returncode
        kernel_died = last.startswith(KERNEL_DIED)
        if kernel_died and "SIGKILL" not in last:
            return f"{last}: {' '.join(before) or 'nothing was printed'}"
        if kernel_died or code == -signal.SIGKILL or (code is None and status["state"] == "running"):
            during = f" in epoch {status['epoch']}" if status.get("epoch") else ""
            return f"its process was killed{during}: by the system for want of memory, or by someone (kill -9)"
        return f"its process ended with status {code}: {last}"

    def fail(self, reason: str) -> None:
        """Mark it failed with one line of reason; the folder keeps the last lines of the log with it."""
        self.state, self.reason = "failed", " ".join(reason.split())
        self._record("failed", reason=self.reason, log=self.last_words())

    def last_words(self) -> list[str]:
        """Return the last lines of its log."""
        return last_lines(self.files.log, _LINES_OF_LOG)

    def queue_again(self) -> None:
        """Let a run that has failed be begun once more; it goes on from its last checkpoint."""
        self.state, self.reason = "queued", f"try {self.starts} failed: {self.reason}"
        self._record("queued", reason=self.reason)

    def render(self) -> None:
        """Make a page of its executed notebook, unless there is one of it already."""
        notebook, page = self.files.notebook, self.files.page
        if not notebook.exists() or (page.exists() and page.stat().st_mtime_ns >= notebook.stat().st_mtime_ns):
            return
        depth = "../" * len(self.files.path.relative_to(self.parameters["out_dir"]).parts)
        from dr_lib.report.render import render_page  # not in a process that only looks after a run

        try:
            render_page(self.files.notebook, self.files.page, title=self.title, home=f"{depth}index.html")
        except Exception as error:  # half a notebook, a full disk: no page is worth the other runs
            log.warning("%s: no page could be made of it (%s)", self.files.notebook, " ".join(str(error).split()))

    def _record(self, state: str, **details: Any) -> None:
        """Write its state into its folder; where the disk is full, the driver alone knows it."""
        if not self.trains:
            return
        try:
            self.run_folder.write_status(state, **details)
        except OSError as error:
            log.warning("%s: its state cannot be written (%s)", self.run_folder.status, error)


def find_running_process(files: NotebookFiles) -> str | None:
    """Name the process that executes into ``files``, here or wherever a lock reaches; None where nobody does."""
    return _named(files, find_executing(files))


def _named(files: NotebookFiles, executing: FoundProcess | None) -> str | None:
    if isinstance(files, RunFolder) and (other := lock_owner(files.lock)):
        return other
    return f"process {executing.pid} executes {files.notebook}" if executing else None


def stop(running: list[Job]) -> None:
    """Have jobs that are under way write a checkpoint and end, and see to it that their folders say so."""
    stopping = [job for job in running if job.trains and _tell_to_stop(job.run_folder)]
    deadline = time.monotonic() + _SECONDS_TO_STOP
    while any(job.at_work.poll() is None for job in stopping) and time.monotonic() < deadline:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    left = [job for job in running if job.at_work.poll() is None]
    for job in left:
        os.killpg(job.at_work.pid, signal.SIGTERM)
    for job in left:
        job.at_work.wait()
    if left:
        # A kernel is in a session of its own; it looks once a second whether papermill is still there, and ends
        # itself. What it writes until then must not be the last word.
        time.sleep(_SECONDS_UNTIL_KERNELS_END)
    for job in running:
        job.state, job.reason = "interrupted", "interrupted; the same command goes on from its last checkpoint"
        if job.trains and job.run_folder.read_status()["state"] != "interrupted":
            job._record("interrupted", reason=job.reason)


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
