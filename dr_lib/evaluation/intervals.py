"""Intervals of one run that a bootstrap gets wrong: shares of few patients, and areas under curves.

A bootstrap of eight patients promises too much, and where all are right it has no width. In simulations of EyePACS'
shares of grades, nominal 95%, its percentiles held the recall of a rare grade in 14 to 67 of 100 experiments with 100
patients. `benchmarks/coverage.py` counts how often the intervals here do.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit

from dr_lib import GRADES, PROBABILITIES, REFERABLE_GRADE
from dr_lib.data.sample_size import NORMAL, wilson
from dr_lib.errors import check_finite
from dr_lib.evaluation.bootstrap import patient_index
from dr_lib.evaluation.seed_groups import student

Interval = tuple[float, float] | None
Floats = NDArray[np.float64]


def of_shares(predictions: pd.DataFrame) -> dict[str, Any]:
    """Return the intervals of shares of photographs that may be few: those of a grade, of an answer, of the referable.

    Wilson's with as many observations as there are patients, as though both eyes of one always came out alike.
    """
    grade, answer = predictions["grade"], predictions["predicted"]
    ill, sent = grade >= REFERABLE_GRADE, answer >= REFERABLE_GRADE

    def interval(hit: pd.Series, asked: pd.Series) -> Interval:
        patients = predictions.loc[asked, "patient"].nunique()
        return wilson(float(hit[asked].mean()), patients) if patients else None

    return {
        "recall": [interval(answer == one, grade == one) for one in GRADES],
        "precision": [interval(grade == one, answer == one) for one in GRADES],
        "referable_sensitivity": interval(sent, ill),
        "referable_specificity": interval(~sent, ~ill),
    }


def of_areas(predictions: pd.DataFrame) -> dict[str, Any]:
    """Return the intervals of areas under ROC curves: of each grade, of their mean, and for referable retinopathy.

    DeLong's variance with patients as clusters (Obuchowski, Biometrics 1997), on the logit, where the interval is more
    nearly symmetric and stays within 0 and 1 (Pepe, 2003, section 5.2), by Student's t with as many degrees of freedom
    as the patients' influences leave (see :func:`freedom`). Where the area is 0 or 1 there is no variance, and Wilson's
    interval of the rarer side's patients takes its place. ``None`` where one side has fewer than two patients.
    """
    number, patients = patient_index(predictions["patient"])
    grades = predictions["grade"].to_numpy()
    shares = check_finite(predictions[PROBABILITIES], "probabilities").astype(float)
    each = [_area(shares[:, grade], grades == grade, patients, number) for grade in GRADES]
    known = [one for one in each if one is not None]
    mean: Interval = None
    if known:
        areas, influences, fewest = zip(*known, strict=True)
        mean = _on_logit(float(np.mean(areas)), np.mean(influences, axis=0), min(fewest))
    score, ill = shares[:, REFERABLE_GRADE:].sum(axis=1), grades >= REFERABLE_GRADE
    referable = _area(score, ill, patients, number)
    return {
        "auc": [_on_logit(*one) if one else None for one in each],
        "macro_auc": mean,
        "referable_auc": _on_logit(*referable) if referable else None,
    }


def freedom(influence: Floats) -> float:
    """Return the degrees of freedom of a variance that is the sum of squares of the patients' ``influence``, (n,).

    A few patients, those with disease, move kappa and areas more than all others together, and how much they do is
    known from them alone: 2 n / (kurtosis - 1) (Satterthwaite, Biometrics Bulletin 1946).
    """
    squares = float((influence**2).sum())
    if not squares:
        return np.inf
    kurtosis = len(influence) * float((influence**4).sum()) / squares**2
    return max(1.0, 2 * len(influence) / max(kurtosis - 1, 1e-9))


def _area(
    score: Floats, positive: NDArray[np.bool_], patients: NDArray[np.int64], number: int
) -> tuple[float, Floats, int] | None:
    """Return the area, how much each of ``number`` patients moves it, and the patients of the rarer side."""
    sides = [len(np.unique(patients[side])) for side in (positive, ~positive)]
    if not min(sides):
        return None
    ill, well = np.sort(score[positive]), np.sort(score[~positive])

    def below(others: Floats, values: Floats) -> Floats:
        return (np.searchsorted(others, values, "left") + np.searchsorted(others, values, "right")) / (2 * len(others))

    won, spared = below(well, score[positive]), 1 - below(ill, score[~positive])
    area = float(won.mean())
    influence = np.zeros(number)
    for placed, side, clusters in zip((won, spared), (positive, ~positive), sides, strict=True):
        moved = np.bincount(patients[side], placed - area, number) / len(placed)
        influence += moved * np.sqrt(clusters / max(clusters - 1, 1))
    return area, influence, min(sides)


def _on_logit(area: float, influence: Floats, fewest: int) -> Interval:
    if fewest < 2:
        return None
    error = float(np.sqrt((influence**2).sum()))
    if not error or area in (0.0, 1.0):
        return wilson(area, fewest)
    reach = student(NORMAL, freedom(influence)) * error / (area * (1 - area))
    low, high = expit(logit(area) - reach), expit(logit(area) + reach)
    return float(low), float(high)
