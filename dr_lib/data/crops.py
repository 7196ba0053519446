"""Crops: what of a photograph is the same in every epoch, made once from its pixels."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from dr_lib.config import RunConfig
from dr_lib.data.photographs import Photographs
from dr_lib.data.preprocessing import after_crop, before_crop
from dr_lib.data.resize import resize_and_crop


@dataclass(frozen=True)
class ResizeSpec:
    """How a photograph becomes its ``side`` x ``side`` crop: Resize and CenterCrop, as in the lab report.

    ``preprocessing``: JSON of the steps around them, in order (see :mod:`dr_lib.data.preprocessing`). ``fast``:
    decode JPEGs at a fraction of their size; differs by up to a few levels of 255 from the exact way.
    """

    side: int
    preprocessing: str = "[]"
    fast: bool = False

    @property
    def steps(self) -> list[Any]:
        """The preprocessing steps."""
        return json.loads(self.preprocessing)

    @property
    def decode_at_least(self) -> int:
        """Shorter side that decoding must leave, px; 0: all of it. A crop to the retina enlarges what is left."""
        return 0 if not self.fast else self.side * (2 if self.steps else 1)

    @property
    def key(self) -> str:
        """A short name that no other recipe has."""
        text = json.dumps([self.side, self.steps, self.fast])
        return f"{self.side}px-{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"

    def make(self, pixels: np.ndarray) -> np.ndarray:
        """Return the crop of ``pixels``: uint8 (H, W, 3) to uint8 (side, side, 3).

        Without preprocessing it is bit-equal to torchvision's ``Resize`` and ``CenterCrop`` on the Pillow image.
        """
        steps = self.steps
        if steps:
            pixels, _ = before_crop(pixels, steps)
        crop = resize_and_crop(pixels, self.side)
        return after_crop(crop, steps) if steps else crop


class Crops(Protocol):
    """The crops of photographs, all by one recipe."""

    def read(self, image: str) -> np.ndarray:
        """Return the crop of a photograph, uint8 (side, side, 3); not to be written to."""


@dataclass(frozen=True)
class DecodedCrops:
    """Crops made from the files each time they are asked for: no space on the disk, much more time."""

    photographs: Photographs
    recipe: ResizeSpec

    def read(self, image: str) -> np.ndarray:
        return self.recipe.make(self.photographs.pixels(image, self.recipe.decode_at_least))


def resize_for_training(config: RunConfig) -> ResizeSpec:
    """Return how training crops are made: ``resize`` px, from which crops of ``image_size`` are drawn."""
    return _recipe(config, config.resize)


def resize_for_testing(config: RunConfig) -> ResizeSpec:
    """Return how validation and testing crops are made; crops at test time need room around ``image_size``."""
    crops = config.test_time_augmentation in ("CenterCrop", "FiveCrop", "TenCrop")
    return _recipe(config, config.resize if crops else config.image_size)


def _recipe(config: RunConfig, side: int) -> ResizeSpec:
    return ResizeSpec(side, json.dumps(config.preprocessing), config.fast_decode)


def largest(recipes: Sequence[ResizeSpec]) -> int:
    """Return the shorter side that one decoding for all of ``recipes`` must leave; 0: all of it."""
    sizes = [recipe.decode_at_least for recipe in recipes]
    return 0 if not sizes or 0 in sizes else max(sizes)
