"""Rows of photographs: samples of each grade, and one photograph as testing and as training see it."""

from collections.abc import Callable, Iterable
from html import escape

import torch
from PIL import Image
from torchvision.transforms.functional import to_pil_image

from dr_lib import GRADE_NAMES
from dr_lib.config import RunConfig
from dr_lib.data.transforms import EvalTransform, TrainTransform, denormalise
from dr_lib.report import markup

SIDE = 110
"""Side of a photograph on the page, px."""


def grade_strips(samples: Callable[[int], Iterable[tuple[str, Image.Image]]]) -> str:
    """Return one row a grade as HTML; ``samples`` gives names and pictures of a grade."""
    square = EvalTransform(2 * SIDE).square
    rows = []
    for grade, name in enumerate(GRADE_NAMES):
        pictures = "".join(
            markup.photograph(square(picture), f"Fundus photograph of grade {grade}, {name}: {image}", SIDE)
            for image, picture in samples(grade)
        )
        rows.append(strip(f"<b>{grade}</b> {escape(name)}", pictures or "no training photograph"))
    return "".join(rows)


def prepared_strips(image: str, original: Image.Image, config: RunConfig, draws: int = 5) -> str:
    """Return a photograph as it is tested, and as ``draws`` epochs of training might see it, as HTML."""
    train = TrainTransform(config.resize, config.image_size, config.rotation_degrees)
    tested = _photograph(EvalTransform(config.image_size)(original), f"{image} as it is tested: resized and cropped")
    trained = "".join(
        _photograph(train(original, torch.Generator().manual_seed(draw)), f"{image} as training might see it, {draw}")
        for draw in range(1, draws + 1)
    )
    return strip("testing", tested) + strip("training", trained)


def strip(label_html: str, pictures_html: str) -> str:
    """Return a labelled row of pictures."""
    return f'<div class="strip"><div>{label_html}</div><div class="row">{pictures_html}</div></div>'


def _photograph(tensor: torch.Tensor, alternative: str) -> str:
    return markup.photograph(to_pil_image(denormalise(tensor)), alternative, SIDE)
