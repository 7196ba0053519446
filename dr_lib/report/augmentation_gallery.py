"""Every augmentation and preprocessing step that can be switched on, each with its line of YAML, on one photograph."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any

import numpy as np
import torch
import yaml

from dr_lib.config import RunConfig
from dr_lib.data.augmentations import Augmentation, views
from dr_lib.data.normalization import ZCA_LARGEST, Normalization
from dr_lib.data.preprocessing import after_crop, before_crop
from dr_lib.data.resize import resize_and_crop
from dr_lib.report.image_rows import different_draws, in_full, pictures

DRAWS = 4
ZCA_SIDE = 24
"""Side in px at which whitening is shown: fitted in half a second there, in four at 32 px."""


@dataclass(frozen=True)
class Example:
    """One step by its name in the field, the ``value`` of a ``parameter`` that switches it on, and what it does."""

    name: str
    parameter: str
    value: Any
    says: str

    @property
    def line(self) -> str:
        """The line of a params file."""
        mapping = yaml.safe_dump({self.parameter: self.value}, default_flow_style=True, sort_keys=False, width=10_000)
        return mapping.strip()[1:-1]  # without the braces around it


def catalog(image_size: int) -> dict[str, list[Example]]:
    """Return the examples by kind, in the order of the lab report; lengths in px are shares of ``image_size``.

    An augmentation is shown after a CenterCrop, which brings the square to the network's size, so that nothing else
    varies.
    """
    blur = {"GaussianBlur": {"kernel_size": 2 * (image_size // 24) + 1, "sigma": [0.1, round(image_size / 75, 1)]}}
    jitter = {"ColorJitter": {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.03}}
    light = {"ColorJitter": {"brightness": 0.5}}
    turn = {"RandomRotation": {"degrees": 45}}
    zoom = {"RandomResizedCrop": {"scale": [0.5, 1.0]}}

    def varied(name: str, says: str, *steps: Any) -> Example:
        return Example(name, "augmentations", list(steps), says)

    def viewed(name: str, says: str) -> Example:
        return Example(name, "test_time_augmentation", name, says)

    def prepared(name: str, says: str, **arguments: float) -> Example:
        return Example(name, "preprocessing", [{name: arguments}], says)

    def normalized(kind: str, name: str, says: str) -> Example:
        return Example(name, "normalization", kind, says)

    return {
        "Cropping": [
            varied("RandomCrop", "Cuts the network's square out at a random place.", "RandomCrop"),
            varied("CenterCrop", "Cuts it out of the middle, every time.", "CenterCrop"),
            varied("RandomResizedCrop", "Cuts out a part of random area and aspect, scaled: a random zoom.", zoom),
            viewed("FiveCrop", "Testing: four corners and the middle; the answer is the mean over all five."),
            viewed("TenCrop", "Testing: the same five, and those of the mirrored photograph."),
        ],
        "Flipping and rotating": [
            varied(
                "RandomHorizontalFlip", "Mirrors left and right: a left eye becomes a right one.",
                "CenterCrop", "RandomHorizontalFlip",
            ),
            varied(
                "RandomVerticalFlip", "Mirrors top and bottom; lesions count the same above and below.",
                "CenterCrop", "RandomVerticalFlip",
            ),
            varied("RandomRotation", "Turns by a random angle; corners that come free are black.", "CenterCrop", turn),
            viewed("Flips", "Testing: as it is, mirrored, upside down and both; the answer is the mean of the four."),
        ],
        "Changing the picture": [
            varied(
                "Pad", "Adds a border on every side; here the result is scaled back to the network's size.",
                "CenterCrop", {"Pad": {"padding": image_size // 8}}, "Resize",
            ),
            varied(
                "ColorJitter", "Changes brightness, contrast, saturation and hue, as another camera or lamp would.",
                "CenterCrop", jitter,
            ),
            varied("Grayscale", "Takes the color out, every time.", "CenterCrop", "Grayscale"),
            varied(
                "RandomGrayscale", "Takes the color out of some photographs.",
                "CenterCrop", {"RandomGrayscale": {"p": 0.5}},
            ),
            varied(
                "RandomAffine", "Turns, shifts, scales and shears at once; what comes free is black.",
                "CenterCrop",
                {"RandomAffine": {"degrees": 20, "translate": [0.1, 0.1], "scale": [0.9, 1.1], "shear": 10}},
            ),
            varied("GaussianBlur", "Softens, as poor focus would; the smallest lesions go first.", "CenterCrop", blur),
        ],
        "Combining augmentations": [
            varied(
                "RandomChoice", "Draws one of several augmentations.",
                "CenterCrop", {"RandomChoice": {"transforms": [turn, light, blur]}},
            ),
            varied(
                "RandomApply", "Applies all of several augmentations, or none.",
                "CenterCrop", {"RandomApply": {"transforms": [turn, light], "p": 0.5}},
            ),
            varied(
                "RandomOrder", "Applies several augmentations in random order: a zoom cuts off the corners of a turn, "
                "or a turn is black in the corners of a zoom.",
                "CenterCrop", {"RandomOrder": {"transforms": [turn, zoom]}},
            ),
        ],
        "Preprocessing": [
            prepared(
                "CropToRetina", "Finds the circle that the camera lit and cuts out the square around it, so that "
                "lesions have the same scale in all photographs. Before and after.", margin=0.02,
            ),
            prepared(
                "SubtractLocalMean", "Takes away the local mean color and enhances what is left, so that light and "
                "camera matter less. Before and after.", amplitude=4,
            ),
        ],
        "Normalization": [
            normalized(
                "imagenet", "Normalize", "Each channel less its mean over ImageNet, divided by its standard deviation.",
            ),
            normalized("featurewise", "Feature-wise", "The same with the figures of the training photographs."),
            normalized(
                "samplewise", "Sample-wise", "Each photograph less its own mean, divided by its own deviation.",
            ),
            normalized(
                "zca", "LinearTransformation", "ZCA whitening: takes out what neighboring pixels and colors have in "
                f"common; what is left is edges. For an image_size up to {ZCA_LARGEST}, shown at {ZCA_SIDE} px.",
            ),
        ],
    }  # fmt: skip


def gallery(image: str, pixels: np.ndarray, config: RunConfig, training_squares: Sequence[np.ndarray]) -> str:
    """Return the whole catalog drawn on a photograph, uint8 (H, W, 3), as HTML, with the sizes of ``config``.

    Other preprocessing than what is shown is left out. The draws are those of the seeds 1, 2, ..., so the same every
    time. ``training_squares``: uint8 (S, S, 3); normalizations that need figures are fitted to them, and all are shown
    on the photograph and on the darkest, the middling and the brightest of them.
    """
    square = resize_and_crop(pixels, config.resize)
    says = (
        f"Squares of {config.resize} px, of which the network sees {config.image_size} px, as in this run"
        f"{', but without its preprocessing' if config.preprocessing else ''}. Up to {DRAWS} draws that differ; what "
        "is not random is shown once. CenterCrop is in some lists to bring the square to the network's size and vary "
        "nothing; RandomCrop brings it to that size, too."
    )
    title = f"Each step alone on {escape(image)}, with the line that switches it on."
    html = f"<figcaption><b>{title}</b> {says}</figcaption>"
    for kind, examples in catalog(config.image_size).items():
        html += f"<h3>{kind}</h3>"
        if kind == "Normalization":
            html += _normalized(image, square, training_squares, examples, config.image_size)
            continue
        for example in examples:
            shown = pictures(_shown(example, pixels, square, config.image_size), _spoken(example, image))
            html += _row(example.name, example.says, shown, example.line)
    return f"<figure>{html}</figure>"


def _shown(example: Example, pixels: np.ndarray, square: np.ndarray, side: int) -> Sequence[np.ndarray]:
    """Return what the example makes of a photograph or its square; before and after it for preprocessing."""
    match example.parameter, example.name:
        case "test_time_augmentation", _:
            return list(views(square, example.value, side))
        case "preprocessing", "CropToRetina":
            return [in_full(pixels), in_full(before_crop(pixels, example.value)[0])]
        case "preprocessing", _:
            plain = resize_and_crop(pixels, side)
            return [plain, after_crop(plain, example.value)]
    return different_draws(partial(Augmentation(example.value, side).apply, square), DRAWS)


def _spoken(example: Example, image: str) -> str | list[str]:
    if example.parameter == "preprocessing":
        return [f"{image} {when} {example.name}" for when in ("before", "after")]
    return f"{image} after {example.name}"


def _normalized(
    image: str, square: np.ndarray, training_squares: Sequence[np.ndarray], examples: list[Example], image_size: int
) -> str:
    """Return four photographs as they are and by each normalization, as rows."""
    by_light = sorted(training_squares, key=np.mean)
    shown = {
        image: square,
        "the darkest training photograph": by_light[0],
        "the middling training photograph": by_light[len(by_light) // 2],
        "the brightest training photograph": by_light[-1],
    }
    seen = [views(one, "none", image_size)[0] for one in shown.values()]
    words = (
        f"This photograph, and the darkest, the middling and the brightest of {len(training_squares)} training "
        "photographs, to which the second and the fourth normalization are fitted. Normalized values are no colors: "
        "here gray stands for 0, and the values furthest from it in each photograph are black or white."
    )
    html = _row("As they are", words, pictures(seen, list(shown)))
    for example in examples:
        side = min(ZCA_SIDE, image_size) if example.value == "zca" else image_size
        normalization = Normalization.fit(example.value, (resize_and_crop(one, side) for one in training_squares), side)
        values = normalization(torch.from_numpy(np.stack([resize_and_crop(one, side) for one in seen])))
        spoken = [f"{name}, normalized: {example.name}" for name in shown]
        html += _row(example.name, example.says, pictures(list(as_pictures(values)), spoken), example.line)
    return html


def as_pictures(values: torch.Tensor) -> np.ndarray:
    """Return normalized values, float32 (B, 3, H, W), as uint8 (B, H, W, 3) to look at: 0 becomes 128.

    Each photograph has a scale of its own, by which 99.5 % of its values stay within 1 to 255.
    """
    numbers = values.permute(0, 2, 3, 1).numpy()
    furthest = np.quantile(np.abs(numbers), 0.995, axis=(1, 2, 3), keepdims=True)
    return np.rint(np.clip(128 + 127 * numbers / np.maximum(furthest, 1e-6), 0, 255)).astype(np.uint8)


def _row(name: str, words: str, pictures_html: str, line: str = "") -> str:
    code = f"<br><code>{escape(line)}</code>" if line else ""
    return (
        f'<div style="margin:1.3rem 0"><b>{escape(name)}</b>. {escape(words)}{code}'
        f'<div class="row" style="max-width:36rem;margin-top:.4rem">{pictures_html}</div></div>'
    )
