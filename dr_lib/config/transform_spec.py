"""Parameters that are lists of steps, ``augmentations`` and ``preprocessing``: what they hold, and how it is said.

A list holds names, or mappings of one name to its arguments, as YAML and papermill write them:
``[RandomCrop, {RandomRotation: {degrees: 20}}]``. Nothing heavy is imported.
"""

import math
from collections.abc import Container, Mapping
from typing import Any, NamedTuple

from dr_lib.errors import closest

LAB_AUGMENTATIONS = ("RandomCrop", {"RandomRotation": {"degrees": 20}}, "RandomHorizontalFlip", "RandomVerticalFlip")
"""The lab report's, between its Resize and CenterCrop to a square and its ToTensor and Normalize."""

_TURNING = ("nearest", "bilinear", "bicubic")
_AUGMENTATION_WORDS = {
    "RandomCrop": "random crop",
    "CenterCrop": "center crop",
    "RandomResizedCrop": "random crop, resized",
    "Resize": "resizing",
    "RandomHorizontalFlip": "left-right flip",
    "RandomVerticalFlip": "upside-down flip",
    "RandomRotation": "random rotation",
    "Pad": "padding",
    "ColorJitter": "color jitter",
    "Grayscale": "gray levels for colors",
    "RandomGrayscale": "gray levels for colors",
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
    "hue": ", hue shifted by {} of the color circle",
    "translate": ", shift by up to {} of width and height",
    "shear": ", shear by {} degrees",
    "sigma": " with sigma {} px",
    "transforms": " ({})",
    "num_output_channels": "",
}
_DESCRIBED_DEFAULTS: dict[str, dict[str, Any]] = {
    "RandomResizedCrop": {"scale": [0.08, 1.0]},
    "RandomHorizontalFlip": {"p": 0.5},
    "RandomVerticalFlip": {"p": 0.5},
    "RandomGrayscale": {"p": 0.1},
    "GaussianBlur": {"sigma": [0.1, 2.0]},
    "RandomApply": {"p": 0.5},
}
"""torchvision's defaults that a reader wants to know."""

PREPROCESSING_DEFAULTS = {
    "CropToRetina": {"margin": 0.0},
    "SubtractLocalMean": {"sigma_share": 1 / 30, "amplitude": 4.0, "keep": 0.9},
}
"""Those of the second step are Graham's."""

_PREPROCESSING_WORDS = {
    "CropToRetina": "crop to the bounding square of the retina, with a margin of {margin:g} of its radius",
    "SubtractLocalMean": "{amplitude:g} times the difference from the local mean (Gaussian, sigma {sigma_share:.3g} of "
    "the retina's radius) plus 128, gray beyond {keep:g} of the radius",
}


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
        if not all(isinstance(number, kind) and not isinstance(number, bool) for number in values):
            return False
        ends = (-value, value) if alone else values
        ordered = all(low <= high for low, high in zip(ends[::2], ends[1::2], strict=False))
        return all(self.low <= number <= self.high for number in values) and (ordered or not self.ranges)


class Words(NamedTuple):
    """Values of an argument: one of ``words``."""

    meaning: str
    words: tuple[Any, ...]

    def accept(self, value: Any) -> bool:
        return any(type(value) is type(word) and value == word for word in self.words)


class TransformSpec(NamedTuple):
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
    return closest(name, known) or f"; known are {', '.join(known) or 'none'}"


_FLAG = Words("true or false", (True, False))
_FACTOR = Numbers("a number of at least 0, or the least and the largest factor", (1, 2), 0, ranges=True)
AUGMENTATIONS = TransformSpec(
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
        "hue": Numbers("a share 0..0.5 of the color circle, or two in -0.5..0.5", (1, 2), -0.5, 0.5, ranges=True),
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
    AUGMENTATIONS.read(value)


def with_defaults(name: str, given: dict[str, Any], image_size: int) -> dict[str, Any]:
    """Return a step's arguments: the given ones and, other than torchvision's, ``image_size`` and three channels."""
    ours = {"size": image_size} if "size" in AUGMENTATIONS.arguments[name] else {}
    return ours | ({"num_output_channels": 3} if name == "Grayscale" else {}) | given


def describe_augmentations(value: Any, image_size: int) -> list[str]:
    """Return a fragment of a sentence for each step, such as "random rotation by -20 to 20 degrees"."""
    fragments = []
    for name, given in AUGMENTATIONS.read(value):
        arguments = with_defaults(name, _DESCRIBED_DEFAULTS.get(name, {}) | given, image_size)
        fragment = _AUGMENTATION_WORDS[name]
        for argument in AUGMENTATIONS.arguments[name]:
            if argument in arguments:
                words = _AUGMENTATION_WORDS.get((name, argument)) or _AUGMENTATION_WORDS.get(
                    argument, f", {argument.replace('_', ' ')} {{}}"
                )
                fragment += words.format(_in_words(argument, arguments[argument], image_size))
        fragments.append(fragment)
    return fragments


def _in_words(argument: str, setting: Any, image_size: int) -> str:
    if argument == "transforms":
        return "; ".join(describe_augmentations(setting, image_size))
    if not isinstance(setting, list | tuple):
        if argument in ("brightness", "contrast", "saturation"):
            return f"{max(1 - setting, 0):g} to {1 + setting:g}"
        return f"{-setting:g} to {setting:g}" if argument in ("degrees", "shear", "hue") else str(setting)
    return (" to " if getattr(AUGMENTATIONS.values[argument], "ranges", False) else " x ").join(
        f"{number:g}" for number in setting
    )


PREPROCESSING = TransformSpec(
    "preprocessing",
    {"CropToRetina": ("margin",), "SubtractLocalMean": ("sigma_share", "amplitude", "keep")},
    {
        "margin": Numbers("a share of the radius, 0..1", (1,), 0, 1),
        "sigma_share": Numbers("a share of the radius, 0.001..1", (1,), 0.001, 1),
        "amplitude": Numbers("a factor, 0.1..100", (1,), 0.1, 100),
        "keep": Numbers("a share of the radius, 0.1..1", (1,), 0.1, 1),
    },
)


def check_preprocessing(value: Any) -> None:
    """Raise a ValueError of one line for an unknown name or argument, a value that cannot be, or another order."""
    names = [name for name, _ in PREPROCESSING.read(value)]
    possible = list(PREPROCESSING.arguments)
    if names != [name for name in possible if name in names]:
        raise ValueError(f"preprocessing: {', '.join(names)}: each once, in this order: {', '.join(possible)}")


def describe_preprocessing(value: Any) -> list[str]:
    """Return a fragment of a sentence for each step, such as "crop to the bounding square of the retina"."""
    return [
        _PREPROCESSING_WORDS[name].format(**PREPROCESSING_DEFAULTS[name] | arguments)
        for name, arguments in PREPROCESSING.read(value)
    ]
