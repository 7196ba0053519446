"""Rows of photographs: samples of each grade, and one photograph on its way from the file to the network."""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from html import escape
from typing import Any

import numpy as np

from dr_lib import GRADE_NAMES
from dr_lib.config import RunConfig
from dr_lib.config.transform_spec import describe_augmentations, describe_preprocessing
from dr_lib.data.augmentations import Augmentation
from dr_lib.data.crops import ResizeSpec
from dr_lib.data.preprocessing import after_crop, before_crop
from dr_lib.data.resize import resize_and_crop
from dr_lib.data.transforms import EvalTransform, TrainTransform
from dr_lib.report import markup

SIDE = 110
"""Side of a photograph on the page, px."""
STEP_REM = 8.8
"""Width of what is said of a step: with five photographs beside it, it fills the page's 46."""
TRIES = 24
"""Draws among which different ones are looked for; what happens with probability 0.1 is missed once in 12 times."""


def grade_strips(samples: Callable[[int], Iterable[tuple[str, np.ndarray]]]) -> str:
    """Return a block a grade as HTML; ``samples`` gives names and pixels, uint8 (H, W, 3), of a grade."""
    square = ResizeSpec(2 * SIDE).make
    blocks = []
    for grade, name in enumerate(GRADE_NAMES):
        shown = "".join(
            markup.photograph(square(picture), f"Fundus photograph of grade {grade}, {name}: {image}", SIDE)
            for image, picture in samples(grade)
        )
        shown = f'<div class="row">{shown}</div>' if shown else "no training photograph"
        blocks.append(f'<div><p class="panel-title">{grade} {escape(name)}</p>{shown}</div>')
    return f'<div class="grades">{"".join(blocks)}</div>'


def step_strips(image: str, original: np.ndarray, config: RunConfig, normalized: str, draws: int = 5) -> str:
    """Return what ``config`` does to a photograph, uint8 (H, W, 3), as HTML: a row a step, in order.

    Preprocessing and square; each augmentation alone; ``draws`` epochs of all together; what testing sees; and
    ``normalized``, a fragment of a sentence, left out where it is empty.
    """
    height, width = original.shape[:2]
    side, steps = config.image_size, config.preprocessing
    said = dict(zip(map(_name, steps), describe_preprocessing(steps), strict=True))
    cropped, found = before_crop(original, steps)
    square = resize_and_crop(cropped, config.resize)
    rows = [("Photograph", f"{width:,} × {height:,} px", [in_full(original)], "as it is")]
    if "CropToRetina" in said:
        words = said["CropToRetina"] if found else "no circle was found, so all of it stays"
        rows.append(("CropToRetina", words, [in_full(cropped)], "after CropToRetina"))
    words = f"shorter side to {config.resize} px, and the middle of it, without distortion"
    rows.append(("Resize, CenterCrop", words, [square], "after Resize and CenterCrop"))
    if "SubtractLocalMean" in said:
        square = after_crop(square, steps)
        rows.append(("SubtractLocalMean", said["SubtractLocalMean"], [square], "after SubtractLocalMean"))
    for at, words in enumerate(describe_augmentations(config.augmentations, side)):
        name = _name(config.augmentations[at])
        rows.append((name, words, _alone(config.augmentations, at, square, side), f"after {name} alone"))
    words = f"all of it, drawn anew in every epoch: {side} × {side} px"
    if config.mixup_alpha:
        words += "; two of them are then laid over each other (MixUp), which is not shown"
    rows.append(("Training", words, as_trained(original, config, draws), "as training might see it"))
    rows.append(("Testing", _test_words(config), as_tested(original, config), "as it is tested"))
    html = [
        strip(_label(name, words), pictures(shown, f"{image} {what}"), label_rem=STEP_REM)
        for name, words, shown, what in rows
    ]
    if normalized:
        html.append(strip("<b>Normalization</b>", escape(normalized), label_rem=STEP_REM))
    return "".join(html)


def strip(label_html: str, pictures_html: str, *, label_rem: float = 6.4) -> str:
    """Return a row of pictures, at most five to a line, beside its label, or below it in a narrow window."""
    return (
        f'<div class="strip" style="display:flex;flex-wrap:wrap"><div style="flex:1 0 {label_rem:g}rem">{label_html}'
        f'</div><div class="row" style="flex:99 1 19rem;max-width:36rem">{pictures_html}</div></div>'
    )


def pictures(images: Sequence[np.ndarray], alternatives: str | Sequence[str]) -> str:
    """Return photographs, uint8 (H, W, 3), as HTML; an alternative text that several share is numbered."""
    if isinstance(alternatives, str):
        several = len(images) > 1
        alternatives = [f"{alternatives}{f', {at} of {len(images)}' * several}" for at in range(1, len(images) + 1)]
    return "".join(
        markup.photograph(image, alternative, SIDE) for image, alternative in zip(images, alternatives, strict=True)
    )


def in_full(pixels: np.ndarray) -> np.ndarray:
    """Return all of a photograph, uint8 (H, W, 3), in the middle of a black square."""
    height, width = pixels.shape[:2]
    side = max(height, width)
    square = np.zeros((side, side, 3), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = pixels
    return square


def different_draws(draw: Callable[[int], np.ndarray], most: int) -> list[np.ndarray]:
    """Return the first ``most`` different pictures that ``draw`` gives for the seeds 1, 2, ...

    Fewer where there are no more: one of what is not random, two of a flip.
    """
    found: dict[bytes, np.ndarray] = {}
    for seed in range(1, TRIES + 1):
        picture = draw(seed)
        found[picture.tobytes()] = picture
        if len(found) == most:
            break
    return list(found.values())


def as_trained(original: np.ndarray, config: RunConfig, draws: int) -> list[np.ndarray]:
    """Return a photograph, uint8 (H, W, 3), as ``draws`` epochs of training might see it."""
    transform = TrainTransform.of(config)
    return different_draws(partial(transform, transform.recipe.make(original)), draws)


def as_tested(original: np.ndarray, config: RunConfig) -> list[np.ndarray]:
    """Return what the network sees of a photograph, uint8 (H, W, 3), in the final test: one view or several."""
    transform = EvalTransform.of(config)
    seen = transform(transform.recipe.make(original))
    return list(seen) if seen.ndim == 4 else [seen]


def _test_words(config: RunConfig) -> str:
    side, views = config.image_size, config.test_time_augmentation
    if views == "none":
        return f"shorter side to {side} px, and the middle of it; nothing random"
    if views == "CenterCrop":
        return f"shorter side to {config.resize} px, and the middle {side} px of it; nothing random"
    return f"{views}: views of {side} × {side} px, whose logits are averaged; nothing random"


def _alone(steps: Sequence[Any], at: int, square: np.ndarray, side: int) -> list[np.ndarray]:
    """Return three draws of one augmentation, brought to ``side`` px where it leaves the square at another size."""
    fit = {"Resize": {"size": [side, side]}}
    try:
        return different_draws(partial(Augmentation([steps[at], fit], side).apply, square), 3)
    except (TypeError, ValueError, RuntimeError):  # a crop, for which only the steps before it make room
        return different_draws(partial(Augmentation([*steps[: at + 1], fit], side).apply, square), 3)


def _name(step: Any) -> str:
    return next(iter(step)) if isinstance(step, dict) else step


def _label(name: str, words: str) -> str:
    breakable = re.sub(r"\w{15,}", lambda long: re.sub("(?<=[a-z])(?=[A-Z])", "<wbr>", long[0]), escape(name))
    return f'<b>{breakable}</b><span class="sub">{escape(words)}</span>'
