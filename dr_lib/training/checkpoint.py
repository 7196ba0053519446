"""Checkpoints: data, never code; whole, or not there; the one before kept until the new one has been read back."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from dr_lib.config import RunConfig
from dr_lib.data.normalisation import Normalisation
from dr_lib.data.transforms import EvalTransform
from dr_lib.errors import InputError
from dr_lib.evaluation.metrics import finite
from dr_lib.evaluation.predict import outputs_of
from dr_lib.files import write_bytes
from dr_lib.models import build_model, load_weights, not_finite, read_checkpoint
from dr_lib.runs import recorded_network
from dr_lib.seals import TORCH_SEAL, sha256, write_sealed
from dr_lib.terminal import logger
from dr_lib.training.heads import Head, build_head, final_layer

log = logger("training")

ANEW = "; without a sound copy, begin the run again with --fresh"
"""What there is to do where a run cannot go on from what is there."""


@dataclass(frozen=True)
class TrainedNetwork:
    """A run's network in eval mode with all that it needs to grade a photograph."""

    model: nn.Module
    head: Head
    normalisation: Normalisation
    config: RunConfig

    @torch.inference_mode()
    def outputs(self, pixels: np.ndarray) -> Tensor:
        """Return the network's outputs, float32 (1, outputs), for one photograph, uint8 (H, W, 3)."""
        transform = EvalTransform.of(self.config)
        views = torch.from_numpy(np.array(transform(transform.recipe.make(pixels))))
        images = self.normalisation(views if views.ndim == 4 else views[None])
        outputs = outputs_of(self.model, images[None] if views.ndim == 4 else images)
        finite(outputs, "outputs of the network")
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


def save_network(
    path: Path, model: nn.Module, head: Head, normalisation: Normalisation, config: RunConfig, **more: Any
) -> None:
    """Write a network to keep: ``path``, and beside it its weights alone as safetensors, for other programs.

    Raises :class:`FloatingPointError`, and writes nothing, where a weight is NaN or infinite.
    """
    content = {
        "model": model.state_dict(),
        "head": head.state_dict(),
        "normalisation": normalisation.state(),
        "parameters": config.model_dump(),
        **more,
    }
    if name := not_finite(content["model"] | content["head"]):
        raise FloatingPointError(f"{path}: not written, since {name} is not finite; lower learning_rate")
    write_checkpoint(path, content)
    save_weights(path, model, config)


def save_weights(path: Path, model: nn.Module, config: RunConfig) -> None:
    """Write the weights of the network at ``path`` beside it, as safetensors."""
    weights = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    # One entry: of several, safetensors writes them in an order that changes from run to run.
    facts = {"parameters": json.dumps(config.model_dump())}
    write_bytes(path.with_suffix(".safetensors"), safetensors.torch.save(weights, metadata=facts))


def load_trained(path: Path) -> TrainedNetwork:
    """Return the network in a run's checkpoint, on the CPU.

    Raises :class:`InputError` where it is damaged, or lies in the folder of a finished run and is not what that has
    left there.
    """
    content = read_checkpoint(path)
    if recorded_network(path) not in (None, sha256(path)):
        raise InputError(f"{path}: is not as its run has left it; dr-lab run makes it again")
    if not {"model", "head", "normalisation", "parameters"} <= content.keys():
        raise InputError(f"{path}: not a network that a run has kept; those are in RUN/checkpoints/best.pt")
    config = RunConfig.from_mapping(content["parameters"])
    model, head = new_network(config), new_head(config)
    load_weights(model, content["model"], path)
    load_weights(head, content["head"], path)
    normalisation = Normalisation.from_state(content["normalisation"])
    return TrainedNetwork(model.eval(), head, normalisation, config)


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` as ``torch.save`` does, with its checksum in the file: see :mod:`dr_lib.seals`."""
    # The last two bytes of a zip are the length of its comment.
    write_sealed(path, lambda stream: torch.save(content, stream), TORCH_SEAL, over=2)


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Make ``path`` the newest state of a run; what was there is kept as :func:`previous` until it is read back.

    At every moment one of the two is whole on the disk: a crash, or a disk that is full, costs what was trained since.
    """
    beside = path.with_suffix(".new")
    try:
        write_checkpoint(beside, state)
        torch.load(beside, map_location="cpu", weights_only=True)
        if path.exists():
            os.replace(path, previous(path))
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def load_state(path: Path, check: Callable[[Path, dict], None] = lambda path, state: None) -> dict[str, Any] | None:
    """Return the newest state of a run that can be used, None where there is none.

    One that is damaged, or that ``check`` raises :class:`InputError` for, is passed over with a word. Raises
    :class:`InputError` where there are states and none can be used.
    """
    damaged = []
    for candidate in (path, previous(path)):
        if not candidate.exists():
            continue
        try:
            state = read_checkpoint(candidate)
            check(candidate, state)
        except InputError as error:
            damaged.append(str(error))
            continue
        if damaged:
            log.warning("%s; going on from the checkpoint before it, %s", damaged[0], candidate.name)
        return state
    if damaged:
        raise InputError(f"{damaged[0]}{ANEW}")
    return None


def previous(path: Path) -> Path:
    """Return where the state before the newest one is kept."""
    return path.with_stem(f"{path.stem}-before")
