"""Every figure of merit of a set of predictions: its value, and its values had other patients been photographed."""

from functools import lru_cache
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dr_lib import PROBABILITIES
from dr_lib.evaluation import matrix_metrics as metrics
from dr_lib.evaluation.bootstrap import draws, patient_index, patient_matrices, resample
from dr_lib.evaluation.ranking import grade_areas, rank_referable

Figures = MappingProxyType[str, NDArray[np.float64]]
"""By name; the value of the photographs themselves comes first, those of the 2,000 resamples follow."""

_OF_MATRICES = {
    "accuracy": metrics.accuracy,
    "kappa": metrics.quadratic_weighted_kappa,
    "balanced_accuracy": metrics.balanced_accuracy,
    "macro_f1": metrics.macro_f1,
    "recall": metrics.recall,
    "precision": metrics.precision,
}

_COLUMNS = ["patient", "grade", "predicted", *PROBABILITIES]


def resampled_figures(predictions: pd.DataFrame) -> Figures:
    """Return all figures of ``predictions`` (columns patient, grade, predicted, p0..p4), shapes (1 + resamples, ...).

    ``recall``, ``precision`` and ``auc`` have one value a grade, the operating points threshold, sensitivity and
    specificity. Tables of the same patients are resampled alike, whatever their order, so that their figures can be
    subtracted. Kept for the 64 latest tables: a report compares each run with several others.
    """
    return _figures(_Table(predictions))


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
    return {name: figure(matrices) for name, figure in _OF_MATRICES.items()}


def _of_rankings(predictions: pd.DataFrame) -> dict[str, NDArray]:
    grades = predictions["grade"].to_numpy()
    probabilities = predictions[PROBABILITIES].to_numpy(dtype=float)
    number, patients = patient_index(predictions["patient"])
    drawn = np.concatenate([np.ones((1, number), dtype=np.uint8), draws(number)])
    areas = grade_areas(grades, probabilities, patients, drawn)
    referable = rank_referable(grades, probabilities, patients, drawn)
    return {
        "auc": areas,
        "macro_auc": metrics.mean_of_defined(areas),
        "referable_auc": referable.auc,
        "referable_average_precision": referable.average_precision,
        "referable_at_90_sensitivity": referable.at_sensitivity,
        "referable_at_95_specificity": referable.at_specificity,
    }
