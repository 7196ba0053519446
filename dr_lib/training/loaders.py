"""The data of a run as it meets the network: batches of one split on the device, and what cannot work together."""

from collections.abc import Iterator

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader

from dr_lib.config import RunConfig
from dr_lib.data.augmentations import Augmentation
from dr_lib.data.dataset import RetinopathyDataset, whole
from dr_lib.data.normalisation import Normalisation
from dr_lib.data.prepare import PreparedData
from dr_lib.data.transforms import EvalTransform, TrainTransform
from dr_lib.errors import InputError
from dr_lib.training.device import worker_count
from dr_lib.training.plan import EpochPlan


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


class TrainingBatches(Batches):
    """The batches of the training photographs, in the order of an epoch."""

    def __init__(self, loader: DataLoader, normalisation: Normalisation, device: torch.device, plan: EpochPlan):
        super().__init__(loader, normalisation, device)
        self.plan = plan

    def begin(self, epoch: int, first_step: int = 0) -> None:
        """Make the next pass that of ``epoch`` (counted from 1), from ``first_step`` (counted from 0)."""
        self.plan.begin(epoch, first_step)
        self.dataset.set_epoch(epoch)


class LoaderFactory:
    """What makes the batches of one run: its data, its normalisation, and the process it is in."""

    def __init__(self, config: RunConfig, data: PreparedData, normalisation: Normalisation, accelerator: Accelerator):
        self.config, self.data, self.normalisation = config, data, normalisation
        self.device = accelerator.device
        self.process, self.processes = accelerator.process_index, accelerator.num_processes
        self._options = {
            "collate_fn": whole,
            "num_workers": worker_count(config.num_workers, self.device),
            "pin_memory": self.device.type == "cuda",
        }

    def training(self) -> TrainingBatches:
        """Return the batches to learn from: ``batch_size`` photographs a step, this process's share of them."""
        dataset = RetinopathyDataset(self.data, "train", TrainTransform.of(self.config), seed=self.config.seed)
        plan = EpochPlan(
            dataset.table["grade"].to_numpy(),
            batch_size=self.config.batch_size,
            kind=self.config.sampling,
            decay=self.config.sampling_decay,
            seed=self.config.seed,
            process=self.process,
            processes=self.processes,
        )
        loader = DataLoader(dataset, batch_sampler=plan, **self._options)
        return TrainingBatches(loader, self.normalisation, self.device, plan)

    def testing(self, split: str, transform: EvalTransform) -> Batches:
        """Return the photographs of a split as they are tested, in order: every ``processes``-th of them, each once."""
        dataset = RetinopathyDataset(self.data, split, transform)
        own = np.arange(self.process, len(dataset), self.processes).tolist()
        loader = DataLoader(dataset, batch_size=self.config.batch_size, sampler=own, **self._options)
        return Batches(loader, self.normalisation, self.device)


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
