"""Augmentations by name: torchvision's transforms as a parameter, and what they make of a square.

A value is a list, in order, of names or of mappings of one name to its arguments, as YAML and papermill write them:
``[RandomCrop, {RandomRotation: {degrees: 20}}, {RandomApply: {transforms: [{ColorJitter: {hue: 0.05}}], p: 0.3}}]``.
Where ``size`` is not given, it is the network's ``image_size``. Nothing heavy is imported before transforms are built.
"""

import random
from typing import TYPE_CHECKING, Any, NamedTuple

from dr_lib.config.transform_spec import AUGMENTATIONS, with_defaults
from dr_lib.errors import InputError

if TYPE_CHECKING:
    import numpy as np

VIEWS = {"none": 1, "CenterCrop": 1, "FiveCrop": 5, "TenCrop": 10, "Flips": 4}
"""Views of a photograph that a prediction may be the mean over."""
DRY_RUNS = 8
"""Draws that must all come out at the network's size before training begins."""


def build_augmentations(value: Any, image_size: int) -> list:
    """Return torchvision's transforms of a checked value; :class:`InputError` where torchvision refuses one."""
    from torchvision import transforms

    built = []
    for name, given in AUGMENTATIONS.read(value):
        arguments = with_defaults(name, given, image_size)
        if "transforms" in arguments:
            arguments["transforms"] = build_augmentations(arguments["transforms"], image_size)
        if "interpolation" in arguments:
            arguments["interpolation"] = transforms.InterpolationMode(arguments["interpolation"])
        try:
            built.append(getattr(transforms, name)(**arguments))
        except (TypeError, ValueError) as error:
            raise InputError(f"augmentations: {name}: {error}") from None
    return built


class Augmentation:
    """What training draws anew in every epoch: ``value`` as above, for squares that become ``image_size`` px."""

    def __init__(self, value: Any, image_size: int):
        self.image_size = image_size
        self.transforms = build_augmentations(value, image_size)
        self._geometry = _Geometry.of(self.transforms, image_size)

    def apply(self, square: "np.ndarray", seed: int, out: "np.ndarray | None" = None) -> "np.ndarray":
        """Return a variation of ``square``: uint8 (S, S, 3) to uint8 (image_size, image_size, 3), ``out`` if given.

        It is bit-equal to torchvision's ``Compose`` after ``torch.manual_seed(seed)`` and ``random.seed(seed)``, and
        a function of ``seed`` (63 bits) alone; the caller's random states stay as they are. Crops, rotations and flips
        in the lab's order draw from a generator of their own; all else borrows the process's generators, so it must
        not run in two threads at once.
        """
        import numpy as np

        if out is None:
            out = np.empty((self.image_size, self.image_size, 3), np.uint8)
        if self._geometry is not None and self._geometry.fits(square):
            self._geometry.apply(square, seed, out)
            return out
        varied = self._compose(square, seed)
        if varied.shape != (self.image_size, self.image_size, 3):
            raise InputError(
                f"augmentations: a square of {len(square)} px comes out at {varied.shape[1]} x {varied.shape[0]} px, "
                f"and the network takes {self.image_size} px; let the list end at that size, as with RandomCrop"
            )
        out[...] = varied
        return out

    def check_output_size(self, side: int) -> None:
        """Raise :class:`InputError` where squares of ``side`` px cannot be varied or come out at another size."""
        import numpy as np

        for seed in range(DRY_RUNS):
            try:
                self.apply(np.zeros((side, side, 3), np.uint8), seed)
            except InputError:
                raise
            except (TypeError, ValueError, RuntimeError) as error:
                raise InputError(f"augmentations: a square of {side} px: {error}") from None

    def _compose(self, square: "np.ndarray", seed: int) -> "np.ndarray":
        import numpy as np
        import torch
        from PIL import Image

        image = Image.fromarray(square)
        # torch.manual_seed would seed the devices, too, whose states are the caller's, and take a hundred times longer.
        generator = torch.default_generator
        state, python_state = generator.get_state(), random.getstate()
        try:
            generator.manual_seed(seed)
            random.seed(seed)
            for transform in self.transforms:
                image = transform(image)
        finally:
            generator.set_state(state)
            random.setstate(python_state)
        return np.asarray(image)


class _Geometry(NamedTuple):
    """Crop, rotation and flips in the lab's order, done at once; what is None is not in the list."""

    size: int
    crop: Any
    rotation: Any
    horizontal: Any
    vertical: Any

    @classmethod
    def of(cls, steps: list, size: int) -> "_Geometry | None":
        """Return the list as one, or None where anything else is in it."""
        from torchvision import transforms

        order = {
            "RandomCrop": 0,
            "CenterCrop": 0,
            "RandomRotation": 1,
            "RandomHorizontalFlip": 2,
            "RandomVerticalFlip": 3,
        }
        places = [order.get(type(step).__name__, -1) for step in steps]
        if -1 in places or places != sorted(set(places)):
            return None
        found = dict(zip(places, steps, strict=True))
        crop, rotation, horizontal, vertical = (found.get(at) for at in range(4))
        if crop is not None and (tuple(crop.size) != (size, size) or getattr(crop, "padding", None) is not None):
            return None
        if rotation is not None and (
            rotation.interpolation != transforms.InterpolationMode.NEAREST
            or rotation.expand
            or rotation.center is not None
            or rotation.fill != 0
        ):
            return None
        return cls(size, crop, rotation, horizontal, vertical)

    def fits(self, square: "np.ndarray") -> bool:
        """Return whether the square is large enough to crop, or, without a crop, as large as the network takes."""
        return len(square) == self.size or (self.crop is not None and len(square) > self.size)

    def apply(self, square: "np.ndarray", seed: int, out: "np.ndarray") -> None:
        import torch

        from dr_lib.data.warp import crop_rotate_flip

        generator = torch.Generator().manual_seed(seed)
        room = len(square) - self.size
        top = left = 0
        if room and type(self.crop).__name__ == "RandomCrop":  # which draws nothing where there is no choice
            top = int(torch.randint(0, room + 1, size=(1,), generator=generator))
            left = int(torch.randint(0, room + 1, size=(1,), generator=generator))
        elif room:
            top = left = round(room / 2)
        angle = 0.0
        if self.rotation is not None:
            angle = float(torch.empty(1).uniform_(*self.rotation.degrees, generator=generator))
        mirrored, upturned = (
            flip is not None and bool(torch.rand(1, generator=generator) < flip.p)
            for flip in (self.horizontal, self.vertical)
        )
        crop_rotate_flip(square, top, left, self.size, angle, mirrored, upturned, out)


def views(square: "np.ndarray", name: str, image_size: int) -> "np.ndarray":
    """Return what a prediction is the mean over: uint8 (S, S, 3) to uint8 (n, image_size, image_size, 3).

    ``none`` and ``CenterCrop``: the center. ``FiveCrop``: corners (upper left, upper right, lower left, lower right)
    and center. ``TenCrop``: these, and those of the mirrored square; both as torchvision's. ``Flips``: the center as
    it is, mirrored, upside down, and both. :class:`InputError` for squares smaller than ``image_size``.
    """
    import numpy as np

    room = len(square) - image_size
    if room < 0:
        raise InputError(f"test-time augmentation: a square of {len(square)} px has no view of {image_size} px")
    middle = round(room / 2)
    corners = [(0, 0), (0, room), (room, 0), (room, room)]
    crop = lambda source, top, left: source[top : top + image_size, left : left + image_size]  # noqa: E731
    center = crop(square, middle, middle)
    if name in ("none", "CenterCrop"):
        return center[None].copy()
    if name == "Flips":
        return np.stack([center, center[:, ::-1], center[::-1], center[::-1, ::-1]])
    sources = {"FiveCrop": [square], "TenCrop": [square, square[:, ::-1]]}[name]
    return np.stack([crop(source, *at) for source in sources for at in (*corners, (middle, middle))])
