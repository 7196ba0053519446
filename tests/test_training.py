import contextlib
import io
import json
import math
import os
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from data_folders import eyes, real_data, write_course, write_photographs
from sklearn.metrics import accuracy_score, cohen_kappa_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from dr_lib.config import RunConfig
from dr_lib.data.prepare import prepare_data
from dr_lib.errors import InputError
from dr_lib.evaluation.predict import predict
from dr_lib.inference.evaluate import evaluate_checkpoint
from dr_lib.models.builders import build_model
from dr_lib.models.trained import load_trained, new_head
from dr_lib.storage.files import read_json
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.storage.run_folder import HISTORY_COLUMNS, PREDICTION_COLUMNS
from dr_lib.system.signals import Interrupted
from dr_lib.training import device
from dr_lib.training import pretrain as pretrain_module
from dr_lib.training import resume as resume_module
from dr_lib.training import run as run_module
from dr_lib.training import trainer as trainer_module
from dr_lib.training.checkpoint import load_state, save_state
from dr_lib.training.device import resolve_device, start_accelerator
from dr_lib.training.learner import GradientNorms, Learner
from dr_lib.training.pretrain import pretrain
from dr_lib.training.run import train_run
from dr_lib.training.trainer import Trainer, chosen_epoch

pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A course folder of 20 training and 10 testing patients, both eyes each."""
    folder = tmp_path_factory.mktemp("course")
    training, testing = eyes(range(1, 21)), eyes(range(21, 31))
    write_course(folder, training, testing)
    write_photographs(folder, [*training, *testing])
    return folder


def config_of(photographs, out_dir):
    """Return the settings of a run of a second: the smallest network, of which the rest is no different."""
    return RunConfig(
        data_dir=str(photographs), cache_dir=str(photographs.parent / "cache"), out_dir=str(out_dir), name="run",
        model="shufflenet_v2_x0_5", resize=40, image_size=36, batch_size=8, epochs=2, validation_share=0.2,
        learning_rate=0.01, device="cpu",
    )  # fmt: skip


@pytest.fixture
def config(photographs, tmp_path):
    return config_of(photographs, tmp_path / "experiment")


@pytest.fixture(scope="module")
def finished(photographs, tmp_path_factory):
    """The run of :func:`config_of`, trained once: its settings, its folder, what it printed, and its live line."""
    config = config_of(photographs, tmp_path_factory.mktemp("finished") / "experiment")
    printed, bars = io.StringIO(), []

    def bar(progress, label, done, total, note=None):
        bars.append((label, note() if note else ""))

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr("dr_lib.training.run.Progress.bar", bar)
        folder = train_run(config)
    return SimpleNamespace(config=config, folder=folder, printed=printed.getvalue(), bars=bars)


def without_times(folder):
    return folder.read_history().drop(columns=["seconds", "images_per_second"])


def test_a_run_leaves_everything_the_contract_names(finished):
    folder = finished.folder
    history, predictions, metrics = folder.read_history(), folder.read_predictions(), read_json(folder.metrics)
    assert list(history.columns) == list(HISTORY_COLUMNS) and list(history.epoch) == [1, 2]
    assert list(predictions.columns) == list(PREDICTION_COLUMNS) and len(predictions) == 20
    assert set(predictions.patient) == {str(number) for number in range(21, 31)}
    assert np.allclose(predictions[["p0", "p1", "p2", "p3", "p4"]].sum(axis=1), 1)
    validation = folder.read_predictions("validation")
    assert list(validation.columns) == list(PREDICTION_COLUMNS)
    assert len(validation) == metrics["validation"]["photographs"] and metrics["referral"]["set_on"] == "validation"
    assert folder.read_status()["state"] == "done"
    recorded = read_json(folder.config)
    assert RunConfig.from_mapping(recorded["parameters"]) == finished.config
    assert recorded["weights"]["kind"] == "none" and recorded["network"]["parameters"] == 346_917
    assert {"python", "torch", "torchvision", "pillow", "simplejpeg", "numpy", "accelerate", "dr_lib"} == set(
        recorded["versions"]
    )
    # Figures against scikit-learn, and the chosen epoch's row against the predictions of the saved weights.
    test = metrics["test"]
    assert test["accuracy"] == pytest.approx(accuracy_score(predictions.grade, predictions.predicted), abs=1e-12)
    chosen = history[history.epoch == metrics["chosen_epoch"]].iloc[0]
    assert (chosen.test_accuracy, chosen.test_kappa) == (test["accuracy"], test["kappa"])
    assert metrics["highest_testing_accuracy"]["accuracy"] == history.test_accuracy.max()
    if predictions.predicted.nunique() > 1:
        kappa = cohen_kappa_score(predictions.grade, predictions.predicted, weights="quadratic")
        assert test["kappa"] == pytest.approx(kappa, abs=1e-12)


def test_an_epoch_is_one_line(finished):
    lines = [line for line in finished.printed.splitlines() if line.startswith("epoch ")]
    for number, row in enumerate(finished.folder.read_history().itertuples(), start=1):
        figures = f"testing accuracy {100 * row.test_accuracy:.4f}, validation kappa {row.val_kappa:.4f}"
        accuracy = f"training accuracy {100 * row.train_accuracy:.4f}"
        assert lines[number - 1].startswith(f"epoch {number}/2: loss {row.train_loss:.4f}, {accuracy}, {figures}")
    assert lines[0].endswith(", weights saved") and len(lines) == 2


def test_the_live_line_has_loss_figures_and_time(finished):
    """The loss is that of the epoch so far; figures are the last epoch's, and so is the pace that tells the time."""
    first, second = finished.folder.read_history().itertuples()
    train = [note for label, note in finished.bars if label == "epoch 1/2 train"]
    assert train[-1] == f"loss {first.train_loss:.3f}" and "left" not in train[0]
    train = [note for label, note in finished.bars if label == "epoch 2/2 train"]
    figures = f"testing accuracy {100 * first.test_accuracy:.4f}, validation kappa {first.val_kappa:.4f}"
    assert re.fullmatch(rf"loss [\d.]+, {re.escape(figures)}, \d\d:\d\d left", train[0])
    assert train[-1] == f"loss {second.train_loss:.3f}, {figures}"


def test_same_seed_same_numbers_other_seed_others(config, finished, tmp_path):
    again = train_run(config)
    other = train_run(config.model_copy(update={"out_dir": str(tmp_path / "other"), "seed": 1}))
    assert_same_results(again, finished.folder)
    assert other.predictions.read_bytes() != finished.folder.predictions.read_bytes()


def test_a_run_that_broke_ends_as_one_that_did_not(config, finished, monkeypatch, capsys):
    real_epoch = Trainer._train_epoch

    def breaks_in_the_second_epoch(trainer, epoch):
        if epoch == 2:
            raise RuntimeError("out of luck")
        real_epoch(trainer, epoch)

    monkeypatch.setattr(Trainer, "_train_epoch", breaks_in_the_second_epoch)
    with pytest.raises(RuntimeError):
        train_run(config)
    folder = experiment(config).run("run")
    assert folder.read_status()["state"] == "failed"
    state = load_state(folder.last_checkpoint)
    save_state(folder.last_checkpoint, state | {"seconds": state["seconds"] + 1000})
    monkeypatch.undo()
    train_run(config)
    assert "going on after epoch 1" in capsys.readouterr().out
    assert_same_results(folder, finished.folder)
    assert 1000 < state["seconds"] + 1000 < folder.read_status()["seconds"] < 2000  # the first part counts


def assert_same_results(folder, whole):
    pd.testing.assert_frame_equal(without_times(folder), without_times(whole), check_exact=True)
    assert folder.predictions.read_bytes() == whole.predictions.read_bytes()
    ours, theirs = (load_trained(f.best_checkpoint).model.state_dict() for f in (folder, whole))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_other_parameters_are_refused_with_the_difference_unless_fresh(config, finished, tmp_path):
    shutil.copytree(finished.config.out_dir, config.out_dir)
    before = finished.folder.predictions.read_bytes()
    other = config.model_copy(update={"learning_rate": 0.02})
    with pytest.raises(InputError, match=r"learning_rate was 0\.01, is 0\.02\); .*--fresh"):
        train_run(other)
    folder = experiment(config).run("run")
    assert folder.read_status()["state"] == "done" and folder.predictions.read_bytes() == before
    train_run(other, fresh=True)
    aside = list((tmp_path / "experiment" / "superseded").glob("run-*/predictions.csv"))
    assert len(aside) == 1 and aside[0].read_bytes() == before


@pytest.mark.slow
def test_head_alone_learns_first_and_pretrained_weights_are_those_of_the_file(config, tmp_path):
    file = tmp_path / "backbone.pt"
    torch.manual_seed(7)
    backbone = build_model(config.model).state_dict()
    torch.save(backbone, file)
    changes = {"pretrained": True, "pretrained_weights": str(file), "feature_extraction_epochs": 1, "epochs": 1}
    config = config.model_copy(update=changes)
    folder = train_run(config)
    trained = load_trained(folder.best_checkpoint).model.state_dict()
    assert {key for key in trained if not torch.equal(trained[key], backbone[key])} == {"fc.weight", "fc.bias"}
    longer = train_run(config.model_copy(update={"epochs": 2, "out_dir": str(tmp_path / "longer")}))
    assert list(longer.read_history().phase) == ["feature extraction", "fine-tuning"]
    last = torch.load(longer.last_checkpoint, weights_only=True)["learner"]["model"]
    assert not torch.equal(last["conv1.0.weight"], backbone["conv1.0.weight"])
    assert read_json(longer.config)["weights"]["kind"] == "file"


@pytest.mark.slow
def test_saved_best_weights_are_a_copy_of_their_epoch(config, monkeypatch):
    """The first epoch is made the best one; its file must not hold what training did afterwards."""
    for module in (trainer_module, run_module, resume_module):
        monkeypatch.setattr(module, "chosen_epoch", lambda history, select_by: 1)
    folder = train_run(config)
    best, last = (torch.load(path, weights_only=True) for path in (folder.best_checkpoint, folder.last_checkpoint))
    assert best["epoch"] == 1
    assert not torch.equal(best["model"]["conv1.0.weight"], last["learner"]["model"]["conv1.0.weight"])


def test_evaluating_the_checkpoint_gives_the_runs_accuracy_to_the_bit(finished, tmp_path):
    folder, data = finished.folder, tmp_path / "data.yaml"
    data.write_text(f"data_dir: {finished.config.data_dir}\nlabels: course\nvalidation_share: 0.2\nepochs: 99\n")
    assert evaluate_checkpoint(folder.best_checkpoint, data, [], "test") == read_json(folder.metrics)["test"]
    assert evaluate_checkpoint(folder.best_checkpoint, data, [], "train")["photographs"] == 32


def test_a_failure_is_written_down_before_it_is_raised(config, monkeypatch):
    def fails(*args):
        raise RuntimeError("something\nbroke")

    monkeypatch.setattr(Trainer, "_train_epoch", fails)
    with pytest.raises(RuntimeError):
        train_run(config)
    status = experiment(config).run("run").read_status()
    assert (status["state"], status["reason"]) == ("failed", "something broke")


def experiment(config):
    return ExperimentFolder(Path(config.out_dir))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation_share": 0.0}, "select_by: val_kappa needs validation photographs"),
        ({"batch_size": 31, "image_size": 32}, "batch_size: 31 leaves one of 32"),
        ({"batch_size": 31, "image_size": 48, "resize": 50, "model": "densenet121"}, "batch_size: 31 leaves one of 32"),
        ({"batch_size": 1, "image_size": 32}, "batch_size: 1 is one photograph a step, and BatchNorm cannot"),
        ({"image_size": 32, "model": "alexnet"}, "image_size: alexnet cannot take photographs of 32 px"),
        ({"device": "cuda"}, "device: cuda is not on this machine"),
    ],
)
def test_what_cannot_train_is_refused(config, changes, message):
    if "device" in changes and torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(InputError, match=message):
        train_run(config.model_copy(update=changes))


@pytest.mark.slow
def test_the_labs_own_selection_needs_no_validation(config):
    folder = train_run(config.model_copy(update={"validation_share": 0.0, "select_by": "test_accuracy"}))
    metrics = read_json(folder.metrics)
    assert metrics["test"]["accuracy"] == metrics["highest_testing_accuracy"]["accuracy"]
    assert folder.read_history().val_accuracy.isna().all()


def test_chosen_epoch_breaks_ties_by_loss_then_by_time():
    rows = [
        {"epoch": epoch, "val_kappa": kappa, "val_loss": loss}
        for epoch, kappa, loss in ((1, 0.0, 1.0), (2, 0.3, 0.9), (3, 0.3, 0.8), (4, 0.3, 0.8), (5, 0.2, 0.1))
    ]
    assert chosen_epoch(rows, "val_kappa") == 3
    # An area that nothing defines is no reason to choose an epoch.
    rows = [{"epoch": epoch, "val_auc": auc, "val_loss": 1.0} for epoch, auc in ((1, math.nan), (2, 0.4), (3, 0.3))]
    assert chosen_epoch(rows, "val_auc") == 2
    assert chosen_epoch(rows[:1], "val_auc") == 1
    assert chosen_epoch(rows, "last") == 3


@pytest.mark.slow
def test_the_last_epoch_may_be_the_one_that_is_kept(config):
    folder = train_run(config.model_copy(update={"select_by": "last", "epochs": 3, "learning_rate": 0.1}))
    history, metrics = folder.read_history(), read_json(folder.metrics)
    assert metrics["chosen_epoch"] == 3 and metrics["test"]["kappa"] == pytest.approx(history.test_kappa.iloc[-1])


@pytest.mark.slow
def test_the_area_may_choose_the_epoch(config):
    folder = train_run(config.model_copy(update={"select_by": "val_auc", "epochs": 3}))
    history, metrics = folder.read_history(), read_json(folder.metrics)
    chosen = history.iloc[metrics["chosen_epoch"] - 1]
    assert chosen.val_auc == history.val_auc.max() == pytest.approx(metrics["validation"]["macro_auc"], abs=1e-12)
    assert chosen.test_auc == pytest.approx(metrics["test"]["macro_auc"], abs=1e-12)


@pytest.mark.slow
def test_mixed_precision_trains_and_float32_tests(config, finished, monkeypatch, tmp_path):
    """On a CPU without instructions for bf16 torch computes it all the same, slowly."""
    monkeypatch.setattr(device, "cpu_multiplies_bf16", lambda: True)
    linear = set()
    hook = torch.nn.modules.module.register_module_forward_hook(
        lambda module, inputs, output: (
            linear.add((module.training, output.dtype)) if isinstance(module, torch.nn.Conv2d) else None
        )
    )
    with hook:
        mixed = train_run(config.model_copy(update={"precision": "bf16", "out_dir": f"{config.out_dir}/mixed"}))
    assert linear == {(True, torch.bfloat16), (False, torch.float32)}
    losses = [folder.read_history().train_loss.to_numpy() for folder in (mixed, finished.folder)]
    assert (losses[0] != losses[1]).any() and np.allclose(*losses, rtol=0.05)
    # What is tested is what is kept: the network in its file, in float32, gives the same predictions to the bit.
    again = evaluate_checkpoint(mixed.best_checkpoint, write_data(config, tmp_path), [], "test")
    assert again == read_json(mixed.metrics)["test"]


def test_a_processor_without_bf16_refuses_it(config, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False, "amx_bf16": False})
    with pytest.raises(InputError, match="no instructions for bf16"):
        device.check_machine(config.model_copy(update={"precision": "bf16"}))
    with pytest.raises(InputError, match="fp16 is for CUDA"):
        device.check_machine(config.model_copy(update={"precision": "fp16"}))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "amx_bf16": True})
    device.check_machine(config.model_copy(update={"precision": "bf16"}))


def the_labs_loop(model, batches, criterion, optimizer):
    """A plain rebuild: no memory format, no counting on the device."""
    model.train()
    correct = 0
    for images, grades in batches:
        optimizer.zero_grad()
        outputs = model(images)
        loss = criterion(outputs, grades)
        loss.backward()
        optimizer.step()
        correct += (outputs.max(1)[1] == grades).sum().item()
    return correct


def learner_of(config, model, class_weights=None):
    learner = Learner(config, model, new_head(config, class_weights), start_accelerator(config), steps_an_epoch=3)
    learner.start_phase("fine-tuning")
    learner.train_mode()
    return learner


@pytest.mark.slow
def test_steps_do_what_the_labs_loop_does():
    torch.manual_seed(0)
    # In float64, where another order of summation cannot hide, or fake, a difference; the last batch is short.
    images, grades = torch.rand(20, 3, 33, 33, dtype=torch.float64), torch.randint(0, 5, (20,))
    batches = list(zip(images.split(8), grades.split(8), strict=True))
    weights = [1.0, 10.565, 4.906, 29.59, 35.55]
    ours, theirs = build_model("resnet18").double(), build_model("resnet18").double()
    theirs.load_state_dict(ours.state_dict())
    learner = learner_of(RunConfig(device="cpu"), ours, weights)
    learner.head.class_weights = torch.tensor(weights, dtype=torch.float64)
    learner.head.loss = lambda outputs, targets: nn.functional.cross_entropy(
        outputs, targets, learner.head.class_weights
    )
    correct = sum(int(learner.step(*batch, number)[2]) for number, batch in enumerate(batches))
    optimizer = torch.optim.SGD(theirs.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)
    criterion = nn.CrossEntropyLoss(torch.tensor(weights, dtype=torch.float64))
    assert the_labs_loop(theirs, batches, criterion, optimizer) == correct
    for key, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(config, monkeypatch):
    real_step, steps = Learner.step, []

    def breaks_in_the_second_epoch(learner, images, grades, number):
        steps.append(number)
        return real_step(learner, images * (float("inf") if number == 6 else 1), grades, number)

    monkeypatch.setattr(Learner, "step", breaks_in_the_second_epoch)
    with pytest.raises(FloatingPointError, match=r"not finite in epoch 2, step 3, at learning rate 0\.01; lower"):
        train_run(config)
    folder = experiment(config).run("run")
    state = torch.load(folder.last_checkpoint, weights_only=True)
    assert len(state["history"]) == 1
    assert all(torch.isfinite(value).all() for value in state["learner"]["model"].values())
    assert "learning rate" in folder.read_status()["reason"]


@pytest.mark.slow
def test_no_checkpoint_within_an_epoch_is_of_a_network_that_has_diverged(config, monkeypatch):
    real_step = Learner.step

    def breaks_in_the_third_step(learner, images, grades, number):
        return real_step(learner, images * (float("inf") if number == 2 else 1), grades, number)

    monkeypatch.setattr(Learner, "step", breaks_in_the_third_step)
    with pytest.raises(FloatingPointError, match="epoch 1, step 3"):
        train_run(config.model_copy(update={"checkpoint_minutes": 1e-9}))
    state = load_state(experiment(config).run("run").last_checkpoint)
    assert state["tally"]["step"] == 2 and math.isfinite(state["tally"]["losses"])
    assert all(value.isfinite().all() for value in state["learner"]["model"].values())


def test_an_epoch_that_diverges_in_its_only_step_is_never_kept(config):
    """Its loss is that of the weights before the step."""
    with pytest.raises(
        FloatingPointError, match=r"validation photographs were not finite in epoch 1, step 1, .*1e\+30;"
    ):
        train_run(config.model_copy(update={"learning_rate": 1e30, "batch_size": 32, "epochs": 1}))
    folder = experiment(config).run("run")
    assert not folder.best_checkpoint.exists() and not folder.last_checkpoint.exists()
    status = folder.read_status()
    assert status["state"] == "failed" and "learning rate 1e+30" in status["reason"]


def test_weights_that_are_not_finite_are_never_saved(config, monkeypatch):
    real_step = Learner.step

    def breaks_after_the_last_step(learner, images, grades, number):
        figures = real_step(learner, images, grades, number)
        if number == 3:
            learner.model.stage2[0].branch1[1].running_var[5] = math.inf  # of which testing makes 0
        return figures

    monkeypatch.setattr(Learner, "step", breaks_after_the_last_step)
    where = r"stage2\.0\.branch1\.1\.running_var were not finite in epoch 1, step 4"
    with pytest.raises(FloatingPointError, match=where):
        train_run(config)
    assert not experiment(config).run("run").last_checkpoint.parent.exists()


@pytest.mark.slow
def test_pretraining_that_diverges_leaves_no_weights(config, monkeypatch):
    monkeypatch.setattr(pretrain_module, "_LEARNING_RATE", 1e35)
    config = config.model_copy(update={"pretraining_photographs": 40, "pretraining_epochs": 1})
    with pytest.raises(FloatingPointError, match=r"pretraining of \w+ diverged by epoch 1, step 1, .* 1e\+35"):
        pretrain(config)
    assert not experiment(config).pretraining(config.model).weights.exists()


def test_a_step_that_the_scaler_leaves_out_counts_in_no_gradient_norm():
    model = nn.Linear(2, 1)
    norms = GradientNorms(model)
    for gradient in (3.0, math.inf, 5.0):
        model.weight.grad = torch.tensor([[gradient, 0.0]])
        norms.add()
    norms.close_epoch(1)
    assert norms.rows[0]["norm"] == 4.0


def test_a_checkpoint_of_another_network_is_one_line(config, tmp_path):
    state = learner_of(config, build_model("resnet18")).state()
    with pytest.raises(
        InputError, match=r"^last\.pt does not fit the network: \d+ tensors differ, the first is '\S+'$"
    ):
        learner_of(config, build_model("resnet34")).restore(state, "last.pt")


def test_too_large_a_batch_says_which_to_try(config, monkeypatch):
    def too_large(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Learner, "step", too_large)
    with pytest.raises(MemoryError, match="batch_size 8 at 36 px; try batch_size=4"):
        train_run(config)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "adamw", "schedule": "onecycle", "ema_decay": 0.9, "gradient_clip": 1.0},
        {"head": "coral", "sampling": "balanced", "schedule": "cosine", "warmup_epochs": 1},
        {"head": "corn", "sampling": "decay", "class_weights": "balanced"},
        {"head": "regression", "sampling": "sqrt", "mixup_alpha": 0.2, "regression_loss": "smooth_l1"},
        {"head": "regression", "test_time_augmentation": "TenCrop", "ema_decay": 0.8},
        {"head": "regression", "validation_share": 0.0, "select_by": "test_accuracy", "learning_rate": 1e-3},
        {"label_smoothing": 0.1, "mixup_alpha": 0.2, "decay_batchnorm": False, "learning_rate_scaling": "linear"},
        {"focal_gamma": 2.0, "test_time_augmentation": "FiveCrop", "normalization": "featurewise"},
        {"model": "resnet18", "residual": False, "record_gradients": True, "normalization": "samplewise"},
        {"preprocessing": ["CropToRetina", "SubtractLocalMean"], "early_stopping": 1, "epochs": 6},
        {"image_size": 24, "resize": 28, "normalization": "zca"},
        {"model": "mobilenet_v3_small"},  # with dropout
    ],
    ids=lambda changes: "-".join(map(str, changes)),
)
def test_every_choice_of_recipe_goes_all_the_way_and_resumes_to_the_bit(config, changes, tmp_path, monkeypatch):
    """Stopped by a signal within the second epoch, and after the first: in the end nothing tells."""
    config = RunConfig(**config.model_dump() | changes)
    whole = train_run(config.model_copy(update={"out_dir": str(tmp_path / "whole")}))
    real_step = Learner.step
    stop_at = {5, 9}

    def interrupted(learner, images, grades, number):
        if number in stop_at:
            stop_at.remove(number)
            os.kill(os.getpid(), signal.SIGTERM)
        return real_step(learner, images, grades, number)

    monkeypatch.setattr(Learner, "step", interrupted)
    folder = experiment(config).run("run")
    photographs = read_json(whole.config)["data"]["splits"]["train"]["photographs"]
    steps = len(whole.read_history()) * -(-photographs // config.batch_size)
    for _ in (5, 9):
        if any(number < steps for number in stop_at):
            with pytest.raises(Interrupted) as stopped:
                train_run(config)
            assert stopped.value.exit_status == 143 and folder.read_status()["state"] == "interrupted"
    train_run(config)
    assert_same_results(folder, whole)
    predictions = folder.read_predictions()
    assert np.allclose(predictions[[f"p{grade}" for grade in range(5)]].sum(axis=1), 1)
    if config.record_gradients:
        assert folder.gradients.read_bytes() == whole.gradients.read_bytes()
        assert len(pd.read_csv(folder.gradients)) == 2 * 21 - 2 * 3  # no convolutions in shortcuts that are not there
    assert (
        evaluate_checkpoint(folder.best_checkpoint, write_data(config, tmp_path), [], "test")
        == (read_json(folder.metrics)["test"])
    )


@pytest.mark.slow
def test_views_are_for_the_last_test_and_epochs_see_one(config, tmp_path):
    config = config.model_copy(update={"test_time_augmentation": "TenCrop", "learning_rate": 0.001})
    folder = train_run(config)
    metrics, history = read_json(folder.metrics), folder.read_history().set_index("epoch")
    data, chosen = write_data(config, tmp_path), history.loc[metrics["chosen_epoch"]]
    for split, prefix in (("test", "test"), ("validation", "val")):
        ten = evaluate_checkpoint(folder.best_checkpoint, data, [], split)
        one = evaluate_checkpoint(folder.best_checkpoint, data, ["test_time_augmentation=CenterCrop"], split)
        assert ten == metrics[split] and ten["macro_auc"] != one["macro_auc"]
        assert [chosen[f"{prefix}_{name}"] for name in ("accuracy", "kappa", "auc")] == [
            one[name] for name in ("accuracy", "kappa", "macro_auc")
        ]


@pytest.mark.slow
def test_cut_points_suit_what_is_tested_in_the_end(config):
    config = config.model_copy(
        update={
            "model": "resnet18", "test_time_augmentation": "TenCrop", "head": "regression", "epochs": 1,
            "learning_rate": 1e-3,
        }
    )  # fmt: skip
    trained, data = load_trained(train_run(config).best_checkpoint), prepare_data(config)
    validation = data.split("validation")
    pixels = [data.photographs.pixels(image) for image in validation.image]
    fitted = {}
    for views in ("TenCrop", "CenterCrop"):
        seen = replace(trained, config=config.model_copy(update={"test_time_augmentation": views}))
        head = new_head(config)
        head.fit(torch.cat([seen.outputs(each) for each in pixels]), torch.tensor(validation.grade.to_numpy()))
        fitted[views] = head.cut_points
    torch.testing.assert_close(trained.head.cut_points, fitted["TenCrop"], atol=1e-4, rtol=1e-5)
    assert not torch.allclose(fitted["TenCrop"], fitted["CenterCrop"], atol=1e-3)


def write_data(config, tmp_path):
    data = tmp_path / "data.yaml"
    data.write_text(f"data_dir: {config.data_dir}\nlabels: course\nvalidation_share: {config.validation_share}\n")
    return data


def test_predictions_come_in_order_with_every_photograph_once():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    images, grades = torch.rand(7, 3, 2, 2), torch.arange(7) % 5
    logits, seen = predict(model, DataLoader(TensorDataset(images, grades), batch_size=3))
    assert logits.shape == (7, 5) and seen.tolist() == grades.tolist()
    np.testing.assert_allclose(logits, model(images).detach().numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_pretraining_that_counts_no_better_than_the_mean_has_failed():
    assert pretrain_module.counts_lesions({"hemorrhages": 0.4, "exudates": 0.0, "new_vessels": None})
    assert not pretrain_module.counts_lesions({"hemorrhages": 0.1, "exudates": -0.3})
    assert pretrain_module.counts_lesions({"exudates": None})


def test_generated_pretraining_is_made_once_and_used(config, tmp_path):
    changes = {
        "model": "resnet18", "pretrained": True, "pretrained_weights": "generated", "pretraining_photographs": 40,
        "pretraining_epochs": 1, "feature_extraction_epochs": 1, "epochs": 1,
    }  # fmt: skip
    config = config.model_copy(update=changes)
    folder = train_run(config)
    pretraining = experiment(config).pretraining("resnet18")
    made = pretraining.weights.stat().st_mtime_ns
    assert pretrain(config.model_copy(update={"augmentations": ["CenterCrop"]})).stat().st_mtime_ns == made
    facts = json.loads(pretraining.record.read_text())
    assert facts["photographs"] == 40 and set(facts["final_r2"]) == set(facts["lesion_kinds"])
    start = torch.load(pretraining.weights, weights_only=True)
    trained = load_trained(folder.best_checkpoint).model.state_dict()
    assert torch.equal(trained["layer4.1.conv2.weight"], start["layer4.1.conv2.weight"])
    assert read_json(folder.config)["weights"]["kind"] == "generated"
    pretrain(config.model_copy(update={"pretraining_epochs": 2}))
    assert pretraining.weights.stat().st_mtime_ns != made


def test_auto_device_is_there():
    assert resolve_device("auto").type in ("cpu", "cuda")


@pytest.mark.slow
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
    run = train_run(config)
    predictions = run.read_predictions()
    assert len(predictions) == 40 and predictions.grade.nunique() > 2
    assert read_json(run.metrics)["test"]["photographs"] == 40
