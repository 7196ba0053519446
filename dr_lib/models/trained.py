"""A run's network with all that it needs to grade a photograph, and how it is built and loaded."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from dr_lib.config import RunConfig
from dr_lib.data.normalization import Normalization
from dr_lib.data.transforms import EvalTransform
from dr_lib.errors import InputError, check_finite
from dr_lib.models.builders import build_model, outputs_of
from dr_lib.models.heads import Head, build_head, final_layer
from dr_lib.models.weights import load_weights, read_checkpoint
from dr_lib.storage.checksums import sha256
from dr_lib.storage.run_folder import recorded_network


@dataclass(frozen=True)
class TrainedNetwork:
    """A run's network in eval mode with all that it needs to grade a photograph."""

    model: nn.Module
    head: Head
    normalization: Normalization
    config: RunConfig

    @torch.inference_mode()
    def outputs(self, pixels: np.ndarray) -> Tensor:
        """Return the network's outputs, float32 (1, outputs), for one photograph, uint8 (H, W, 3)."""
        transform = EvalTransform.of(self.config)
        views = torch.from_numpy(np.array(transform(transform.recipe.make(pixels))))
        images = self.normalization(views if views.ndim == 4 else views[None])
        outputs = outputs_of(self.model, images[None] if views.ndim == 4 else images)
        check_finite(outputs, "outputs of the network")
        return outputs

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Return the probability of each grade, float64 (5,), of one photograph, uint8 (H, W, 3)."""
        return self.head.probabilities(self.outputs(pixels))[0].numpy()

    def predicted(self, pixels: np.ndarray) -> int:
        """Return the grade of one photograph, uint8 (H, W, 3)."""
        return int(self.head.predicted(self.outputs(pixels))[0])


def new_network(config: RunConfig) -> nn.Module:
    """Return the network of ``config`` with random weights, from torch's global generator."""
    return build_model(
        config.model,
        last_layer=lambda features: final_layer(config.head, features),
        version=config.resnet_version,
        residual=config.residual,
        zero_init_residual=config.zero_init_residual,
    )


def new_head(config: RunConfig, class_weights: np.ndarray | None = None) -> Head:
    """Return the head of ``config``; the weights matter to its loss alone."""
    return build_head(
        config.head,
        class_weights=class_weights,
        label_smoothing=config.label_smoothing,
        focal_gamma=config.focal_gamma,
        regression_loss=config.regression_loss,
    )


def load_trained(path: Path) -> TrainedNetwork:
    """Return the network in a run's checkpoint, on the CPU.

    Raises :class:`InputError` where it is damaged, or lies in the folder of a finished run and is not what that has
    left there.
    """
    content = read_checkpoint(path)
    if recorded_network(path) not in (None, sha256(path)):
        raise InputError(f"{path}: is not as its run has left it; dr-lab run makes it again")
    if not {"model", "head", "normalization", "parameters"} <= content.keys():
        raise InputError(f"{path}: not a network that a run has kept; those are in RUN/checkpoints/best.pt")
    config = RunConfig.from_mapping(content["parameters"])
    model, head = new_network(config), new_head(config)
    load_weights(model, content["model"], path)
    load_weights(head, content["head"], path)
    normalization = Normalization.from_state(content["normalization"])
    return TrainedNetwork(model.eval(), head, normalization, config)
