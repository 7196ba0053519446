"""On which side of a photograph the optic disc is, which its name should agree with: right in a right eye.

Two ways must agree, or nothing is said: the place of the brightest spot in which vessels meet, and a linear model of
such maps against their mirror images. Its weights are in ``laterality.json``, fitted by ``benchmarks/laterality.py`` to
the names of photographs, of which some are wrong; ``docs/data.md`` says how often the answer is right.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np

from dr_lib.data.retina import DISC_RADIUS, Blur, reduced

RADIUS = DISC_RADIUS // 2
"""Radius of the retina, px, on which the disc is looked for; of smaller photographs nothing is said."""

CELLS = 14
"""The maps enter the model as the means of so many cells a side."""

LEAST_SCORE, LEAST_OFFSET, LEAST_QUALITY = 0.5, 0.25, 0.5
"""What the model's score, the spot's distance from the middle in radii, and the quality must reach."""

_MODEL = Path(__file__).with_name("laterality.json")


def disc_side(disc: np.ndarray, mask: np.ndarray) -> str:
    """Return on which side the optic disc is: ``left``, ``right``, or nothing where that is not clear.

    ``disc`` and ``mask``: the retina, see :func:`dr_lib.data.retina.retina_disc`.
    """
    disc, mask = reduced(disc, mask, DISC_RADIUS // RADIUS)
    if mask.sum() < 0.25 * mask.size:
        return ""
    maps = disc_maps(disc, mask)
    score, offset = float(mirror_differences(maps) @ _weights()), spot_offset(maps, mask)
    if min(abs(score) / LEAST_SCORE, abs(offset) / LEAST_OFFSET) < 1 or score * offset < 0:
        return ""
    return "right" if score > 0 else "left"


def disc_maps(disc: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return three maps that are high at the disc, float32 (3, H, W): bright in green, bright in red, many vessels."""
    radius = len(mask) // 2
    blurred = Blur(mask)

    def spots(color: np.ndarray) -> np.ndarray:
        relative = np.clip(color / np.maximum(blurred(color, radius / 2.5), 0.03), 0, 3)
        return blurred(relative, radius / 16) - blurred(relative, radius / 4)

    green = disc[1] / np.maximum(blurred(disc[1], radius / 8), 0.03)
    vessels = np.maximum(blurred(green, radius / 14) - blurred(green, 0.5), 0)
    return np.where(mask, [spots(disc[1]), spots(disc[0]), 6 * blurred(vessels, radius / 10)], 0)


def mirror_differences(maps: np.ndarray) -> np.ndarray:
    """Return what the left half of the maps has more than the right one, cell by cell: float (3 · 14 · 7,)."""
    cell = maps.shape[-1] // CELLS
    means = maps.reshape(3, CELLS, cell, CELLS, cell).mean(axis=(2, 4))
    return (means - means[..., ::-1])[..., : CELLS // 2].ravel()


def spot_offset(maps: np.ndarray, mask: np.ndarray) -> float:
    """Return how far right of the middle the spot most like a disc is, in radii; it is looked for at medium height."""
    radius = len(mask) // 2
    like = np.where(mask, maps.sum(axis=0), -np.inf)[radius // 2 : -(radius // 2)]
    return (like.argmax() % like.shape[1] + 0.5) / radius - 1


@cache
def _weights() -> np.ndarray:
    return np.array(json.loads(_MODEL.read_text(encoding="utf-8"))["weights"])
