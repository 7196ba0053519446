"""Metrics of graded photographs by scikit-learn and with its signatures, ``metric(y_true, y_pred)``, and its curves."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics

from dr_lib import GRADES, PROBABILITIES, REFERABLE_GRADE
from dr_lib.errors import check_finite
from dr_lib.evaluation import ranking
from dr_lib.evaluation.matrix_metrics import check_grades

_BY_GRADE = {"labels": GRADES, "zero_division": np.nan}

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Horizontal and vertical places of its points, both shares 0..1."""


def confusion_matrix(
    y_true: ArrayLike, y_pred: ArrayLike, *, normalize: Literal["true", "pred", "all"] | None = None
) -> NDArray:
    """Return the 5 x 5 table of true grades (rows) against predicted grades (columns).

    ``normalize`` as in :func:`sklearn.metrics.confusion_matrix`: ``None`` counts, ``true`` shares of each row,
    ``pred`` of each column, ``all`` of everything. A row or column without photographs is all zeros.

    >>> confusion_matrix([0, 0, 4], [0, 1, 4])[0]
    array([1, 1, 0, 0, 0])
    """
    return metrics.confusion_matrix(check_grades(y_true), check_grades(y_pred), labels=GRADES, normalize=normalize)


def accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Return the share of photographs whose grade is predicted, 0..1.

    >>> accuracy([0, 1, 2, 2], [0, 1, 2, 3])
    0.75
    """
    return float(metrics.accuracy_score(check_grades(y_true), check_grades(y_pred)))


def balanced_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Return the mean recall of the grades that occur in ``y_true``, 0..1.

    >>> balanced_accuracy([0, 0, 0, 4], [0, 0, 0, 0])
    0.5
    """
    # ``balanced_accuracy_score`` is the same, and warns of predicted grades that do not occur.
    return float(metrics.recall_score(check_grades(y_true), check_grades(y_pred), average="macro", **_BY_GRADE))


def quadratic_weighted_kappa(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Return Cohen's kappa with squared distances as weights, -1..1: 1 full agreement, 0 agreement by chance.

    Source: Cohen, Psychological Bulletin 1968. Where truth and prediction are one and the same constant it is
    0 (scikit-learn: NaN), so that a network that always answers grade 0 never scores above chance.

    >>> round(quadratic_weighted_kappa([0, 1, 2, 3, 4], [0, 1, 2, 3, 3]), 3)
    0.941
    """
    true, predicted = check_grades(y_true), check_grades(y_pred)
    if len(np.unique([true, predicted])) == 1:
        return 0.0
    return float(metrics.cohen_kappa_score(true, predicted, labels=GRADES, weights="quadratic"))


def recall(y_true: ArrayLike, y_pred: ArrayLike) -> NDArray[np.float64]:
    """Return the recall of each grade, shape (5,), 0..1; NaN for a grade that does not occur in ``y_true``.

    >>> recall([0, 0, 4], [0, 1, 4])[[0, 4]]
    array([0.5, 1. ])
    """
    return metrics.recall_score(check_grades(y_true), check_grades(y_pred), average=None, **_BY_GRADE)


def precision(y_true: ArrayLike, y_pred: ArrayLike) -> NDArray[np.float64]:
    """Return the precision of each grade, shape (5,), 0..1; NaN for a grade that is never predicted.

    >>> precision([0, 0, 4], [0, 4, 4])[[0, 4]]
    array([1. , 0.5])
    """
    return metrics.precision_score(check_grades(y_true), check_grades(y_pred), average=None, **_BY_GRADE)


def macro_f1(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Return the mean F1 over the grades that occur in ``y_true`` or ``y_pred``, 0..1.

    >>> macro_f1([0, 0, 4], [0, 0, 4])
    1.0
    """
    return float(metrics.f1_score(check_grades(y_true), check_grades(y_pred), average="macro"))


def macro_auc(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Return the mean over grades of the area under the ROC curve of each grade against the others, 0..1.

    ``y_score``: probabilities, shape (N, 5). Grades that no photograph, or every photograph, has are left out; NaN
    where none is left (``roc_auc_score(..., multi_class="ovr")`` wants all five to occur). Source: MedMNIST's
    evaluator (Yang et al., Scientific Data 2023).

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
    referable = check_grades(y_true) >= REFERABLE_GRADE
    if referable.all() or not referable.any():
        return float("nan")
    score = check_finite(y_score, "probabilities")[:, REFERABLE_GRADE:].sum(axis=1)
    return float(metrics.roc_auc_score(referable, score))


def referable(predictions: pd.DataFrame) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return whether each photograph has grade 2 or worse, bool (N,), and the sum of their probabilities, (N,).

    >>> positive, score = referable(run.predictions)
    >>> bool(positive.any()), len(score) == len(run.predictions)
    (True, True)
    """
    score = check_finite(predictions[PROBABILITIES[REFERABLE_GRADE:]], "probabilities").astype(float).sum(axis=1)
    return predictions["grade"].to_numpy() >= REFERABLE_GRADE, score


def roc_curve(positive: ArrayLike, score: ArrayLike) -> Curve | None:
    """Return the share of negatives called positive (1 - specificity) and the sensitivity, from (0, 0) to (1, 1).

    ``positive``: bool (N,). ``score``: (N,), higher for positive. Points on a straight line are left out. ``None``
    without positives or without negatives.

    >>> roc_curve([False, False, True], [0.1, 0.6, 0.8])[1]
    array([0., 1., 1.])
    """
    positive = np.asarray(positive, dtype=bool)
    if positive.all() or not positive.any():
        return None
    alarms, sensitivity, _ = metrics.roc_curve(positive, score)
    return alarms, sensitivity


def precision_recall_curve(positive: ArrayLike, score: ArrayLike) -> Curve | None:
    """Return recall and precision from all photographs called positive, where recall is 1, to none of them.

    Arguments as for :func:`roc_curve`. ``None`` without positives.

    >>> precision_recall_curve([False, True, True], [0.1, 0.6, 0.8])[0]
    array([1. , 1. , 0.5, 0. ])
    """
    positive = np.asarray(positive, dtype=bool)
    if not positive.any():
        return None
    precision, recall, _ = metrics.precision_recall_curve(positive, score, drop_intermediate=True)
    return recall, precision
