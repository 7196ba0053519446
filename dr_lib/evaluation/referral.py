"""Whom to refer: thresholds set on validation and kept for testing, results per patient, predictive values.

A threshold that testing photographs have placed promises more than it keeps on others; in simulations one of
sensitivity 0.91 kept 0.89. Here validation photographs place it, and testing photographs only judge it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from dr_lib.data.sample_size import wilson
from dr_lib.errors import InputError
from dr_lib.evaluation.intervals import Interval
from dr_lib.evaluation.metrics import referable
from dr_lib.evaluation.ranking import rank

POINTS = {"at_90_sensitivity": "at_sensitivity", "at_95_specificity": "at_specificity"}
"""Operating points by name, and what :class:`dr_lib.evaluation.ranking.Ranking` calls them."""


Share = tuple[float, int]
"""A share, 0..1, and of how many patients it is known."""


def thresholds(predictions: pd.DataFrame) -> dict[str, float | None]:
    """Return the threshold of each operating point on ``predictions`` (grade, p0..p4), of P(grade 2 or worse), 0..1.

    ``None`` where none reaches it, as without referable photographs.
    """
    ill, score = referable(predictions)
    one = np.zeros(len(predictions), dtype=np.int64), np.ones((1, 1), dtype=np.uint8)
    points = rank(ill, score, *one)
    found = {name: float(getattr(points, field)[0, 0]) for name, field in POINTS.items()}
    return {name: None if np.isnan(threshold) else threshold for name, threshold in found.items()}


def worse_eye(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return one row a patient, as who decides for a patient sees them: the worst grade and the worst answer.

    ``image`` and the probabilities are those of the photograph that is referable most probably. Whom nobody names
    counts as a patient of their own.
    """
    score = predictions.assign(_score=referable(predictions)[1]).sort_values("_score", kind="stable")
    worst = predictions.groupby("patient")[["grade", "predicted"]].max()
    rows = score.drop_duplicates("patient", keep="last").drop(columns=["grade", "predicted", "_score"])
    return rows.join(worst, on="patient")[list(predictions.columns)].sort_values("patient").reset_index(drop=True)


def decide(predictions: pd.DataFrame, threshold: float, prevalence: float | None = None) -> dict[str, Any]:
    """Return what referring from ``threshold`` up does: sensitivity, specificity, predictive values, with intervals.

    ``prevalence``: share of the referable among those to be seen, 0..1; ``None``: as in ``predictions``. ``referred``:
    share of those in ``predictions`` who are referred. Undefined: ``None``. ``intervals``: Wilson's with as many
    observations as patients; those of the predictive values hold the prevalence as known.
    """
    if prevalence is not None and not 0 < prevalence < 1:
        raise InputError(f"prevalence {prevalence:g}: needs a share above 0 and below 1, such as 0.1")
    ill, score = referable(predictions)
    sent = score >= threshold
    share = float(ill.mean()) if prevalence is None else prevalence
    sensitivity, found = _share(sent, ill, predictions["patient"])
    specificity, spared = _share(~sent, ~ill, predictions["patient"])
    figures: dict[str, Any] = {"threshold": threshold, "prevalence": share, "referred": float(sent.mean())}
    intervals = {}
    for name, (value, n) in {"sensitivity": (sensitivity, found), "specificity": (specificity, spared)}.items():
        figures[name], intervals[name] = value, None if value is None else wilson(value, n)
    if sensitivity is not None and specificity is not None:
        for name, (value, interval) in predictive_values(sensitivity, specificity, share, found, spared).items():
            figures[name], intervals[name] = value, interval
    return figures | {"intervals": intervals}


def predictive_values(
    sensitivity: float, specificity: float, prevalence: float, ill: int, well: int
) -> dict[str, tuple[float | None, Interval]]:
    """Return ``ppv`` and ``npv``, how often the referred are ill and the others well, with 95% intervals.

    ``prevalence``: 0..1, of those to be seen. ``ill`` and ``well``: how many patients sensitivity and specificity are
    known from. Wilson's limits of both give those of the ratio of false to true calls (Donner & Zou, Statistical
    Methods in Medical Research 2012). ``None`` where nobody is referred, or nobody is not.

    >>> round(predictive_values(0.9, 0.95, 0.1, 100, 400)["ppv"][0], 3)
    0.667
    """
    found, spared = (sensitivity, ill), (specificity, well)
    missed, alarmed = ((1 - share, n) for share, n in (found, spared))
    odds = prevalence / (1 - prevalence)
    return {"ppv": _right_among(found, alarmed, odds), "npv": _right_among(spared, missed, 1 / odds)}


def _right_among(right: Share, wrong: Share, odds: float) -> tuple[float | None, Interval]:
    """Return the share of right calls where ``odds`` are those of whom they concern, with its interval."""
    if not right[0] and not wrong[0]:
        return None, None
    if not right[0]:  # of wrong calls alone: the same question the other way round
        value, interval = _right_among(wrong, right, 1 / odds)
        assert value is not None and interval is not None
        return 1 - value, (1 - interval[1], 1 - interval[0])
    low, high = _ratio_limits(wrong, right)
    return 1 / (1 + wrong[0] / right[0] / odds), (1 / (1 + high / odds), 1 / (1 + low / odds))


def _ratio_limits(first: Share, second: Share) -> tuple[float, float]:
    """Return the limits of the ratio of two independent shares, the second above 0, from Wilson's limits of each."""
    (a, n), (b, m) = first, second
    first_ends, second_ends = wilson(a, n), wilson(b, m)
    assert first_ends is not None and second_ends is not None  # both are known from somebody
    (low_a, high_a), (low_b, high_b) = first_ends, second_ends

    def limit(end_a: float, end_b: float, side: int) -> float:
        square = (a * b) ** 2 - end_a * end_b * (2 * a - end_a) * (2 * b - end_b)
        return (a * b + side * np.sqrt(max(0.0, square))) / (end_b * (2 * b - end_b))

    return max(0.0, float(limit(low_a, high_b, -1))), float(limit(high_a, low_b, 1))


def referral(
    predictions: pd.DataFrame, validation: pd.DataFrame | None, prevalence: float | None = None
) -> dict[str, Any]:
    """Return what each operating point does on ``predictions``, for photographs and for patients by the worse eye.

    ``validation``: the predictions that place the thresholds, photographs and patients apart; without, ``predictions``
    themselves do, and ``set_on`` says ``test``: such points promise too much.
    """
    placed_by = predictions if validation is None else validation
    of: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]] = {
        "photographs": (placed_by, predictions),
        "patients": (worse_eye(placed_by), worse_eye(predictions)),
    }
    points = {
        unit: {
            name: None if threshold is None else decide(judged, threshold, prevalence)
            for name, threshold in thresholds(placing).items()
        }
        for unit, (placing, judged) in of.items()
    }
    return {"set_on": "test" if validation is None else "validation", **points}


def _share(hit: np.ndarray, asked: np.ndarray, patients: pd.Series) -> tuple[float | None, int]:
    """Return the share of what is ``asked`` that is a ``hit``, and of how many patients."""
    return (float(hit[asked].mean()) if asked.any() else None), int(patients[asked].nunique())
