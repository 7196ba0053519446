"""The parameter ``preprocessing``: a list of steps that are the same in every epoch, off unless it names them.

A value is a list of names, or of mappings of one name to its arguments, as for augmentations:
``[CropToRetina, {SubtractLocalMean: {amplitude: 4}}]``. CropToRetina works on the photograph, SubtractLocalMean on its
square, so they stand in this order. Nothing heavy is imported.
"""

from typing import Any

from dr_lib.config.transform_spec import Numbers, TransformSpec

VOCABULARY = TransformSpec(
    "preprocessing",
    {"CropToRetina": ("margin",), "SubtractLocalMean": ("sigma_share", "amplitude", "keep")},
    {
        "margin": Numbers("a share of the radius, 0..1", (1,), 0, 1),
        "sigma_share": Numbers("a share of the radius, 0.001..1", (1,), 0.001, 1),
        "amplitude": Numbers("a factor, 0.1..100", (1,), 0.1, 100),
        "keep": Numbers("a share of the radius, 0.1..1", (1,), 0.1, 1),
    },
)
DEFAULTS = {
    "CropToRetina": {"margin": 0.0},
    "SubtractLocalMean": {"sigma_share": 1 / 30, "amplitude": 4.0, "keep": 0.9},
}
"""Those of the second step are Graham's."""
_WORDS = {
    "CropToRetina": "crop to the bounding square of the retina, with a margin of {margin:g} of its radius",
    "SubtractLocalMean": "{amplitude:g} times the difference from the local mean (Gaussian, sigma {sigma_share:.3g} of "
    "the retina's radius) plus 128, gray beyond {keep:g} of the radius",
}


def check_preprocessing(value: Any) -> None:
    """Raise a ValueError of one line for an unknown name or argument, a value that cannot be, or another order."""
    names = [name for name, _ in VOCABULARY.read(value)]
    possible = list(VOCABULARY.arguments)
    if names != [name for name in possible if name in names]:
        raise ValueError(f"preprocessing: {', '.join(names)}: each once, in this order: {', '.join(possible)}")


def describe_preprocessing(value: Any) -> list[str]:
    """Return a fragment of a sentence for each step, such as "crop to the bounding square of the retina"."""
    return [_WORDS[name].format(**DEFAULTS[name] | arguments) for name, arguments in VOCABULARY.read(value)]
