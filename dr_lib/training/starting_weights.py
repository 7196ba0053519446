"""The weights that a pretrained run starts from."""

from pathlib import Path

from torch import nn

from dr_lib.config import RunConfig
from dr_lib.errors import InputError, closest_path
from dr_lib.models.weights import (
    WeightsOrigin,
    fetch_imagenet_weights,
    imagenet_weights,
    load_imagenet_weights,
    load_weights_file,
    read_state,
)
from dr_lib.storage.checksums import read_sealed_json, sha256
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.system.terminal import counted
from dr_lib.training.pretrain import pretrain, uses_generated_weights


def check_starting_weights(config: RunConfig) -> None:
    """Raise :class:`InputError` unless the weights of a pretrained run are there, can be fetched, or made here."""
    if not config.pretrained or uses_generated_weights(config):
        return
    if Path(config.pretrained_weights).suffix:
        read_state(Path(config.pretrained_weights))
    else:
        imagenet_weights(config.model, config.pretrained_weights)
        fetch_imagenet_weights(config.model, config.pretrained_weights)


def digest_of_file(config: RunConfig) -> str:
    """Return the SHA-256, hex, of the file whose weights a run starts from; empty where it starts from no file."""
    path = Path(config.pretrained_weights)
    if not config.pretrained or not path.suffix:
        return ""
    try:
        return sha256(path)
    except OSError as error:
        raise InputError(
            f"pretrained_weights {path}: cannot be read ({error.strerror}){closest_path(path)}; name a state dict "
            "or a run's checkpoint"
        ) from None


def load_starting_weights(model: nn.Module, config: RunConfig) -> WeightsOrigin:
    """Load what ``pretrained_weights`` names into all of ``model`` but its head, and say what it was."""
    name = config.pretrained_weights
    if uses_generated_weights(config):
        folder = ExperimentFolder(Path(config.out_dir)).pretraining(config.model)
        weights = pretrain(config)
        load_weights_file(model, weights)
        record = read_sealed_json(folder.record)
        return WeightsOrigin(
            "generated",
            "generated",
            f"{config.model} taught to count lesions on {record['photographs']} generated photographs "
            f"for {counted(record['epochs'], 'epoch')}",
        )
    if Path(name).suffix:
        load_weights_file(model, Path(name))
        described = f"weights from the file {Path(name).name}"
        return WeightsOrigin("file", Path(name).name, described, digest_of_file(config))
    if config.resnet_version == "v1":
        raise InputError("resnet_version: torchvision's ImageNet weights are of v1.5; use v1.5 or pretrained: false")
    return load_imagenet_weights(model, config.model, name)
