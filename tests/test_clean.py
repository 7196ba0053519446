"""What of an experiment is deleted when it is cleaned, and that all else stays."""

import subprocess
import sys

import pytest
from command import dr_lab
from experiment_factory import photograph_table, recorded, write_run

import dr_lib
from dr_lib.storage.folders import ExperimentFolder

STATES = ("last.pt", "last-before.pt")


@pytest.fixture
def experiment(tmp_path):
    """A finished run, one whose table was changed since, an interrupted one, and results that were set aside."""
    table = photograph_table(60)
    for name, state in (("done", "done"), ("damaged", "done"), ("stopped", "interrupted")):
        folder = ExperimentFolder(tmp_path).run(name)
        write_run(tmp_path, table, name=name, state=state)
        folder.best_checkpoint.parent.mkdir()
        for file in (*STATES, "best.pt", "best.safetensors"):
            (folder.best_checkpoint.parent / file).write_bytes(bytes(1000))
        if state == "done":
            recorded(folder.path)
    ExperimentFolder(tmp_path).run("damaged").predictions.write_text("image\n")
    (tmp_path / "superseded" / "done-2026").mkdir(parents=True)
    (tmp_path / "superseded" / "done-2026" / "best.pt").write_bytes(bytes(500))
    return ExperimentFolder(tmp_path)


def files(experiment):
    return {str(path.relative_to(experiment.path)) for path in experiment.path.rglob("*") if path.is_file()} - {"lock"}


def test_states_of_finished_runs_go_and_nothing_else(experiment, capsys):
    before = files(experiment)
    assert dr_lab("clean", experiment.path, "--yes") == 0
    assert before - files(experiment) == {f"runs/done/checkpoints/{name}" for name in STATES}
    assert "2.0 kB deleted" in capsys.readouterr().out
    run = experiment.run("done")
    assert run.complete and not run.damaged()
    assert dr_lab("clean", experiment.path, "--yes") == 0
    assert "nothing to delete" in capsys.readouterr().out


def test_nothing_goes_unless_one_agrees(experiment, capsys):
    before = files(experiment)
    assert dr_lab("clean", experiment.path, "--superseded") == 0
    shown = capsys.readouterr().out
    assert files(experiment) == before
    assert "2.5 kB could be deleted; nothing was" in shown and "done-2026" in shown and "last-before.pt" in shown


def test_what_was_set_aside_goes_when_asked_for(experiment):
    gone = dr_lib.load_experiment(experiment.path).clean(superseded=True)
    assert {path.name for path in gone} == {*STATES, "done-2026"} and not any(path.exists() for path in gone)


def test_nothing_goes_while_runs_are_driven_or_at_work(experiment, capsys):
    hold = "import sys, time; from pathlib import Path; from dr_lib.storage.lock import acquire_lock\n"
    hold += "with acquire_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    for lock, status in ((experiment.lock, 2), (experiment.run("done").lock, 0)):
        before = files(experiment)
        command = [sys.executable, "-c", hold, lock]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "held\n"
            assert dr_lab("clean", experiment.path, "--yes") == status
            process.kill()
        shown = "".join(capsys.readouterr())
        assert files(experiment) - {"runs/done/lock"} == before - {"runs/done/lock"}, shown
        assert ("process" in shown) == (status == 2)
