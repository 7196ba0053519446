"""Pretraining without a network connection: a backbone learns to count lesions on photographs drawn for it."""

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import Dataset, RandomSampler

from dr_lib.config import RunConfig
from dr_lib.config.transform_spec import LAB_AUGMENTATIONS
from dr_lib.data.augmentations import Augmentation
from dr_lib.data.crop_dataset import CropDataset
from dr_lib.data.crops import resize_for_training
from dr_lib.data.prepare import DataSplits, prepare_data
from dr_lib.data.transforms import EvalTransform, TrainTransform
from dr_lib.errors import InputError
from dr_lib.models.builders import build_model, is_resnet
from dr_lib.models.weights import not_finite
from dr_lib.storage.checksums import read_sealed_json, sha256, write_sealed_json
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.synthetic import LESION_KINDS, make_data
from dr_lib.system.progress import Progress
from dr_lib.system.terminal import logger
from dr_lib.training.checkpoint import write_checkpoint
from dr_lib.training.device import resolve_device
from dr_lib.training.loaders import Batches, fit_normalization, make_loader, workers_for

log = logger("pretraining")

PRETRAINING_PARAMETERS = (
    "out_dir", "model", "resnet_version", "residual", "pretraining_photographs", "pretraining_epochs", "resize",
    "image_size", "preprocessing", "normalization", "fast_decode", "pixel_cache", "device",
    "precision", "num_workers", "cache_dir",
)  # fmt: skip
"""The parameters that :func:`pretrain` uses.

Augmentations are not among them, they are the lab's: recipes that vary them are compared from the same weights.
"""

_SEED = 577_215
"""Far from the seeds that data sets are drawn with: no generated photograph is trained on twice in two roles."""

_BATCH_SIZE = 32
_LEARNING_RATE = 2e-3
_HELD_OUT_SHARE = 0.1
LEAST_R_SQUARED = 0.1
"""Mean share of variance explained below which a network is said not to have learned to count lesions."""


def uses_generated_weights(config: RunConfig) -> bool:
    """Tell whether a run starts from weights made here."""
    return config.pretrained and config.pretrained_weights == "generated"


def pretrain(config: RunConfig) -> Path:
    """Return the state dict of ``config.model`` pretrained for this experiment, made first where it is missing.

    The network regresses ``log(1 + count)`` of each kind of lesion, standardized, on
    ``config.pretraining_photographs`` generated photographs with all grades equally frequent. ``pretraining.json``
    beside the weights records the share of variance explained (R squared) per kind on held-out photographs.
    """
    folder = ExperimentFolder(Path(config.out_dir)).pretraining(config.model)
    wanted = _description(config)
    if weights_are_there(config):
        return folder.weights
    began = time.monotonic()
    with Progress() as progress:
        photographs = draw_photographs(config, progress)
        data = prepare_data(_data_config(config, photographs), progress=False)
        model, r_squared = _learn_to_count(config, data, _targets(photographs / "lesions.csv"), progress)
    if not counts_lesions(r_squared):
        log.warning(
            "pretraining of %s failed: it does not count lesions on photographs that it has not seen (mean R² "
            "below %g); more pretraining_photographs or pretraining_epochs help",
            config.model,
            LEAST_R_SQUARED,
        )
    write_checkpoint(folder.weights, model.state_dict())
    results = {"final_r2": r_squared, "seconds": time.monotonic() - began, "sha256": sha256(folder.weights)}
    write_sealed_json(folder.record, wanted | results)
    return folder.weights


def counts_lesions(r_squared: Mapping[str, float | None]) -> bool:
    """Tell whether a pretrained network has learned to count lesions, from R squared on held-out photographs by kind.

    Kinds that do not vary there, ``None``, are left out; with none at all nothing is known against it.
    """
    known = [score for score in r_squared.values() if score is not None]
    return not known or float(np.mean(known)) >= LEAST_R_SQUARED


def weights_are_there(config: RunConfig) -> bool:
    """Tell whether this experiment's weights of ``config.model`` are made already, as ``config`` says, and whole."""
    folder = ExperimentFolder(Path(config.out_dir)).pretraining(config.model)
    wanted = _description(config)
    try:
        record = read_sealed_json(folder.record)
        return {key: record.get(key) for key in wanted} == wanted and record.get("sha256") == sha256(folder.weights)
    except (OSError, InputError):  # not there, or damaged
        return False


def draw_photographs(config: RunConfig, progress: Progress) -> Path:
    """Return the folder of the photographs to pretrain on, drawn where it is missing; all networks share it."""
    folder = photographs_folder(config)
    if not folder.exists():
        # Another process may draw the same ones meanwhile; the folder appears only when it is whole.
        with suppress(FileExistsError):
            make_data(
                folder,
                train=config.pretraining_photographs,
                test=0,
                size=_photograph_size(config),
                seed=_SEED,
                grade_shares=(0.2,) * 5,
                damage=False,
                progress=lambda done, total: progress.bar("drawing photographs", done, total),
            )
    return folder


def photographs_folder(config: RunConfig) -> Path:
    """Return the folder of the photographs to pretrain on, named after what decides them."""
    experiment = ExperimentFolder(Path(config.out_dir))
    return experiment.pretraining_photographs(config.pretraining_photographs, _photograph_size(config))


class _LesionCounts(Dataset):
    """Photographs of a split with their standardized log counts: uint8 (B, H, W, 3) and float32 (B, kinds)."""

    def __init__(self, photographs: CropDataset, targets: pd.DataFrame):
        self.photographs = photographs
        self._targets = torch.from_numpy(targets.loc[photographs.table.image].to_numpy(np.float32))

    def __len__(self) -> int:
        return len(self.photographs)

    def __getitems__(self, indices: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        return self.photographs.__getitems__(indices)[0], self._targets[indices]


def _learn_to_count(
    config: RunConfig, data: DataSplits, targets: pd.DataFrame, progress: Progress
) -> tuple[nn.Module, dict[str, float | None]]:
    """Return the trained network and the share of variance it explains per kind of lesion on held-out photographs."""
    device = resolve_device(config.device)
    normalization = fit_normalization(config, data).to(device)
    varied = TrainTransform(resize_for_training(config), Augmentation(LAB_AUGMENTATIONS, config.image_size))
    train, held_out = (
        _LesionCounts(CropDataset(data, split, transform, seed=_SEED), targets)
        for split, transform in (("train", varied), ("test", EvalTransform.of(config)))
    )
    torch.manual_seed(_SEED)
    model = build_model(
        config.model,
        last_layer=lambda features: nn.Linear(features, len(LESION_KINDS)),
        version=config.resnet_version,
        residual=config.residual,
        zero_init_residual=_begins_as_identity(config),
    )
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in the stub
    workers = workers_for(config, device, _BATCH_SIZE, varied)
    sampler = RandomSampler(train, generator=torch.Generator().manual_seed(_SEED))
    order = {"batch_size": _BATCH_SIZE, "sampler": sampler, "drop_last": True}
    batches = Batches(make_loader(train, workers, device, **order), normalization, device)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.05)
    # Smith & Topin 2017: one cycle reaches in a few epochs what a constant rate needs many for.
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, _LEARNING_RATE, epochs=config.pretraining_epochs, steps_per_epoch=len(batches)
    )
    for epoch in range(1, config.pretraining_epochs + 1):
        train.photographs.set_epoch(epoch)
        model.train()
        for step, (images, counts) in enumerate(batches, start=1):
            with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
                predicted = model(images)
            loss = nn.functional.mse_loss(predicted.float(), counts)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            progress.bar(f"pretraining {config.model}, epoch {epoch}/{config.pretraining_epochs}", step, len(batches))
        progress.line(f"epoch {epoch}: loss of the last step {loss.item():.3f}")
    loader = make_loader(held_out, workers, device, batch_size=_BATCH_SIZE)
    explained = _r_squared(model, Batches(loader, normalization, device))
    if not_finite(model.state_dict()) or not all(map(math.isfinite, filter(None, explained.values()))):
        raise FloatingPointError(
            f"pretraining of {config.model} diverged by epoch {epoch}, step {step}, with learning rates up to "
            f"{_LEARNING_RATE:g}; pretrain in float32, or start from other pretrained_weights"
        )
    return model, explained


def _targets(lesions: Path) -> pd.DataFrame:
    """Return log(1 + count) per photograph and kind, each kind with mean 0 and deviation 1."""
    counts = np.log1p(pd.read_csv(lesions, dtype={"image": str}).set_index("image")[list(LESION_KINDS)])
    return (counts - counts.mean()) / counts.std(ddof=0)


@torch.inference_mode()
def _r_squared(model: nn.Module, batches: Batches) -> dict[str, float | None]:
    """Return the share of the variance of each kind's log count that the network explains; 0 is the mean's.

    ``None`` for a kind whose count is the same on all photographs.
    """
    model.eval()
    predicted, true = zip(*((model(images).cpu(), counts.cpu()) for images, counts in batches), strict=True)
    counted = torch.cat(true).double()
    residual = (torch.cat(predicted).double() - counted).square().sum(0)
    total = (counted - counted.mean(0)).square().sum(0)
    return {
        kind: (1 - left / whole).item() if whole > 0 else None
        for kind, left, whole in zip(LESION_KINDS, residual, total, strict=True)
    }


def _photograph_size(config: RunConfig) -> int:
    # A little larger than what is cut from it, so that Resize always shrinks, as it does on real photographs.
    return max(128, int(1.25 * config.resize))


def _begins_as_identity(config: RunConfig) -> bool:
    # Whatever the run's own start is: in the few steps that there are, ResNet50 learns nothing otherwise.
    return is_resnet(config.model) and config.residual


def _description(config: RunConfig) -> dict:
    """Return what decides the weights."""
    return {
        "model": config.model,
        "version": config.resnet_version,
        "residual": config.residual,
        "zero_init_residual": _begins_as_identity(config),
        "photographs": config.pretraining_photographs,
        "epochs": config.pretraining_epochs,
        "size": config.image_size,
        "resize": config.resize,
        "preprocessing": config.preprocessing,
        "normalization": config.normalization,
        "fast_decode": config.fast_decode,
        "precision": config.precision,
        "seed": _SEED,
        "lesion_kinds": list(LESION_KINDS),
    }


def _data_config(config: RunConfig, folder: Path) -> RunConfig:
    """Return the parameters that read the drawn photographs, some of them held out."""
    return config.model_copy(
        update={
            "data_dir": str(folder), "labels": "course", "labels_file": "", "images_dir": "", "limit": 0,
            "validation_share": 0.0, "test_share": _HELD_OUT_SHARE, "test_time_augmentation": "none",
        }
    )  # fmt: skip
