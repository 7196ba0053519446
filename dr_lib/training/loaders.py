"""The data of a run as it meets the network: one loader a split, and what cannot work together."""

import torch
from torch.utils.data import DataLoader, RandomSampler

from dr_lib.config import RunConfig
from dr_lib.data.dataset import RetinopathyDataset
from dr_lib.data.prepare import PreparedData
from dr_lib.data.transforms import EvalTransform, TrainTransform
from dr_lib.errors import InputError
from dr_lib.training.device import worker_count


def build_loaders(config: RunConfig, data: PreparedData, device: torch.device) -> dict[str, DataLoader]:
    """Return the loaders of the splits that have photographs."""
    transforms = {
        "train": TrainTransform(config.resize, config.image_size, config.rotation_degrees),
        "validation": EvalTransform(config.image_size),
        "test": EvalTransform(config.image_size),
    }
    loaders = {}
    for split, transform in transforms.items():
        dataset = RetinopathyDataset(data, split, transform, seed=config.seed)
        if len(dataset) == 0:
            continue
        shuffled = RandomSampler(dataset, generator=torch.Generator()) if split == "train" else None
        loaders[split] = DataLoader(
            dataset,
            batch_size=config.batch_size,
            sampler=shuffled,
            num_workers=worker_count(config.num_workers, device),
            pin_memory=device.type == "cuda",
        )
    return loaders


def refuse_what_cannot_train(config: RunConfig, data: PreparedData) -> None:
    """Raise :class:`InputError` for data and parameters that do not go together."""
    train, validation, test = (len(data.split(name)) for name in ("train", "validation", "test"))
    if test == 0:
        raise InputError(f"{config.data_dir}: no photographs to test on; set test_share above 0")
    if validation == 0 and config.select_by.startswith("val_"):
        raise InputError(
            f"select_by: {config.select_by} needs validation photographs and there are none; set validation_share "
            "above 0, or select_by=test_accuracy as the lab report does"
        )
    if train % config.batch_size == 1 and config.image_size <= 32:
        raise InputError(
            f"batch_size: {config.batch_size} leaves one of {train} photographs for the last step, and BatchNorm "
            f"cannot train on one photograph of {config.image_size} px; choose another batch_size"
        )
