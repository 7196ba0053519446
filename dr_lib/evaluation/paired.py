"""Two runs on the same photographs: their differences, each with its interval over the same patients."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from dr_lib import GRADES, PROBABILITIES
from dr_lib.evaluation import metrics
from dr_lib.evaluation.intervals import (
    Difference,
    difference,
    draws,
    patient_index,
    patient_matrices,
    resample,
)
from dr_lib.evaluation.ranking import rank_referable
from dr_lib.evaluation.significance import McNemar, mcnemar


@dataclass(frozen=True)
class Comparison:
    """What changes from one run to another, figures of the second less those of the first; ``None``: cannot be said."""

    accuracy: Difference | None = None
    kappa: Difference | None = None
    recall: tuple[Difference | None, ...] = (None,) * len(GRADES)
    balanced_accuracy: Difference | None = None
    referable_auc: Difference | None = None
    mcnemar: McNemar | None = None


def compare(first: pd.DataFrame, second: pd.DataFrame) -> Comparison:
    """Return the figures of ``second`` less those of ``first`` with 95% intervals, patients resampled in pairs.

    Both have the columns image, patient, grade, predicted, p0..p4. Runs that were not tested on the same photographs
    with the same grades cannot be compared.
    """
    joined = first.merge(second.drop(columns="patient"), on="image", suffixes=("", "_second"))
    if not len(joined) == len(first) == len(second) or (joined["grade"] != joined["grade_second"]).any():
        return Comparison()
    answers = joined["predicted"], joined["predicted_second"]
    counts = np.stack([patient_matrices(joined["patient"], joined["grade"], answer) for answer in answers], axis=1)
    matrices = np.concatenate([counts.sum(axis=0, keepdims=True), resample(counts)])

    def change(statistic) -> Difference | None:
        values = np.diff(statistic(matrices), axis=1)[:, 0]
        return difference(values[0], values[1:])

    return Comparison(
        accuracy=change(metrics.accuracy),
        kappa=change(metrics.quadratic_weighted_kappa),
        recall=tuple(change(lambda drawn, grade=grade: metrics.recall(drawn)[..., grade]) for grade in GRADES),
        balanced_accuracy=change(metrics.balanced_accuracy),
        referable_auc=_change_in_referable_auc(joined),
        mcnemar=mcnemar(*(answer == joined["grade"] for answer in answers)),
    )


def _change_in_referable_auc(joined: pd.DataFrame) -> Difference | None:
    number, patients = patient_index(joined["patient"])
    grades = joined["grade"].to_numpy()
    drawn = np.concatenate([np.ones((1, number), dtype=np.uint8), draws(number)])
    before, after = (
        rank_referable(grades, joined[[name + suffix for name in PROBABILITIES]].to_numpy(), patients, drawn).auc
        for suffix in ("", "_second")
    )
    return difference(after[0] - before[0], after[1:] - before[1:])
