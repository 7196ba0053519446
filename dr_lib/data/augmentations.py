"""Augmentations by name: torchvision's transforms as a parameter, and what they make of a square.

A value is a list, in order, of names or of mappings of one name to its arguments, as YAML and papermill write them:
``[RandomCrop, {RandomRotation: {degrees: 20}}, {RandomApply: {transforms: [{ColorJitter: {hue: 0.05}}], p: 0.3}}]``.
Where ``size`` is not given, it is the network's ``image_size``. Nothing heavy is imported before transforms are built.
"""

import difflib
import math
import random
from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from dr_lib.errors import InputError

if TYPE_CHECKING:
    import numpy as np

LAB_AUGMENTATIONS = ("RandomCrop", {"RandomRotation": {"degrees": 20}}, "RandomHorizontalFlip", "RandomVerticalFlip")
"""The lab report's, between its Resize and CenterCrop to a square and its ToTensor and Normalize."""
VIEWS = {"none": 1, "FiveCrop": 5, "TenCrop": 10, "Flips": 4}
"""Views of a photograph that a prediction may be the mean over."""
DRY_RUNS = 8
"""Draws that must all come out at the network's size before training begins."""


class Numbers(NamedTuple):
    """Values of an argument: as many numbers as ``counts`` allows, 1 being a number that stands alone."""

    meaning: str
    counts: Container[int] = (1,)
    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    ranges: bool = False  # pairs go from low to high, and a number alone is a range from minus to plus itself

    def accept(self, value: Any) -> bool:
        alone = not isinstance(value, list | tuple)
        values = (value,) if alone else value
        kind = int if self.whole else int | float
        if len(values) not in self.counts or alone != (len(values) == 1):
            return False
        if not all(isinstance(one, kind) and not isinstance(one, bool) for one in values):
            return False
        ends = (-value, value) if alone else values
        ordered = all(low <= high for low, high in zip(ends[::2], ends[1::2], strict=False))
        return all(self.low <= one <= self.high for one in values) and (ordered or not self.ranges)


class Words(NamedTuple):
    """Values of an argument: one of ``words``."""

    meaning: str
    words: tuple[Any, ...]

    def accept(self, value: Any) -> bool:
        return any(type(value) is type(word) and value == word for word in self.words)


class Vocabulary(NamedTuple):
    """The names that a parameter may list.

    ``arguments`` of each name; ``needs_first``: names whose first argument has no default; ``values`` by argument, or
    by name and argument where it means something else there. The argument ``transforms`` is a list of its own.
    """

    parameter: str
    arguments: Mapping[str, tuple[str, ...]]
    values: Mapping[str | tuple[str, str], Numbers | Words]
    needs_first: Container[str] = ()

    def read(self, value: Any) -> list[tuple[str, dict[str, Any]]]:
        """Return names and arguments, in order; raise a ValueError of one line where they are not sound."""
        if not isinstance(value, list | tuple):
            raise ValueError(f"{self.parameter}: {value!r} is no list of names")
        return [self._read_step(step) for step in value]

    def _read_step(self, step: Any) -> tuple[str, dict[str, Any]]:
        name, arguments = next(iter(step.items())) if isinstance(step, dict) and len(step) == 1 else (step, {})
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise ValueError(
                f"{self.parameter}: {step!r} is neither a name nor a mapping {{name: {{argument: value}}}}"
            )
        if name not in self.arguments:
            raise ValueError(f"{self.parameter}: unknown name {name!r}{_nearest(name, self.arguments)}")
        for argument, value in arguments.items():
            self._check(name, str(argument), value)
        first = self.arguments[name][0] if name in self.needs_first else None
        if first and first not in arguments:
            raise ValueError(f"{self.parameter}: {name} needs {first}, as in {{{name}: {{{first}: ...}}}}")
        return name, arguments

    def _check(self, name: str, argument: str, value: Any) -> None:
        known = self.arguments[name]
        if argument not in known:
            raise ValueError(f"{self.parameter}: {name} has no argument {argument!r}{_nearest(argument, known)}")
        if argument == "transforms":
            if not self.read(value):
                raise ValueError(f"{self.parameter}: {name}: transforms is empty")
            return
        kind = self.values.get((name, argument)) or self.values[argument]
        if not kind.accept(value):
            raise ValueError(f"{self.parameter}: {name}: {argument} is {value!r}, needs {kind.meaning}")


def _nearest(name: str, known: Mapping | tuple) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known) or 'none'}"


_FLAG = Words("true or false", (True, False))
_FACTOR = Numbers("a number of at least 0, or the least and the largest factor", (1, 2), 0, ranges=True)
_TURNING = ("nearest", "bilinear", "bicubic")
VOCABULARY = Vocabulary(
    "augmentations",
    {
        "RandomCrop": ("size", "padding", "pad_if_needed", "fill", "padding_mode"),
        "CenterCrop": ("size",),
        "RandomResizedCrop": ("size", "scale", "ratio", "interpolation", "antialias"),
        "Resize": ("size", "interpolation", "max_size", "antialias"),
        "RandomHorizontalFlip": ("p",),
        "RandomVerticalFlip": ("p",),
        "RandomRotation": ("degrees", "interpolation", "expand", "center", "fill"),
        "Pad": ("padding", "fill", "padding_mode"),
        "ColorJitter": ("brightness", "contrast", "saturation", "hue"),
        "Grayscale": ("num_output_channels",),
        "RandomGrayscale": ("p",),
        "RandomAffine": ("degrees", "translate", "scale", "shear", "interpolation", "fill", "center"),
        "GaussianBlur": ("kernel_size", "sigma"),
        "RandomChoice": ("transforms", "p"),
        "RandomApply": ("transforms", "p"),
        "RandomOrder": ("transforms",),
    },
    {
        "size": Numbers("px, or height and width", (1, 2), 1, whole=True),
        "padding": Numbers("px, two (sides, ends) or four (left, top, right, bottom)", (1, 2, 4), 0, whole=True),
        "pad_if_needed": _FLAG,
        "fill": Numbers("a level 0-255, or three", (1, 3), 0, 255, whole=True),
        "padding_mode": Words("constant, edge, reflect or symmetric", ("constant", "edge", "reflect", "symmetric")),
        "scale": Numbers("two shares or factors above 0, the smaller first", (2,), 1e-6, ranges=True),
        "ratio": Numbers("two aspects above 0, the smaller first", (2,), 1e-6, ranges=True),
        "interpolation": Words("a filter of Pillow's, such as bilinear", (*_TURNING, "box", "hamming", "lanczos")),
        ("RandomRotation", "interpolation"): Words("nearest, bilinear or bicubic", _TURNING),
        ("RandomAffine", "interpolation"): Words("nearest, bilinear or bicubic", _TURNING),
        "antialias": _FLAG,
        "max_size": Numbers("px", (1,), 1, whole=True),
        "p": Numbers("a probability 0..1", (1,), 0, 1),
        ("RandomChoice", "p"): Numbers("a list of as many weights as transforms", range(2, 100), 0),
        "degrees": Numbers("degrees (from minus to plus), or two, the smaller first", (1, 2), -360, 360, ranges=True),
        "expand": _FLAG,
        "center": Numbers("two px, x and y", (2,)),
        "brightness": _FACTOR,
        "contrast": _FACTOR,
        "saturation": _FACTOR,
        "hue": Numbers("a share 0..0.5 of the colour circle, or two in -0.5..0.5", (1, 2), -0.5, 0.5, ranges=True),
        "num_output_channels": Words("3, since networks see three channels", (3,)),
        "translate": Numbers("two shares 0..1, of width and height", (2,), 0, 1),
        "shear": Numbers("degrees, two, or four (x from, to, y from, to)", (1, 2, 4), -180, 180, ranges=True),
        "kernel_size": Numbers("an odd number of px, or two", (1, 2), 1, whole=True),
        "sigma": Numbers("px above 0, or two, the smaller first", (1, 2), 1e-6, ranges=True),
    },
    needs_first=(
        "RandomRotation", "Pad", "RandomAffine", "GaussianBlur", "RandomChoice", "RandomApply", "RandomOrder"
    ),
)  # fmt: skip
"""torchvision's names and arguments; a test holds them together with its signatures."""


def check_augmentations(value: Any) -> None:
    """Raise a ValueError of one line for an unknown name or argument, or a value that cannot be."""
    VOCABULARY.read(value)


def build_augmentations(value: Any, image_size: int) -> list:
    """Return torchvision's transforms of a checked value; :class:`InputError` where torchvision refuses one."""
    from torchvision import transforms

    built = []
    for name, given in VOCABULARY.read(value):
        arguments = _with_defaults(name, given, image_size)
        if "transforms" in arguments:
            arguments["transforms"] = build_augmentations(arguments["transforms"], image_size)
        if "interpolation" in arguments:
            arguments["interpolation"] = transforms.InterpolationMode(arguments["interpolation"])
        try:
            built.append(getattr(transforms, name)(**arguments))
        except (TypeError, ValueError) as error:
            raise InputError(f"augmentations: {name}: {error}") from None
    return built


def _with_defaults(name: str, given: dict[str, Any], image_size: int) -> dict[str, Any]:
    known = VOCABULARY.arguments[name]
    ours = {"size": image_size} if known[0] == "size" else {}
    return ours | ({"num_output_channels": 3} if name == "Grayscale" else {}) | given


class Augmentation:
    """What training draws anew in every epoch: ``value`` as above, for squares that become ``image_size`` px."""

    def __init__(self, value: Any, image_size: int):
        self.image_size = image_size
        self.transforms = build_augmentations(value, image_size)
        self._geometry = _Geometry.of(self.transforms, image_size)

    def vary(self, square: "np.ndarray", seed: int, out: "np.ndarray | None" = None) -> "np.ndarray":
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
            self._geometry.vary(square, seed, out)
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
                self.vary(np.zeros((side, side, 3), np.uint8), seed)
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

    def vary(self, square: "np.ndarray", seed: int, out: "np.ndarray") -> None:
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

    ``none``: the centre. ``FiveCrop``: corners (upper left, upper right, lower left, lower right) and centre.
    ``TenCrop``: these, and those of the mirrored square; both as torchvision's. ``Flips``: the centre as it is,
    mirrored, upside down, and both. :class:`InputError` for squares smaller than ``image_size``.
    """
    import numpy as np

    room = len(square) - image_size
    if room < 0:
        raise InputError(f"test-time augmentation: a square of {len(square)} px has no view of {image_size} px")
    middle = round(room / 2)
    corners = [(0, 0), (0, room), (room, 0), (room, room)]
    crop = lambda source, top, left: source[top : top + image_size, left : left + image_size]  # noqa: E731
    centre = crop(square, middle, middle)
    if name == "none":
        return centre[None].copy()
    if name == "Flips":
        return np.stack([centre, centre[:, ::-1], centre[::-1], centre[::-1, ::-1]])
    sources = {"FiveCrop": [square], "TenCrop": [square, square[:, ::-1]]}[name]
    return np.stack([crop(source, *at) for source in sources for at in (*corners, (middle, middle))])


_WORDS = {
    "RandomCrop": "random crop",
    "CenterCrop": "centre crop",
    "RandomResizedCrop": "random crop, resized",
    "Resize": "resizing",
    "RandomHorizontalFlip": "left-right flip",
    "RandomVerticalFlip": "upside-down flip",
    "RandomRotation": "random rotation",
    "Pad": "padding",
    "ColorJitter": "colour jitter",
    "Grayscale": "grey levels for colours",
    "RandomGrayscale": "grey levels for colours",
    "RandomAffine": "random affine map, rotation",
    "GaussianBlur": "Gaussian blur",
    "RandomChoice": "one of",
    "RandomApply": "all or none of",
    "RandomOrder": "in random order",
    "size": " to {} px",
    "padding": " by {} px",
    ("RandomCrop", "padding"): " after padding by {} px",
    "scale": ", scaling by {}",
    ("RandomResizedCrop", "scale"): " from {} of the area",
    "p": " with probability {}",
    ("RandomChoice", "p"): " with weights {}",
    "degrees": " by {} degrees",
    "brightness": ", brightness times {}",
    "contrast": ", contrast times {}",
    "saturation": ", saturation times {}",
    "hue": ", hue shifted by {} of the colour circle",
    "translate": ", shift by up to {} of width and height",
    "shear": ", shear by {} degrees",
    "sigma": " with sigma {} px",
    "transforms": " ({})",
    "num_output_channels": "",
}
_TOLD_DEFAULTS = {
    "RandomResizedCrop": {"scale": [0.08, 1.0]},
    "RandomHorizontalFlip": {"p": 0.5},
    "RandomVerticalFlip": {"p": 0.5},
    "RandomGrayscale": {"p": 0.1},
    "GaussianBlur": {"sigma": [0.1, 2.0]},
    "RandomApply": {"p": 0.5},
}
"""torchvision's defaults that a reader wants to know."""


def describe(value: Any, image_size: int) -> list[str]:
    """Return a fragment of a sentence for each step, such as "random rotation by -20 to 20 degrees"."""
    fragments = []
    for name, given in VOCABULARY.read(value):
        arguments = _with_defaults(name, _TOLD_DEFAULTS.get(name, {}) | given, image_size)
        fragment = _WORDS[name]
        for argument in VOCABULARY.arguments[name]:
            if argument in arguments:
                words = _WORDS.get((name, argument)) or _WORDS.get(argument, f", {argument.replace('_', ' ')} {{}}")
                fragment += words.format(_in_words(argument, arguments[argument], image_size))
        fragments.append(fragment)
    return fragments


def _in_words(argument: str, setting: Any, image_size: int) -> str:
    if argument == "transforms":
        return "; ".join(describe(setting, image_size))
    if not isinstance(setting, list | tuple):
        if argument in ("brightness", "contrast", "saturation"):
            return f"{max(1 - setting, 0):g} to {1 + setting:g}"
        return f"{-setting:g} to {setting:g}" if argument in ("degrees", "shear", "hue") else str(setting)
    return (" to " if getattr(VOCABULARY.values[argument], "ranges", False) else " x ").join(
        f"{one:g}" for one in setting
    )
