"""Curves of how well a score tells referable retinopathy: scikit-learn's."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics

from dr_lib import PROBABILITIES, REFERABLE_GRADE

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Horizontal and vertical places of its points, both shares 0..1."""


def referable(predictions: pd.DataFrame) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return whether each photograph has grade 2 or worse, bool (N,), and the sum of their probabilities, (N,)."""
    score = predictions[PROBABILITIES[REFERABLE_GRADE:]].to_numpy(dtype=float).sum(axis=1)
    return predictions["grade"].to_numpy() >= REFERABLE_GRADE, score


def roc_curve(positive: ArrayLike, score: ArrayLike) -> Curve | None:
    """Return the share of negatives called positive (1 - specificity) and the sensitivity, from (0, 0) to (1, 1).

    ``positive``: bool (N,). ``score``: (N,), higher for positive. Points on a straight line are left out. ``None``
    without positives or without negatives.
    """
    positive = np.asarray(positive, dtype=bool)
    if positive.all() or not positive.any():
        return None
    alarms, sensitivity, _ = metrics.roc_curve(positive, score)
    return alarms, sensitivity


def precision_recall_curve(positive: ArrayLike, score: ArrayLike) -> Curve | None:
    """Return recall and precision from all photographs called positive, where recall is 1, to none of them.

    Arguments as for :func:`roc_curve`. ``None`` without positives.
    """
    positive = np.asarray(positive, dtype=bool)
    if not positive.any():
        return None
    precision, recall, _ = metrics.precision_recall_curve(positive, score, drop_intermediate=True)
    return recall, precision
