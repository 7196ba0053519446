"""What moves the weights: SGD as in the lab report, or AdamW, and which weights their decay spares."""

from typing import Any, Literal

import torch
from torch import nn


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
