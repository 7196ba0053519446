"""The epochs of one run: learn, evaluate, keep the best, and be able to go on after any step."""

import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn
from tqdm import tqdm

from dr_lib.config import RunConfig
from dr_lib.data.normalization import Normalization
from dr_lib.data.prepare import DataSplits
from dr_lib.evaluation.matrix_metrics import accuracy, confusion_matrix, quadratic_weighted_kappa
from dr_lib.evaluation.predict import predict
from dr_lib.evaluation.ranking import macro_auc
from dr_lib.models.heads import Head
from dr_lib.models.weights import WeightsOrigin, not_finite
from dr_lib.storage.folders import RunFolder
from dr_lib.system.progress import Progress
from dr_lib.system.signals import Interrupted, Interruption
from dr_lib.system.stopwatch import Stopwatch
from dr_lib.training.checkpoint import save_network, save_state
from dr_lib.training.gradient_norms import GradientNorms
from dr_lib.training.learner import Learner
from dr_lib.training.loaders import Batches, TrainingBatches
from dr_lib.training.phases import phase_of

_SECONDS_BETWEEN_HEARTBEATS = 2.0


@dataclass
class EpochTotals:
    """What an epoch has come to so far; sums are over photographs.

    ``loss`` and ``correct`` are this process's share of the sums, ``seen`` counts the photographs of all processes.
    """

    step: int = 0
    loss: float = 0.0
    correct: float = 0.0
    seen: int = 0
    seconds: float = 0.0


@dataclass
class Trainer:
    """The state of a run between steps, and how it goes on.

    ``testing``: the splits as every epoch tests them; ``views``: as the chosen network is tested in the end,
    the same object where that is no other way.
    """

    config: RunConfig
    folder: RunFolder
    progress: Progress
    accelerator: Accelerator
    data: DataSplits
    learner: Learner
    normalization: Normalization
    training: TrainingBatches
    testing: dict[str, Batches]
    views: dict[str, Batches]
    weights: WeightsOrigin
    interruption: Interruption
    clock: Stopwatch
    history: list[dict[str, Any]] = field(default_factory=list)
    tally: EpochTotals = field(default_factory=EpochTotals)
    gradients: GradientNorms | None = None
    _beat: float = 0.0
    _saved: float = field(default_factory=time.monotonic)
    _began: float = 0.0
    _closed_before: int = 0

    def complete(self) -> None:
        """Train the epochs that are missing."""
        self._began, self._closed_before = time.monotonic(), len(self.history)
        while len(self.history) < self.config.epochs and not self._stopped_improving():
            epoch = len(self.history) + 1
            if self.learner.phase != phase_of(self.config, epoch):
                self.learner.start_phase(phase_of(self.config, epoch))
            self._train_epoch(epoch)
            self._close_epoch(epoch)

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state that was saved."""
        self.learner.restore(state["learner"], self.folder.last_checkpoint)
        self.history, self.tally = state["history"], EpochTotals(**state["tally"])
        if not self.accelerator.is_main_process:
            self.tally.loss = self.tally.correct = 0.0  # those of all processes are saved, and the main one has them
        self.clock.go_on(state["seconds"])
        if self.gradients:
            self.gradients.load_state_dict(state["gradients"])

    def _train_epoch(self, epoch: int) -> None:
        """Take the steps of ``epoch`` that are missing; stop after any of them when asked to, or for a checkpoint."""
        tally, before = self.tally, self.tally.seconds
        self.training.begin(epoch, first_step=tally.step)
        first = (epoch - 1) * self.training.plan.steps
        began = time.monotonic()
        # Summed on the device: reading a value back would wait for every step.
        sums = torch.tensor([tally.loss, tally.correct], dtype=torch.float64, device=self.accelerator.device)
        broken = torch.full((), -1, device=self.accelerator.device)
        self.learner.train_mode()
        # Each process has a share of the loss.
        shares = self.accelerator.num_processes
        report = self._reporter(epoch, "train", self.training, lambda: shares * sums[0].item() / tally.seen)
        for images, grades in self.training:
            loss, correct = self._step(images, grades, first + tally.step)
            sums += torch.stack([loss.double() * self.training.plan.photographs(tally.step), correct.double()])
            broken = torch.where((broken < 0) & ~torch.isfinite(loss), tally.step, broken)
            if self.gradients:
                self.gradients.add()
            tally.step += 1
            tally.seen += self.training.plan.photographs(tally.step - 1)
            report(tally.seen)
            stop, due = self._stop_or_save()
            if stop or due:
                tally.loss, tally.correct = sums.tolist()
                tally.seconds = before + time.monotonic() - began
                self._check_finite_steps(broken, epoch)
                self._save()
                self._obey(stop)
        tally.loss, tally.correct = sums.tolist()
        tally.seconds = before + time.monotonic() - began
        self._check_finite_steps(broken, epoch)

    def _step(self, images: torch.Tensor, grades: torch.Tensor, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        try:
            return self.learner.step(images, grades, number)
        except torch.OutOfMemoryError:
            size = self.config.batch_size
            raise MemoryError(
                f"the device has not the memory for batch_size {size} at {self.config.image_size} px; "
                f"try batch_size={max(self.config.devices, size // 2)}"
            ) from None

    def _check_finite_steps(self, broken: torch.Tensor, epoch: int) -> None:
        """Raise before anything of it is saved: the last good checkpoint stays.

        ``broken``: the first step of ``epoch`` whose loss was not finite, counted from 0; -1: none.
        """
        # Each process has a share of the loss; all are to stop, and for the same reason.
        steps = self.accelerator.gather(broken).view(-1)
        if (steps >= 0).any():
            raise self._diverged("training loss was", epoch, int(steps[steps >= 0].min()))
        # A loss tells of the weights before its step; nothing has told yet of those after the last one.
        for network in {self.learner.model, self.learner.network}:
            if name := not_finite(network.state_dict()):
                raise self._diverged(f"weights in {name} were", epoch, self.tally.step - 1)

    def _diverged(self, what: str, epoch: int, step: int) -> FloatingPointError:
        """Return the error of a run whose ``what`` not finite in ``step`` of ``epoch``, counted from 0."""
        rate = self.learner.learning_rate((epoch - 1) * self.training.plan.steps + step)
        return FloatingPointError(
            f"the {what} not finite in epoch {epoch}, step {step + 1}, at learning rate {rate:g}; "
            "lower learning_rate, or set gradient_clip"
        )

    def _close_epoch(self, epoch: int) -> None:
        """Evaluate, write the epoch's row, keep the network where it is the best, and save the state."""
        tally = self._tally_of_all()
        row = {
            "epoch": epoch,
            "phase": self.learner.phase,
            "lr": self.learner.learning_rate(epoch * self.training.plan.steps - 1),
            "train_loss": tally.loss / tally.seen,
            "train_accuracy": tally.correct / tally.seen,
            **self._evaluate(epoch),
            "seconds": tally.seconds,
            "images_per_second": tally.seen / tally.seconds,
        }
        self.history.append(row)
        self.tally = EpochTotals()
        if self.gradients:
            self.gradients.close_epoch(epoch)
        if self.accelerator.is_main_process:
            self._write_epoch(row)
        # Written last: what it says is done has its row and its weights on the disk.
        self._save()
        self._obey(self._stop_or_save()[0])

    def _write_epoch(self, row: dict[str, Any]) -> None:
        epoch = row["epoch"]
        self.write_tables()
        chosen = chosen_epoch(self.history, self.config.select_by) == epoch
        if chosen:
            self.keep(self.learner.network, self.learner.head, epoch)
        self.progress.line(
            f"epoch {epoch}/{self.config.epochs}: loss {row['train_loss']:.4f}, "
            f"training accuracy {100 * row['train_accuracy']:.4f}, {_figures(row)}{', weights saved' * chosen}",
            passing=True,
        )

    def keep(self, network: nn.Module, head: Head, epoch: int) -> None:
        """Write the network to test in the end, with what tells whose it is."""
        path, whose = self.folder.best_checkpoint, {"fingerprint": self.data.fingerprint, "weights": vars(self.weights)}
        save_network(path, network, head, self.normalization, self.config, epoch=epoch, **whose)

    def write_tables(self) -> None:
        """Write what is recorded of each epoch."""
        self.folder.write_history(self.history)
        if self.gradients:
            self.folder.write_gradients(self.gradients.rows)

    def _evaluate(self, epoch: int) -> dict[str, float | None]:
        """Return the figures of validation and testing photographs that a row of ``history.csv`` has, by its names."""
        found: dict[str, float | None] = {}
        head = self.learner.head
        self.fit_head(self.testing, epoch)
        for split, prefix in (("validation", "val"), ("test", "test")):
            if split not in self.testing:
                found |= {f"{prefix}_{figure}": None for figure in ("loss", "accuracy", "kappa", "auc")}
                continue
            outputs, grades = self.predict(split, self.testing, epoch)
            matrix = confusion_matrix(grades.cpu().numpy(), head.predicted(outputs).cpu().numpy())
            found |= {
                f"{prefix}_loss": head.loss(outputs, grades).item(),
                f"{prefix}_accuracy": float(accuracy(matrix)),
                f"{prefix}_kappa": float(quadratic_weighted_kappa(matrix)),
                f"{prefix}_auc": macro_auc(grades.cpu().numpy(), head.probabilities(outputs).cpu().numpy()),
            }
        return found

    def fit_head(self, batches: dict[str, Batches], epoch: int) -> None:
        """Fit what a head fits to held-out photographs, or, where none are, to those that were trained on."""
        if self.config.head == "regression":
            split = "validation" if "validation" in batches else "train"
            self.learner.head.fit(*self.predict(split, batches, epoch))

    @torch.no_grad()
    def predict(self, split: str, batches: dict[str, Batches], epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return outputs and grades of all photographs of a split, in order, each once whatever number of processes.

        Raises :class:`FloatingPointError` where the network of ``epoch`` gives outputs that are not finite.
        """
        report = self._reporter(epoch, split, batches[split])
        outputs, grades = predict(self.learner.network, batches[split], report)
        parts = gather_object([(outputs, grades)])
        merged = [np.empty((sum(len(part[which]) for part in parts), *parts[0][which].shape[1:]), parts[0][which].dtype)
                  for which in (0, 1)]  # fmt: skip
        for process, part in enumerate(parts):
            for whole, own in zip(merged, part, strict=True):
                whole[process :: len(parts)] = own
        # After the gathering, so that all processes find the same.
        if not np.isfinite(merged[0]).all():
            raise self._diverged(f"network's outputs on {split} photographs were", epoch, self.training.plan.steps - 1)
        found, true = (torch.from_numpy(whole).to(self.accelerator.device) for whole in merged)
        return found, true

    def _tally_of_all(self) -> EpochTotals:
        if self.accelerator.num_processes == 1:
            return self.tally
        own = torch.tensor([self.tally.loss, self.tally.correct], dtype=torch.float64)
        loss, correct = self.accelerator.reduce(own.to(self.accelerator.device), "sum").tolist()
        return replace(self.tally, loss=loss, correct=correct)

    def _stopped_improving(self) -> bool:
        if not self.config.early_stopping or not self.history:
            return False
        return len(self.history) - chosen_epoch(self.history, self.config.select_by) >= self.config.early_stopping

    def _stop_or_save(self) -> tuple[bool, bool]:
        """Return whether to stop after this step, and whether to save; all processes find the same.

        One that was told to stop tells the others. Clocks differ, so the main process's says when to save.
        """
        stop = self.interruption.requested is not None
        due = time.monotonic() - self._saved >= 60 * self.config.checkpoint_minutes
        if self.accelerator.num_processes == 1:
            return stop, due
        flags = [stop, due and self.accelerator.is_main_process]
        both = torch.tensor(flags, dtype=torch.float32, device=self.accelerator.device)
        stop, due = (self.accelerator.reduce(both, "sum") > 0).tolist()
        return stop, due

    def _obey(self, stop: bool) -> None:
        if stop:
            self.interruption.raise_if_requested()
            raise Interrupted(signal.SIGTERM)  # another process was told

    def _save(self) -> None:
        tally = self._tally_of_all()
        if self.accelerator.is_main_process:
            state = {
                "parameters": self.config.model_dump(),
                "fingerprint": self.data.fingerprint,
                "weights": vars(self.weights),
                "learner": self.learner.state(),
                "history": self.history,
                "tally": vars(tally),
                "seconds": self.clock.seconds,
                "gradients": self.gradients.state_dict() if self.gradients else None,
            }
            save_state(self.folder.last_checkpoint, state)
        self._saved = time.monotonic()

    def _reporter(
        self, epoch: int, split: str, batches: Batches, loss: Callable[[], float] | None = None
    ) -> Callable[[int], None]:
        """Return the callback that draws the bar and keeps the heartbeat; ``loss``: the mean of the epoch so far."""
        total = len(batches.dataset)

        def note() -> str:
            parts = [f"loss {loss():.3f}"] if loss else []
            parts += [_figures(self.history[-1])] if self.history else []
            return ", ".join([*parts, *self._time_left()])

        def report(seen: int) -> None:
            if not self.accelerator.is_main_process:
                return
            self.progress.bar(f"epoch {epoch}/{self.config.epochs} {split}", seen, total, note)
            if time.monotonic() - self._beat >= _SECONDS_BETWEEN_HEARTBEATS:
                self._beat = time.monotonic()
                last = self.history[-1] if self.history else {}
                self.folder.write_status(
                    "running", epoch=epoch, epochs=self.config.epochs, phase=self.learner.phase,
                    test_accuracy=last.get("test_accuracy"), test_kappa=last.get("test_kappa"),
                )  # fmt: skip

        return report

    def _time_left(self) -> list[str]:
        """Return how long the epochs that are missing take, tests included, once one has shown it."""
        closed, under_way = len(self.history) - self._closed_before, self.tally.step / self.training.plan.steps
        left = self.config.epochs - len(self.history) - under_way
        if not closed or left <= 0:
            return []
        seconds = (time.monotonic() - self._began) / (closed + under_way)
        return [f"{tqdm.format_interval(round(seconds * left))} left"]


def _figures(row: dict[str, Any]) -> str:
    """Return the figures of an epoch that one watches: testing accuracy in percent, kappa of held-out photographs."""
    kappa = "" if row["val_kappa"] is None else f", validation kappa {row['val_kappa']:.4f}"
    return f"testing accuracy {100 * row['test_accuracy']:.4f}{kappa}"


def chosen_epoch(history: list[dict[str, Any]], select_by: str) -> int:
    """Return the epoch with the highest ``select_by``; among equals the one with the lower loss, then the earlier.

    ``last``: the last one, whatever its figures. An AUC is NaN where the photographs are of one grade; any number is
    better.
    """
    if select_by == "last":
        return history[-1]["epoch"]
    loss = select_by.partition("_")[0] + "_loss"
    figure = lambda row: -math.inf if math.isnan(row[select_by]) else row[select_by]  # noqa: E731
    return max(history, key=lambda row: (figure(row), -row[loss], -row["epoch"]))["epoch"]
