"""From a photograph's crop to what the network is given: varied in training, as it is or in views in testing."""

from dataclasses import dataclass

import numpy as np

from dr_lib.config import RunConfig
from dr_lib.data.augmentations import VIEWS, Augmentation, views
from dr_lib.data.crops import ResizeSpec, resize_for_testing, resize_for_training


@dataclass(frozen=True)
class TrainTransform:
    """What training does: the crop of ``recipe``, varied by ``augmentation``."""

    recipe: ResizeSpec
    augmentation: Augmentation

    @classmethod
    def of(cls, config: RunConfig) -> "TrainTransform":
        return cls(resize_for_training(config), Augmentation(config.augmentations, config.image_size))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of what comes out: (image_size, image_size, 3)."""
        return (self.augmentation.image_size, self.augmentation.image_size, 3)

    def __call__(self, crop: np.ndarray, seed: int, out: np.ndarray | None = None) -> np.ndarray:
        """Return uint8 of :attr:`shape`, ``out`` if given; all that is drawn is a function of ``seed``."""
        return self.augmentation.apply(crop, seed, out)


@dataclass(frozen=True)
class EvalTransform:
    """What testing does: the crop of ``recipe`` as it is, or several views of it. Nothing is drawn."""

    recipe: ResizeSpec
    image_size: int
    test_time_augmentation: str = "none"

    @classmethod
    def of(cls, config: RunConfig) -> "EvalTransform":
        return cls(resize_for_testing(config), config.image_size, config.test_time_augmentation)

    @classmethod
    def of_epochs(cls, config: RunConfig) -> "EvalTransform":
        """Return how epochs are tested: by one of the views, the central crop, or the photograph as it is.

        Ten views of a thousand photographs in every epoch would take longer than learning from them.
        """
        one = {"Flips": "none", "FiveCrop": "CenterCrop", "TenCrop": "CenterCrop"}
        views = config.test_time_augmentation
        return cls(resize_for_testing(config), config.image_size, one.get(views, views))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of what comes out: (image_size, image_size, 3), or (views, image_size, image_size, 3)."""
        one = (self.image_size, self.image_size, 3)
        return one if self.test_time_augmentation == "none" else (VIEWS[self.test_time_augmentation], *one)

    def __call__(self, crop: np.ndarray, seed: int = 0, out: np.ndarray | None = None) -> np.ndarray:
        """Return uint8 of :attr:`shape`, ``out`` if given; ``seed`` is not used."""
        seen = crop
        if self.test_time_augmentation != "none":
            seen = views(crop, self.test_time_augmentation, self.image_size)
        if out is None:
            return seen
        out[...] = seen
        return out
