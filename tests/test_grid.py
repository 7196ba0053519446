"""The grid with real processes that pretend to be notebooks: what it starts when, and what it makes of their end."""

import io
import os
import subprocess
import sys

import pytest
from rich.console import Console

from dr_lib import grid
from dr_lib.grid import Job, run_jobs
from dr_lib.report.wording import duration
from dr_lib.runs import Experiment, RunFolder
from dr_lib.watch import Watch, job_table

PRETENDED_RUN = """
import sys, time
from pathlib import Path
from dr_lib.runs import RunFolder
kind, folder = sys.argv[1], RunFolder(Path(sys.argv[2]))
print("computing")
if kind == "dies":
    folder.write_status("running", epoch=1, epochs=2, phase="fine-tuning")
    print("Killed", flush=True)
    sys.exit(137)
if kind == "fails":
    folder.write_status("failed", reason="the disk is full")
    sys.exit(1)
if kind == "lasts":
    folder.write_status("running", epoch=1, epochs=2, phase="fine-tuning")
    time.sleep(60)
time.sleep(0.4)
folder.write_status("done", epoch=2, epochs=2)
"""


@pytest.fixture
def started(monkeypatch):
    """Lets the kind of each job, its notebook's name, be a pretended run; lists titles as they start."""
    titles = []

    def start(kind, files, parameters, *, threads, scratch):
        titles.append(files.path.name)
        with files.log.open("wb") as stream:
            return subprocess.Popen(
                [sys.executable, "-c", PRETENDED_RUN, kind, str(files.path)],
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    monkeypatch.setattr(grid, "start_notebook", start)
    monkeypatch.setattr(grid, "_SECONDS_BETWEEN_LOOKS", 0.05)
    monkeypatch.setattr(grid, "_SECONDS_UNTIL_KERNELS_END", 0.1)
    return titles


def job(tmp_path, title, kind, **more):
    folder = Experiment(tmp_path).run(title)
    return Job(title, kind, {"out_dir": str(tmp_path), "epochs": 2}, folder, **more)


def test_every_job_ends_with_the_truth_about_it(tmp_path, started):
    jobs = [job(tmp_path, kind, kind) for kind in ("works", "dies", "fails")]
    run_jobs(jobs, 2, lambda jobs: None)
    assert [item.state for item in jobs] == ["done", "failed", "failed"]
    assert jobs[1].reason == "its process ended with status 137: Killed"
    assert jobs[2].reason == "the disk is full"
    assert [item.files.read_status()["state"] for item in jobs] == ["done", "failed", "failed"]


def test_no_more_than_asked_for_run_at_the_same_time(tmp_path, started):
    at_once = []
    jobs = [job(tmp_path, f"run{number}", "works") for number in range(4)]
    run_jobs(jobs, 2, lambda jobs: at_once.append(sum(item.state == "running" for item in jobs)))
    assert max(at_once) == 2 and {item.state for item in jobs} == {"done"}


def test_what_starts_from_a_job_waits_for_it_and_fails_with_it(tmp_path, started):
    good, bad = job(tmp_path, "good", "works"), job(tmp_path, "bad", "dies")
    after_good = job(tmp_path, "after-good", "works", needs=good)
    after_bad = job(tmp_path, "after-bad", "works", needs=bad)
    free = job(tmp_path, "free", "works")
    run_jobs([good, bad, after_good, after_bad, free], 3, lambda jobs: None)
    assert started.index("after-good") > started.index("free")
    assert "after-bad" not in started
    assert (after_good.state, after_bad.state) == ("done", "failed")
    assert after_bad.files.read_status()["reason"] == "bad failed, which it starts from"


def test_skipped_jobs_do_not_start(tmp_path, started):
    run_jobs([job(tmp_path, "old", "works", state="skipped")], 1, lambda jobs: None)
    assert started == []


def test_an_interrupt_ends_the_processes_and_says_how_to_go_on(tmp_path, started):
    jobs = [job(tmp_path, "long", "lasts"), job(tmp_path, "next", "works")]

    def interrupt(jobs):
        if jobs[0].state == "running" and jobs[0].files.status.exists() and "epoch" in jobs[0].files.read_status():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, 1, interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(jobs[0].process.pid, 0)
    assert jobs[0].files.read_status()["reason"].startswith("interrupted; the same command goes on")
    assert started == ["long"]


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
    text = drawn(job_table([running]))
    for part in ("resnet50", "running", "fine-tuning", "3/25", "82.86 %", "0.710", "12 min"):
        assert part in text


def test_without_a_terminal_each_news_is_one_line(running):
    console = Console(file=io.StringIO(), force_terminal=False)
    with Watch(console) as watch:
        watch([running])
        watch([running])
        running.state, running.reason = "failed", "it broke [here]"
        watch([running])
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("resnet50: running, fine-tuning, 3/25, 82.86 %, 0.710, 12 min")
    assert lines[1].endswith("resnet50: failed, it broke [here]")


@pytest.mark.parametrize(
    ("seconds", "words"), [(5, "5 s"), (89, "89 s"), (200, "3 min"), (3 * 3600 + 300, "3 h 05 min")]
)
def test_durations_are_said_as_people_say_them(seconds, words):
    assert duration(seconds) == words
