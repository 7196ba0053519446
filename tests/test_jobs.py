"""The grid with real processes that pretend to be notebooks: what it starts when, and what it makes of their end."""

import errno
import io
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from rich.console import Console

from dr_lib.experiment import job
from dr_lib.experiment import jobs as grid
from dr_lib.experiment.job import Job
from dr_lib.experiment.jobs import LocalBackend, run_jobs
from dr_lib.experiment.status import Monitor, StatusTable
from dr_lib.notebook.process import start_notebook
from dr_lib.report.formatting import duration
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.storage.run_folder import RunFolder
from dr_lib.system.resources import GpuShares

PRETENDED_RUN = """
import os, signal, subprocess, sys, time
from pathlib import Path
from dr_lib.storage.run_folder import RunFolder
kind, folder = sys.argv[1], RunFolder(Path(sys.argv[2]))
print("computing", flush=True)
def running(epoch=1):
    folder.write_status("running", epoch=epoch, epochs=2, phase="fine-tuning")
if kind == "dies":
    running()
    print("Killed", flush=True)
    sys.exit(137)
if kind == "fails":
    folder.write_status("failed", reason="the disk is full")
    sys.exit(1)
if kind == "lasts":
    running()
    time.sleep(60)
if kind == "hangs":  # deaf to SIGTERM, and with a child in a session of its own, as a kernel is
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    kernel = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    (folder.path / "kernel").write_text(str(kernel.pid))
    running()
    time.sleep(60)
if kind == "beats":
    for _ in range(8):
        running()
        time.sleep(0.25)
if kind == "eats":
    import resource
    running()
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    bytearray(1 << 32)
if kind == "leaves its kernel":  # which holds the lock a while longer, as one that has not noticed yet
    if not (folder.path / "tried").exists():
        (folder.path / "tried").touch()
        held = "import sys, time; from pathlib import Path; from dr_lib.storage.lock import acquire_lock; "
        held += "lock = acquire_lock(Path(sys.argv[1])); lock.__enter__(); print('held', flush=True); time.sleep(0.7)"
        kernel = subprocess.Popen(
            [sys.executable, "-c", held, str(folder.lock)], start_new_session=True, stdout=subprocess.PIPE
        )
        kernel.stdout.readline()
        running()
        os.kill(os.getpid(), signal.SIGKILL)
if kind == "works the second time":
    tried = folder.path / "tried"
    if not tried.exists():
        tried.touch()
        running()
        sys.exit("no luck")
time.sleep(0.4)
folder.write_status("done", epoch=2, epochs=2)
"""


@pytest.fixture
def started(monkeypatch):
    """Lets the kind of each job, its notebook's name, be a pretended run; lists titles as they start."""
    titles = []

    def start(kind, files, parameters, *, threads, gpus, again):
        titles.append(files.path.name)
        (files.path / "gpus").write_text(",".join(gpus))
        with files.log.open("ab" if again else "wb") as stream:
            return pretend(kind, files, stream)

    monkeypatch.setattr(job, "start_notebook", start)
    for module in (grid, job):
        monkeypatch.setattr(module, "_SECONDS_BETWEEN_LOOKS", 0.05)
    monkeypatch.setattr(job, "_SECONDS_UNTIL_KERNELS_END", 0.1)
    return titles


def pretend(kind, files, stream):
    """Start a pretended run; its command line ends as papermill's does."""
    return subprocess.Popen(
        [sys.executable, "-c", PRETENDED_RUN, kind, str(files.path), "papermill", str(files.notebook)],
        stdout=stream,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def a_job(tmp_path, title, kind, **more):
    folder = ExperimentFolder(tmp_path).run(title)
    return Job(title, kind, {"out_dir": str(tmp_path), "epochs": 2, "device": "auto"}, folder, **more)


def quietly(jobs):
    """Watch nothing."""


def gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_every_job_ends_with_the_truth_about_it(tmp_path, started):
    jobs = [a_job(tmp_path, kind, kind) for kind in ("works", "dies", "fails")]
    run_jobs(jobs, LocalBackend(2), quietly)
    assert [item.state for item in jobs] == ["done", "failed", "failed"]
    assert jobs[1].reason == "its process ended with status 137: Killed"
    assert jobs[2].reason == "the disk is full"
    assert [item.files.read_status()["state"] for item in jobs] == ["done", "failed", "failed"]


def test_no_more_than_asked_for_run_at_the_same_time(tmp_path, started):
    at_once = []
    jobs = [a_job(tmp_path, f"run{number}", "works") for number in range(4)]
    run_jobs(jobs, LocalBackend(2), lambda jobs: at_once.append(sum(item.state == "running" for item in jobs)))
    assert max(at_once) == 2 and {item.state for item in jobs} == {"done"}


def test_what_starts_from_a_job_waits_for_it_and_fails_with_it(tmp_path, started):
    good, bad = a_job(tmp_path, "good", "works"), a_job(tmp_path, "bad", "dies")
    after_good = a_job(tmp_path, "after-good", "works", needs=good)
    after_bad = a_job(tmp_path, "after-bad", "works", needs=bad)
    free = a_job(tmp_path, "free", "works")
    run_jobs([good, bad, after_good, after_bad, free], LocalBackend(3), quietly)
    assert started.index("after-good") > started.index("free")
    assert "after-bad" not in started
    assert (after_good.state, after_bad.state) == ("done", "failed")
    assert after_bad.files.read_status()["reason"] == "bad failed, which it starts from"


def test_skipped_jobs_do_not_start(tmp_path, started):
    run_jobs([a_job(tmp_path, "old", "works", state="skipped")], LocalBackend(1), quietly)
    assert started == []


def test_an_interrupt_ends_the_processes_and_says_how_to_go_on(tmp_path, started):
    jobs = [a_job(tmp_path, "long", "lasts"), a_job(tmp_path, "next", "works")]

    def interrupt(jobs):
        if jobs[0].state == "running" and jobs[0].files.status.exists() and "epoch" in jobs[0].files.read_status():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, LocalBackend(1), interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(jobs[0].process.pid, 0)
    assert jobs[0].files.read_status()["reason"].startswith("interrupted; the same command goes on")
    assert started == ["long"]


def test_a_failed_run_keeps_its_last_words(tmp_path, started):
    dead = a_job(tmp_path, "dead", "dies")
    run_jobs([dead], LocalBackend(1), quietly)
    assert dead.files.read_status()["log"] == ["computing", "Killed"] == dead.last_words()


def test_a_run_that_is_killed_is_said_to_be_and_the_others_go_on(tmp_path, started):
    shot, other = a_job(tmp_path, "shot", "lasts"), a_job(tmp_path, "other", "works")

    def shoot(jobs):
        if shot.state == "running" and "epoch" in shot.files.read_status():
            os.kill(shot.process.pid, signal.SIGKILL)

    run_jobs([shot, other], LocalBackend(2), shoot)
    assert (shot.state, other.state) == ("failed", "done")
    assert shot.reason.startswith("its process was killed in epoch 1") and "memory" in shot.reason


def test_a_run_that_is_silent_for_too_long_is_ended_with_all_that_it_has_started(tmp_path, started):
    hanging, other = a_job(tmp_path, "hanging", "hangs"), a_job(tmp_path, "other", "works")
    began = time.monotonic()
    run_jobs([hanging, other], LocalBackend(1, timeout=1.5 / 60), quietly)
    assert time.monotonic() - began < 20
    assert (hanging.state, other.state) == ("failed", "done")
    assert hanging.reason == "it gave no sign of life for 0.025 min, and was ended"
    assert gone(hanging.process.pid) and gone(int((hanging.files.path / "kernel").read_text()))


def test_a_run_that_lives_is_not_taken_for_one_that_hangs(tmp_path, started):
    living = a_job(tmp_path, "living", "beats")
    run_jobs([living], LocalBackend(1, timeout=1 / 60), quietly)
    assert living.state == "done"


def test_what_fails_is_tried_again_as_often_as_asked_for(tmp_path, started):
    lucky, luckless = a_job(tmp_path, "lucky", "works the second time"), a_job(tmp_path, "luckless", "dies")
    once = a_job(tmp_path / "once", "once", "works the second time")
    said = set()
    run_jobs([lucky, luckless], LocalBackend(2), lambda jobs: said.update(item.reason for item in jobs), retries=2)
    run_jobs([once], LocalBackend(1), quietly)
    assert (lucky.state, luckless.state, once.state) == ("done", "failed", "failed")
    assert (started.count("lucky"), started.count("luckless"), started.count("once")) == (2, 3, 1)
    assert lucky.reason == "" and "try 1 failed: its process ended with status 1: no luck" in said
    assert luckless.files.log.read_text().count("Killed") == 3


def test_a_run_that_wants_more_memory_than_there_is_fails_by_name(tmp_path, started):
    greedy, other = a_job(tmp_path, "greedy", "eats"), a_job(tmp_path, "other", "works")
    run_jobs([greedy, other], LocalBackend(1), quietly)
    assert (greedy.state, other.state) == ("failed", "done")
    assert greedy.reason == "its process ended with status 1: MemoryError"


def test_a_run_is_not_begun_again_beside_its_old_kernel(tmp_path, started, monkeypatch):
    monkeypatch.setattr(job, "_SECONDS_UNTIL_KERNELS_END", 10)
    killed = a_job(tmp_path, "killed", "leaves its kernel")
    run_jobs([killed], LocalBackend(1), quietly, retries=1)
    assert (killed.state, started) == ("done", ["killed", "killed"])


def test_a_place_is_filled_as_soon_as_it_is_free(tmp_path, started, monkeypatch):
    monkeypatch.setattr(grid, "_SECONDS_BETWEEN_LOOKS", 120)
    jobs = [a_job(tmp_path, f"run{number}", "works") for number in range(2)]
    began = time.monotonic()
    run_jobs(jobs, LocalBackend(1), quietly)
    assert time.monotonic() - began < 120 and {item.state for item in jobs} == {"done"}


def test_a_full_disk_fails_the_run_and_not_the_grid(tmp_path, started, monkeypatch):
    crowded, other = a_job(tmp_path, "crowded", "works"), a_job(tmp_path, "other", "works")
    real = RunFolder.write_status

    def full(folder, state, **facts):
        if folder.name == "crowded":
            raise OSError(errno.ENOSPC, "No space left on device")
        real(folder, state, **facts)

    start = job.start_notebook

    def no_room(kind, files, parameters, **options):
        if files.path.name == "crowded":
            raise OSError(errno.ENOSPC, "No space left on device")
        return start(kind, files, parameters, **options)

    monkeypatch.setattr(RunFolder, "write_status", full)
    monkeypatch.setattr(job, "start_notebook", no_room)
    run_jobs([crowded, other], LocalBackend(1), quietly, retries=1)
    assert (crowded.state, other.state) == ("failed", "done")
    assert crowded.reason == f"{crowded.files.path}: cannot be written: No space left on device"


def test_a_notebook_that_cannot_be_shown_does_not_end_the_grid(tmp_path, started, caplog):
    half, other = a_job(tmp_path, "half", "works"), a_job(tmp_path, "other", "works")
    half.files.path.mkdir(parents=True)
    half.files.notebook.write_text('{"cells": [')
    run_jobs([half, other], LocalBackend(1), quietly)
    assert (half.state, other.state) == ("done", "done")
    assert "no page could be made" in caplog.text


@pytest.fixture
def orphan(tmp_path, started):
    """A run that a driver has left behind when it was killed."""
    left = a_job(tmp_path, "left", "works")
    left.files.path.mkdir(parents=True)
    left.files.parameters.write_text(f"out_dir: {tmp_path}\nepochs: 2\ndevice: auto\n")
    processes = []

    def leave(kind):
        with left.files.log.open("wb") as stream:
            processes.append(pretend(kind, left.files, stream))
        return left, processes[-1]

    yield leave
    for process in processes:
        process.kill()
        process.wait()


def test_a_run_that_is_still_at_work_from_an_earlier_start_is_waited_for(tmp_path, started, orphan):
    left, process = orphan("works")
    said = set()
    run_jobs([left], LocalBackend(1), lambda jobs: said.add(left.reason))
    assert f"process {process.pid} is still at it, from an earlier start; waiting for it" in said
    assert (left.state, left.reason, started) == ("done", "", [])


def test_an_orphan_that_is_killed_is_begun_again(tmp_path, started, orphan):
    left, process = orphan("lasts")

    def shoot(jobs):
        if process.poll() is None and left.state == "running" and "epoch" in left.files.read_status():
            process.kill()

    run_jobs([left], LocalBackend(1), shoot, retries=1)
    assert (left.state, started) == ("done", ["left"])


def test_a_folder_in_which_another_run_is_at_work_is_left_alone(tmp_path, started, orphan):
    left, process = orphan("lasts")
    left.parameters["epochs"] = 3
    while "epoch" not in left.files.read_status():
        time.sleep(0.02)
    before = left.files.status.read_text()
    run_jobs([left], LocalBackend(1), quietly, retries=1)
    assert left.state == "failed" and f"process {process.pid} executes" in left.reason
    assert left.files.status.read_text() == before and started == []


def test_the_longest_are_begun_first_after_what_others_wait_for(tmp_path, started):
    short, long = a_job(tmp_path, "short", "works", cost=1), a_job(tmp_path, "long", "works", cost=9)
    awaited = a_job(tmp_path, "awaited", "works")
    waiting = a_job(tmp_path, "waiting", "works", cost=5, needs=awaited)
    run_jobs([short, long, waiting, awaited], LocalBackend(1), quietly)
    assert started == ["awaited", "long", "waiting", "short"]


def test_each_run_gets_a_gpu_of_its_own(tmp_path, started, monkeypatch):
    monkeypatch.setattr(grid, "visible_gpus", lambda: ["GPU-a", "GPU-b"])
    jobs = [a_job(tmp_path, f"run{number}", "works") for number in range(3)]
    on_cpu = a_job(tmp_path, "on-cpu", "works")
    on_cpu.parameters["device"] = "cpu"
    run_jobs([*jobs, on_cpu], LocalBackend(2), quietly)
    gpus = [(item.files.path / "gpus").read_text() for item in [*jobs, on_cpu]]
    assert sorted(gpus[:2]) == ["GPU-a", "GPU-b"] and gpus[2] in ("GPU-a", "GPU-b") and gpus[3] == ""


def test_gpus_are_shared_evenly():
    shares = GpuShares(["0", "1", "2"])
    pair = shares.take({"devices": 2})
    assert pair == ("0", "1") and shares.take({}) == ("2",)
    assert shares.take({"device": "cuda:1"}) == shares.take({"device": "cpu"}) == ()
    shares.give_back(pair)
    assert [shares.take({"device": "cuda"})[0] for _ in range(3)] == ["0", "1", "0"]
    assert GpuShares([]).take({}) == ()


def test_what_is_started_sees_its_gpus_alone(tmp_path, monkeypatch):
    options = {}
    monkeypatch.setattr(subprocess, "Popen", lambda command, **more: options.update(more))
    folder = ExperimentFolder(tmp_path).run("run")
    folder.path.mkdir(parents=True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    start_notebook("train", folder, {}, threads=3, gpus=("5",))
    assert (options["env"]["CUDA_VISIBLE_DEVICES"], options["env"]["OMP_NUM_THREADS"]) == ("5", "3")
    start_notebook("train", folder, {}, threads=3)
    assert options["env"]["CUDA_VISIBLE_DEVICES"] == "4,5"


def history_row(epoch, seconds):
    return {
        "epoch": epoch, "phase": "fine-tuning", "lr": 0.1, "train_loss": 1, "train_accuracy": 0.5, "val_loss": 1,
        "val_accuracy": 0.5, "val_kappa": 0.1, "test_loss": 1, "test_accuracy": 0.8286, "test_kappa": 0.71,
        "seconds": seconds, "images_per_second": 10,
    }  # fmt: skip


@pytest.fixture
def running(tmp_path):
    """A run of 25 epochs of which two are done, 30 s each."""
    folder = RunFolder(tmp_path / "runs" / "resnet50")
    folder.write_history([history_row(1, 20), history_row(2, 30)])
    folder.write_status("running", epoch=3, epochs=25, phase="fine-tuning")
    return Job("resnet50", "train", {"epochs": 25}, folder, state="running")


def drawn(table):
    console = Console(file=io.StringIO(), width=140)
    console.print(table)
    return console.file.getvalue()


def test_the_table_shows_phase_epoch_accuracy_and_time_left(running):
    text = drawn(StatusTable([running.standing()]))
    for part in ("resnet50", "running", "fine-tuning", "3/25", "82.86 %", "0.710", "12 min"):
        assert part in text


def test_without_a_terminal_each_news_is_one_line(running):
    console = Console(file=io.StringIO(), force_terminal=False)
    with Monitor(console) as watch:
        watch([running])
        watch([running])
        running.state, running.reason = "failed", "it broke [here]"
        watch([running])
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("resnet50: running, fine-tuning, 3/25, 82.86 %, 0.710, 12 min")
    assert lines[1].endswith("resnet50: failed, 2/25, 82.86 %, 0.710, it broke [here]")


@pytest.mark.parametrize(
    ("seconds", "words"), [(5, "5 s"), (89, "89 s"), (200, "3 min"), (3 * 3600 + 300, "3 h 05 min")]
)
def test_durations_are_said_as_people_say_them(seconds, words):
    assert duration(seconds) == words


class Clocks:
    """Both clocks of a machine, and its sleep."""

    def __init__(self, monkeypatch):
        self.steady = 1000.0
        monkeypatch.setattr(job.time, "monotonic", lambda: self.steady)

    def ask(self, one, seconds, every=0.5):
        """Let time pass, asking how long a job has been silent as a driver does; return what was said last."""
        for _ in range(round(seconds / every)):
            self.steady += every
            silent = one.seconds_silent()
        return silent


def test_silence_counts_while_the_machine_is_awake(tmp_path, monkeypatch):
    clocks, one = Clocks(monkeypatch), a_job(tmp_path, "run", "train")
    one.files.write_status("running", epoch=1)
    assert one.seconds_silent() == 0
    assert clocks.ask(one, 60) == pytest.approx(60)
    clocks.steady += 8 * 3600  # asleep, or its container is paused: no clock tells
    assert one.seconds_silent() < 66
    assert clocks.ask(one, 30) < 96
    one.files.write_status("running", epoch=1)
    assert clocks.ask(one, 0.5) == 0 and clocks.ask(one, 20) == pytest.approx(20)


def test_each_sign_of_life_ends_the_silence_and_file_times_are_none(tmp_path, monkeypatch):
    clocks, one = Clocks(monkeypatch), a_job(tmp_path, "run", "train")
    one.files.write_status("running", epoch=1)
    one.seconds_silent()
    for sign in (one.files.write_heartbeat, lambda: one.files.log.write_text("a line")):
        assert clocks.ask(one, 20) == pytest.approx(20)
        sign()
        assert clocks.ask(one, 0.5) == 0
    os.utime(one.files.log)
    assert clocks.ask(one, 20) == pytest.approx(20)


def test_the_hour_that_is_set_anew_is_no_silence(tmp_path, monkeypatch):
    clocks, one = Clocks(monkeypatch), a_job(tmp_path, "run", "train")
    one.files.write_status("running", epoch=1, heartbeat=0)  # the clock on the wall is wrong by decades
    one.seconds_silent()
    assert clocks.ask(one, 10) == pytest.approx(10)


def test_a_pretraining_that_waits_for_a_machine_of_a_cluster_is_queued_and_one_that_has_begun_is_running(tmp_path):
    files = ExperimentFolder(tmp_path).pretraining("resnet18")
    files.path.mkdir(parents=True)
    files.log.write_text("an earlier try\n")
    waiting = Job("pretraining resnet18", "pretrain", {}, files)
    waiting.hand_over()
    assert waiting.standing().state == "queued"
    files.log.write_text("begun\n")
    assert waiting.standing().state == "running"
