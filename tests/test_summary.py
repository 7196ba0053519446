"""The summary is JSON, complete, and undefined where it has to be."""

import json

import pytest
from experiment_factory import photograph_table, simulated_predictions

from dr_lib.evaluation.summary import summarise


def test_summary_has_every_figure_in_json():
    predictions = simulated_predictions(photograph_table(300), 1.0)
    figures = summarise(predictions)
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert set(figures) == {
        "photographs", "patients", "accuracy", "majority_accuracy", "kappa", "balanced_accuracy", "macro_f1",
        "macro_auc", "referable_auc", "recall", "precision", "support", "confusion_matrix", "intervals",
    }  # fmt: skip
    assert figures["photographs"] == 300 and figures["patients"] == 150
    assert figures["support"] == [sum(row) for row in figures["confusion_matrix"]]
    for name in ("accuracy", "kappa"):
        low, high = figures["intervals"][name]
        assert low < figures[name] < high


def test_what_is_undefined_is_null():
    predictions = simulated_predictions(photograph_table(60), 1.0).assign(grade=0, predicted=0)
    figures = summarise(predictions)
    assert figures["recall"] == [1.0, None, None, None, None]
    assert figures["macro_auc"] is None and figures["referable_auc"] is None
    assert figures["kappa"] == 0 and figures["accuracy"] == 1 and figures["intervals"]["accuracy"] == [1, 1]
    json.dumps(figures, allow_nan=False)


def test_no_predictions_are_a_mistake():
    with pytest.raises(ValueError, match="no predictions"):
        summarise(simulated_predictions(photograph_table(10), 1.0).head(0))
