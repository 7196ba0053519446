"""How well scores rank photographs: areas under curves and operating points, of a set and of its resamples.

Photographs are sorted once; one walk from the highest score down gives all figures of one resample, which is how often
each patient was drawn. Ties are walked over in one step. scikit-learn gives the same figures of one set at a time, and
sorts anew for each.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dr_lib import GRADES, REFERABLE_GRADE
from dr_lib.data.compiled import compiled
from dr_lib.errors import check_finite
from dr_lib.evaluation.matrix_metrics import mean_of_defined

Floats = NDArray[np.float64]

SENSITIVITY, SPECIFICITY = 0.90, 0.95
"""The two operating points: one must find nearly all who are ill, the other must spare nearly all who are not."""


@dataclass(frozen=True)
class Ranking:
    """Figures of one score; each number, or one a resample, shape (resamples,). Undefined: NaN.

    ``auc``: how often a positive scores above a negative, ties counting half (Hanley & McNeil, Radiology 1982).
    ``average_precision``: mean precision over the positives, each at its own score, without interpolation.
    An operating point answers "positive" from a threshold up: ``at_sensitivity`` is the most specific one whose
    sensitivity is at least 0.90, ``at_specificity`` the most sensitive one whose specificity is at least 0.95. Each is
    threshold, sensitivity, specificity, shape (..., 3); a threshold above all scores is NaN. Since the photographs
    that are scored also place the threshold, a point promises a little more than it would keep on others.
    """

    auc: Floats
    average_precision: Floats
    at_sensitivity: Floats
    at_specificity: Floats


def rank(positive: ArrayLike, score: ArrayLike, patients: NDArray[np.int64], drawn: NDArray[np.uint8]) -> Ranking:
    """Return the figures of ``score`` for telling ``positive`` photographs from the others, one a row of ``drawn``.

    ``positive``: bool (N,). ``score``: (N,), higher for positive. ``patients``: the number of each photograph's
    patient, (N,). ``drawn``: how often each patient counts, (resamples, patients), as
    :func:`dr_lib.evaluation.bootstrap.draws` gives it; a row of ones is the set itself.
    """
    score = check_finite(score, "scores").astype(np.float64)
    order = np.argsort(-score, kind="stable")
    figures = np.full((len(drawn), 8), np.nan)
    _walk_down(score[order], np.asarray(positive, dtype=np.bool_)[order], patients[order], drawn, figures)
    return Ranking(figures[:, 0], figures[:, 1], figures[:, 2:5], figures[:, 5:8])


def grade_areas(
    grades: NDArray, probabilities: NDArray, patients: NDArray[np.int64], drawn: NDArray[np.uint8]
) -> Floats:
    """Return the area under the ROC curve of each grade against the others, shape (resamples, 5).

    ``probabilities``: (N, 5). NaN for a grade that no photograph, or every photograph, has.
    """
    probabilities = check_finite(probabilities, "probabilities")
    areas = np.full((len(drawn), len(GRADES)), np.nan)
    for grade in GRADES:
        order = np.argsort(-probabilities[:, grade], kind="stable")
        _areas(probabilities[order, grade], (grades == grade)[order], patients[order], drawn, areas[:, grade])
    return areas


def macro_auc(grades: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the mean over grades of the area under the ROC curve of each against the others, 0..1.

    ``grades``: (N,). ``probabilities``: (N, 5). Grades that no photograph, or every photograph, has are left out; NaN
    where none is left. MedMNIST's evaluator defines the AUC of graded data sets so (Yang et al., Scientific Data 2023).
    """
    grades = np.asarray(grades)
    each = np.arange(len(grades))
    areas = grade_areas(grades, np.asarray(probabilities), each, np.ones((1, len(grades)), np.uint8))
    return float(mean_of_defined(areas)[0])


def rank_referable(
    grades: NDArray, probabilities: NDArray, patients: NDArray[np.int64], drawn: NDArray[np.uint8]
) -> Ranking:
    """Return how well the summed probabilities of grades 2 to 4 tell referable retinopathy (grade 2 or worse)."""
    score = probabilities[:, REFERABLE_GRADE:].sum(axis=1)
    return rank(grades >= REFERABLE_GRADE, score, patients, drawn)


def roc_of_weights(positive: NDArray[np.bool_], score: ArrayLike, weights: NDArray, at: Floats) -> Floats:
    """Return the sensitivity at the shares ``at`` of false alarms, each photograph counting ``weights`` times.

    NaN where the weights leave no positive photograph, or none that is not.
    """
    ill, healthy = np.where(positive, weights, 0).sum(), np.where(positive, 0, weights).sum()
    if not ill or not healthy:
        return np.full(len(at), np.nan)
    from sklearn.metrics import roc_curve  # a second, which opening an experiment would wait for

    alarms, found, _ = roc_curve(positive, np.asarray(score), sample_weight=weights)
    return np.interp(at, alarms, found)


@compiled
def _areas(score, positive, patients, drawn, figures):
    """Fill ``found`` (resamples,) with areas alone, in a third of the time that :func:`_walk_down` takes."""
    for row in range(len(drawn)):
        times = drawn[row]
        hits, alarms, hits_above, alarms_above, won_twice = 0, 0, 0, 0, 0
        for i in range(len(score)):
            if positive[i]:
                hits += times[patients[i]]
            else:
                alarms += times[patients[i]]
            if i + 1 == len(score) or score[i + 1] != score[i]:
                won_twice += (alarms - alarms_above) * (hits + hits_above)
                hits_above, alarms_above = hits, alarms
        if hits and alarms:
            figures[row] = won_twice / (2.0 * hits * alarms)


@compiled
def _walk_down(score, positive, patients, drawn, figures):
    """Fill ``found`` (resamples, 8) from photographs sorted by falling score; see :class:`Ranking` for the columns."""
    for row in range(len(drawn)):
        times, out = drawn[row], figures[row]
        positives, negatives = 0, 0
        for i in range(len(score)):
            if positive[i]:
                positives += times[patients[i]]
            else:
                negatives += times[patients[i]]
        if positives == 0:
            continue
        if negatives:
            out[6], out[7] = 0.0, 1.0
        hits, alarms, hits_above, alarms_above = 0, 0, 0, 0
        won_twice, precisions = 0, 0.0
        for i in range(len(score)):
            if positive[i]:
                hits += times[patients[i]]
            else:
                alarms += times[patients[i]]
            if i + 1 < len(score) and score[i + 1] == score[i]:
                continue
            if hits > hits_above:
                precisions += (hits - hits_above) * (hits / (hits + alarms))
            if negatives:
                won_twice += (alarms - alarms_above) * (hits + hits_above)
                sensitivity, specificity = hits / positives, (negatives - alarms) / negatives
                if np.isnan(out[2]) and sensitivity >= SENSITIVITY:
                    out[2], out[3], out[4] = score[i], sensitivity, specificity
                if specificity >= SPECIFICITY and hits > hits_above:
                    out[5], out[6], out[7] = score[i], sensitivity, specificity
            hits_above, alarms_above = hits, alarms
        out[1] = precisions / positives
        if negatives:
            out[0] = won_twice / (2.0 * positives * negatives)
