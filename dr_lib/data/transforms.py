"""The lab's transforms: a photograph becomes a square, the square varies in training, and is normalised.

The steps and their order are those of the lab report; in training they draw from a given generator what torchvision's
``Compose`` would draw from the global one, call by call, so both give the same tensor from the same seed.
"""

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as F

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Per channel, of values 0..1 (torchvision's pretrained models; He et al. use the same data)."""


def resize_and_crop(image: Image.Image, size: int) -> Image.Image:
    """Return the central ``size`` x ``size`` square after the shorter side became ``size``; the aspect stays."""
    return F.center_crop(F.resize(image, size), [size, size])


def normalise(image: Image.Image) -> Tensor:
    """Return an RGB image as float32 (3, H, W), less ImageNet's mean, over its standard deviation."""
    return F.normalize(F.to_tensor(image), IMAGENET_MEAN, IMAGENET_STD)


def denormalise(tensor: Tensor) -> Tensor:
    """Return values 0..1 to look at from normalised float (..., 3, H, W)."""
    mean = torch.tensor(IMAGENET_MEAN, dtype=tensor.dtype, device=tensor.device).view(3, 1, 1)
    std = torch.tensor(IMAGENET_STD, dtype=tensor.dtype, device=tensor.device).view(3, 1, 1)
    return (tensor * std + mean).clamp(0, 1)


@dataclass(frozen=True)
class TrainTransform:
    """Resize, CenterCrop to ``resize``; RandomCrop to ``image_size``, RandomRotation, flips; ToTensor, Normalize."""

    resize: int = 256
    image_size: int = 224
    rotation_degrees: float = 20

    def __call__(self, image: Image.Image, generator: torch.Generator) -> Tensor:
        """Return float32 (3, image_size, image_size) of an RGB photograph."""
        return normalise(self.vary(self.square(image), generator))

    def square(self, image: Image.Image) -> Image.Image:
        """Return the part that is the same in every epoch: ``resize`` x ``resize``, uint8."""
        return resize_and_crop(image, self.resize)

    def vary(self, square: Image.Image, generator: torch.Generator) -> Image.Image:
        """Return a random crop of the square, rotated and flipped: ``image_size`` x ``image_size``, uint8."""
        room = self.resize - self.image_size
        top = left = 0
        if room > 0:  # torchvision draws nothing where there is no choice
            top = int(torch.randint(0, room + 1, size=(1,), generator=generator))
            left = int(torch.randint(0, room + 1, size=(1,), generator=generator))
        image = F.crop(square, top, left, self.image_size, self.image_size)
        degrees = float(self.rotation_degrees)
        angle = float(torch.empty(1).uniform_(-degrees, degrees, generator=generator))
        image = F.rotate(image, angle, fill=0)
        if torch.rand(1, generator=generator) < 0.5:
            image = F.hflip(image)
        if torch.rand(1, generator=generator) < 0.5:
            image = F.vflip(image)
        return image


@dataclass(frozen=True)
class EvalTransform:
    """Resize, CenterCrop to ``image_size``; ToTensor, Normalize. Nothing random."""

    image_size: int = 224

    def __call__(self, image: Image.Image, generator: torch.Generator | None = None) -> Tensor:
        """Return float32 (3, image_size, image_size) of an RGB photograph; ``generator`` is not used."""
        return normalise(self.vary(self.square(image)))

    def square(self, image: Image.Image) -> Image.Image:
        """Return the central square, ``image_size`` x ``image_size``, uint8."""
        return resize_and_crop(image, self.image_size)

    def vary(self, square: Image.Image, generator: torch.Generator | None = None) -> Image.Image:
        """Return the square as it is."""
        return square
