"""One run from its parameters to its folder: epochs in two phases, the chosen epoch, the testing figures."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dr_lib.config import RunConfig
from dr_lib.data.balance import class_counts, class_weights
from dr_lib.data.normalisation import Normalisation
from dr_lib.data.prepare import PreparedData, prepare_data
from dr_lib.errors import InputError
from dr_lib.evaluation.metrics import accuracy, confusion_matrix, quadratic_weighted_kappa
from dr_lib.evaluation.predict import predict, prediction_table
from dr_lib.evaluation.summary import summarise
from dr_lib.files import read_json, write_json
from dr_lib.models import WeightsOrigin, build_model, freeze_backbone, read_checkpoint, unfreeze
from dr_lib.progress import Progress
from dr_lib.runs import Experiment, RunFolder
from dr_lib.training.checkpoint import save_checkpoint
from dr_lib.training.device import resolve_device
from dr_lib.training.loaders import Batches, build_loaders, fit_normalisation, refuse_what_cannot_train
from dr_lib.training.loop import train_epoch
from dr_lib.training.provenance import describe_run
from dr_lib.training.recipe import FEATURE_EXTRACTION, build_loss, build_optimizer, phase_of
from dr_lib.training.weights import load_starting_weights

_SECONDS_BETWEEN_HEARTBEATS = 2.0


def train(config: RunConfig, data: PreparedData | None = None) -> RunFolder:
    """Train and test one network as ``config`` says; return the folder with all its results.

    ``data`` is what :func:`dr_lib.data.prepare.prepare_data` gives for ``config``, and is read here without. A run
    that was interrupted goes on after its last whole epoch. What goes wrong is recorded in ``status.json`` before it
    is raised.
    """
    folder = Experiment(Path(config.out_dir)).run(config.run_name)
    started = time.monotonic()
    folder.write_status("running", epoch=0, epochs=config.epochs, phase="preparing")
    try:
        with Progress() as progress:
            _Run.prepare(config, data or prepare_data(config), folder, progress).complete()
    except BaseException as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        folder.write_status("failed", reason=reason, seconds=time.monotonic() - started)
        raise
    folder.write_status("done", epoch=config.epochs, epochs=config.epochs, seconds=time.monotonic() - started)
    return folder


@dataclass
class _Run:
    """The state of a run between epochs."""

    config: RunConfig
    folder: RunFolder
    progress: Progress
    device: torch.device
    data: PreparedData
    model: nn.Module
    criterion: nn.Module
    normalisation: Normalisation
    batches: dict[str, Batches]
    history: list[dict[str, Any]] = field(default_factory=list)
    _beat: float = 0.0

    @classmethod
    def prepare(cls, config: RunConfig, data: PreparedData, folder: RunFolder, progress: Progress) -> "_Run":
        """Check that parameters and data go together, build the network, and write ``config.json``."""
        device = resolve_device(config.device)
        counts = class_counts(data.split("train").grade)
        weights = class_weights(config.class_weights, counts)
        refuse_what_cannot_train(config, data)
        if not same_run(folder, config, data.fingerprint) and (aside := folder.set_results_aside()):
            progress.line(f"other parameters or data than before: the earlier results are now in {aside}")
        torch.manual_seed(config.seed)
        model = build_model(config.model, version=config.resnet_version)
        origin = load_starting_weights(model, config) if config.pretrained else WeightsOrigin("none", "none", "random")
        model.to(device, memory_format=torch.channels_last)
        normalisation = fit_normalisation(config, data).to(device)
        write_json(folder.config, describe_run(config, data, model, normalisation, origin, weights, device))
        criterion = build_loss(weights, device)
        batches = build_loaders(config, data, normalisation, device)
        return cls(config, folder, progress, device, data, model, criterion, normalisation, batches)

    def complete(self) -> None:
        """Train the epochs that are missing, then test the chosen one."""
        optimizer, phase = self._resume()
        for epoch in range(len(self.history) + 1, self.config.epochs + 1):
            if phase != phase_of(self.config, epoch):
                phase = phase_of(self.config, epoch)
                optimizer = self._start_phase(phase)
            self._train_one(epoch, phase, optimizer)
        self._test_chosen()

    def _start_phase(self, phase: str) -> torch.optim.Optimizer:
        (freeze_backbone if phase == FEATURE_EXTRACTION else unfreeze)(self.model)
        return build_optimizer(self.model, self.config)

    def _train_one(self, epoch: int, phase: str, optimizer: torch.optim.Optimizer) -> None:
        """Train and evaluate one epoch; write its row, its weights where they are the best, and the checkpoint."""
        # Everything drawn in an epoch depends on (seed, epoch) alone, so that a resumed run repeats it.
        torch.manual_seed(_epoch_seed(self.config.seed, epoch))
        batches = self.batches["train"]
        batches.loader.sampler.generator.manual_seed(_epoch_seed(self.config.seed, epoch))
        batches.dataset.set_epoch(epoch)
        began = time.monotonic()
        train_loss, train_accuracy = train_epoch(
            self.model, batches, self.criterion, optimizer, self._on_step(epoch, phase, "train")
        )
        seconds = time.monotonic() - began
        row = {
            "epoch": epoch,
            "phase": phase,
            "lr": optimizer.param_groups[0]["lr"],
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            **self._evaluate("validation", "val", epoch, phase),
            **self._evaluate("test", "test", epoch, phase),
            "seconds": time.monotonic() - began,
            "images_per_second": len(batches.dataset) / seconds,
        }
        self.history.append(row)
        self.folder.write_history(self.history)
        self.progress.line(
            f"epoch {epoch} :\ntraining accuracy: {100 * train_accuracy:.4f}\n"
            f"testing accuracy: {100 * row['test_accuracy']:.4f}"
        )
        if chosen_epoch(self.history, self.config.select_by) == epoch:
            save_checkpoint(self.folder.best_checkpoint, self.model, self.normalisation, self.config, epoch=epoch)
            self.progress.line(f"epoch {epoch} save weights")
        # Written last: what it says is done has its row and its weights on the disk.
        save_checkpoint(
            self.folder.last_checkpoint,
            self.model,
            self.normalisation,
            self.config,
            optimizer=optimizer.state_dict(),
            history=self.history,
        )

    def _evaluate(self, split: str, prefix: str, epoch: int, phase: str) -> dict[str, float | None]:
        """Return loss, accuracy and kappa on a split under the names of ``history.csv``; empty for an empty split."""
        if split not in self.batches:
            return {f"{prefix}_{figure}": None for figure in ("loss", "accuracy", "kappa")}
        logits, grades = predict(self.model, self.batches[split], self._on_step(epoch, phase, split))
        with torch.no_grad():
            loss = self.criterion(
                torch.from_numpy(logits).to(self.device), torch.from_numpy(grades).to(self.device)
            ).item()
        matrix = confusion_matrix(grades, logits.argmax(axis=1))
        return {
            f"{prefix}_loss": loss,
            f"{prefix}_accuracy": float(accuracy(matrix)),
            f"{prefix}_kappa": float(quadratic_weighted_kappa(matrix)),
        }

    def _test_chosen(self) -> None:
        """Test the weights that were saved for the chosen epoch, as they stand on the disk, and write the figures."""
        self.model.load_state_dict(read_checkpoint(self.folder.best_checkpoint)["model"])
        logits, _ = predict(self.model, self.batches["test"])
        self.folder.write_predictions(prediction_table(self.data.split("test"), logits))
        highest = max(self.history, key=lambda row: row["test_accuracy"])
        metrics = {
            "select_by": self.config.select_by,
            "chosen_epoch": chosen_epoch(self.history, self.config.select_by),
            "highest_testing_accuracy": {"accuracy": highest["test_accuracy"], "epoch": highest["epoch"]},
            "test": summarise(self.folder.read_predictions(), self.data.split("train").grade),
        }
        write_json(self.folder.metrics, metrics)
        kappa = metrics["test"]["kappa"]
        self.progress.line(
            f"chosen by {self.config.select_by}: epoch {metrics['chosen_epoch']}, testing accuracy "
            f"{100 * metrics['test']['accuracy']:.4f}, quadratic weighted kappa {kappa:.4f}"
        )

    def _resume(self) -> tuple[torch.optim.Optimizer | None, str | None]:
        """Take up the last whole epoch of the same run, if there is one; return its optimiser and phase."""
        if not self.folder.last_checkpoint.exists():
            return None, None
        saved = read_checkpoint(self.folder.last_checkpoint)
        self.history = saved["history"]
        phase = phase_of(self.config, len(self.history))
        optimizer = self._start_phase(phase)
        self.model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        self.progress.line(f"going on after epoch {len(self.history)}")
        return optimizer, phase

    def _on_step(self, epoch: int, phase: str, split: str):
        """Return the callback that draws the bar and keeps the heartbeat."""
        total = len(self.batches[split].dataset)

        def report(seen: int) -> None:
            self.progress.bar(f"epoch {epoch}/{self.config.epochs} {split}", seen, total)
            if time.monotonic() - self._beat >= _SECONDS_BETWEEN_HEARTBEATS:
                self._beat = time.monotonic()
                last = self.history[-1] if self.history else {}
                self.folder.write_status(
                    "running", epoch=epoch, epochs=self.config.epochs, phase=phase, split=split,
                    share=seen / total, test_accuracy=last.get("test_accuracy"), test_kappa=last.get("test_kappa"),
                )  # fmt: skip

        return report


def same_run(folder: RunFolder, config: RunConfig, fingerprint: str) -> bool:
    """Tell whether ``folder`` was begun with these parameters on these photographs."""
    if not folder.config.exists():
        return False
    before = read_json(folder.config)
    try:
        identity = RunConfig.from_mapping(before["parameters"]).identity()
    except InputError:  # written by a version with other parameters
        return False
    return identity == config.identity() and before["data"]["fingerprint"] == fingerprint


def chosen_epoch(history: list[dict[str, Any]], select_by: str) -> int:
    """Return the epoch with the highest ``select_by``; among equals the one with the lower loss, then the earlier."""
    loss = select_by.partition("_")[0] + "_loss"
    return max(history, key=lambda row: (row[select_by], -row[loss], -row["epoch"]))["epoch"]


def _epoch_seed(seed: int, epoch: int) -> int:
    """Return a seed that differs between all (seed, epoch)."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)
