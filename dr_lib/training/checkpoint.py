"""Checkpoints: data, never code; whole, or not there; the one before kept until the new one has been read back."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from dr_lib.config import RunConfig
from dr_lib.data.normalization import Normalization
from dr_lib.errors import InputError
from dr_lib.models.heads import Head
from dr_lib.models.weights import not_finite, read_checkpoint
from dr_lib.storage.checksums import TORCH_SEAL, write_sealed
from dr_lib.storage.files import write_bytes
from dr_lib.system.terminal import logger

log = logger("training")

ANEW = "; without a sound copy, begin the run again with --fresh"
"""What there is to do where a run cannot go on from what is there."""


def save_network(
    path: Path, model: nn.Module, head: Head, normalization: Normalization, config: RunConfig, **more: Any
) -> None:
    """Write a network to keep: ``path``, and beside it its weights alone as safetensors, for other programs.

    Raises :class:`FloatingPointError`, and writes nothing, where a weight is NaN or infinite.
    """
    content = {
        "model": model.state_dict(),
        "head": head.state_dict(),
        "normalization": normalization.state(),
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
    metadata = {"parameters": json.dumps(config.model_dump())}
    write_bytes(path.with_suffix(".safetensors"), safetensors.torch.save(weights, metadata=metadata))


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` as ``torch.save`` does, with its checksum in the file: see :mod:`dr_lib.storage.checksums`."""
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
