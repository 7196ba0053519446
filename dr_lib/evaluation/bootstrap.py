"""Percentile bootstrap over patients: how far a figure would move had other patients been photographed.

Both eyes of a patient are drawn together, since they resemble each other (Efron & Tibshirani 1993, chapters 8 and 13).
All figures of all runs on the same patients are taken from the same draws, so that differences between runs are paired;
neither ``scipy.stats.bootstrap`` nor scikit-learn's ``resample`` draws patients instead of photographs, or the same
ones for several figures.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from dr_lib import GRADES, PROBABILITIES
from dr_lib.evaluation import matrix_metrics as metrics
from dr_lib.evaluation.matrix_metrics import check_grades
from dr_lib.evaluation.ranking import grade_areas, rank_referable, roc_of_weights

RESAMPLES = 2000
LEVEL = 0.95
SEED = 20161

_AT_ONCE = 250

Statistic = Callable[[NDArray], NDArray]
"""From confusion matrices (..., 5, 5) to figures of merit (...); see :mod:`dr_lib.evaluation.matrix_metrics`."""

Figures = MappingProxyType[str, NDArray[np.float64]]
"""By name; the value of the photographs themselves comes first, those of the 2,000 resamples follow."""

_OF_MATRICES = {
    "accuracy": metrics.accuracy,
    "kappa": metrics.quadratic_weighted_kappa,
    "recall": metrics.recall,
    "precision": metrics.precision,
    "referable_sensitivity": metrics.referable_sensitivity,
    "referable_specificity": metrics.referable_specificity,
}
_COLUMNS = ["patient", "grade", "predicted", *PROBABILITIES]


@dataclass(frozen=True)
class Difference:
    """A figure of the second run less that of the first, with its interval; units of the figure.

    The interval is NaN where there are too few patients to give one. ``p``: two-sided, 0..1, of what the interval is
    for, be it this difference or a family of them; below 0.05 where the interval leaves out zero.
    """

    value: float
    low: float
    high: float
    p: float | None = None

    @property
    def distinguishable(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    @property
    def direction(self) -> Literal["up", "down", "unclear", "unknown"]:
        """Where the interval lies: above zero, below it, around it, or nowhere where there is none."""
        if self.low != self.low:
            return "unknown"
        return "up" if self.low > 0 else "down" if self.high < 0 else "unclear"

    def __neg__(self) -> "Difference":
        return Difference(-self.value, -self.high, -self.low, self.p)


@lru_cache(maxsize=4)
def draws(patients: int, resamples: int = RESAMPLES, seed: int = SEED) -> NDArray[np.uint8]:
    """Return how often each of ``patients`` is drawn in each resample, with replacement: shape (resamples, patients).

    Every row sums to ``patients``. A byte holds any count: of more than 255 patients, none is drawn 256 times.
    """
    rng = np.random.default_rng(seed)
    drawn = np.empty((resamples, patients), dtype=np.uint8)
    for row in drawn:
        row[:] = np.bincount(rng.integers(patients, size=patients), minlength=patients)
    drawn.setflags(write=False)
    return drawn


def patient_index(patients: ArrayLike) -> tuple[int, NDArray[np.int64]]:
    """Return how many patients there are, and for each photograph the number of its own, in sorted order of names."""
    names, index = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    return len(names), index


def patient_matrices(patients: ArrayLike, grades: ArrayLike, predicted: ArrayLike) -> NDArray[np.int64]:
    """Return one confusion matrix a patient, counts, shape (patients, 5, 5), patients in sorted order."""
    number, index = patient_index(patients)
    n = len(GRADES)
    flat = (index * n + check_grades(grades)) * n + check_grades(predicted)
    return np.bincount(flat, minlength=number * n * n).reshape(-1, n, n)


def resample(counts: NDArray, resamples: int = RESAMPLES, seed: int = SEED) -> NDArray[np.int64]:
    """Return sums of ``counts`` (patients, ...) over patients drawn with replacement, shape (resamples, ...)."""
    # Float32 is exact here, up to 16.7 million photographs in a sum, and has a fast matrix product.
    flat = counts.reshape(len(counts), -1).astype(np.float32)
    drawn = draws(len(counts), resamples, seed)
    sums = [drawn[i : i + _AT_ONCE].astype(np.float32) @ flat for i in range(0, resamples, _AT_ONCE)]
    return np.concatenate(sums).astype(np.int64).reshape(resamples, *counts.shape[1:])


def percentile_interval(values: NDArray) -> tuple[float, float] | None:
    """Return the central 95% of ``values``, leaving out undefined ones; ``None`` where all are."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def resampled_difference_of_groups(first: pd.DataFrame, second: pd.DataFrame, statistic: Statistic) -> NDArray:
    """Return ``statistic`` of ``second`` less that of ``first``, then its resamples, shape (1 + resamples,).

    Two groups of different patients, drawn apart; both have columns patient, grade, predicted. NaN where one is empty.
    """
    if first.empty or second.empty:
        return np.full(1 + RESAMPLES, np.nan)
    counts = [patient_matrices(group["patient"], group["grade"], group["predicted"]) for group in (first, second)]
    # Another seed for the second: groups of equal size would else be drawn alike.
    before, after = (
        statistic(np.concatenate([group.sum(axis=0, keepdims=True), resample(group, seed=SEED + i)]))
        for i, group in enumerate(counts)
    )
    return after - before


def resampled_figures(predictions: pd.DataFrame) -> Figures:
    """Return all figures of ``predictions`` (columns patient, grade, predicted, p0..p4), shapes (1 + resamples, ...).

    ``recall``, ``precision`` and ``auc`` have one value a grade, the operating points threshold, sensitivity and
    specificity. Tables of the same patients are resampled alike, whatever their order, so that their figures can be
    subtracted. Kept for the 64 latest tables: a report compares each run with several others.
    """
    return _figures(_Table(predictions))


def roc_band(
    positive: ArrayLike, score: ArrayLike, patients: ArrayLike, *, resamples: int = 500
) -> tuple[NDArray, NDArray, NDArray] | None:
    """Return a ROC curve's 95% band over patients: 101 shares of false alarms, and low and high sensitivity there.

    ``positive``, ``score``: as :func:`dr_lib.evaluation.metrics.referable` gives them. ``patients``: of each
    photograph. The band holds at each share by itself. ``None`` where all or no photographs are positive.
    """
    number, index = patient_index(patients)
    positive = np.asarray(positive, dtype=bool)
    if positive.all() or not positive.any():
        return None
    at = np.linspace(0, 1, 101)
    curves = np.array([roc_of_weights(positive, score, drawn[index], at) for drawn in draws(number)[:resamples]])
    low, high = np.nanquantile(curves, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return at, low, high


class _Table:
    """Predictions that are the same where their content is."""

    def __init__(self, predictions: pd.DataFrame):
        self.frame: pd.DataFrame | None = predictions
        self._content = pd.util.hash_pandas_object(predictions[_COLUMNS], index=False).to_numpy().tobytes()

    def __hash__(self) -> int:
        return hash(self._content)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Table) and self._content == other._content


@lru_cache(maxsize=64)
def _figures(table: _Table) -> Figures:
    predictions, table.frame = table.frame, None  # the cache keeps the key
    assert predictions is not None  # asked for once, when the key is new
    figures = _of_matrices(predictions) | _of_rankings(predictions)
    for values in figures.values():
        values.setflags(write=False)
    return MappingProxyType(figures)


def _of_matrices(predictions: pd.DataFrame) -> dict[str, NDArray]:
    counts = patient_matrices(predictions["patient"], predictions["grade"], predictions["predicted"])
    matrices = np.concatenate([counts.sum(axis=0, keepdims=True), resample(counts)])
    figures = {name: figure(matrices) for name, figure in _OF_MATRICES.items()}
    means = {"balanced_accuracy": figures["recall"], "macro_f1": metrics.f1(matrices)}
    return figures | {name: _mean_of_present(by_grade) for name, by_grade in means.items()}


def _mean_of_present(by_grade: NDArray) -> NDArray:
    """Return the mean over the grades of the photographs themselves, which come first; shape (1 + resamples,).

    NaN in a resample that lacks one of them: over those that it has, it would be another figure.
    """
    present = ~np.isnan(by_grade[0])
    return by_grade[:, present].mean(axis=1) if present.any() else np.full(len(by_grade), np.nan)


def _of_rankings(predictions: pd.DataFrame) -> dict[str, NDArray]:
    grades = predictions["grade"].to_numpy()
    probabilities = predictions[PROBABILITIES].to_numpy(dtype=float)
    number, patients = patient_index(predictions["patient"])
    drawn = np.concatenate([np.ones((1, number), dtype=np.uint8), draws(number)])
    areas = grade_areas(grades, probabilities, patients, drawn)
    referable = rank_referable(grades, probabilities, patients, drawn)
    return {
        "auc": areas,
        "macro_auc": _mean_of_present(areas),
        "referable_auc": referable.auc,
        "referable_average_precision": referable.average_precision,
        "referable_at_90_sensitivity": referable.at_sensitivity,
        "referable_at_95_specificity": referable.at_specificity,
    }
