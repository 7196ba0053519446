"""Rows of photographs: samples of each grade, and one photograph as testing and as training see it."""

from collections.abc import Callable, Iterable
from html import escape

import numpy as np

from dr_lib import GRADE_NAMES
from dr_lib.config import RunConfig
from dr_lib.data.squares import SquareRecipe
from dr_lib.data.transforms import EvalTransform, TrainTransform
from dr_lib.report import markup

SIDE = 110
"""Side of a photograph on the page, px."""


def grade_strips(samples: Callable[[int], Iterable[tuple[str, np.ndarray]]]) -> str:
    """Return one row a grade as HTML; ``samples`` gives names and pixels, uint8 (H, W, 3), of a grade."""
    square = SquareRecipe(2 * SIDE).make
    rows = []
    for grade, name in enumerate(GRADE_NAMES):
        pictures = "".join(
            markup.photograph(square(picture), f"Fundus photograph of grade {grade}, {name}: {image}", SIDE)
            for image, picture in samples(grade)
        )
        rows.append(strip(f"<b>{grade}</b> {escape(name)}", pictures or "no training photograph"))
    return "".join(rows)


def prepared_strips(image: str, original: np.ndarray, config: RunConfig, draws: int = 5) -> str:
    """Return a photograph as it is tested, and as ``draws`` epochs of training might see it, as HTML."""
    test, train = EvalTransform.of(config), TrainTransform.of(config)
    seen = test(test.recipe.make(original))
    seen = seen if seen.ndim == 4 else seen[None]
    tested = "".join(
        markup.photograph(view, f"{image} as it is tested" + f", view {number}" * (len(seen) > 1), SIDE)
        for number, view in enumerate(seen, start=1)
    )
    square = train.recipe.make(original)
    trained = "".join(
        markup.photograph(train(square, draw), f"{image} as training might see it, {draw}", SIDE)
        for draw in range(1, draws + 1)
    )
    return strip("testing", tested) + strip("training", trained)


def strip(label_html: str, pictures_html: str) -> str:
    """Return a labelled row of pictures."""
    return f'<div class="strip"><div>{label_html}</div><div class="row">{pictures_html}</div></div>'
