"""What moves the weights: SGD as in the lab report, or AdamW, which weights their decay spares; and their average."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

_Tensors = tuple[Tensor, ...] | list[Tensor]


def build_optimizer(
    model: nn.Module,
    *,
    name: Literal["sgd", "adamw"],
    learning_rate: float,
    momentum: float,
    weight_decay: float,
    decay_batchnorm: bool = True,
) -> torch.optim.Optimizer:
    """Return the optimizer over those weights of ``model`` that learn (``requires_grad``).

    sgd: momentum, and weight decay as an L2 penalty; the lab report's. adamw: weight decay apart from the gradient
    (Loshchilov and Hutter 2019, Alg. 2), with ``momentum`` as beta 1 and Adam's usual 0.999 as beta 2.

    Without ``decay_batchnorm`` only the matrices and filters decay, the gains and biases do not: NVIDIA's ResNet v1.5
    spares BatchNorm's gamma and beta, He et al. 2019 ("Bag of tricks", section 3.1) all biases as well. Those are the
    parameters of at most one dimension, by which other networks' LayerNorm is spared too.
    """
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [{"params": learning}]
    if not decay_batchnorm:
        groups = [
            {"params": [parameter for parameter in learning if parameter.ndim > 1]},
            {"params": [parameter for parameter in learning if parameter.ndim <= 1], "weight_decay": 0.0},
        ]
    if name == "sgd":
        return torch.optim.SGD(groups, learning_rate, momentum=momentum, weight_decay=weight_decay)
    if name == "adamw":
        # Fused: one pass over weights and moments, less than half the time of several on a CPU.
        return torch.optim.AdamW(groups, learning_rate, betas=(momentum, 0.999), weight_decay=weight_decay, fused=True)
    raise ValueError(f"optimizer {name!r} is none of sgd, adamw")


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Make the next step of ``optimizer`` one of ``learning_rate``, for all its weights."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


class ExponentialMovingAverage(AveragedModel):
    """The exponential moving average of a network's weights; ``module`` is the network that has them.

    After every step, ``update_parameters(model)`` moves each average towards the present weight by 1 - ``decay``
    (Polyak and Juditsky 1992; Tarvainen and Valpola 2017). Made anew, it is a copy of the network after its first step,
    which :func:`decay_after` lets it forget quickly.

    BatchNorm's running statistics are averaged like the weights, not copied: those of the present weights do not fit
    the average of many. On small networks, tried on noise with a signal, the average tested as well so as with
    statistics measured anew over all training data (``update_bn``, which costs an epoch's reading); with copied ones a
    quarter or more of what averaging gains was lost. What is counted, such as BatchNorm's batches, is copied.

    ``state_dict`` holds the averages and the number of updates, so that a checkpoint of it resumes to the bit. Make it
    of a network that is on its device already: the number stays on the CPU, where reading it waits for nothing.
    """

    def __init__(self, model: nn.Module, decay: float):
        super().__init__(model, multi_avg_fn=self._approach, use_buffers=True)
        self.decay = decay

    def _approach(self, averages: _Tensors, present: _Tensors, _: Tensor | int) -> None:
        if averages[0].is_floating_point():
            get_ema_multi_avg_fn(decay_after(int(self.n_averaged), self.decay))(averages, present, _)
        else:
            for average, value in zip(averages, present, strict=True):
                average.copy_(value)


def decay_after(updates: int, decay: float) -> float:
    """Return min(``decay``, (1 + updates) / (10 + updates)), 0..1.

    So that a run of a few hundred steps is not held at its beginning by a decay meant for many thousand (TensorFlow's
    ``ExponentialMovingAverage``, ``num_updates``).
    """
    return min(decay, (1 + updates) / (10 + updates))
