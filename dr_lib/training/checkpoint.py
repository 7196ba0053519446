"""Checkpoints: data, never code; whole, or not there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dr_lib.config import RunConfig
from dr_lib.data.normalisation import Normalisation
from dr_lib.data.transforms import EvalTransform
from dr_lib.errors import InputError
from dr_lib.evaluation.predict import logits_of
from dr_lib.files import write_with
from dr_lib.models import build_model, read_checkpoint


@dataclass(frozen=True)
class TrainedNetwork:
    """A run's network in eval mode with all that it needs to grade a photograph."""

    model: nn.Module
    normalisation: Normalisation
    config: RunConfig

    @torch.inference_mode()
    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Return the probability of each grade, float64 (5,), of one photograph, uint8 (H, W, 3)."""
        transform = EvalTransform.of(self.config)
        seen = torch.from_numpy(np.array(transform(transform.recipe.make(pixels))))
        images = self.normalisation(seen if seen.ndim == 4 else seen[None])
        # Several views of the photograph are one sample.
        logits = logits_of(self.model, images[None] if seen.ndim == 4 else images)[0]
        return torch.softmax(logits.double(), dim=0).numpy()


def save_checkpoint(path: Path, model: nn.Module, normalisation: Normalisation, config: RunConfig, **more: Any) -> None:
    """Write weights, normalisation, parameters, and ``more`` (tensors and plain values) to ``path``."""
    content = {
        "model": model.state_dict(),
        "normalisation": normalisation.state(),
        "parameters": config.model_dump(),
        **more,
    }
    write_with(path, lambda stream: torch.save(content, stream))


def load_trained(path: Path) -> TrainedNetwork:
    """Return the network in a run's checkpoint, on the CPU."""
    content = read_checkpoint(path)
    if not {"model", "normalisation", "parameters"} <= content.keys():
        raise InputError(f"{path}: not a checkpoint of a run; those are in RUN/checkpoints/best.pt")
    config = RunConfig.from_mapping(content["parameters"])
    model = build_model(config.model, version=config.resnet_version)
    model.load_state_dict(content["model"])
    return TrainedNetwork(model.eval(), Normalisation.from_state(content["normalisation"]), config)
