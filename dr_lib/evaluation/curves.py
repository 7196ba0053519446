"""Curves of how well a score tells referable retinopathy, with few enough points to draw."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics as reference

from dr_lib import PROBABILITIES, REFERABLE_GRADE

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Horizontal and vertical places of its points, both shares 0..1."""

MOST_POINTS = 300
_FINEST = 0.0005


def referable(predictions: pd.DataFrame) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return whether each photograph has grade 2 or worse, bool (N,), and the sum of their probabilities, (N,)."""
    score = predictions[PROBABILITIES[REFERABLE_GRADE:]].to_numpy(dtype=float).sum(axis=1)
    return predictions["grade"].to_numpy() >= REFERABLE_GRADE, score


def roc_curve(positive: ArrayLike, score: ArrayLike) -> Curve | None:
    """Return the share of negatives called positive (1 - specificity) and the sensitivity, from (0, 0) to (1, 1).

    ``positive``: bool (N,). ``score``: (N,), higher for positive. Points are scikit-learn's, thinned so that the line
    through them moves by less than can be seen. ``None`` without positives or without negatives.
    """
    positive = np.asarray(positive, dtype=bool)
    if positive.all() or not positive.any():
        return None
    alarms, sensitivity, _ = reference.roc_curve(positive, score)
    return thinned(alarms, sensitivity)


def precision_recall_curve(positive: ArrayLike, score: ArrayLike) -> Curve | None:
    """Return recall and precision from all photographs called positive, where recall is 1, to none of them.

    Arguments and thinning as in :func:`roc_curve`. ``None`` without positives.
    """
    positive = np.asarray(positive, dtype=bool)
    if not positive.any():
        return None
    precision, recall, _ = reference.precision_recall_curve(positive, score)
    return thinned(recall, precision)


def thinned(x: ArrayLike, y: ArrayLike, most: int = MOST_POINTS) -> Curve:
    """Return at most ``most`` of the points, ends included, none of the others far from the line through them.

    Douglas & Peucker's rule (Cartographica 1973): between two points that stay, the farthest one stays too if it lies
    more than a tolerance off. The tolerance starts at 0.0005, a sixth of a pixel of a 360 px panel, and doubles until
    few enough are left.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    tolerance = _FINEST
    while (kept := _farther_than(x, y, tolerance)).sum() > most:
        tolerance *= 2
    return x[kept], y[kept]


def _farther_than(x: NDArray, y: NDArray, tolerance: float) -> NDArray[np.bool_]:
    kept = np.zeros(len(x), dtype=bool)
    kept[[0, -1]] = True
    spans = [(0, len(x) - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        across, up = x[last] - x[first], y[last] - y[first]
        dx, dy = x[first + 1 : last] - x[first], y[first + 1 : last] - y[first]
        length = np.hypot(across, up)
        # From a point to itself there is no line, only a distance.
        off = np.abs(across * dy - up * dx) / length if length else np.hypot(dx, dy)
        worst = int(off.argmax())
        if off[worst] > tolerance:
            middle = first + 1 + worst
            kept[middle] = True
            spans += [(first, middle), (middle, last)]
    return kept
