"""The words of the parameter ``augmentations``: torchvision's names and arguments, and how a step is put in words."""

from typing import Any

from dr_lib.config.transform_spec import Numbers, TransformSpec, Words

LAB_AUGMENTATIONS = ("RandomCrop", {"RandomRotation": {"degrees": 20}}, "RandomHorizontalFlip", "RandomVerticalFlip")
"""The lab report's, between its Resize and CenterCrop to a square and its ToTensor and Normalize."""
_FLAG = Words("true or false", (True, False))
_FACTOR = Numbers("a number of at least 0, or the least and the largest factor", (1, 2), 0, ranges=True)
_TURNING = ("nearest", "bilinear", "bicubic")
VOCABULARY = TransformSpec(
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

_WORDS = {
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
_TOLD_DEFAULTS: dict[str, dict[str, Any]] = {
    "RandomResizedCrop": {"scale": [0.08, 1.0]},
    "RandomHorizontalFlip": {"p": 0.5},
    "RandomVerticalFlip": {"p": 0.5},
    "RandomGrayscale": {"p": 0.1},
    "GaussianBlur": {"sigma": [0.1, 2.0]},
    "RandomApply": {"p": 0.5},
}
"""torchvision's defaults that a reader wants to know."""


def check_augmentations(value: Any) -> None:
    """Raise a ValueError of one line for an unknown name or argument, or a value that cannot be."""
    VOCABULARY.read(value)


def with_defaults(name: str, given: dict[str, Any], image_size: int) -> dict[str, Any]:
    """Return a step's arguments: the given ones and, other than torchvision's, ``image_size`` and three channels."""
    ours = {"size": image_size} if "size" in VOCABULARY.arguments[name] else {}
    return ours | ({"num_output_channels": 3} if name == "Grayscale" else {}) | given


def describe(value: Any, image_size: int) -> list[str]:
    """Return a fragment of a sentence for each step, such as "random rotation by -20 to 20 degrees"."""
    fragments = []
    for name, given in VOCABULARY.read(value):
        arguments = with_defaults(name, _TOLD_DEFAULTS.get(name, {}) | given, image_size)
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
