"""Percentile bootstrap over patients: how far a figure would move had other patients been photographed.

Both eyes of a patient are drawn together, since they resemble each other (Efron & Tibshirani 1993, chapters 8 and 13).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from dr_lib import GRADES

RESAMPLES = 2000
LEVEL = 0.95
SEED = 20161

Statistic = Callable[[NDArray], NDArray]
"""From confusion matrices (..., 5, 5) to figures of merit (...); see :mod:`dr_lib.evaluation.metrics`."""


@dataclass(frozen=True)
class Difference:
    """A figure of the second run less that of the first, with its interval; units of the figure."""

    value: float
    low: float
    high: float

    @property
    def distinguishable(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    def __neg__(self) -> "Difference":
        return Difference(-self.value, -self.high, -self.low)


def patient_matrices(patients: ArrayLike, grades: ArrayLike, predicted: ArrayLike) -> NDArray[np.int64]:
    """Return one confusion matrix a patient, counts, shape (patients, 5, 5), patients in sorted order."""
    names, index = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    n = len(GRADES)
    flat = (index * n + np.asarray(grades, dtype=np.int64)) * n + np.asarray(predicted, dtype=np.int64)
    return np.bincount(flat, minlength=len(names) * n * n).reshape(-1, n, n)


def resample(counts: NDArray, resamples: int = RESAMPLES, seed: int = SEED) -> NDArray:
    """Return sums of ``counts`` (patients, ...) over patients drawn with replacement, shape (resamples, ...).

    Patients with equal counts are interchangeable, so how often each *kind* of patient is drawn is multinomial too:
    the same distribution, at a few dozen kinds instead of thousands of patients.
    """
    kinds, how_many = np.unique(counts.reshape(len(counts), -1), axis=0, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(counts), how_many / len(counts), size=resamples)
    return (drawn @ kinds).reshape(resamples, *counts.shape[1:])


def percentile_interval(values: NDArray, level: float = LEVEL) -> tuple[float, float] | None:
    """Return the central ``level`` of ``values``, leaving out undefined ones; ``None`` where all are."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def interval(predictions: pd.DataFrame, statistic: Statistic, **options: int) -> tuple[float, float] | None:
    """Return the 95% interval of ``statistic`` for ``predictions`` (columns patient, grade, predicted)."""
    counts = patient_matrices(predictions["patient"], predictions["grade"], predictions["predicted"])
    return percentile_interval(statistic(resample(counts, **options)))


def paired_difference(
    first: pd.DataFrame, second: pd.DataFrame, statistic: Statistic, **options: int
) -> Difference | None:
    """Return ``statistic`` of ``second`` less that of ``first``, both resampled with the same patients.

    Both frames have columns image, patient, grade, predicted. ``None`` where they are not about the same photographs
    with the same grades, or where the figure is undefined: then nothing can be said about a difference.
    """
    counts = paired_matrices(first, second)
    if counts is None:
        return None
    value = np.diff(statistic(counts.sum(axis=0)))[0]
    limits = percentile_interval(np.diff(statistic(resample(counts, **options)), axis=1)[:, 0])
    if np.isnan(value) or limits is None:
        return None
    return Difference(float(value), *limits)


def paired_matrices(first: pd.DataFrame, second: pd.DataFrame) -> NDArray | None:
    """Return per patient the confusion matrices of two runs, shape (patients, 2, 5, 5); ``None`` if not comparable."""
    columns = ["image", "patient", "grade", "predicted"]
    joined = first[columns].merge(second[["image", "grade", "predicted"]], on="image", suffixes=("", "_second"))
    if not len(joined) == len(first) == len(second) or (joined["grade"] != joined["grade_second"]).any():
        return None
    pairs = [
        patient_matrices(joined["patient"], joined["grade"], joined[column])
        for column in ("predicted", "predicted_second")
    ]
    return np.stack(pairs, axis=1)
