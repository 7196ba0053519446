"""Damaged files of a run: each is known by its checksum, named, and made again or refused; none is believed."""

import math
import random
import shutil
import struct
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch
from data_folders import eyes, write_course, write_photographs

from dr_lib.config import RunConfig
from dr_lib.data.prepare import prepare_data
from dr_lib.errors import InputError
from dr_lib.experiment.dry_run import plan_dry_run
from dr_lib.experiment.jobs import experiment_jobs
from dr_lib.experiment.run_experiment import make_way
from dr_lib.experiment.status import status_of
from dr_lib.explore.loaded_run import LoadedRun
from dr_lib.inference.backends import select_backend
from dr_lib.models.trained import load_trained
from dr_lib.models.weights import load_weights_file, read_state
from dr_lib.report.collect import collect
from dr_lib.storage.checksums import damage, sha256, write_sealed_json
from dr_lib.storage.files import read_json, write_json
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.storage.run_folder import RunFolder, run_of
from dr_lib.training import pretrain as pretrain_module
from dr_lib.training.checkpoint import load_state, previous, save_network, write_checkpoint
from dr_lib.training.pretrain import weights_are_there
from dr_lib.training.resume import resumable_state
from dr_lib.training.run import train_run

pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """What a run of three epochs of a small network is made with."""
    folder = tmp_path_factory.mktemp("seals")
    training, testing = eyes(range(1, 13)), eyes(range(13, 19))
    write_course(folder / "course", training, testing)
    write_photographs(folder / "course", [*training, *testing])
    return RunConfig(
        data_dir=str(folder / "course"), cache_dir=str(folder / "cache"), out_dir=str(folder / "whole"), name="run",
        model="shufflenet_v2_x0_5", resize=40, image_size=32, batch_size=8, epochs=3, validation_share=0.2,
        learning_rate=0.01, device="cpu", record_gradients=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def data(config):
    return prepare_data(config, progress=False)


@pytest.fixture(scope="module")
def whole(config, data):
    """The finished run."""
    return train_run(config, data)


@pytest.fixture
def again(config, whole, tmp_path):
    """The same run in a folder of its own, to be damaged, and what it is made with."""
    config = config.model_copy(update={"out_dir": str(tmp_path)})
    folder = ExperimentFolder(tmp_path).run("run")
    shutil.copytree(whole.path, folder.path)
    return folder, config


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def zero(path: Path, at: int, length: int = 4096) -> None:
    content = bytearray(path.read_bytes())
    content[at : at + length] = bytes(len(content[at : at + length]))
    path.write_bytes(content)


def without_times(folder: RunFolder):
    return folder.read_history().drop(columns=["seconds", "images_per_second"])


def assert_same_results(folder: RunFolder, whole: RunFolder) -> None:
    assert folder.complete and not folder.damaged()
    assert without_times(folder).equals(without_times(whole))
    for path in (whole.predictions, whole.metrics, whole.gradients):
        assert (folder.path / path.name).read_bytes() == path.read_bytes(), path
    expected = load_trained(whole.best_checkpoint).model.state_dict()
    for found in (
        load_trained(folder.best_checkpoint).model.state_dict(),
        safetensors.torch.load_file(folder.best_checkpoint.with_suffix(".safetensors")),
    ):
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def plan(config, data) -> tuple[str, str]:
    """Return what ``dr-lab run`` plans for a run, and why; the dry run before it says whether it is done."""
    foretold = plan_dry_run([config]).runs[0].state
    why = make_way([config], {"run": data}, False)
    (job,) = experiment_jobs([config], {"run": data})
    assert (job.state == "skipped") == (foretold == "done")
    assert foretold == ("anew" if "its earlier results are now in" in why.get("run", "") else foretold)
    return job.state, why.get("run", "")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["last.pt", "best.pt"])
def test_no_single_bit_and_no_block_of_zeros_passes(whole, tmp_path, name):
    rng, path = random.Random(name), tmp_path / name
    sound = (whole.last_checkpoint.parent / name).read_bytes()
    load = {"last.pt": load_state, "best.pt": load_trained}[name]
    size, end = len(sound), 8 * len(sound) - 8 * 110  # the seal itself, and the end of the zip before it
    damages = [(flip, bit) for bit in [*(rng.randrange(8 * size) for _ in range(60)), *range(end, 8 * size, 7)]]
    damages += [(zero, at) for at in [0, size - 4096, size - 40, *(rng.randrange(size - 4096) for _ in range(18))]]
    for harm, where in damages:
        path.write_bytes(sound)
        harm(path, where)
        if path.read_bytes() == sound:  # zeros before
            continue
        with pytest.raises(InputError, match=rf"{name}: is damaged, its checksum .* restore it from a copy"):
            load(path)
    path.write_bytes(sound)
    load(path)


def test_an_empty_checkpoint_is_one_line_wherever_it_is_read(again, tmp_path, caplog):
    folder, _ = again
    empty = tmp_path / "empty.pt"
    empty.touch()
    for read in (load_trained, read_state, load_state):
        with pytest.raises(InputError, match=r"empty\.pt: is empty; restore it from a copy"):
            read(empty)
    folder.last_checkpoint.write_bytes(b"")
    assert len(load_state(folder.last_checkpoint)["history"]) == 2
    assert "last.pt: is empty" in caplog.text and "going on from the checkpoint before it" in caplog.text


@pytest.mark.slow
def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one_to_the_bit(again, data, whole):
    folder, config = again
    zero(folder.last_checkpoint, 100_000)
    train_run(config, data)
    assert_same_results(folder, whole)


def test_checkpoints_are_plain_files_of_torch_and_files_of_others_are_read(whole, tmp_path):
    for path in (whole.last_checkpoint, whole.best_checkpoint):
        assert torch.load(path, weights_only=True, mmap=True) and zipfile.ZipFile(path).testzip() is None
    weights = load_trained(whole.best_checkpoint).model.state_dict()
    for name, options in {"new.pt": {}, "old.pt": {"_use_new_zipfile_serialization": False}}.items():
        torch.save(weights, tmp_path / name, **options)
        load_weights_file(load_trained(whole.best_checkpoint).model, tmp_path / name)
    torch.serialization.set_crc32_options(False)
    torch.save(weights, tmp_path / "unchecked.pt")
    torch.serialization.set_crc32_options(True)
    assert read_state(tmp_path / "unchecked.pt").keys() == weights.keys()
    # A file of torch's own has a checksum of each tensor, at least.
    flip(tmp_path / "new.pt", 8 * (tmp_path / "new.pt").stat().st_size // 2)
    with pytest.raises(InputError, match=r"new\.pt: is damaged"):
        read_state(tmp_path / "new.pt")


def test_what_is_sound_is_skipped(again, data):
    assert plan(again[1], data) == ("skipped", "")


RESULTS = [
    "config.json", "history.csv", "gradients.csv", "predictions.csv", "validation.csv", "metrics.json",
    "checkpoints/best.safetensors",
]  # fmt: skip


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize("harm", [cut, lambda path: flip(path, 8 * 40 + 1), lambda path: path.write_bytes(b"")])
def test_a_damaged_result_is_named_and_made_again(again, data, name, harm):
    folder, config = again
    harm(folder.path / name)
    state, why = plan(config, data)
    assert state == "queued" and why == f"{name}: not as the run has left it; made again from its checkpoint"


@pytest.mark.slow
def test_damaged_results_are_made_again_to_the_bit(again, data, whole):
    folder, config = again
    for name in RESULTS:
        cut(folder.path / name)
    state, why = plan(config, data)
    assert state == "queued" and all(name in why for name in RESULTS)
    train_run(config, data)
    assert_same_results(folder, whole)
    assert plan(config, data) == ("skipped", "")


@pytest.mark.parametrize("harm", [cut, lambda path: zero(path, 100_000), Path.unlink])
def test_a_run_whose_network_is_damaged_is_begun_anew_and_not_skipped(again, data, tmp_path, harm):
    folder, config = again
    harm(folder.best_checkpoint)
    with pytest.raises(InputError, match=r"best\.pt: .*, and its epoch is past; .* --fresh"):
        train_run(config, data)
    assert folder.read_status()["state"] == "done", "a refusal leaves the folder as it was"
    state, why = plan(config, data)
    assert state == "queued" and "best.pt: " in why and "its earlier results are now in" in why
    assert not folder.last_checkpoint.exists() and len(list((tmp_path / "superseded").iterdir())) == 1


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["changed", "without checksums"])
def test_a_status_that_is_not_as_it_was_written_is_that_of_no_finished_run(again, data, whole, tmp_path, harm):
    folder, config = again
    status = read_json(folder.status)
    if harm == "changed":
        write_json(folder.status, status | {"seconds": status["seconds"] + 1})
    else:
        write_json(folder.status, {key: status[key] for key in ("state", "epoch", "epochs", "seconds")})
    assert status_of(folder).state == "failed" and "status.json is damaged" in status_of(folder).reason
    for use in (load_trained, lambda path: select_backend(path, 1, tmp_path / "cache")):
        with pytest.raises(
            InputError, match=r"status\.json: is not as dr-lab has written it; dr-lab run makes it again"
        ):
            use(folder.best_checkpoint)
    assert collect(folder.path.parent.parent).runs[0].state == "failed"
    assert plan(config, data) == ("queued", "")
    train_run(config, data)
    assert_same_results(folder, whole)
    assert plan(config, data) == ("skipped", "")


@pytest.mark.parametrize("instead", ["2", "\x16", "e", '"'])
def test_a_history_that_is_not_as_the_run_has_left_it_is_in_no_table(again, instead):
    folder, _ = again
    folder.history.write_text(folder.history.read_text().replace("0", instead))
    found = status_of(folder)
    assert found.state == "failed" and "history.csv: is not as the run has left it" in found.reason
    assert math.isnan(found.accuracy) and found.epoch == 0
    folder.write_status("interrupted")
    assert status_of(folder).state == "interrupted"


@pytest.mark.slow
def test_a_state_that_cannot_be_used_is_passed_over_for_the_one_before_it(again, data, whole, caplog):
    folder, config = again
    sound, kept = load_state(folder.last_checkpoint), folder.last_checkpoint.read_bytes()
    broken = sound | {"learner": sound["learner"] | {"model": dict(sound["learner"]["model"])}}
    name = next(name for name, value in sound["learner"]["model"].items() if value.is_floating_point())
    broken["learner"]["model"][name] = torch.full_like(sound["learner"]["model"][name], torch.nan)
    other = sound | {"parameters": sound["parameters"] | {"seed": 5}}
    for state, why in (
        (broken, f"{name} is not finite"), (other, "is of another run (seed was 5, is 0)"),
        (sound["learner"], "is not the state of a run"),
    ):  # fmt: skip
        write_checkpoint(folder.last_checkpoint, state)
        assert len(resumable_state(folder, config, data.fingerprint)["history"]) == 2
        assert f"last.pt: {why}; going on from the checkpoint before it" in caplog.text
    train_run(config, data)
    assert_same_results(folder, whole)
    folder.last_checkpoint.write_bytes(kept)
    (previous(folder.last_checkpoint)).unlink()
    write_checkpoint(folder.last_checkpoint, broken)
    with pytest.raises(InputError, match=r"last\.pt: .* is not finite; without a sound copy, .* --fresh"):
        train_run(config, data)


def test_another_network_in_a_finished_run_is_refused_wherever_it_is_used(again, tmp_path, data):
    """As when files are restored from a backup of another run: whole in itself, and not this run's."""
    folder, config = again
    trained = load_trained(folder.best_checkpoint)
    epoch = read_json(folder.metrics)["chosen_epoch"]
    for name, tensor in trained.model.state_dict().items():
        if name.endswith("weight"):
            tensor.mul_(1.01)
    save_network(
        folder.best_checkpoint, trained.model, trained.head, trained.normalization, config,
        epoch=epoch, fingerprint="of other photographs",
    )  # fmt: skip
    assert not damage(folder.best_checkpoint)
    for use in (load_trained, lambda path: select_backend(path, 1, tmp_path / "cache")):
        with pytest.raises(InputError, match=r"best\.pt: is not as its run has left it; dr-lab run makes it again"):
            use(folder.best_checkpoint)
    why = make_way([config], {"run": data}, False)["run"]
    assert f"best.pt: is not the network of epoch {epoch} of this run, and its epoch is past" in why


def test_a_file_of_weights_that_has_changed_has_the_run_begun_anew(config, data, whole, tmp_path):
    weights = tmp_path / "weights.pt"
    state = load_trained(whole.best_checkpoint).model.state_dict()
    write_checkpoint(weights, state)
    changes = {"pretrained": True, "pretrained_weights": str(weights), "epochs": 1, "feature_extraction_epochs": 0}
    config = config.model_copy(update=changes | {"out_dir": str(tmp_path)})
    folder = train_run(config, data)
    assert plan(config, data) == ("skipped", "")
    write_checkpoint(weights, {name: value * 2 if "weight" in name else value for name, value in state.items()})
    with pytest.raises(InputError, match=r"another run \(pretrained_weights has changed, .*weights\.pt is another"):
        resumable_state(folder, config, data.fingerprint)
    state, why = plan(config, data)
    assert state == "queued" and why.startswith("pretrained_weights has changed")


@pytest.mark.parametrize("harm", [cut, lambda path: flip(path, 8 * 40 + 1), lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("name", ["audit", "sweep"])
def test_a_damaged_file_of_the_experiment_enters_no_report(again, name, harm):
    folder, _ = again
    experiment = ExperimentFolder(folder.path.parent.parent)
    path = getattr(experiment, name)
    write_sealed_json(path, {"title": "a title", "splits": {}, "numbers": list(range(20))})
    assert collect(experiment.path).runs[0].done
    harm(path)
    with pytest.raises(InputError, match=rf"{name}\.json: is not as dr-lab has written it; dr-lab run makes it again"):
        collect(experiment.path)


def test_an_unfinished_run_that_cannot_go_on_is_begun_anew_before_it_costs_anything(again, data):
    folder, config = again
    folder.write_status("interrupted")
    assert plan(config, data) == ("queued", "")
    for path in (folder.last_checkpoint, previous(folder.last_checkpoint)):
        cut(path)
    state, why = plan(config, data)
    assert state == "queued" and "last.pt: is damaged" in why and "its earlier results are now in" in why


@pytest.mark.parametrize("name", ["predictions.csv", "metrics.json", "history.csv", "gradients.csv", "config.json"])
def test_a_damaged_result_enters_no_report(again, name):
    folder, _ = again
    assert collect(folder.path.parent.parent).runs[0].done
    lines = (folder.path / name).read_text().splitlines(keepends=True)
    changed = "".join(lines[: len(lines) // 2]) if name.endswith("csv") else "".join(lines).replace("0", "1", 1)
    (folder.path / name).write_text(changed)
    run = collect(folder.path.parent.parent).runs[0]
    assert run.state == "failed" and f"{name}: is not as its run has left it" in run.reason


@pytest.mark.parametrize("name", ["config.json", "metrics.json"])
@pytest.mark.parametrize("harm", [cut, Path.unlink])
def test_a_result_that_is_damaged_or_gone_is_in_no_model_card_and_compared_with_nothing(again, name, harm):
    folder, _ = again
    harm(folder.path / name)
    read = {"config.json": RunFolder.read_config, "metrics.json": RunFolder.read_metrics}[name]
    with pytest.raises(InputError, match=rf"{name}: is not as its run has left it"):
        read(run_of(folder.best_checkpoint))


def test_a_damaged_result_is_not_looked_at(again):
    folder, _ = again
    cut(folder.predictions)
    with pytest.raises(InputError, match=r"predictions\.csv: is not as its run has left it; dr-lab run makes it again"):
        LoadedRun.open(folder, progress=False)


def test_a_checkpoint_of_another_run_is_not_gone_on_from(again, data):
    """As a kill once left it: the parameters of the new run beside the checkpoint of the old one."""
    folder, config = again
    folder.write_status("interrupted")
    config = config.model_copy(update={"learning_rate": 0.02})
    write_json(folder.config, read_json(folder.config) | {"parameters": config.model_dump()})
    with pytest.raises(
        InputError, match=r"last\.pt: is of another run \(learning_rate was 0\.01, is 0\.02\); .*--fresh"
    ):
        train_run(config, data)
    folder.config.unlink()  # and as it left it at first
    with pytest.raises(InputError, match=r"holds another run \(learning_rate was 0\.01, is 0\.02\)"):
        train_run(config, data)
    assert "learning_rate was 0.01, is 0.02; its earlier results are now in" in plan(config, data)[1]


def test_a_network_of_another_epoch_or_run_is_not_tested(again, data):
    folder, config = again
    trained, chosen = load_trained(folder.best_checkpoint), read_json(folder.metrics)["chosen_epoch"]
    for epoch, of in ((chosen % 3 + 1, config), (chosen, config.model_copy(update={"seed": 1}))):
        save_network(folder.best_checkpoint, trained.model, trained.head, trained.normalization, of, epoch=epoch)
        with pytest.raises(InputError, match=rf"best\.pt: is not the network of epoch {chosen} of this run"):
            train_run(config, data)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_while_results_are_set_aside_leaves_one_run_or_none(again, data, monkeypatch, moment):
    folder, config = again
    before = sorted(path.relative_to(folder.path) for path in folder.path.rglob("*"))
    config, rename = config.model_copy(update={"seed": 1}), Path.rename

    def dies(source, target):
        if moment == "after":
            rename(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", dies)
    with pytest.raises(KeyboardInterrupt):
        make_way([config], {"run": data}, False)
    monkeypatch.undo()
    there = [folder.path, *(folder.path.parent.parent / "superseded").glob("*")]
    kept = [sorted(path.relative_to(place) for path in place.rglob("*")) for place in there if place.exists()]
    assert kept == [before]


def test_generated_weights_that_are_damaged_are_not_there(config, whole, tmp_path):
    config = config.model_copy(update={"out_dir": str(tmp_path)})
    folder = ExperimentFolder(tmp_path).pretraining(config.model)
    state = load_trained(whole.best_checkpoint).model.state_dict()
    write_checkpoint(folder.weights, state)
    facts = pretrain_module._description(config) | {"final_r2": {}, "sha256": sha256(folder.weights)}
    write_sealed_json(folder.record, facts)
    assert weights_are_there(config)
    write_json(folder.record, read_json(folder.record) | {"final_r2": {"drusen": 1.0}})
    assert not weights_are_there(config)
    write_sealed_json(folder.record, facts)
    write_checkpoint(folder.weights, {name: value * 2 for name, value in state.items()})  # of another pretraining
    assert not weights_are_there(config)
    folder.weights.unlink()
    assert not weights_are_there(config)


def test_the_seal_is_what_the_format_allows():
    from dr_lib.storage.checksums import ONNX_SEAL, TORCH_SEAL

    (length,) = struct.unpack("<H", TORCH_SEAL[:2])
    assert length == len(TORCH_SEAL) - 2 + 64 and ONNX_SEAL[1] == len(ONNX_SEAL) - 2 + 64


def test_what_is_not_there_is_said(tmp_path):
    assert damage(tmp_path / "gone.pt") == "cannot be read (No such file or directory)"
