"""One photograph through a network's eyes, piece by piece, as HTML; every name is escaped."""

from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML
from PIL import Image

from dr_lib import GRADE_NAMES
from dr_lib.config import RunConfig
from dr_lib.data.crop_dataset import draw_seed
from dr_lib.data.crops import ResizeSpec
from dr_lib.data.transforms import TrainTransform
from dr_lib.evaluation.grad_cam import Explanation, overlay
from dr_lib.explore.loaded_run import Case
from dr_lib.report import markup
from dr_lib.report.audit_thumbnails import SIDE, beside, thumbnail_html
from dr_lib.report.formatting import SPLIT_WORDS, listed, percent
from dr_lib.report.image_rows import in_full

LARGE = 224
"""Side of the pictures to look into, px, where there is room: three fill the width of the page, more get smaller."""

Pixels = Callable[[str], np.ndarray]
"""A photograph by its name, uint8 (H, W, 3)."""


def framed(html: str) -> HTML:
    """Return ``html`` as what a cell shows, in letters of one size in cells and in widgets."""
    return markup.shown(f'<div style="font-size:.9rem;line-height:1.5">{html}</div>')


def graded(grade: int) -> str:
    """Return a grade by number and name: ``2 moderate``."""
    return f"{grade} {GRADE_NAMES[grade]}"


def answer(case: Case) -> str:
    """Return in a sentence what the photograph is and what the network answered, with the probability of each grade."""
    sure = percent(case.probabilities[case.predicted])
    apart = abs(case.grade - case.predicted)
    judged = "right" if case.right else f"{apart} grade{'s' * (apart > 1)} off"
    sentence = (
        f"Grade <b>{escape(graded(case.grade))}</b>, answered <b>{escape(graded(case.predicted))}</b> "
        f"with a probability of {sure}: {judged}."
    )
    return f'<p style="margin:.2rem 0 .6rem"><b>{escape(case.image)}</b>. {sentence}</p>' + bars(case)


def bars(case: Case) -> str:
    """Return the probability of each grade as a bar; answer and true grade are named."""
    rows = ""
    for grade, share in enumerate(case.probabilities):
        marks = ["true grade"] * (grade == case.grade) + ["answer"] * (grade == case.predicted)
        color = "var(--acc)" if grade == case.predicted else "var(--dim)"
        edge = "box-shadow:0 0 0 2px var(--fg);" if grade == case.grade else ""
        rows += (
            f'<div role="row" style="display:contents"><span role="rowheader">{escape(graded(grade))}</span>'
            f'<span role="cell" aria-hidden="true" style="background:var(--card);border-radius:3px;{edge}">'
            f'<span style="display:block;height:1rem;border-radius:3px;background:{color};'
            f'width:{100 * share:.1f}%"></span></span>'
            f'<span role="cell" style="text-align:right;font-variant-numeric:tabular-nums">{percent(share)}</span>'
            f'<span role="cell"><b>{" and ".join(marks)}</b></span></div>'
        )
    grid = "display:grid;grid-template-columns:max-content minmax(6rem,22rem) 3.6rem auto"
    style = f"{grid};gap:.35rem .8rem;align-items:center;line-height:1.2"
    return f'<div role="table" aria-label="Probability of each grade" style="{style}">{rows}</div>'


def looked_at(case: Case, pixels: np.ndarray, explained: list[Explanation], strength: float) -> str:
    """Return the photograph, what the network sees of it, and what speaks for grades; ``strength``: of the heat, 0..1.

    ``explained``: explanations of the same photograph.
    """
    shown = [_large(in_full(pixels), "The photograph", f"{case.image}, the whole photograph")]
    for number, explanation in enumerate(explained):
        if not number:
            side = len(explanation.seen)
            seen = f"{case.image} as the network sees it"
            shown.append(_large(explanation.seen, "What the network sees", seen, [f"{side} × {side} px"]))
        grade = f"grade {explanation.grade}"
        words = f"What speaks for {grade}" if explanation.heat.any() else f"Nothing speaks for {grade}"
        shown.append(_large(overlay(explanation, strength), words, f"{case.image} with Grad-CAM of {grade}"))
    return _side_by_side(shown)


def drawn(image: str, pixels: np.ndarray, config: RunConfig, epochs: range) -> dict[int, np.ndarray]:
    """Return what training draws of a photograph in each of ``epochs``, counted from 1, as it would in this run."""
    transform = TrainTransform.of(config)
    crop = transform.recipe.make(pixels)
    return {epoch: transform(crop, draw_seed(config.seed, epoch, image)) for epoch in epochs}


def draws(image: str, pixels: np.ndarray, config: RunConfig, epochs: range) -> str:
    """Return the pictures of :func:`drawn` as HTML."""
    return beside(
        thumbnail_html(f"epoch {epoch}", [], Image.fromarray(picture), f"what training draws of {image}")
        for epoch, picture in drawn(image, pixels, config, epochs).items()
    )


def neighbors(case: Case, rows: pd.DataFrame, pixels: Pixels) -> str:
    """Return training photographs (``image, grade, patient, distance``) with their grades and distances."""
    crop = ResizeSpec(2 * SIDE).make
    photographs: Iterable[Any] = rows.itertuples()
    return beside(
        thumbnail_html(
            row.image,
            [
                f"grade {graded(row.grade)}",
                f"distance {row.distance:.4f}",
                "same patient" if row.patient == case.patient else "",
            ],
            Image.fromarray(crop(pixels(row.image))),
            f"training photograph of grade {graded(row.grade)}, at a distance of {row.distance:.4f}",
        )
        for row in photographs
    )


def summary(case: Case, rows: pd.DataFrame) -> str:
    """Return in a sentence what grades the nearest training photographs have."""
    same = int((rows["grade"] == case.grade).sum())
    of_answer = int((rows["grade"] == case.predicted).sum())
    sentence = f"{same} of {len(rows)} have the true grade, {graded(case.grade)}"
    rest = "" if case.right else f"; {of_answer} have that of the answer, {graded(case.predicted)}"
    return f"{sentence}{rest}."


def fellow_eyes(case: Case, rows: pd.DataFrame, pixels: Pixels) -> str:
    """Return the other photographs of the patient (``image, grade, split, predicted``) beside each other."""
    if rows.empty:
        return markup.paragraphs(f"No other photograph of the patient of {case.image} is among those of this run.")
    photographs: Iterable[Any] = rows.itertuples()
    shown = [_fellow(row.image, row.grade, row.split, row.predicted, pixels) for row in photographs]
    trained = bool((rows["split"] == "train").any())
    others = f"other{'s' * (len(rows) > 1)} grade {listed([graded(grade) for grade in rows['grade']])}"
    sentences = f"Patient {case.patient}: this photograph has grade {graded(case.grade)}, the {others}."
    sentences += (
        " The network was trained on this patient, which makes this photograph easier than a stranger's." * trained
    )
    return markup.paragraphs(sentences) + _side_by_side(shown)


def _fellow(image: str, grade: int, split: str, predicted: int | None, pixels: Pixels) -> str:
    answered = "not tested" if pd.isna(predicted) else f"answered {graded(predicted)}"
    words = [f"grade {graded(grade)}", answered, f"a {SPLIT_WORDS[split]} photograph"]
    return _large(in_full(pixels(image)), image, f"{image}, {', '.join(words)}", words)


def _large(picture: np.ndarray, title: str, seen: str, lines: Sequence[str] = ()) -> str:
    """Return a picture to look into, with its title and ``lines`` below."""
    below = "".join(f'<span class="sub">{escape(line)}</span>' for line in lines)
    image = markup.photograph(picture, seen, LARGE)
    return f'<div class="shot" style="width:auto">{image}{escape(title)}{below}</div>'


def _side_by_side(large: list[str]) -> str:
    """Return large pictures in a row, in two where it is too narrow for them."""
    columns = "repeat(auto-fit, minmax(10.5rem, 1fr))" if len(large) > 2 else f"repeat({len(large)}, {LARGE}px)"
    return f'<div style="display:grid;gap:.5rem;margin:.8rem 0;grid-template-columns:{columns}">{"".join(large)}</div>'
