"""The data of a run as it meets the network: batches of one split on the device, and what cannot work together."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler

from dr_lib.config import RunConfig
from dr_lib.data.augmentations import Augmentation
from dr_lib.data.dataset import RetinopathyDataset, whole
from dr_lib.data.normalisation import Normalisation
from dr_lib.data.prepare import PreparedData
from dr_lib.data.transforms import EvalTransform, TrainTransform
from dr_lib.errors import InputError
from dr_lib.training.device import worker_count


class Batches:
    """``(images, targets)`` of a data set on the device: float32 (B, 3, H, W) in channels_last, normalised.

    Photographs travel to the device as bytes, a quarter of the size, and are normalised there, once a batch. With
    several views of each photograph (test-time augmentation) images are (B, views, 3, H, W). They are valid until the
    next batch is asked for: on a CPU its memory is used again, since fresh memory costs as much as filling it.
    """

    def __init__(self, loader: DataLoader, normalisation: Normalisation, device: torch.device):
        self.loader, self.normalisation, self.device = loader, normalisation, device

    @property
    def dataset(self) -> RetinopathyDataset:
        return self.loader.dataset

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        memory = torch.empty(0)
        for images, targets in self.loader:
            images = images.to(self.device, non_blocking=True)
            flat = images.flatten(0, -4)
            if self.device.type == "cpu" and memory.numel() < flat.numel():
                memory = torch.empty(flat.shape)
            out = memory[: len(flat)] if self.device.type == "cpu" else None
            normalised = self.normalisation(flat, out)
            if images.ndim == 5:
                normalised = normalised.unflatten(0, images.shape[:2])
            yield normalised, targets.to(self.device, non_blocking=True)


def build_loaders(
    config: RunConfig, data: PreparedData, normalisation: Normalisation, device: torch.device
) -> dict[str, Batches]:
    """Return the batches of the splits that have photographs."""
    batches = {}
    train, test = TrainTransform.of(config), EvalTransform.of(config)
    for split, transform in (("train", train), ("validation", test), ("test", test)):
        if len(data.split(split)) == 0:
            continue
        dataset = RetinopathyDataset(data, split, transform, seed=config.seed)
        shuffled = RandomSampler(dataset, generator=torch.Generator()) if split == "train" else None
        loader = DataLoader(
            dataset,
            batch_size=config.batch_size,
            sampler=shuffled,
            collate_fn=whole,
            num_workers=worker_count(config.num_workers, device),
            pin_memory=device.type == "cuda",
        )
        batches[split] = Batches(loader, normalisation, device)
    return batches


def fit_normalisation(config: RunConfig, data: PreparedData) -> Normalisation:
    """Return the normalisation of ``config``, with the figures of the training squares where it needs them."""
    if config.normalisation not in ("featurewise", "zca"):
        return Normalisation.fit(config.normalisation, [], config.image_size)
    images = data.split("train")["image"]
    squares = data.squares(TrainTransform.of(config).recipe, images)
    return Normalisation.fit(config.normalisation, (squares.read(image) for image in images), config.image_size)


def refuse_what_cannot_train(config: RunConfig, data: PreparedData) -> None:
    """Raise :class:`InputError` for data and parameters that do not go together."""
    Augmentation(config.augmentations, config.image_size).check_output_size(config.resize)
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
