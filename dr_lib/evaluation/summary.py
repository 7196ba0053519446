"""All figures of one set of predictions as a JSON value."""

from typing import Any

import numpy as np
import pandas as pd

from dr_lib.evaluation import metrics
from dr_lib.evaluation.intervals import interval


def summarise(predictions: pd.DataFrame, training_grades: Any = None) -> dict[str, Any]:
    """Return counts, figures of merit and 95% intervals for ``predictions``.

    ``predictions``: one row a photograph with image, patient, grade, predicted, p0..p4. Accuracies are shares 0..1;
    ``recall``, ``precision`` and ``support`` have one value a grade; what is undefined is ``None``.
    ``majority_accuracy`` is that of the commonest grade of ``training_grades``, or of the predictions' own grades.
    """
    if predictions.empty:
        raise ValueError("no predictions to summarise")
    grades = predictions["grade"].to_numpy()
    probabilities = predictions[[f"p{grade}" for grade in range(5)]].to_numpy(dtype=float)
    matrix = metrics.confusion_matrix(grades, predictions["predicted"])
    figures = {
        "photographs": len(predictions),
        "patients": int(predictions["patient"].nunique()),
        "accuracy": metrics.accuracy(matrix),
        "majority_accuracy": metrics.majority_accuracy(grades, training_grades),
        "kappa": metrics.quadratic_weighted_kappa(matrix),
        "balanced_accuracy": metrics.balanced_accuracy(matrix),
        "macro_f1": metrics.macro_f1(matrix),
        "macro_auc": metrics.macro_auc(grades, probabilities),
        "referable_auc": metrics.referable_auc(grades, probabilities),
        "recall": metrics.recall(matrix),
        "precision": metrics.precision(matrix),
        "support": matrix.sum(axis=1),
        "confusion_matrix": matrix,
        "intervals": {
            "accuracy": interval(predictions, metrics.accuracy),
            "kappa": interval(predictions, metrics.quadratic_weighted_kappa),
        },
    }
    return _plain(figures)


def _plain(value: Any) -> Any:
    """Return ``value`` in JSON's types, with ``None`` for NaN."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    return None if value is not None and value != value else value
