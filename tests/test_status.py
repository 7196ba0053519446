"""What folders alone tell of runs, how long runs will take, and which seeds they are done with."""

import io
import json
import math
import os
import signal
import subprocess
import sys
import time

import pytest
from experiment_factory import photograph_table, write_experiment, write_run
from rich.console import Console

from dr_lib.config import RunConfig
from dr_lib.errors import InputError
from dr_lib.experiment.plan import parse_seeds, with_seeds
from dr_lib.experiment.status import RunStatus, StatusTable, follow, read_statuses, status_of
from dr_lib.experiment.time_estimate import TimeEstimate, time_of_all
from dr_lib.report.collect import collect
from dr_lib.report.report_page import report_page
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.storage.lock import acquire_lock, lock_owner

AT_WORK = """
import sys, time
from pathlib import Path
from dr_lib.storage.run_folder import RunFolder
from dr_lib.storage.lock import acquire_lock
folder = RunFolder(Path(sys.argv[1]))
with acquire_lock(folder.lock):
    folder.write_status("running", epoch=2, epochs=25, phase="fine-tuning")
    time.sleep(60)
"""


@pytest.fixture
def at_work(tmp_path):
    """A run that another process is at, with one epoch done."""
    folder = ExperimentFolder(tmp_path).run("run")
    folder.write_history([epoch(1, seconds=30)])
    process = subprocess.Popen([sys.executable, "-c", AT_WORK, folder.path])
    while "epoch" not in folder.read_status():
        time.sleep(0.02)
    yield folder, process
    process.kill()
    process.wait()


def epoch(number, *, phase="fine-tuning", seconds=30.0, rate=10.0):
    """Return a row of the history."""
    return {"epoch": number, "phase": phase, "test_accuracy": 0.8286, "test_kappa": 0.71, "seconds": seconds,
            "images_per_second": rate}  # fmt: skip


def drawn(table):
    console = Console(file=io.StringIO(), width=140)
    console.print(table)
    return console.file.getvalue()


def test_a_run_at_work_elsewhere_is_told_from_one_whose_process_is_gone(at_work):
    folder, process = at_work
    found = status_of(folder)
    assert (found.state, found.phase, found.epoch, found.epochs) == ("running", "fine-tuning", 2, 25)
    assert (found.accuracy, found.kappa, found.left) == (0.8286, 0.71, 24 * 30)
    assert f"process {process.pid} on " in lock_owner(folder.lock)
    with pytest.raises(InputError), acquire_lock(folder.lock):
        pass  # looking has not let go of it
    process.send_signal(signal.SIGKILL)
    process.wait()
    gone = status_of(folder)
    assert gone.state == "failed" and "gone without a word" in gone.reason
    assert gone.epoch == 1 and math.isnan(gone.left) and lock_owner(folder.lock) is None


def test_nobody_holds_a_lock_that_is_not_there(tmp_path):
    assert lock_owner(tmp_path / "lock") is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"state": "dancing"}', "\0"])
def test_a_damaged_status_is_that_of_a_failed_run(tmp_path, text):
    folder = ExperimentFolder(tmp_path).run("run")
    folder.path.mkdir(parents=True)
    folder.status.write_text(text)
    assert status_of(folder).state == "failed" and "damaged" in status_of(folder).reason


def test_the_table_counts_states_and_gives_reasons(tmp_path):
    experiment = ExperimentFolder(tmp_path)
    for name, state, facts in (
        ("a", "done", {}), ("b", "failed", {"reason": "out of memory [b]"}), ("c", "queued", {}), ("d", "done", {}),
    ):  # fmt: skip
        if name == "a":
            experiment.run(name).write_history([epoch(1), epoch(2)])
        experiment.run(name).write_status(state, **facts)
    text = drawn(StatusTable(read_statuses(experiment)))
    assert "2/2" in text and "82.86 %" in text and "b: out of memory [b]" in text
    assert text.splitlines()[-1] == "1 queued, 2 done, 1 failed"


def test_the_chosen_epoch_stands_beside_the_last(tmp_path):
    folder = ExperimentFolder(tmp_path).run("run")
    folder.write_history([epoch(1) | {"test_accuracy": 0.9, "test_kappa": 0.8}, epoch(2)])
    folder.write_status("done", epoch=2, epochs=2, chosen=1)
    run = status_of(folder)
    assert (run.epoch, run.accuracy, run.kappa) == (2, 0.8286, 0.71)
    assert (run.chosen, run.chosen_accuracy, run.chosen_kappa) == (1, 0.9, 0.8)
    heading, row, _ = drawn(StatusTable([run])).splitlines()
    assert heading.split("  ")[-1] == "time left" and "chosen epoch" in heading
    assert row.split()[-6:] == ["%", "0.710", "1", "90.00", "%", "0.800"]
    folder.write_status("done", epoch=2, epochs=2, chosen=7)  # of a history that has been cut
    assert status_of(folder).chosen == 0


def test_following_ends_with_the_last_run(at_work, monkeypatch):
    folder, process = at_work
    monkeypatch.setattr("dr_lib.experiment.status._SECONDS_BETWEEN_LOOKS", 0.05)
    looks = []

    def look():
        looks.append([status_of(folder)])
        if len(looks) == 3:
            process.kill()
            process.wait()
        return looks[-1]

    follow(Console(file=io.StringIO(), force_terminal=True), look)
    assert [look[0].state for look in looks] == ["running", "running", "running", "failed"]


def test_following_goes_on_between_two_runs_of_a_driver(tmp_path, monkeypatch):
    monkeypatch.setattr("dr_lib.experiment.status._SECONDS_BETWEEN_LOOKS", 0.01)
    experiment, looks, driven = ExperimentFolder(tmp_path), [], iter([True, True, False])
    experiment.run("next").write_status("queued")

    def look():
        looks.append(read_statuses(experiment))
        return looks[-1]

    console = Console(file=io.StringIO(), force_terminal=True)
    follow(console, look, lambda: next(driven))
    assert len(looks) == 3 and "1 queued" in console.file.getvalue()


def test_a_small_screen_shows_what_matters(tmp_path):
    runs = [RunStatus(f"run{number:03}", ("done", "queued")[number % 2]) for number in range(200)]
    runs += [RunStatus("bad", "failed", reason="it broke\x1b[2J"), RunStatus("busy", "running", epoch=2, epochs=9)]
    lines = drawn(StatusTable(runs, height=12)).splitlines()
    assert len(lines) == 12
    assert [line.split()[0] for line in lines if "failed" in line or "running" in line][:2] == ["bad", "busy"]
    assert "... and 194 more" in lines and "bad: it broke\\x1b[2J" in lines
    assert lines[-1] == "100 queued, 1 running, 100 done, 1 failed"
    assert len(drawn(StatusTable(runs)).splitlines()) == 1 + 202 + 1 + 1


@pytest.mark.slow
def test_a_thousand_runs_are_told_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda file: None)
    rows = [epoch(number) for number in range(1, 26)]
    for number in range(1000):
        folder = ExperimentFolder(tmp_path).run(f"run{number:04}")
        if number == 0:
            folder.write_history(rows)
            history = folder.history.read_bytes()
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.history.write_bytes(history)
        folder.write_status(("done", "running")[number % 2], epoch=25, epochs=25)
    code = f"""
import sys, time
began = time.process_time()
from dr_lib.cli import main
sys.argv = ["dr-lab", "status", {str(tmp_path)!r}]
try:
    main()
except SystemExit:
    pass
assert "torch" not in sys.modules and "pandas" not in sys.modules
print(time.process_time() - began)
"""
    seconds = []
    for _ in range(3):
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        lines = told.stdout.splitlines()
        assert lines[1000].startswith("run0999") and "500 done, 500 failed" in lines[-2]
        seconds.append(float(lines[-1]))
        if seconds[-1] < 2.0:
            break
    # Processor time, and the best of three: 0.7 s on a core of its own, more where others' work shares its caches.
    assert min(seconds) < 2.0


def test_a_report_shows_what_there_is_while_runs_are_going(tmp_path, at_work):
    table = photograph_table(300)
    write_experiment(tmp_path, photographs=300)
    half = ExperimentFolder(write_run(tmp_path, table, name="half", state="running").parent.parent).run("half")
    half.history.write_text(half.history.read_text()[:-20])
    for name in ("just-made", "begun"):
        ExperimentFolder(tmp_path).run(name).path.mkdir()
    ExperimentFolder(tmp_path).run("begun").lock.touch()
    text = report_page(collect(tmp_path))
    assert "ResNet50" in text and "82" in text
    assert "epoch 2 of 25" in text and "just-made" in text


def finished(tmp_path, name, model, rows, **parameters):
    folder = ExperimentFolder(tmp_path).run(name)
    folder.write_history(rows)
    folder.config.write_text(json.dumps({"parameters": {"model": model, "image_size": 224, **parameters}}))
    folder.best_checkpoint.parent.mkdir()
    folder.best_checkpoint.touch()
    folder.write_status("done")
    return folder


def test_times_are_foretold_from_finished_runs_of_the_same_network_and_size(tmp_path):
    finished(tmp_path, "a", "resnet18", [epoch(1, rate=80), epoch(2, rate=100), epoch(3, rate=110)])
    finished(tmp_path, "b", "resnet18", [epoch(1, phase="feature extraction", rate=300)])
    ExperimentFolder(tmp_path).run("not-done").write_status("running")
    forecast = TimeEstimate(ExperimentFolder(tmp_path).runs())
    scratch = RunConfig(model="resnet18", epochs=10)
    # 1000 photographs at 100 a second, and 300 of which a pass is a third of a step.
    assert forecast.seconds(scratch, 1000, 300) == pytest.approx(10 * (10 + 1))
    assert forecast.seconds(scratch, 1000, 300, epochs_done=4) == pytest.approx(6 * (10 + 1))
    pretrained = RunConfig(model="resnet18", epochs=10, pretrained=True, feature_extraction_epochs=3)
    assert forecast.seconds(pretrained, 900, 0) == pytest.approx(3 * 3 + 7 * 9)
    for unknown in ({"model": "resnet50"}, {"image_size": 112}):
        assert forecast.seconds(RunConfig(**{"model": "resnet18"} | unknown), 1000, 300) is None


def test_runs_of_other_experiments_on_this_device_tell_what_is_not_measured_here(tmp_path):
    for name, device, rate in (("near", "a processor", 100), ("far", "another one", 900)):
        folder = finished(tmp_path / name, "run", "resnet18", [epoch(1, rate=rate)])
        facts = json.loads(folder.config.read_text())
        folder.config.write_text(json.dumps(facts | {"device": {"name": device}}))
        folder.write_status("done")
    here = ExperimentFolder(tmp_path / "here")
    forecast = TimeEstimate(here.runs(), here.other_runs(), "a processor")
    assert forecast.photographs_a_second(RunConfig(model="resnet18")) == 100
    finished(here.path, "own", "resnet18", [epoch(1, rate=7)])
    forecast = TimeEstimate(here.runs(), here.other_runs(), "a processor")
    assert forecast.photographs_a_second(RunConfig(model="resnet18")) == 7


@pytest.mark.parametrize("measured", [False, True])
def test_deeper_networks_and_more_epochs_cost_more(tmp_path, measured):
    if measured:
        finished(tmp_path, "a", "resnet18", [epoch(1, rate=100)])
    forecast = TimeEstimate(ExperimentFolder(tmp_path).runs())
    cost = {
        (model, epochs): forecast.cost(RunConfig(model=model, epochs=epochs), 1000, 100)
        for model in ("resnet18", "resnet50")
        for epochs in (10, 25)
    }
    assert sorted(cost, key=cost.__getitem__) == [
        ("resnet18", 10), ("resnet50", 10), ("resnet18", 25), ("resnet50", 25),
    ]  # fmt: skip
    head_first = RunConfig(model="resnet18", epochs=10, pretrained=True, feature_extraction_epochs=5)
    assert forecast.cost(head_first, 1000, 100) <= cost["resnet18", 10]


@pytest.mark.parametrize(("parallel", "hours"), [(1, 12), (2, 6), (3, 5), (9, 5)])
def test_time_of_all_is_that_of_the_busiest(parallel, hours):
    assert time_of_all([5, 1, 1, 4, 1], parallel) == hours


def test_each_configuration_is_done_once_a_seed():
    configs = [RunConfig(name="resnet18"), RunConfig(name="own", seed=2)]
    runs = with_seeds(configs, parse_seeds("0,1,2"))
    assert [(run.name, run.seed) for run in runs] == [
        ("resnet18", 0), ("own-seed0", 0), ("resnet18-seed1", 1), ("own-seed1", 1), ("resnet18-seed2", 2), ("own", 2),
    ]  # fmt: skip
    assert {run.split_seed for run in runs} == {0}


@pytest.mark.parametrize(
    ("text", "words"), [("0,x", "whole numbers"), ("", "whole numbers"), ("1,1", "twice"), ("0,-1", "-1")]
)
def test_bad_seeds_are_refused(text, words):
    with pytest.raises(InputError, match=words):
        with_seeds([RunConfig()], parse_seeds(text))


def test_a_seed_that_would_share_a_folder_is_refused():
    with pytest.raises(InputError, match="a-seed1"):
        with_seeds([RunConfig(name="a"), RunConfig(name="a-seed1")], [0, 1])


def test_runs_of_several_seeds_are_grouped_by_the_report(tmp_path):
    table = photograph_table(300)
    for run in with_seeds([RunConfig(name="resnet18"), RunConfig(name="resnet50", model="resnet50")], [0, 1]):
        write_run(tmp_path, table, run.model, name=run.name, seed=run.seed)
    assert [[run.name for run in setting.runs] for setting in collect(tmp_path).configurations] == [
        ["resnet18", "resnet18-seed1"], ["resnet50", "resnet50-seed1"],
    ]  # fmt: skip


def test_a_run_without_progress_for_long_says_since_when(at_work):
    folder, _ = at_work
    for silent, reason in ((500, ""), (700, "no progress since 20")):
        folder.write_status("running", epoch=2, epochs=25, heartbeat=time.time() - silent)
        found = status_of(folder)
        assert found.state == "running" and found.reason.startswith(reason) and bool(found.reason) == bool(reason)
    folder.write_status("done", heartbeat=0)
    assert status_of(folder).reason == ""
