"""Metrics of graded photographs with the signatures of scikit-learn: ``metric(y_true, y_pred)``.

Grades are whole numbers 0-4; where a metric is undefined it is NaN; nothing is rounded. NaN or infinite input raises
:class:`dr_lib.errors.InputError`. The same for thousands of resamples at once is in
:mod:`dr_lib.evaluation.matrix_metrics`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score

from dr_lib import REFERABLE_GRADE
from dr_lib.errors import check_finite
from dr_lib.evaluation import matrix_metrics, ranking
from dr_lib.evaluation.matrix_metrics import confusion_matrix as _matrix


def confusion_matrix(
    y_true: ArrayLike, y_pred: ArrayLike, *, normalize: Literal["true", "pred", "all"] | None = None
) -> NDArray:
    """Return the 5 x 5 table of true grades (rows) against predicted grades (columns).

    ``normalize`` as in :func:`sklearn.metrics.confusion_matrix`: ``None`` counts, ``true`` shares of each row,
    ``pred`` of each column, ``all`` of everything. A row or column without photographs is all zeros.

    >>> confusion_matrix([0, 0, 4], [0, 1, 4])[0]
    array([1, 1, 0, 0, 0])
    """
    return _matrix(y_true, y_pred, normalize=normalize)


def accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Return the share of photographs whose grade is predicted, 0..1.

    >>> accuracy([0, 1, 2, 2], [0, 1, 2, 3])
    0.75
    """
    return float(matrix_metrics.accuracy(_matrix(y_true, y_pred)))


def majority_accuracy(y_true: ArrayLike, y_train: ArrayLike | None = None) -> float:
    """Return the accuracy of always predicting the commonest grade of ``y_train``, or of ``y_true`` where not given.

    >>> majority_accuracy([0, 0, 2, 4], y_train=[0, 0, 0, 1])
    0.5
    """
    return matrix_metrics.majority_accuracy(y_true, y_train)


def balanced_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Return the mean recall of the grades that occur in ``y_true``, 0..1.

    >>> balanced_accuracy([0, 0, 0, 4], [0, 0, 0, 0])
    0.5
    """
    return float(matrix_metrics.balanced_accuracy(_matrix(y_true, y_pred)))


def quadratic_weighted_kappa(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Return Cohen's kappa with squared distances as weights, -1..1: 1 full agreement, 0 agreement by chance.

    Source: Cohen, Psychological Bulletin 1968. Equal to ``cohen_kappa_score(..., weights="quadratic")`` of
    scikit-learn, except where truth and prediction are one and the same constant: there it is 0 instead of NaN, so
    that a network that always answers grade 0 never scores above chance.

    >>> round(quadratic_weighted_kappa([0, 1, 2, 3, 4], [0, 1, 2, 3, 3]), 3)
    0.941
    """
    return float(matrix_metrics.quadratic_weighted_kappa(_matrix(y_true, y_pred)))


def recall(y_true: ArrayLike, y_pred: ArrayLike) -> NDArray[np.float64]:
    """Return the recall of each grade, shape (5,), 0..1; NaN for a grade that does not occur in ``y_true``.

    >>> recall([0, 0, 4], [0, 1, 4])[[0, 4]]
    array([0.5, 1. ])
    """
    return matrix_metrics.recall(_matrix(y_true, y_pred))


def precision(y_true: ArrayLike, y_pred: ArrayLike) -> NDArray[np.float64]:
    """Return the precision of each grade, shape (5,), 0..1; NaN for a grade that is never predicted.

    >>> precision([0, 0, 4], [0, 4, 4])[[0, 4]]
    array([1. , 0.5])
    """
    return matrix_metrics.precision(_matrix(y_true, y_pred))


def macro_f1(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Return the mean F1 over the grades that occur in ``y_true`` or ``y_pred``, 0..1.

    >>> macro_f1([0, 0, 4], [0, 0, 4])
    1.0
    """
    return float(matrix_metrics.macro_f1(_matrix(y_true, y_pred)))


def macro_auc(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Return the mean over grades of the area under the ROC curve of each grade against the others, 0..1.

    ``y_score``: probabilities, shape (N, 5). Grades that no photograph, or every photograph, has are left out; NaN
    where none is left. Source: MedMNIST's evaluator (Yang et al., Scientific Data 2023).

    >>> macro_auc([0, 1], [[0.9, 0.1, 0, 0, 0], [0.2, 0.8, 0, 0, 0]])
    1.0
    """
    return ranking.macro_auc(y_true, y_score)


def referable_auc(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Return the area under the ROC curve for referable retinopathy (grade 2 or worse), 0..1; NaN where undefined.

    ``y_score``: probabilities, shape (N, 5); those of grades 2 to 4 are summed.

    >>> referable_auc([0, 3], [[0.9, 0.1, 0, 0, 0], [0.2, 0.2, 0.2, 0.2, 0.2]])
    1.0
    """
    referable = check_finite(y_true, "grades") >= REFERABLE_GRADE
    if referable.all() or not referable.any():
        return float("nan")
    return float(roc_auc_score(referable, check_finite(y_score, "probabilities")[:, REFERABLE_GRADE:].sum(axis=1)))
