"""The epochs of one run: learn, have it evaluated, keep the best, and be able to go on after any step."""

import signal
import time
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from dr_lib.config import RunConfig
from dr_lib.data.normalization import Normalization
from dr_lib.data.prepare import DataSplits
from dr_lib.models.heads import Head
from dr_lib.models.weights import WeightsOrigin, not_finite
from dr_lib.storage.run_folder import RunFolder, chosen_epoch
from dr_lib.system.signals import Interrupted, Interruption
from dr_lib.training.checkpoint import save_network, save_state
from dr_lib.training.evaluator import Evaluator
from dr_lib.training.learner import GradientNorms, Learner
from dr_lib.training.loaders import Batches, TrainingBatches
from dr_lib.training.run_progress import RunProgress, Stopwatch
from dr_lib.training.schedules import phase_of


@dataclass
class EpochTotals:
    """What an epoch has come to so far; sums are over photographs.

    ``losses``, their ``weights`` and ``correct`` are this process's share of the sums, ``seen`` counts the photographs
    of all processes.
    """

    step: int = 0
    losses: float = 0.0
    weights: float = 0.0
    correct: float = 0.0
    seen: int = 0
    seconds: float = 0.0

    @property
    def sums(self) -> tuple[float, float, float]:
        return self.losses, self.weights, self.correct

    def with_sums(self, sums: torch.Tensor) -> "EpochTotals":
        losses, weights, correct = sums.tolist()
        return replace(self, losses=losses, weights=weights, correct=correct)


@dataclass
class Trainer:
    """The state of a run between steps, and how it goes on.

    ``testing``: the splits as every epoch tests them; ``views``: as the chosen network is tested in the end,
    the same object where that is no other way.
    """

    config: RunConfig
    folder: RunFolder
    progress: RunProgress
    accelerator: Accelerator
    data: DataSplits
    learner: Learner
    evaluator: Evaluator
    normalization: Normalization
    training: TrainingBatches
    testing: dict[str, Batches]
    views: dict[str, Batches]
    weights: WeightsOrigin
    interruption: Interruption
    clock: Stopwatch
    history: list[dict[str, Any]]
    tally: EpochTotals = field(default_factory=EpochTotals)
    gradients: GradientNorms | None = None
    _saved: float = field(default_factory=time.monotonic)

    def complete(self) -> None:
        """Train the epochs that are missing."""
        self.progress.start()
        while len(self.history) < self.config.epochs and not self._stopped_improving():
            epoch = len(self.history) + 1
            if self.learner.phase != phase_of(self.config, epoch):
                self.learner.start_phase(phase_of(self.config, epoch))
            self._train_epoch(epoch)
            self._close_epoch(epoch)

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state that was saved."""
        self.learner.restore(state["learner"], self.folder.last_checkpoint)
        self.history[:], self.tally = state["history"], EpochTotals(**state["tally"])
        if not self.accelerator.is_main_process:
            self.tally = self.tally.with_sums(torch.zeros(3))  # those of all are saved, and the main one has them
        self.clock.go_on(state["seconds"])
        if self.gradients:
            self.gradients.load_state_dict(state["gradients"])

    def _train_epoch(self, epoch: int) -> None:
        """Take the steps of ``epoch`` that are missing; stop after any of them when asked to, or for a checkpoint."""
        self.training.begin(epoch, first_step=self.tally.step)
        first = (epoch - 1) * self.training.plan.steps
        began = time.monotonic() - self.tally.seconds
        # Summed on the device: reading a value back would wait for every step.
        sums = torch.tensor(self.tally.sums, dtype=torch.float64, device=self.accelerator.device)
        broken = torch.full((), -1, device=self.accelerator.device)
        self.learner.train_mode()
        total = len(self.training.dataset)
        report = self.progress.reporter(epoch, "train", total, self.learner.phase, lambda: (sums[0] / sums[1]).item())
        for images, grades in self.training:
            tally = self.tally
            of_step = self._step(images, grades, first + tally.step)
            sums += of_step
            broken = torch.where((broken < 0) & ~torch.isfinite(of_step[0]), tally.step, broken)
            if self.gradients:
                self.gradients.add()
            tally.step += 1
            tally.seen += self.training.plan.photographs(tally.step - 1)
            report(tally.seen)
            stop, due = self._stop_or_save()
            if stop or due:
                self._close_steps(sums, began, broken, epoch)
                self._save()
                self._obey(stop)
        self._close_steps(sums, began, broken, epoch)

    def _close_steps(self, sums: torch.Tensor, began: float, broken: torch.Tensor, epoch: int) -> None:
        """Enter what the steps so far have come to; raise where they were not finite."""
        self.tally = replace(self.tally.with_sums(sums), seconds=time.monotonic() - began)
        self._check_finite_steps(broken, epoch)

    def _step(self, images: torch.Tensor, grades: torch.Tensor, number: int) -> torch.Tensor:
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
            raise self.learner.diverged("training loss was", epoch, int(steps[steps >= 0].min()))
        # A loss tells of the weights before its step; nothing has told yet of those after the last one.
        for network in {self.learner.model, self.learner.network}:
            if name := not_finite(network.state_dict()):
                raise self.learner.diverged(f"weights in {name} were", epoch, self.tally.step - 1)

    def _close_epoch(self, epoch: int) -> None:
        """Evaluate, write the epoch's row, keep the network where it is the best, and save the state."""
        tally = self._tally_of_all()
        row = {
            "epoch": epoch,
            "phase": self.learner.phase,
            "lr": self.learner.learning_rate(epoch * self.training.plan.steps - 1),
            "train_loss": tally.losses / tally.weights,
            # A mixed photograph has two grades, and its answer is right for one of them at most.
            "train_accuracy": None if self.config.mixup_alpha else tally.correct / tally.seen,
            **self.evaluator.metrics(self.testing, epoch),
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
        self.progress.epoch(row, saved=chosen)

    def keep(self, network: nn.Module, head: Head, epoch: int) -> None:
        """Write the network to test in the end, with what tells whose it is."""
        path, whose = self.folder.best_checkpoint, {"fingerprint": self.data.fingerprint, "weights": vars(self.weights)}
        save_network(path, network, head, self.normalization, self.config, epoch=epoch, **whose)

    def write_tables(self) -> None:
        """Write what is recorded of each epoch."""
        self.folder.write_history(self.history)
        if self.gradients:
            self.folder.write_gradients(self.gradients.rows)

    def _tally_of_all(self) -> EpochTotals:
        if self.accelerator.num_processes == 1:
            return self.tally
        own = torch.tensor(self.tally.sums, dtype=torch.float64, device=self.accelerator.device)
        return self.tally.with_sums(self.accelerator.reduce(own, "sum"))

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
