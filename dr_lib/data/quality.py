"""Can a photograph be graded? A score from what an ungradable one lacks: light, and sharp vessels.

Six measures of the retina (:func:`measures`) enter a logistic model. Its coefficients are in ``quality.json``; they are
fitted by ``benchmarks/quality.py`` to EyeQ's labels, and ``docs/data.md`` says how well. They are of the retina at one
resolution, so a photograph has much the same score in whatever size it is stored, until the vessels are lost in it.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from dr_lib.data.retina import DISC_RADIUS, Blur, reduced

RADII = (DISC_RADIUS, DISC_RADIUS // 2, DISC_RADIUS // 4)
"""Radii of the retina, px, at which the measures are taken: the largest that the photograph has. Each has a model."""

MEASURES = ("red_low", "log_red_low", "dark_detail", "bright_detail", "fine_detail", "saturated")

_MODEL = Path(__file__).with_name("quality.json")
_LEAST_LIGHT = 0.03
"""Local brightness below which detail is measured against this: else noise in the dark would be detail."""


@dataclass(frozen=True)
class QualityModel:
    """A logistic model: the log-odds of a gradable photograph are ``intercept`` + ``weights`` · measures."""

    intercept: float
    weights: tuple[float, ...]

    def score(self, values: np.ndarray) -> np.ndarray:
        """Return the probability that a photograph can be graded, float (n,), of measures, float (n, 6)."""
        return 1 / (1 + np.exp(-(self.intercept + np.asarray(values) @ np.array(self.weights))))


def quality(disc: np.ndarray, mask: np.ndarray, retina_radius: float) -> float:
    """Return how likely a photograph can be graded: 0 surely not, 1 surely.

    ``disc`` and ``mask``: its retina, see :func:`dr_lib.data.retina.retina_disc`; ``retina_radius``: what that was made
    from, px in the photograph.
    """
    radius = model_radius(retina_radius)
    values = measures(*reduced(disc, mask, DISC_RADIUS // radius))
    return 0.0 if values is None else round(float(_models()[radius].score(values)), 4)


def model_radius(retina_radius: float) -> int:
    """Return which of :data:`RADII` is that of the model for a retina of so many px."""
    return next((radius for radius in RADII if radius <= 1.1 * retina_radius), RADII[-1])


def measures(disc: np.ndarray, mask: np.ndarray) -> np.ndarray | None:
    """Return :data:`MEASURES` of a retina, float (6,); None where too little of it is in the frame.

    ``disc`` and ``mask``: see :func:`dr_lib.data.retina.retina_disc`. ``red_low``: the 5th percentile of red, 0..1, and
    its logarithm: where the retina is not lit, nothing can be graded. ``dark_detail``, ``bright_detail`` and
    ``fine_detail``: logarithms of the 2nd and 98th percentile of detail, of 1 px for the dark (vessels) and of 2 px for
    the bright, and of the median size of the finest; all in green, as shares of the local brightness. ``saturated``:
    share of green above 0.85.
    """
    if mask.sum() < 0.25 * mask.size:
        return None
    red, green = disc[0][mask], disc[1]
    blurred = Blur(mask)
    relative = green / np.maximum(blurred(green, len(green) / 16), _LEAST_LIGHT)
    smooth = blurred(relative, 0.5)
    fine, coarse = (relative - smooth)[mask], (smooth - blurred(relative, 2.0))[mask]
    red_low = _quantile(red, 0.05)
    return np.array(
        [
            red_low,
            np.log(red_low + 0.02),
            np.log(max(-_quantile(fine, 0.02), 0) + 1e-4),
            np.log(max(_quantile(coarse, 0.98), 0) + 1e-4),
            np.log(_quantile(np.abs(fine), 0.5) + 1e-4),
            (green[mask] > 0.85).mean(),
        ]
    )


def fit_quality(values: np.ndarray, ungradable: np.ndarray) -> QualityModel:
    """Return the model that tells ungradable photographs from others, for labels of your own.

    ``values``: measures, float (n, 6). ``ungradable``: bool (n,).
    """
    from sklearn.linear_model import LogisticRegression  # takes a second to import

    center, scale = values.mean(axis=0), values.std(axis=0) + 1e-9
    fitted = LogisticRegression(C=0.3, max_iter=1000).fit((values - center) / scale, ~ungradable)
    weights = fitted.coef_[0] / scale
    return QualityModel(float(fitted.intercept_[0] - weights @ center), tuple(map(float, weights)))


def _quantile(values: np.ndarray, share: float) -> float:
    """Return the value below which that share lies; NumPy's own function takes ten times as long."""
    at = int(share * (len(values) - 1))
    return float(np.partition(values, at)[at])


@cache
def _models() -> dict[int, QualityModel]:
    kept: dict[str, Any] = json.loads(_MODEL.read_text(encoding="utf-8"))["models"]
    return {int(radius): QualityModel(one["intercept"], tuple(one["weights"])) for radius, one in kept.items()}
