"""From levels 0-255 to what a network takes, once a batch and on its device.

Four kinds: by ImageNet's figures, as in the lab report; by the figures of the training photographs (feature-wise); by
each photograph's own (sample-wise); and ZCA whitening. The last three are what the lab report's discussion names, after
Keras' ``ImageDataGenerator``.
"""

import math
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dr_lib.errors import InputError

KINDS = ("imagenet", "featurewise", "samplewise", "zca")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Per channel, of values 0..1 (torchvision's pretrained models; He et al. use the same data)."""
ZCA_LARGEST = 32
"""Side in px up to which whitening is offered: at 32 px its matrix has 9 million numbers, at 224 px 23 billion."""
ZCA_EPSILON = 1e-4
"""Variance (of values 0..1) added in every direction: that of noise of 2.5 levels. Keras' 1e-6 is less than rounding to
levels makes; fitted to RetinaMNIST's 1080 training photographs it spreads the testing ones four times as wide."""
STACK = 64
"""Crops that are multiplied at once when whitening is fitted."""


IN_CACHE = 2
"""Photographs that a CPU normalizes together: they stay in its cache from one step to the next, five times as fast as
with 64 of 224 px."""


class Normalization(nn.Module):
    """Normalize a batch: uint8 (B, H, W, 3) to float32 (B, 3, H, W) in channels_last memory, on the same device.

    ``kind`` is one of KINDS. ``figures`` are buffers: they move with ``to(device)``.
    """

    white: Tensor
    mean: Tensor
    std: Tensor
    mean_vector: Tensor
    transformation_matrix: Tensor
    photographs: Tensor
    epsilon: Tensor

    def __init__(self, kind: str, **figures: Tensor):
        super().__init__()
        self.kind = kind
        for name, figure in figures.items():
            self.register_buffer(name, figure)
        # A tensor: CUDA multiplies by the reciprocal of a plain 255, which is off by the last bit.
        self.register_buffer("white", torch.tensor(255.0), persistent=False)

    @classmethod
    def fit(cls, kind: str, crops: Iterable[np.ndarray], image_size: int) -> "Normalization":
        """Return the normalization of ``kind``, with the figures of the training crops where it needs them.

        ``crops``: uint8 (S, S, 3), read once, by featurewise and zca only; zca takes the central ``image_size`` px.
        Sums are of whole numbers and exact, so neither order nor number of crops costs accuracy or memory.
        Raises :class:`InputError` where there is nothing to fit to, or too much for whitening.
        """
        if kind not in KINDS:
            raise InputError(f"normalization: {kind!r} is none of {', '.join(KINDS)}")
        if kind == "imagenet":
            return cls(kind, mean=torch.tensor(IMAGENET_MEAN), std=torch.tensor(IMAGENET_STD))
        if kind == "samplewise":
            return cls(kind)
        figures = _channel_figures(crops) if kind == "featurewise" else _whitening(crops, image_size)
        return cls(kind, **figures)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Normalization":
        """Return the normalization whose :meth:`state` this is, on the CPU."""
        return cls(**state)

    def state(self) -> dict[str, Any]:
        """Return the kind and its figures, on the CPU, for a checkpoint."""
        return {"kind": self.kind, **{name: figure.cpu() for name, figure in self.state_dict().items()}}

    def forward(self, images: Tensor, out: Tensor | None = None) -> Tensor:
        """Return the batch normalized; ``out``: float32 of the shape of ``images``, to be used for it if given."""
        batch, height, width, _ = images.shape
        if self.kind == "zca":
            flat = images.permute(0, 3, 1, 2).flatten(1).float() / self.white
            with torch.autocast(images.device.type, enabled=False):  # whitening takes all the digits there are
                white = torch.mm(flat - self.mean_vector, self.transformation_matrix)
            return white.view(batch, 3, height, width).contiguous(memory_format=torch.channels_last)
        if self.kind == "samplewise":
            values = images.flatten(1).float()
            mean, std = _figures_of_each(values)
            values = values.sub_(mean).div_(std)
        else:
            values = torch.empty(images.shape, device=images.device) if out is None else out
            # Whole rows at a time: three numbers are too few to vectorize over.
            mean, std = self.mean.repeat(width), self.std.repeat(width)
            together = IN_CACHE if images.device.type == "cpu" else batch
            parts = zip(images.flatten(2).split(together), values.flatten(2).split(together), strict=True)
            for levels, part in parts:
                torch.div(levels, self.white, out=part).sub_(mean).div_(std)
        return values.view(batch, height, width, 3).permute(0, 3, 1, 2)

    def describe(self) -> str:
        """Return the kind and its figures in a sentence's words."""
        if self.kind == "samplewise":
            return "each photograph less its own mean, over its own standard deviation"
        if self.kind == "zca":
            pixels = math.isqrt(len(self.mean_vector) // 3)
            return (
                f"ZCA whitening of {pixels} x {pixels} px, fitted to {int(self.photographs)} training photographs "
                f"(epsilon {float(self.epsilon):g})"
            )
        mean, std = (", ".join(f"{value:.3f}" for value in figure.tolist()) for figure in (self.mean, self.std))
        origin = "ImageNet" if self.kind == "imagenet" else f"{int(self.photographs)} training photographs"
        return f"values 0..1, less the mean ({mean}) over the standard deviation ({std}) per channel of {origin}"


def _figures_of_each(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation, float32 (B, 1), of whole numbers, float32 (B, n).

    Their sums are exact in float64, so that a photograph's figures do not depend on the batch it is in. The deviation
    is at least 1/sqrt(n), as in TensorFlow's ``per_image_standardization``.
    """
    count = values.shape[1]
    mean = values.sum(1, keepdim=True, dtype=torch.float64) / count
    variance = (values * values).sum(1, keepdim=True, dtype=torch.float64) / count - mean * mean
    return mean.float(), variance.clamp(min=1 / count).sqrt().float()


def _channel_figures(crops: Iterable[np.ndarray]) -> dict[str, Tensor]:
    """Return mean and standard deviation per channel, of values 0..1, by counting levels."""
    counts, levels, photographs = np.zeros((3, 256), np.int64), np.arange(256), 0
    for crop in crops:
        counts += [np.bincount(crop[..., channel].ravel(), minlength=256) for channel in range(3)]
        photographs += 1
    _refuse_nothing(photographs, "featurewise")
    total = counts.sum(axis=1)
    mean = counts @ levels / total
    std = np.sqrt(counts @ levels**2 / total - mean**2)
    if (std < 1e-3).any():
        raise InputError("normalization: featurewise divides by the deviation of each channel, and one is all the same")
    figures = {"mean": torch.from_numpy(mean / 255).float(), "std": torch.from_numpy(std / 255).float()}
    return figures | {"photographs": torch.tensor(photographs)}


def _whitening(crops: Iterable[np.ndarray], side: int) -> dict[str, Tensor]:
    """Return mean_vector (D,) and transformation_matrix (D, D) of torchvision's ``LinearTransformation``.

    D = 3 side². The matrix is U (S + epsilon)^(-1/2) U' of the covariance U S U' of values 0..1 (Bell and Sejnowski
    1997): of all that whiten, the one whose pictures stay closest to the photographs.
    """
    if side > ZCA_LARGEST:
        numbers = f"{3 * side * side:,} x {3 * side * side:,}"
        raise InputError(
            f"normalization: zca at image_size {side} would need a matrix of {numbers} numbers; set image_size to "
            f"{ZCA_LARGEST} or less, or normalization to featurewise"
        )
    photographs, total, products = 0, np.zeros(3 * side * side), np.zeros((3 * side * side,) * 2)
    crops = iter(crops)
    while stack := [_center(crop, side) for crop in islice(crops, STACK)]:
        rows = np.array(stack, np.float64).transpose(0, 3, 1, 2).reshape(len(stack), -1)
        photographs += len(rows)
        total += rows.sum(axis=0)
        products += rows.T @ rows
    _refuse_nothing(photographs, "zca")
    mean = total / photographs
    variances, directions = np.linalg.eigh((products / photographs - np.outer(mean, mean)) / 255**2)
    matrix = directions / np.sqrt(np.maximum(variances, 0) + ZCA_EPSILON) @ directions.T
    return {
        "mean_vector": torch.from_numpy(mean / 255).float(),
        "transformation_matrix": torch.from_numpy(matrix).float(),
        "epsilon": torch.tensor(ZCA_EPSILON),
        "photographs": torch.tensor(photographs),
    }


def _center(crop: np.ndarray, side: int) -> np.ndarray:
    start = round((len(crop) - side) / 2)
    return crop[start : start + side, start : start + side]


def _refuse_nothing(photographs: int, kind: str) -> None:
    if photographs == 0:
        raise InputError(f"normalization: {kind} is fitted to the training photographs, and there are none")
