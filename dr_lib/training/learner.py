"""A network that learns, one step at a time, on whatever accelerate puts it; and how large its gradients are."""

from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from dr_lib.config import RunConfig
from dr_lib.models.heads import Head
from dr_lib.models.losses import grade_shares
from dr_lib.models.weights import freeze_backbone, load_weights, train_mode, unfreeze
from dr_lib.training.optimizers import ExponentialMovingAverage, build_optimizer, set_learning_rate
from dr_lib.training.schedules import FEATURE_EXTRACTION, learning_rate_at, scaled_learning_rate


def mix(images: Tensor, shares: Tensor, *, alpha: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return ``images`` and ``shares`` of grades, each photograph mixed with the one before it in the batch.

    ``images``: float (B, 3, H, W), normalized. ``shares``: float (B, 5), rows sum to 1, as
    :func:`dr_lib.models.losses.grade_shares` makes them. One share lambda of the batch's own photographs is drawn
    from Beta(``alpha``, ``alpha``) by ``seed``, so that a step of a resumed run is mixed as it was: lambda of each and
    1 - lambda of its neighbor (Zhang et al. 2018, eq. 1; NVIDIA's ResNet v1.5 takes alpha = 0.2, by which most batches
    are mixed little). A training batch is in random order already, so that neighbors are random pairs; other than in a
    permutation nothing is mixed with itself, unless it is alone. Raises :class:`ValueError` for alpha of 0 or less.
    """
    own = np.random.default_rng(seed).beta(alpha, alpha)
    return _laid_over(images, own), _laid_over(shares, own)


def _laid_over(batch: Tensor, own: float) -> Tensor:
    neighbors = torch.empty_like(batch)  # torch.roll would lose channels_last on CUDA
    neighbors[0], neighbors[1:] = batch[-1], batch[:-1]
    return torch.lerp(neighbors, batch, own)


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

    def step(self, images: Tensor, grades: Tensor, number: int) -> Tensor:
        """Learn from one batch; return the sum of its losses, of their weights, and of right answers, float64 (3,).

        ``number`` is the step of the whole run. Of several processes each gives its share of the batch, with MixUp
        after the photograph before it, and returns its share of the sums; the gradient is the whole batch's.
        """
        targets: Tensor = grades
        seed = (self.config.seed << 32) + number
        # What is drawn in a step, by dropout for instance, depends on nothing but the step and the process.
        torch.manual_seed(seed + (self.accelerator.process_index << 28))
        if self.config.mixup_alpha:
            images, targets = mix(images, grade_shares(grades), alpha=self.config.mixup_alpha, seed=seed)
            if self.accelerator.num_processes > 1:  # the first is another's, and was here to be laid over the next
                images, targets, grades = images[1:], targets[1:], grades[1:]
        set_learning_rate(self.optimizer, self.learning_rate(number))
        outputs = self._wrapped(images)  # under autocast where precision asks for it
        loss, weight = self.head.loss(outputs, targets), self.head.weight(targets)
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(self._share_of_batch(loss, weight))
        if self.config.gradient_clip:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        self.optimizer.step()
        if self.average:
            self.average.update_parameters(self.model)
        weight = weight.double()
        right = (self.head.predicted(outputs.detach()) == grades).sum()
        return torch.stack([loss.detach() * weight, weight, right.double()])

    def _share_of_batch(self, loss: Tensor, weight: Tensor) -> Tensor:
        """Return what this process's mean ``loss`` is of that of the whole batch, times the processes.

        Distributed training takes the mean over processes of what is to be added up.
        """
        processes = self.accelerator.num_processes
        return loss if processes == 1 else loss * (weight / self.accelerator.reduce(weight, "sum")) * processes

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


class GradientNorms:
    """The norm of the gradient of each convolution and linear layer, averaged over the steps of an epoch.

    ``rows``: one a layer and epoch: ``epoch``, ``depth`` (counted from the input, 1), ``layer``, ``norm`` (L2).
    """

    def __init__(self, model: nn.Module):
        self._layers = {
            name: module.weight for name, module in model.named_modules() if isinstance(module, (nn.Conv2d, nn.Linear))
        }
        self.rows: list[dict[str, Any]] = []
        self._clear()

    def add(self) -> None:
        """Count the gradients of a step that has just been taken; a layer that is frozen counts as 0.

        Not of one whose gradients are too large for fp16: the scaler has left that step out.
        """
        zero = torch.zeros(())
        norms = [weight.grad.norm().cpu() if weight.grad is not None else zero for weight in self._layers.values()]
        if (together := torch.stack(norms).double()).isfinite().all():
            self._sums += together
            self._steps += 1

    def close_epoch(self, epoch: int) -> None:
        """Enter the means of ``epoch``."""
        for depth, (layer, total) in enumerate(zip(self._layers, self._sums.tolist(), strict=True), start=1):
            self.rows.append({"epoch": epoch, "depth": depth, "layer": layer, "norm": total / max(1, self._steps)})
        self._clear()

    def _clear(self) -> None:
        self._sums, self._steps = torch.zeros(len(self._layers), dtype=torch.float64), 0

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "sums": self._sums, "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self._sums, self._steps = state["rows"], state["sums"], state["steps"]
