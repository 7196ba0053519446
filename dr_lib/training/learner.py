"""A network that learns, one step at a time, on whatever accelerate puts it."""

from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from dr_lib.config import RunConfig
from dr_lib.models.freezing import freeze_backbone, train_mode, unfreeze
from dr_lib.models.heads import Head
from dr_lib.models.losses import grade_shares
from dr_lib.models.weights import load_weights
from dr_lib.training.mixup import mix
from dr_lib.training.optimizers import build_optimizer, set_learning_rate
from dr_lib.training.phases import FEATURE_EXTRACTION
from dr_lib.training.schedules import learning_rate_at, scaled_learning_rate
from dr_lib.training.weight_average import ExponentialMovingAverage


class Learner:
    """Weights, optimizer and average of one run, with all of the recipe that acts within a step.

    How many steps there are is known beforehand, so that the learning rate is a function of the step, and all that is
    drawn in a step is one of (seed, step): there is no random state to be saved.
    """

    def __init__(
        self, config: RunConfig, model: nn.Module, head: Head, accelerator: Accelerator, *, steps_an_epoch: int
    ):
        self.config, self.model, self.head, self.accelerator = config, model, head, accelerator
        self.steps_an_epoch, self.total_steps = steps_an_epoch, config.epochs * steps_an_epoch
        self.warmup_steps = round(config.warmup_epochs * steps_an_epoch)
        self.base_rate = scaled_learning_rate(
            config.learning_rate, config.batch_size, config.reference_batch, config.learning_rate_scaling
        )
        self.average = ExponentialMovingAverage(model, config.ema_decay) if config.ema_decay else None
        self.phase = ""

    @property
    def network(self) -> nn.Module:
        """The network to test and to keep: the averaged one where weights are averaged."""
        return self.average.module if self.average else self.model

    def start_phase(self, phase: str) -> None:
        """Begin a phase: freeze or unfreeze, with an optimizer over what learns."""
        config, self.phase = self.config, phase
        (freeze_backbone if phase == FEATURE_EXTRACTION else unfreeze)(self.model)
        # Distributed training looks at what learns when it wraps the network, so it is wrapped anew.
        self.accelerator.free_memory()
        # accelerate makes the outermost module compute in mixed precision; the network itself is tested in float32.
        self._wrapped = self.accelerator.prepare_model(nn.Sequential(self.model))
        self.optimizer = self.accelerator.prepare_optimizer(
            build_optimizer(
                self.model,
                name=config.optimizer,
                learning_rate=self.base_rate,
                momentum=config.momentum,
                weight_decay=config.weight_decay,
                decay_batchnorm=config.decay_batchnorm,
            )
        )

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of ``step`` of the whole run, counted from 0."""
        return learning_rate_at(
            step,
            total_steps=self.total_steps,
            base=self.base_rate,
            schedule=self.config.schedule,
            warmup_steps=min(self.warmup_steps, self.total_steps - 1),
        )

    def diverged(self, what: str, epoch: int, step: int) -> FloatingPointError:
        """Return the error of a run whose ``what`` not finite in ``step`` of ``epoch``, counted from 0."""
        rate = self.learning_rate((epoch - 1) * self.steps_an_epoch + step)
        return FloatingPointError(
            f"the {what} not finite in epoch {epoch}, step {step + 1}, at learning rate {rate:g}; "
            "lower learning_rate, or set gradient_clip"
        )

    def train_mode(self) -> None:
        train_mode(self.model)

    def step(self, images: Tensor, grades: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Learn from one batch; return its loss and how many of it were answered right, on the device.

        ``number`` is the step of the whole run. Of several processes each gives its share of the batch and returns
        its share of the figures, which add up to those of the whole batch; the gradient is the whole batch's.
        """
        targets: Tensor = grades
        seed = (self.config.seed << 32) + number
        # What is drawn in a step, by dropout for instance, depends on nothing but the step and the process.
        torch.manual_seed(seed + (self.accelerator.process_index << 28))
        if self.config.mixup_alpha:
            images, targets = mix(images, grade_shares(grades), alpha=self.config.mixup_alpha, seed=seed)
        set_learning_rate(self.optimizer, self.learning_rate(number))
        outputs = self._wrapped(images)  # under autocast where precision asks for it
        loss = self.head.loss(outputs, targets) * self._share_of_batch(targets)
        self.optimizer.zero_grad(set_to_none=True)
        # Distributed training takes the mean over processes of what is to be added up.
        self.accelerator.backward(loss * self.accelerator.num_processes)
        if self.config.gradient_clip:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        self.optimizer.step()
        if self.average:
            self.average.update_parameters(self.model)
        return loss.detach(), (self.head.predicted(outputs.detach()) == grades).sum()

    def _share_of_batch(self, targets: Tensor) -> Tensor | int:
        """Return how much this process's mean loss counts in the mean over the whole batch, 0..1."""
        if self.accelerator.num_processes == 1:
            return 1
        weight = (grade_shares(targets) * self.head.class_weights).sum()
        return weight / self.accelerator.reduce(weight, "sum")

    def state(self) -> dict[str, Any]:
        """Return tensors and plain values from which :meth:`restore` goes on to the bit."""
        scaler = self.accelerator.scaler
        return {
            "phase": self.phase,
            "model": self.model.state_dict(),
            "head": self.head.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "scaler": scaler.state_dict() if scaler else None,
        }

    def restore(self, state: dict[str, Any], source: object = "the checkpoint") -> None:
        """Go on from what :meth:`state` returned; errors name ``source``."""
        self.start_phase(state["phase"])
        load_weights(self.model, state["model"], source)
        load_weights(self.head, state["head"], source)
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average:
            load_weights(self.average, state["average"], source)
        if self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(state["scaler"])
