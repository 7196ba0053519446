"""What a run trains with: phases, optimiser, loss."""

import numpy as np
import torch
from torch import nn

from dr_lib.config import RunConfig

FEATURE_EXTRACTION = "feature extraction"
"""Only the head learns; the backbone is frozen to the bit."""

FINE_TUNING = "fine-tuning"
"""All weights learn."""


def phase_of(config: RunConfig, epoch: int) -> str:
    """Return the phase of ``epoch`` (counted from 1); networks from random weights are fine-tuned throughout."""
    in_first = config.pretrained and epoch <= config.feature_extraction_epochs
    return FEATURE_EXTRACTION if in_first else FINE_TUNING


def build_optimizer(model: nn.Module, config: RunConfig) -> torch.optim.SGD:
    """Return SGD over the weights that learn, as the lab report sets it: momentum, L2 penalty on everything."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.SGD(
        learning, lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
    )


def build_loss(weights: np.ndarray, device: torch.device) -> nn.CrossEntropyLoss:
    """Return cross-entropy with one weight per grade, ``weights`` (5,); all ones is the plain one."""
    return nn.CrossEntropyLoss(torch.as_tensor(weights, dtype=torch.float32, device=device))
