"""All figures of one set of predictions as a JSON value."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dr_lib.data.patients import patient_known
from dr_lib.evaluation import matrix_metrics as metrics
from dr_lib.evaluation.bootstrap import percentile_interval, resampled_figures
from dr_lib.evaluation.calibration import reliability_of
from dr_lib.evaluation.intervals import of_areas, of_shares


class Estimate(NamedTuple):
    """A metric and its 95 % interval; ``None`` where it is undefined or has no interval. Formats as its value."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def __format__(self, spec: str) -> str:
        return "undefined" if self.value is None else format(self.value, spec)


def estimates(summary: Mapping[str, Any]) -> dict[str, Estimate]:
    """Return every metric of what :func:`summarize` returned under a name of its own, ``recall_0`` for grade 0."""
    estimates: dict[str, Estimate] = {}
    for name, limits in summary["intervals"].items():
        _flatten(estimates, name, summary.get(name), limits)
    if calibration := summary.get("calibration"):
        estimates["calibration_error"] = Estimate(calibration["ece"])
    return estimates


def _flatten(estimates: dict[str, Estimate], name: str, value: Any, limits: Any) -> None:
    if isinstance(value, Mapping):
        for part, inner in value.items():
            _flatten(estimates, f"{name}_{part}", inner, (limits or {}).get(part))
    elif isinstance(value, (list, tuple)):
        for grade, inner in enumerate(value):
            _flatten(estimates, f"{name}_{grade}", inner, limits[grade] if limits else None)
    else:
        estimates[name] = Estimate(value, *(limits or ()))


def summarize(predictions: pd.DataFrame, training_grades: Any = None) -> dict[str, Any]:
    """Return counts, figures of merit and 95% intervals over patients for ``predictions``.

    ``patients`` are those that are known, ``unknown_patients`` the photographs of others, each drawn by itself.

    ``predictions``: one row a photograph with image, patient, grade, predicted, p0..p4. Accuracies are shares 0..1;
    ``recall``, ``precision``, ``auc`` (of the grade against the others) and ``support`` have one value a grade; what
    is undefined is ``None``. ``majority_accuracy`` is that of the commonest grade of ``training_grades``, or of the
    predictions' own grades. ``referable_…`` is about grade 2 or worse, by the sum of their probabilities, with
    ``threshold``, ``sensitivity`` and ``specificity`` of the two points of :mod:`dr_lib.evaluation.ranking`.
    ``calibration``: see :func:`dr_lib.evaluation.calibration.reliability`. ``intervals`` has low and high of each
    figure of merit under its name.
    """
    if predictions.empty:
        raise ValueError("no predictions to summarize")
    grades = predictions["grade"].to_numpy()
    matrix = metrics.confusion_matrix(grades, predictions["predicted"])
    figures = resampled_figures(predictions)
    known = patient_known(predictions)
    summary = {
        "photographs": len(predictions),
        "patients": int(predictions.loc[known, "patient"].nunique()),
        "unknown_patients": int((~known).sum()),
        "majority_accuracy": metrics.majority_accuracy(grades, training_grades),
        "support": matrix.sum(axis=1),
        "confusion_matrix": matrix,
        **{name: values[0] for name, values in figures.items()},
        "calibration": reliability_of(predictions),
        "intervals": {name: _intervals(values[1:]) for name, values in figures.items()}
        | of_shares(predictions)
        | of_areas(predictions),
    }
    for name in ("referable_at_90_sensitivity", "referable_at_95_specificity"):
        for part in (summary, summary["intervals"]):
            part[name] = dict(zip(("threshold", "sensitivity", "specificity"), part[name], strict=True))
    return plain_json(summary)


def _intervals(resampled: np.ndarray) -> Any:
    """Return the interval of a figure, or a list of them for one with several values."""
    if resampled.ndim == 1:
        return percentile_interval(resampled)
    return [percentile_interval(values) for values in resampled.T]


def plain_json(value: Any) -> Any:
    """Return ``value`` in JSON's types, with ``None`` for NaN."""
    if isinstance(value, Mapping):
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_json(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain_json(value.tolist())
    return None if isinstance(value, float) and value != value else value
