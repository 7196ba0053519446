"""The data of a run as it meets the network: batches of one split on the device, and what cannot work together."""

import math
import os
from collections.abc import Iterator
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dr_lib.config import RunConfig
from dr_lib.data.augmentations import Augmentation
from dr_lib.data.crop_dataset import CropDataset, identity_collate
from dr_lib.data.normalization import Normalization
from dr_lib.data.prepare import DataSplits
from dr_lib.data.transforms import EvalTransform, TrainTransform
from dr_lib.errors import InputError
from dr_lib.models.builders import draws_at_random, training_problem
from dr_lib.system.environment import process_count, process_count_here
from dr_lib.system.process_pool import end_with_parent
from dr_lib.system.terminal import logger
from dr_lib.training.device import worker_count
from dr_lib.training.sampler import EpochPlan
from dr_lib.training.schedules import FEATURE_EXTRACTION, phase_of

log = logger("training")

_SHARED_MEMORY = Path("/dev/shm")
"""Where loader processes put batches for the process that trains."""

_PREFETCHED = 2
"""Batches that each loader process makes ahead."""


class Batches:
    """``(images, targets)`` of a data set on the device: float32 (B, 3, H, W) in channels_last, normalized.

    Photographs travel to the device as bytes, a quarter of the size, and are normalized there, once a batch. With
    several views of each photograph (test-time augmentation) images are (B, views, 3, H, W). They are valid until the
    next batch is asked for: on a CPU its memory is used again, since fresh memory costs as much as filling it.
    """

    def __init__(self, loader: DataLoader, normalization: Normalization, device: torch.device):
        self.loader, self.normalization, self.device = loader, normalization, device

    @property
    def dataset(self) -> CropDataset:
        assert isinstance(self.loader.dataset, CropDataset)
        return self.loader.dataset

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        memory = torch.empty(0)
        for images, targets in _read(self.loader):
            images = images.to(self.device, non_blocking=True)
            flat = images.flatten(0, -4)
            if self.device.type == "cpu" and memory.numel() < flat.numel():
                memory = torch.empty(flat.shape)
            out = memory[: len(flat)] if self.device.type == "cpu" else None
            normalized = self.normalization(flat, out)
            if images.ndim == 5:
                normalized = normalized.unflatten(0, images.shape[:2])
            yield normalized, targets.to(self.device, non_blocking=True)


class TrainingBatches(Batches):
    """The batches of the training photographs, in the order of an epoch."""

    def __init__(self, loader: DataLoader, normalization: Normalization, device: torch.device, plan: EpochPlan):
        super().__init__(loader, normalization, device)
        self.plan = plan

    def begin(self, epoch: int, first_step: int = 0) -> None:
        """Make the next pass that of ``epoch`` (counted from 1), from ``first_step`` (counted from 0)."""
        self.plan.begin(epoch, first_step)
        self.dataset.set_epoch(epoch)


class LoaderFactory:
    """What makes the batches of one run: its data, its normalization, and the process it is in."""

    def __init__(self, config: RunConfig, data: DataSplits, normalization: Normalization, accelerator: Accelerator):
        self.config, self.data, self.normalization = config, data, normalization
        self.device = accelerator.device
        self.process, self.processes = accelerator.process_index, accelerator.num_processes
        transforms = TrainTransform.of(config), EvalTransform.of(config)
        processes = process_count_here()
        self._workers = workers_for(config, self.device, config.batch_size, *transforms, processes=processes)

    def training(self) -> TrainingBatches:
        """Return the batches to learn from: ``batch_size`` photographs a step, this process's share of them."""
        dataset = CropDataset(self.data, "train", TrainTransform.of(self.config), seed=self.config.seed)
        plan = EpochPlan(
            dataset.table["grade"].to_numpy(),
            batch_size=self.config.batch_size,
            kind=self.config.sampling,
            decay=self.config.sampling_decay,
            seed=self.config.seed,
            process=self.process,
            processes=self.processes,
            neighbor=self.config.mixup_alpha > 0,
        )
        loader = make_loader(dataset, self._workers, self.device, batch_sampler=plan)
        return TrainingBatches(loader, self.normalization, self.device, plan)

    def testing(self, split: str, transform: EvalTransform) -> Batches:
        """Return the photographs of a split as they are tested, in order: every ``processes``-th of them, each once."""
        dataset = CropDataset(self.data, split, transform)
        own = np.arange(self.process, len(dataset), self.processes).tolist()
        loader = make_loader(dataset, self._workers, self.device, batch_size=self.config.batch_size, sampler=own)
        return Batches(loader, self.normalization, self.device)


def make_loader(dataset: Dataset, workers: int, device: torch.device, **order: Any) -> DataLoader:
    """Return what loads the batches of a data set that makes whole ones, ``order`` as torch's ``DataLoader`` has it.

    Loader processes end with this one. What goes wrong in them is raised here.
    """
    options: dict[str, Any] = {"prefetch_factor": _PREFETCHED, "worker_init_fn": _begin_worker} if workers else {}
    pin = device.type == "cuda"
    return DataLoader(dataset, num_workers=workers, collate_fn=identity_collate, pin_memory=pin, **options, **order)


def workers_for(
    config: RunConfig,
    device: torch.device,
    batch_size: int,
    *transforms: TrainTransform | EvalTransform,
    processes: int = 1,
) -> int:
    """Return how many loader processes make batches of ``batch_size`` photographs by ``transforms``.

    As many as ``config`` asks for, or suit the machine, and there is shared memory for. ``processes``: those of this
    machine that load as much.
    """
    batch = batch_size * max(math.prod(transform.shape) for transform in transforms)
    return workers_that_fit(worker_count(config.num_workers, device), batch, processes=processes)


def workers_that_fit(workers: int, batch: int, *, processes: int = 1, free: int | None = None) -> int:
    """Return how many loader processes there is shared memory for, at most ``workers``; logged where they are fewer.

    ``batch``: bytes of a batch. ``processes``: those of this machine that load as much. ``free``: bytes of shared
    memory, by default half of what is free now; the rest is for runs beside this one. None at all always fit.
    """
    if not workers or (free is None and not _SHARED_MEMORY.is_dir()):
        return workers
    if free is None:
        status = os.statvfs(_SHARED_MEMORY)
        free = status.f_bavail * status.f_frsize // 2
    # One batch more is being trained on.
    fitting = min(workers, max(0, (free // processes // batch - 1) // _PREFETCHED))
    if fitting < workers:
        log.warning(
            "num_workers: %d instead of %d: batches of %.1f MB pass through shared memory, and %.0f MB of %s are for "
            "them; make it larger (docker run --shm-size=2g) for more",
            fitting, workers, batch / 1e6, free / 1e6, _SHARED_MEMORY,
        )  # fmt: skip
    return fitting


def _read(loader: DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of a loader; the error of a loader process is raised as one line, its trace in the cause."""
    try:
        yield from loader
    except Exception as error:
        if "DataLoader worker" not in str(error):
            raise
        kind = InputError if isinstance(error, InputError) else RuntimeError
        reason = str(error).rpartition(f"{type(error).__name__}: ")[2].strip()
        raise kind(reason if kind is InputError else f"a loader process has failed: {reason}") from error


def _begin_worker(number: int) -> None:
    end_with_parent(os.getppid())
    # Or a batch that cannot be sent would be lost, and waited for without end.
    Queue._on_queue_feeder_error = staticmethod(_fail)  # type: ignore[attr-defined]  # private, so not in the stub


def _fail(error: Exception, batch: object) -> None:
    log.error("a batch cannot be sent: %s", error)
    os._exit(1)


def fit_normalization(config: RunConfig, data: DataSplits) -> Normalization:
    """Return the normalization of ``config``, with the figures of the training squares where it needs them."""
    if config.normalization not in ("featurewise", "zca"):
        return Normalization.fit(config.normalization, [], config.image_size)
    images = data.split("train")["image"]
    crops = data.crops(TrainTransform.of(config).recipe, images)
    return Normalization.fit(config.normalization, (crops.read(image) for image in images), config.image_size)


def check_trainable(config: RunConfig, data: DataSplits) -> None:
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
    processes = process_count(config.devices)
    if processes > 1 and draws_at_random(config.model):
        raise InputError(
            f"devices: {config.model} drops outputs at random, other ones in each of {processes} processes, which "
            "would not give the figures of one; train it with devices=1"
        )
    # As EpochPlan has it: fewer photographs than processes join the step before.
    left = train % config.batch_size
    smallest = left if left >= processes else min(train, config.batch_size)
    frozen = phase_of(config, config.epochs) == FEATURE_EXTRACTION
    reason = training_problem(
        config.model, config.resnet_version, config.residual, config.image_size, smallest, frozen=frozen
    )
    if "more than 1 value per channel" in reason:
        last = f"{config.batch_size} leaves one of {train} photographs for the last step"
        raise InputError(
            f"batch_size: {last if config.batch_size > 1 else '1 is one photograph a step'}, and BatchNorm cannot "
            f"train {config.model} on one photograph of {config.image_size} px; choose another batch_size"
        )
    if reason:
        raise InputError(
            f"image_size: {config.model} cannot take photographs of {config.image_size} px ({reason}); "
            "choose another image_size, or another model"
        )
