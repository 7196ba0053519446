"""What of an experiment is done again, and why: by parameters and photographs, not by which files are there."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from experiment_factory import photograph_table, recorded, write_run

from dr_lib.config import RunConfig
from dr_lib.errors import InputError
from dr_lib.experiment.jobs import experiment_jobs
from dr_lib.experiment.run_experiment import check_one_pretraining, check_runs, make_way
from dr_lib.storage.files import read_json, write_json
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.storage.run_folder import RunFolder

DATA = SimpleNamespace(fingerprint="0" * 64, split=lambda split: range(10), table=range(30))


@pytest.fixture
def configs(tmp_path):
    """Two finished runs, from random and from generated weights."""
    table = photograph_table(60)
    made = [
        RunConfig(out_dir=str(tmp_path), name="plain", epochs=6, cache_dir="c"),
        RunConfig(
            out_dir=str(tmp_path), name="pretrained", epochs=6, pretrained=True, pretrained_weights="generated"
        ),
    ]  # fmt: skip
    for config in made:
        write_run(tmp_path, table, name=config.name)
        folder = ExperimentFolder(tmp_path).run(config.name)
        write_json(folder.config, {"parameters": config.model_dump(), "data": {"fingerprint": DATA.fingerprint}})
        folder.best_checkpoint.parent.mkdir(exist_ok=True)
        folder.best_checkpoint.write_bytes(b"weights")
        folder.log.write_text("what it printed\n")
        recorded(folder.path)
    return made


def planned(configs, fresh=False, **changes):
    """Return the state that each run is planned to have, by name, and why."""
    configs = [config.model_copy(update=changes) for config in configs]
    data = {config.run_name: DATA for config in configs}
    why = make_way(configs, data, fresh)
    return {job.title: job.state for job in experiment_jobs(configs, data) if job.trains}, why


def test_what_is_done_stays(configs):
    assert planned(configs) == ({"plain": "skipped", "pretrained": "skipped"}, {})


@pytest.mark.parametrize(
    "changes", [{"num_workers": 3}, {"cache_dir": "d"}, {"sampling_decay": 0.9}, {"checkpoint_minutes": 3.0}]
)
def test_what_makes_no_difference_has_nothing_done_again(configs, changes):
    assert planned(configs, **changes)[1] == {}


def test_a_change_has_done_again_what_depends_on_it_and_says_why(configs, tmp_path):
    states, why = planned(configs, pretraining_epochs=9)
    assert states == {"plain": "skipped", "pretrained": "queued"}
    assert why["pretrained"].startswith("pretraining_epochs was 4, is 9; its earlier results are now in ")
    aside = RunFolder(Path(why["pretrained"].rpartition(" ")[2]))
    assert aside.path.parent == tmp_path / "superseded"
    assert aside.complete and aside.log.read_text() == "what it printed\n" and aside.best_checkpoint.exists()
    folder = ExperimentFolder(tmp_path).run("pretrained")
    assert folder.read_status() | {"heartbeat": 0, "pid": 0} == {
        "state": "queued", "reason": why["pretrained"], "heartbeat": 0, "pid": 0,
    }  # fmt: skip
    assert planned(configs, pretraining_epochs=9)[1] == {}, "once"


def test_other_photographs_have_all_done_again(configs, monkeypatch):
    monkeypatch.setattr(DATA, "fingerprint", "1" * 64)
    states, why = planned(configs)
    assert set(states.values()) == {"queued"} and "the photographs or their labels have changed" in why["plain"]


@pytest.mark.parametrize("file", ["predictions.csv", "metrics.json", "checkpoints/best.pt"])
def test_a_run_that_lacks_a_result_is_not_done(configs, tmp_path, file):
    (tmp_path / "runs" / "plain" / file).unlink()
    states, why = planned(configs)
    assert states == {"plain": "queued", "pretrained": "skipped"}
    assert "so is the checkpoint to go on from; its earlier results are now in" in why["plain"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_run_whose_parameters_cannot_be_read_is_done_again(configs, tmp_path, text):
    ExperimentFolder(tmp_path).run("plain").config.write_text(text)
    states, why = planned(configs)
    assert states["plain"] == "queued" and why["plain"].startswith("config.json is damaged")


def test_fresh_has_all_done_again(configs):
    states, why = planned(configs, fresh=True)
    assert set(states.values()) == {"queued"} and why["plain"].startswith("begun anew, as --fresh asks; its earlier")


def test_nothing_is_touched_where_somebody_is_at_one_of_them(configs, tmp_path):
    lock = ExperimentFolder(tmp_path).run("pretrained").lock
    code = f"""
import pathlib, time
from dr_lib.storage.lock import acquire_lock
with acquire_lock(pathlib.Path({str(lock)!r})):
    print("held", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=rf"process {process.pid} on .* and seed was 0, is 1; wait for it"):
            planned(configs, seed=1)
        process.kill()
    assert not (tmp_path / "superseded").exists()
    assert planned(configs)[0] == {"plain": "skipped", "pretrained": "skipped"}


def test_runs_to_come_are_seen_from_elsewhere(configs, tmp_path):
    folder = ExperimentFolder(tmp_path).run("new")
    planned([*configs, configs[0].model_copy(update={"name": "new"})])
    assert read_json(folder.status)["state"] == "queued" and read_json(folder.status)["pid"] == os.getpid()


def test_two_pretrainings_of_one_network_are_refused(configs):
    other = configs[1].model_copy(update={"name": "larger", "resize": 300})
    with pytest.raises(InputError, match=r"pretrained and larger .* differ in resize; .* --out each"):
        check_runs([*configs, other])


def test_recipes_that_augment_otherwise_start_from_the_same_weights(configs):
    other = configs[1].model_copy(update={"name": "calmer", "augmentations": ["RandomCrop"]})
    check_one_pretraining([*configs, other])
