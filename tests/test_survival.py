"""Runs that are killed, told to stop, or whose files are damaged: nothing is lost, and in the end nothing tells."""

import contextlib
import errno
import json
import os
import pty
import random
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import safetensors.torch
import torch
from command import ForkedTraining, dr_lab
from data_folders import eyes, write_course, write_photographs

from dr_lib.config import RunConfig
from dr_lib.errors import InputError
from dr_lib.storage.files import scratch_folder
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.storage.lock import acquire_lock
from dr_lib.system.signals import Interrupted, Interruption, raising_signals
from dr_lib.training import checkpoint
from dr_lib.training.checkpoint import load_state, previous, save_state


@pytest.fixture(scope="module")
def params(tmp_path_factory):
    folder = tmp_path_factory.mktemp("survival")
    training, testing = eyes(range(1, 31)), eyes(range(31, 41))
    write_course(folder / "course", training, testing)
    write_photographs(folder / "course", [*training, *testing])
    file = folder / "params.yaml"
    file.write_text(
        f"data_dir: {folder / 'course'}\ncache_dir: {folder / 'cache'}\nmodel: shufflenet_v2_x0_5\nname: run\n"
        "resize: 40\nimage_size: 32\nbatch_size: 8\nepochs: 4\nvalidation_share: 0.2\nlearning_rate: 0.01\n"
        "ema_decay: 0.9\nsampling: sqrt\nmixup_alpha: 0.2\nschedule: cosine\ncheckpoint_minutes: 0.0005\n"
    )
    return file


def start(params, out_dir, *more):
    out_dir.mkdir(exist_ok=True)
    return ForkedTraining(params.with_name("errors"), params, "--set", f"out_dir={out_dir}", *more)


def run_to_its_end(params, out_dir):
    status, errors = start(params, out_dir).wait()
    assert status == 0, errors


@pytest.fixture(scope="module")
def whole(params, tmp_path_factory):
    """A run that nobody disturbs, in a process of its own as users start it."""
    out_dir = tmp_path_factory.mktemp("whole")
    command = [sys.executable, "-m", "dr_lib.training", params, "--set", f"out_dir={out_dir}"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    return ExperimentFolder(out_dir).run("run")


def assert_same_results(folder, whole):
    ours, theirs = (f.read_history().drop(columns=["seconds", "images_per_second"]) for f in (folder, whole))
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
    assert folder.predictions.read_bytes() == whole.predictions.read_bytes()
    kept = [safetensors.torch.load_file(f.best_checkpoint.with_suffix(".safetensors")) for f in (folder, whole)]
    assert kept[0].keys() == kept[1].keys() and all(torch.equal(kept[0][key], kept[1][key]) for key in kept[0])


@pytest.mark.slow
def test_a_run_that_is_killed_at_random_moments_ends_as_one_that_is_not(params, whole, tmp_path):
    """From its first writing to its last, six times over, and once more from the beginning."""
    rng, kills = random.Random(1), 0
    for out_dir in (tmp_path / "first", tmp_path / "second"):
        folder = ExperimentFolder(out_dir).run("run")
        for _ in range(6):
            process = start(params, out_dir)
            while folder.read_status().get("pid") != process.pid and process.running():
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 1))
            if process.running():
                os.kill(process.pid, signal.SIGKILL)
            status, errors = process.wait()
            assert status in (0, -signal.SIGKILL), errors
            kills += status == -signal.SIGKILL
        run_to_its_end(params, out_dir)
        assert_same_results(folder, whole)
    assert kills >= 5


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_is_told_to_stop_does_so_after_its_step(params, whole, tmp_path, number, status):
    folder = ExperimentFolder(tmp_path).run("run")
    process = start(params, tmp_path)
    while not folder.history.exists():
        assert process.running(), process.wait()
        time.sleep(0.01)
    os.kill(process.pid, number)
    stopped, errors = process.wait(30)
    assert stopped == status and "goes on where it stopped" in errors
    assert folder.read_status()["state"] == "interrupted" and folder.last_checkpoint.exists()
    run_to_its_end(params, tmp_path)
    assert_same_results(folder, whole)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of its own, and a function that gives it another size, MB."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def resize(size, *options):
        command = ["mount", "-t", "tmpfs", "-o", ",".join([*options, f"size={size}m"]), "tmpfs", disk]
        return subprocess.run(command, capture_output=True).returncode == 0

    if not resize(12):
        pytest.skip("mounting a small disk needs root")
    yield disk, lambda size: resize(size, "remount")
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.slow
def test_a_run_that_fills_the_disk_says_so_and_goes_on_when_there_is_room(params, whole, small_disk):
    disk, resize = small_disk
    folder = ExperimentFolder(disk / "out").run("run")
    status, errors = start(params, disk / "out").wait()
    assert status == 1, errors
    assert "No space left on device" in folder.read_status()["reason"]
    kept = load_state(folder.last_checkpoint)
    assert kept is not None and list(folder.path.rglob("*.part")) == []
    assert resize(100)
    run_to_its_end(params, disk / "out")
    assert_same_results(folder, whole)


@pytest.mark.slow
def test_other_parameters_over_a_run_are_refused(params, whole):
    before = {path: path.read_bytes() for path in whole.path.rglob("*") if path.is_file() and path.name != "lock"}
    changes = ("--set", "learning_rate=0.02", "--set", "epochs=9")
    status, errors = start(params, whole.path.parent.parent, *changes).wait()
    assert status == 2 and len(errors.strip().splitlines()) == 1
    assert "epochs was 4, is 9" in errors and "learning_rate was 0.01, is 0.02" in errors and "--fresh" in errors
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.slow
def test_a_second_run_on_a_folder_is_refused_naming_the_first(params, tmp_path):
    folder = ExperimentFolder(tmp_path).run("run")
    with acquire_lock(folder.lock):
        status, errors = start(params, tmp_path).wait()
    assert status == 2
    assert f"process {os.getpid()} on " in errors and len(errors.strip().splitlines()) == 1


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path):
    code = f"""
import os, signal, pathlib
from dr_lib.storage.lock import acquire_lock
with acquire_lock(pathlib.Path({str(tmp_path / "lock")!r})):
    os.fork() or __import__("time").sleep(5)  # what is forked must not keep it
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    assert json.loads((tmp_path / "lock").read_text())["pid"] != os.getpid()
    with acquire_lock(tmp_path / "lock"):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


STATES = [{"n": torch.full((1000,), float(n))} for n in range(4)]


def number(state):
    return int(state["n"][0])


def test_a_damaged_checkpoint_is_passed_over_with_a_word(tmp_path, caplog):
    path = tmp_path / "last.pt"
    assert load_state(path) is None
    for state in STATES[:3]:
        save_state(path, state)
    assert number(load_state(path)) == 2 and not caplog.text
    path.write_bytes(path.read_bytes()[:700])
    assert number(load_state(path)) == 1
    assert "last.pt" in caplog.text and "going on from the checkpoint before it" in caplog.text
    path.unlink()  # killed between the two renamings
    assert number(load_state(path)) == 1
    previous(path).write_bytes(b"nothing")
    with pytest.raises(InputError, match="--fresh"):
        load_state(path)


@pytest.mark.parametrize("moment", ["writing", "reading back", "first renaming", "second renaming"])
def test_whatever_stops_a_checkpoint_from_being_written_the_one_before_is_there(tmp_path, monkeypatch, moment):
    path = tmp_path / "last.pt"
    for state in STATES[:2]:
        save_state(path, state)
    full = OSError(errno.ENOSPC, "No space left on device")

    def fails(*args, **options):
        raise full

    if moment == "writing":
        monkeypatch.setattr(checkpoint, "write_sealed", fails)
    elif moment == "reading back":
        monkeypatch.setattr(torch, "load", fails)
    else:
        real, calls = os.replace, []

        def replace(source, target):
            calls.append(target)
            # The first call is that of writing beside.
            if len(calls) == {"first renaming": 2, "second renaming": 3}[moment]:
                raise full
            real(source, target)

        monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match="No space"):
        save_state(path, STATES[2])
    monkeypatch.undo()
    assert number(load_state(path)) == 1
    assert [file.name for file in tmp_path.iterdir() if file.suffix == ".new" or "part" in file.name] == []
    save_state(path, STATES[3])
    assert number(load_state(path)) == 3


def test_code_in_a_checkpoint_is_never_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'owned'}",)

    torch.save({"learner": Evil()}, tmp_path / "last.pt")
    with pytest.raises(InputError, match="safely"):
        load_state(tmp_path / "last.pt")
    assert not (tmp_path / "owned").exists()


@pytest.mark.slow
@pytest.mark.notebooks
def test_a_grid_that_is_told_to_stop_goes_on_with_the_same_command(params, whole, tmp_path):
    """From the driver's signal through papermill's kernel to the checkpoint, and back."""
    folder = ExperimentFolder(tmp_path / "out").run("run")
    run_file = tmp_path / "run.yaml"
    run_file.write_text("name: run\n")
    command = [
        sys.executable, "-m", "dr_lib.cli", "run", "--data", params, run_file, "--out", tmp_path / "out",
        "--set", "device=cpu", "--jobs", "2",  # one thread each, as the run to compare with
    ]  # fmt: skip
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **options, env=os.environ | {"OMP_NUM_THREADS": "1"}) as process:
        while not folder.history.exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 143
        assert "the same command goes on from the last checkpoints" in process.stderr.read()
    assert folder.read_status()["state"] == "interrupted"
    done = subprocess.run(command, **options, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert_same_results(folder, whole)


def in_a_terminal_that_closes(code, folder):
    """Run ``code`` as the leader of a terminal's session, close the terminal once ``folder/ready`` is there."""
    process, terminal = pty.fork()
    if process == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, and so would be here
        os.execv(sys.executable, [sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while not (folder / "ready").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_terminal_that_closes_stops_what_runs_in_it_and_printing_on_is_no_error(tmp_path):
    noted = f"""
import pathlib, sys, time
from dr_lib.system.signals import Interrupted, Interruption
folder = pathlib.Path({str(tmp_path)!r})
with Interruption() as interruption:
    (folder / "ready").touch()
    while interruption.requested is None:
        time.sleep(0.02)
    print("stopping", flush=True)
    print("stopping", flush=True, file=sys.stderr)
    try:
        interruption.raise_if_requested()
    except Interrupted as stop:
        (folder / "said").write_text(str(stop))
        sys.exit(stop.exit_status)
"""
    assert in_a_terminal_that_closes(noted, tmp_path) == 129
    assert (tmp_path / "said").read_text().startswith("interrupted by SIGHUP")


def test_nohup_stays_nohup():
    with signals_as_they_were(signal.SIGHUP, signal.SIG_IGN):
        with Interruption() as interruption, raising_signals():
            os.kill(os.getpid(), signal.SIGHUP)
        assert interruption.requested is None


@contextlib.contextmanager
def signals_as_they_were(number, handler):
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_command_that_is_told_to_stop_clears_up_and_says_so(tmp_path, monkeypatch, capsys, number, status):
    def draw(folder, **arguments):
        with scratch_folder(tmp_path):
            os.kill(os.getpid(), number)
            time.sleep(5)

    monkeypatch.setattr("dr_lib.synthetic.make_data", draw)
    monkeypatch.setattr("dr_lib.system.signals._leave_terminal", lambda number: None)  # it is the tests' own
    with signals_as_they_were(number, signal.SIG_DFL):
        assert dr_lab("make-data", tmp_path / "data") == status
        assert signal.getsignal(number) == signal.SIG_DFL
    assert capsys.readouterr().err == f"dr-lab: interrupted by {signal.Signals(number).name}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_told_to_stop_while_it_decodes_says_so_in_its_folder(tmp_path, monkeypatch):
    from dr_lib.training import run

    monkeypatch.setattr(run, "prepare_data", lambda config: os.kill(os.getpid(), signal.SIGTERM) or time.sleep(5))
    with pytest.raises(Interrupted), signals_as_they_were(signal.SIGTERM, signal.SIG_DFL):
        run.train(RunConfig(out_dir=str(tmp_path), name="run", device="cpu"))
    assert ExperimentFolder(tmp_path).run("run").read_status()["state"] == "interrupted"
