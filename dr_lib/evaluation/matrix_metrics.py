"""Metrics of confusion matrices, thousands of them at a time, as the bootstrap needs them.

:mod:`dr_lib.evaluation.metrics` has the same for one set of photographs, from scikit-learn, which scores one at
a time: for 2,000 resamples of 7,026 photographs it takes half a minute, where the matrices here take 3 ms.

Matrices have shape (..., 5, 5), so that one call scores thousands of resamples; rows are true grades, columns predicted
ones. Where a figure is undefined it is NaN; nothing is rounded.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dr_lib import GRADES, REFERABLE_GRADE
from dr_lib.errors import InputError, check_finite

Floats = NDArray[np.float64]

_SQUARED_DISTANCE = np.subtract.outer(GRADES, GRADES).astype(float) ** 2


def confusion_matrix(grades: ArrayLike, predicted: ArrayLike) -> NDArray[np.int64]:
    """Return how many photographs of each true grade (rows) got each predicted grade (columns), 5 x 5.

    Counted here since training counts after each epoch and starts a second sooner without scikit-learn.
    """
    n = len(GRADES)
    return np.bincount(check_grades(grades) * n + check_grades(predicted), minlength=n * n).reshape(n, n)


def check_grades(values: ArrayLike) -> NDArray[np.int64]:
    """Return ``values`` as whole numbers; :class:`InputError` where one is no grade: it would be counted as another."""
    grades = check_finite(values, "grades")
    if not np.isin(grades, GRADES).all():
        raise InputError(f"grades: not all are whole numbers from {GRADES[0]} to {GRADES[-1]}; check the labels")
    return grades.astype(np.int64)


def normalize_matrix(matrix: ArrayLike, over: Literal["true", "pred", "all"]) -> Floats:
    """Return counts as shares of their row (``true``), their column (``pred``) or of everything (``all``).

    A row or column without photographs becomes zeros, as in scikit-learn, which starts from photographs, not counts.
    """
    matrix = check_finite(matrix, "counts")
    axes: dict[str, int | tuple[int, int]] = {"true": -1, "pred": -2, "all": (-2, -1)}
    return np.nan_to_num(_divide(matrix, matrix.sum(axis=axes[over], keepdims=True)))


def accuracy(matrix: ArrayLike) -> Floats:
    """Return the share of photographs on the diagonal, 0..1."""
    matrix = check_finite(matrix, "counts")
    return _divide(np.trace(matrix, axis1=-2, axis2=-1), matrix.sum(axis=(-2, -1)))


def majority_accuracy(grades: ArrayLike, training_grades: ArrayLike | None = None) -> float:
    """Return the accuracy of answering always the commonest grade, of ``training_grades`` where given."""
    grades = check_grades(grades)
    known = grades if training_grades is None else check_grades(training_grades)
    return float(np.mean(grades == np.bincount(known, minlength=len(GRADES)).argmax()))


def quadratic_weighted_kappa(matrix: ArrayLike) -> Floats:
    """Return Cohen's kappa with squared distances as weights (Cohen, Psychol. Bull. 1968), -1..1.

    1 is full agreement, 0 what two independent graders with these marginals reach by chance. Where the grader and the
    truth are one and the same constant, chance alone explains the agreement and the quotient is 0/0 (scikit-learn:
    NaN); it is 0 here, so that a network that always answers "no DR" never scores above chance.
    """
    matrix = check_finite(matrix, "counts").astype(float)
    total = matrix.sum(axis=(-2, -1), keepdims=True)
    by_chance = matrix.sum(axis=-1, keepdims=True) * matrix.sum(axis=-2, keepdims=True)
    seen = (_SQUARED_DISTANCE * matrix).sum(axis=(-2, -1))
    expected = _divide((_SQUARED_DISTANCE * by_chance).sum(axis=(-2, -1)), total[..., 0, 0])
    return np.where(expected == 0, 0.0, 1 - _divide(seen, expected))


def recall(matrix: ArrayLike) -> Floats:
    """Return for each true grade the share that was recognized, shape (..., 5); NaN for a grade that is absent."""
    matrix = check_finite(matrix, "counts")
    return _divide(np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(axis=-1))


def precision(matrix: ArrayLike) -> Floats:
    """Return for each answer the share that was right, shape (..., 5); NaN for a grade that was never answered."""
    matrix = check_finite(matrix, "counts")
    return _divide(np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(axis=-2))


def referable_sensitivity(matrix: ArrayLike) -> Floats:
    """Return the share of photographs of grade 2 or worse whose answer is grade 2 or worse, 0..1; NaN of none."""
    matrix = check_finite(matrix, "counts")
    ill = matrix[..., REFERABLE_GRADE:, :]
    return _divide(ill[..., REFERABLE_GRADE:].sum(axis=(-2, -1)), ill.sum(axis=(-2, -1)))


def referable_specificity(matrix: ArrayLike) -> Floats:
    """Return the share of photographs of grade 0 or 1 whose answer is grade 0 or 1, 0..1; NaN of none."""
    matrix = check_finite(matrix, "counts")
    well = matrix[..., :REFERABLE_GRADE, :]
    return _divide(well[..., :REFERABLE_GRADE].sum(axis=(-2, -1)), well.sum(axis=(-2, -1)))


def balanced_accuracy(matrix: ArrayLike) -> Floats:
    """Return the mean recall of the grades that are present, 0..1."""
    return mean_of_defined(recall(matrix))


def f1(matrix: ArrayLike) -> Floats:
    """Return the harmonic mean of precision and recall of each grade, shape (..., 5).

    NaN for a grade that is neither truth nor answer; one that occurs and is never hit has 0.
    """
    matrix = check_finite(matrix, "counts")
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    return _divide(2 * hits, matrix.sum(axis=-1) + matrix.sum(axis=-2))


def macro_f1(matrix: ArrayLike) -> Floats:
    """Return the mean over grades of the harmonic mean of precision and recall, 0..1.

    Over the grades that occur, as truth or as answer; a grade that occurs and is never hit counts 0.
    """
    return mean_of_defined(f1(matrix))


def mean_of_defined(values: Floats) -> Floats:
    """Return the mean over the last axis of what is not NaN; NaN where nothing is."""
    defined = ~np.isnan(values)
    return _divide(np.where(defined, values, 0).sum(axis=-1), defined.sum(axis=-1))


def _divide(part: ArrayLike, whole: ArrayLike) -> Floats:
    """Return part / whole with NaN for 0/0, without numpy's warning."""
    part, whole = np.broadcast_arrays(np.asarray(part, dtype=float), np.asarray(whole, dtype=float))
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole != 0)
