import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from data_folders import eyes, real_data, write_course, write_photographs
from sklearn.metrics import accuracy_score, cohen_kappa_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from dr_lib.config import RunConfig
from dr_lib.errors import InputError
from dr_lib.evaluation.predict import predict
from dr_lib.files import read_json
from dr_lib.models import build_model
from dr_lib.runs import HISTORY_COLUMNS, PREDICTION_COLUMNS, Experiment
from dr_lib.trained import evaluate_checkpoint
from dr_lib.training import run as run_module
from dr_lib.training.checkpoint import load_trained
from dr_lib.training.device import resolve_device
from dr_lib.training.loop import train_epoch
from dr_lib.training.pretrain import pretrain
from dr_lib.training.run import chosen_epoch, train


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A course folder of 20 training and 10 testing patients, both eyes each."""
    folder = tmp_path_factory.mktemp("course")
    training, testing = eyes(range(1, 21)), eyes(range(21, 31))
    write_course(folder, training, testing)
    write_photographs(folder, [*training, *testing])
    return folder


@pytest.fixture
def config(photographs, tmp_path):
    return RunConfig(
        data_dir=str(photographs), cache_dir=str(tmp_path / "cache"), out_dir=str(tmp_path / "experiment"),
        resize=40, image_size=36, batch_size=8, epochs=2, validation_share=0.2, learning_rate=0.01, device="cpu",
    )  # fmt: skip


def without_times(folder):
    return folder.read_history().drop(columns=["seconds", "images_per_second"])


def test_a_run_leaves_everything_the_contract_names(config):
    folder = train(config)
    history, predictions, metrics = folder.read_history(), folder.read_predictions(), read_json(folder.metrics)
    assert list(history.columns) == list(HISTORY_COLUMNS) and list(history.epoch) == [1, 2]
    assert list(predictions.columns) == list(PREDICTION_COLUMNS) and len(predictions) == 20
    assert set(predictions.patient) == {str(number) for number in range(21, 31)}
    assert np.allclose(predictions[["p0", "p1", "p2", "p3", "p4"]].sum(axis=1), 1)
    assert folder.read_status()["state"] == "done"
    recorded = read_json(folder.config)
    assert RunConfig.from_mapping(recorded["parameters"]) == config
    assert recorded["weights"]["kind"] == "none" and recorded["network"]["parameters"] == 11_179_077
    assert {"python", "torch", "torchvision", "pillow", "simplejpeg", "numpy", "dr_lib"} == set(recorded["versions"])
    # Figures against scikit-learn, and the chosen epoch's row against the predictions of the saved weights.
    test = metrics["test"]
    assert test["accuracy"] == pytest.approx(accuracy_score(predictions.grade, predictions.predicted), abs=1e-12)
    chosen = history[history.epoch == metrics["chosen_epoch"]].iloc[0]
    assert (chosen.test_accuracy, chosen.test_kappa) == (test["accuracy"], test["kappa"])
    assert metrics["highest_testing_accuracy"]["accuracy"] == history.test_accuracy.max()
    if predictions.predicted.nunique() > 1:
        kappa = cohen_kappa_score(predictions.grade, predictions.predicted, weights="quadratic")
        assert test["kappa"] == pytest.approx(kappa, abs=1e-12)


def test_lines_have_the_labs_form(config, capsys):
    train(config)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "epoch 1 :"
    assert lines[1].startswith("training accuracy: ") and lines[2].startswith("testing accuracy: ")
    assert lines[3] == "epoch 1 save weights"


def test_same_seed_same_numbers_other_seed_others(config, tmp_path):
    first = train(config)
    again = train(config.model_copy(update={"out_dir": str(tmp_path / "again")}))
    other = train(config.model_copy(update={"out_dir": str(tmp_path / "other"), "seed": 1}))
    pd.testing.assert_frame_equal(without_times(first), without_times(again), check_exact=True)
    assert first.predictions.read_bytes() == again.predictions.read_bytes()
    assert first.predictions.read_bytes() != other.predictions.read_bytes()


def test_an_interrupted_run_ends_as_one_never_interrupted(config, tmp_path, monkeypatch, capsys):
    config = config.model_copy(update={"epochs": 3})
    whole = train(config.model_copy(update={"out_dir": str(tmp_path / "whole")}))

    calls = []

    def breaks_in_the_second_epoch(*args):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train_epoch(*args)

    monkeypatch.setattr(run_module, "train_epoch", breaks_in_the_second_epoch)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    folder = Experiment(tmp_path / "experiment").run("resnet18")
    assert folder.read_status()["state"] == "failed"
    monkeypatch.undo()
    train(config)
    assert "going on after epoch 1" in capsys.readouterr().out
    pd.testing.assert_frame_equal(without_times(folder), without_times(whole), check_exact=True)
    assert folder.predictions.read_bytes() == whole.predictions.read_bytes()
    ours, theirs = (load_trained(f.best_checkpoint).model.state_dict() for f in (folder, whole))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_other_parameters_set_the_earlier_results_aside(config, tmp_path):
    before = train(config).predictions.read_bytes()
    train(config.model_copy(update={"learning_rate": 0.02}))
    aside = list((tmp_path / "experiment" / "superseded").glob("resnet18-*/predictions.csv"))
    assert len(aside) == 1 and aside[0].read_bytes() == before


def test_head_alone_learns_first_and_pretrained_weights_are_those_of_the_file(config, tmp_path):
    file = tmp_path / "backbone.pt"
    torch.manual_seed(7)
    backbone = build_model("resnet18").state_dict()
    torch.save(backbone, file)
    changes = {"pretrained": True, "pretrained_weights": str(file), "feature_extraction_epochs": 1, "epochs": 1}
    config = config.model_copy(update=changes)
    folder = train(config)
    trained = load_trained(folder.best_checkpoint).model.state_dict()
    assert {key for key in trained if not torch.equal(trained[key], backbone[key])} == {"fc.weight", "fc.bias"}
    longer = train(config.model_copy(update={"epochs": 2, "out_dir": str(tmp_path / "longer")}))
    assert list(longer.read_history().phase) == ["feature extraction", "fine-tuning"]
    last = torch.load(longer.last_checkpoint, weights_only=True)["model"]
    assert not torch.equal(last["conv1.weight"], backbone["conv1.weight"])
    assert read_json(longer.config)["weights"]["kind"] == "file"


def test_saved_best_weights_are_a_copy_of_their_epoch(config, monkeypatch):
    """The first epoch is made the best one; its file must not hold what training did afterwards."""
    monkeypatch.setattr(run_module, "chosen_epoch", lambda history, select_by: 1)
    folder = train(config)
    best, last = (torch.load(path, weights_only=True) for path in (folder.best_checkpoint, folder.last_checkpoint))
    assert best["epoch"] == 1
    assert not torch.equal(best["model"]["conv1.weight"], last["model"]["conv1.weight"])


def test_evaluating_the_checkpoint_gives_the_runs_accuracy_to_the_bit(config, tmp_path):
    folder = train(config)
    data = tmp_path / "data.yaml"
    data.write_text(f"data_dir: {config.data_dir}\nlabels: course\nvalidation_share: 0.2\nepochs: 99\n")
    assert evaluate_checkpoint(folder.best_checkpoint, data, [], "test") == read_json(folder.metrics)["test"]
    assert evaluate_checkpoint(folder.best_checkpoint, data, [], "train")["photographs"] == 32


def test_a_failure_is_written_down_before_it_is_raised(config, monkeypatch):
    def fails(*args):
        raise RuntimeError("something\nbroke")

    monkeypatch.setattr(run_module, "train_epoch", fails)
    with pytest.raises(RuntimeError):
        train(config)
    status = experiment(config).run("resnet18").read_status()
    assert (status["state"], status["reason"]) == ("failed", "something broke")


def experiment(config):
    return Experiment(Path(config.out_dir))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation_share": 0.0}, "select_by: val_kappa needs validation photographs"),
        ({"batch_size": 31, "image_size": 32}, "batch_size: 31 leaves one of 32"),
        ({"device": "cuda"}, "device: cuda is not on this machine"),
    ],
)
def test_what_cannot_train_is_refused(config, changes, message):
    if "device" in changes and torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(InputError, match=message):
        train(config.model_copy(update=changes))


def test_the_labs_own_selection_needs_no_validation(config):
    folder = train(config.model_copy(update={"validation_share": 0.0, "select_by": "test_accuracy"}))
    metrics = read_json(folder.metrics)
    assert metrics["test"]["accuracy"] == metrics["highest_testing_accuracy"]["accuracy"]
    assert folder.read_history().val_accuracy.isna().all()


def test_chosen_epoch_breaks_ties_by_loss_then_by_time():
    rows = [
        {"epoch": epoch, "val_kappa": kappa, "val_loss": loss}
        for epoch, kappa, loss in ((1, 0.0, 1.0), (2, 0.3, 0.9), (3, 0.3, 0.8), (4, 0.3, 0.8), (5, 0.2, 0.1))
    ]
    assert chosen_epoch(rows, "val_kappa") == 3


def the_labs_loop(model, loader, criterion, optimizer):
    """A plain rebuild: no memory format, no counting on the device."""
    model.train()
    correct = 0
    for images, grades in loader:
        optimizer.zero_grad()
        outputs = model(images)
        loss = criterion(outputs, grades)
        loss.backward()
        optimizer.step()
        correct += (outputs.max(1)[1] == grades).sum().item()
    return correct / len(loader.dataset)


def test_an_epoch_does_what_the_labs_loop_does():
    torch.manual_seed(0)
    # In float64, where another order of summation cannot hide, or fake, a difference.
    data = TensorDataset(torch.rand(20, 3, 33, 33, dtype=torch.float64), torch.randint(0, 5, (20,)))
    loader = DataLoader(data, batch_size=8)  # the last batch is short
    weights = torch.tensor([1.0, 10.565, 4.906, 29.59, 35.55], dtype=torch.float64)
    ours, theirs = build_model("resnet18").double(), build_model("resnet18").double()
    theirs.load_state_dict(ours.state_dict())
    figures = []
    for model, epoch in ((ours, train_epoch), (theirs, the_labs_loop)):
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)
        criterion = nn.CrossEntropyLoss(weights)
        figures.append(epoch(model, loader, criterion, optimizer))
    assert figures[0][1] == figures[1]
    for key, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value, rtol=1e-9, atol=1e-9)


def test_a_loss_that_is_not_finite_stops_the_epoch():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    loader = DataLoader(TensorDataset(torch.full((4, 3, 2, 2), float("inf")), torch.zeros(4, dtype=int)), batch_size=2)
    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        train_epoch(model, loader, nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=1.0))


def test_predictions_come_in_order_with_every_photograph_once():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    images, grades = torch.rand(7, 3, 2, 2), torch.arange(7) % 5
    logits, seen = predict(model, DataLoader(TensorDataset(images, grades), batch_size=3))
    assert logits.shape == (7, 5) and seen.tolist() == grades.tolist()
    np.testing.assert_allclose(logits, model(images).detach().numpy(), rtol=1e-6)


def test_generated_pretraining_is_made_once_and_used(config, tmp_path):
    changes = {
        "pretrained": True, "pretrained_weights": "generated", "pretraining_photographs": 40, "pretraining_epochs": 1,
        "feature_extraction_epochs": 1, "epochs": 1,
    }  # fmt: skip
    config = config.model_copy(update=changes)
    folder = train(config)
    pretraining = experiment(config).pretraining("resnet18")
    made = pretraining.weights.stat().st_mtime_ns
    assert pretrain(config).stat().st_mtime_ns == made
    facts = json.loads(pretraining.facts.read_text())
    assert facts["photographs"] == 40 and set(facts["final_r2"]) == set(facts["lesion_kinds"])
    start = torch.load(pretraining.weights, weights_only=True)
    trained = load_trained(folder.best_checkpoint).model.state_dict()
    assert torch.equal(trained["layer4.1.conv2.weight"], start["layer4.1.conv2.weight"])
    assert read_json(folder.config)["weights"]["kind"] == "generated"
    pretrain(config.model_copy(update={"pretraining_epochs": 2}))
    assert pretraining.weights.stat().st_mtime_ns != made


def test_auto_device_is_there():
    assert resolve_device("auto").type in ("cpu", "cuda")


@pytest.mark.real
@pytest.mark.parametrize(
    ("folder", "changes"),
    [("eyepacs-64", {"labels": "course"}), (".", {"labels": "medmnist"}), ("eyepacs-1024", {"labels": "kaggle"})],
    ids=["course", "medmnist", "kaggle"],
)
def test_real_photographs_go_all_the_way(folder, changes, tmp_path):
    config = RunConfig(
        data_dir=str(real_data() / folder), limit=40, resize=72, image_size=64, batch_size=8, epochs=1,
        validation_share=0.2, cache_dir=str(tmp_path / "cache"), out_dir=str(tmp_path / "out"), **changes,
    )  # fmt: skip
    run = train(config)
    predictions = run.read_predictions()
    assert len(predictions) == 40 and predictions.grade.nunique() > 2
    assert read_json(run.metrics)["test"]["photographs"] == 40
