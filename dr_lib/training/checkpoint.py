"""Checkpoints: data, never code; whole, or not there."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from dr_lib.config import RunConfig
from dr_lib.errors import InputError
from dr_lib.files import write_with
from dr_lib.models import build_model, read_checkpoint


def save_checkpoint(path: Path, model: nn.Module, config: RunConfig, **more: Any) -> None:
    """Write the network's weights, the parameters, and ``more`` (tensors and plain values) to ``path``."""
    content = {"model": model.state_dict(), "parameters": config.model_dump(), **more}
    write_with(path, lambda stream: torch.save(content, stream))


def load_trained(path: Path) -> tuple[nn.Module, RunConfig]:
    """Return the network in a run's checkpoint, in eval mode on the CPU, and the run's parameters."""
    content = read_checkpoint(path)
    if not {"model", "parameters"} <= content.keys():
        raise InputError(f"{path}: not a checkpoint of a run; those are in RUN/checkpoints/best.pt")
    config = RunConfig.from_mapping(content["parameters"])
    model = build_model(config.model, version=config.resnet_version)
    model.load_state_dict(content["model"])
    return model.eval(), config
