"""The summary is JSON, complete, and undefined where it has to be."""

import json
import time

import numpy as np
import pandas as pd
import pytest
from experiment_factory import photograph_table, simulated_predictions
from scipy.stats import binomtest
from sklearn import metrics as reference

from dr_lib.data.sample_size import expected_half_widths, wilson
from dr_lib.evaluation.summary import summarize


def test_summary_has_every_figure_in_json():
    predictions = simulated_predictions(photograph_table(300), 1.0)
    figures = summarize(predictions)
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert set(figures) == {
        "photographs", "patients", "unknown_patients", "accuracy", "majority_accuracy", "kappa", "balanced_accuracy",
        "macro_f1", "auc", "macro_auc", "referable_auc", "referable_average_precision", "referable_at_90_sensitivity",
        "referable_at_95_specificity", "referable_sensitivity", "referable_specificity", "recall", "precision",
        "support", "confusion_matrix", "calibration", "intervals",
    }  # fmt: skip
    assert (figures["photographs"], figures["patients"], figures["unknown_patients"]) == (300, 150, 0)
    predictions.loc[:99, "patient"] = predictions.loc[:99, "image"]
    figures = summarize(predictions)
    assert (figures["patients"], figures["unknown_patients"]) == (100, 100)
    assert figures["support"] == [sum(row) for row in figures["confusion_matrix"]]
    limits = figures["intervals"]
    assert set(limits) <= set(figures)
    for name in ("accuracy", "kappa", "balanced_accuracy", "macro_f1", "macro_auc", "referable_auc"):
        low, high = limits[name]
        assert low < figures[name] < high
    for name in ("recall", "precision", "auc"):
        for value, between in zip(figures[name], limits[name], strict=True):
            assert (value is None) == (between is None)
            assert value is None or between[0] <= value <= between[1]


def test_figures_are_scikit_learns():
    predictions = simulated_predictions(photograph_table(500), 1.0)
    figures, probabilities = summarize(predictions), predictions[[f"p{grade}" for grade in range(5)]].to_numpy()
    referable, score = predictions["grade"] >= 2, probabilities[:, 2:].sum(axis=1)
    expected = {
        "accuracy": reference.accuracy_score(predictions["grade"], predictions["predicted"]),
        "macro_auc": reference.roc_auc_score(predictions["grade"], probabilities, multi_class="ovr"),
        "referable_auc": reference.roc_auc_score(referable, score),
        "referable_average_precision": reference.average_precision_score(referable, score),
    }
    assert {name: figures[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    point = figures["referable_at_90_sensitivity"]
    called = score >= point["threshold"]
    assert point["sensitivity"] == pytest.approx(called[referable].mean(), abs=1e-12) and point["sensitivity"] >= 0.9
    assert point["specificity"] == pytest.approx((~called[~referable]).mean(), abs=1e-12)
    low, high = figures["intervals"]["referable_at_90_sensitivity"]["specificity"]
    assert low < point["specificity"] < high


def test_what_is_undefined_is_null():
    predictions = simulated_predictions(photograph_table(60), 1.0).assign(grade=0, predicted=0)
    figures = summarize(predictions)
    assert figures["recall"] == [1.0, None, None, None, None]
    assert figures["macro_auc"] is None and figures["referable_auc"] is None
    assert set(figures["referable_at_95_specificity"].values()) == {None} and figures["auc"] == [None] * 5
    assert figures["kappa"] == 0 and figures["accuracy"] == 1 and figures["intervals"]["accuracy"] == [1, 1]
    json.dumps(figures, allow_nan=False)


def test_no_predictions_are_a_mistake():
    with pytest.raises(ValueError, match="no predictions"):
        summarize(simulated_predictions(photograph_table(10), 1.0).head(0))


@pytest.mark.slow
def test_a_large_testing_split_takes_less_than_two_and_a_half_seconds():
    predictions = simulated_predictions(photograph_table(7026), 1.0)
    summarize(predictions.head(100))  # compiles
    began = time.process_time()
    summarize(predictions)
    assert time.process_time() - began < 2.5


def test_half_widths_are_those_to_expect():
    patients = np.repeat(np.arange(250), 2)
    table = pd.DataFrame({"patient": patients, "grade": np.where(patients < 200, 0, np.where(patients < 248, 2, 4))})
    expected = {one["figure"]: one for one in expected_half_widths(table)}
    names = ("accuracy", "recall_1", "recall_4", "referable_auc")
    assert [expected[name]["patients"] for name in names] == [250, 0, 2, 50]
    low, high = wilson(0.9, 50)
    assert expected["referable_sensitivity"]["half_width"] == pytest.approx((high - low) / 2)
    assert expected["recall_1"]["half_width"] is None and expected["recall_4"]["half_width"] > 0.3
    # Hanley and McNeil's table 3: an area of 0.85 with 50 and 200 has a standard error near 0.034.
    assert expected["referable_auc"]["half_width"] / 1.96 == pytest.approx(0.034, abs=0.003)


@pytest.mark.parametrize(("hits", "n"), [(0, 8), (3, 8), (8, 8), (81, 100), (1, 1)])
def test_few_photographs_have_wilsons_interval(hits, n):
    expected = binomtest(hits, n).proportion_ci(method="wilson")
    assert wilson(hits / n, n) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert wilson(0.0, 0) is None


def test_shares_of_a_grade_are_about_its_patients():
    predictions = simulated_predictions(photograph_table(300), 1.0)
    figures = summarize(predictions)
    of_grade = predictions[predictions["grade"] == 3]
    hits = (of_grade["predicted"] == 3).mean()
    assert figures["intervals"]["recall"][3] == pytest.approx(list(wilson(hits, of_grade["patient"].nunique())))
    ill, sent = predictions["grade"] >= 2, predictions["predicted"] >= 2
    assert figures["referable_sensitivity"] == pytest.approx(reference.recall_score(ill, sent))
    assert figures["referable_specificity"] == pytest.approx(reference.recall_score(~ill, ~sent))
    low, high = figures["intervals"]["referable_specificity"]
    assert low < figures["referable_specificity"] < high


def test_an_area_has_delongs_interval_with_patients_as_clusters():
    """Every photograph twice is no more patients: the interval stays; with each a patient of its own it narrows."""
    table = simulated_predictions(photograph_table(200), 1.0).assign(patient=[f"{n}" for n in range(200)])
    twice = pd.concat([table, table.assign(image=table["image"] + "x")])
    alone, clustered = (summarize(one)["intervals"] for one in (table, twice))
    others = summarize(twice.assign(patient=twice["image"] + "y"))["intervals"]
    for name in ("macro_auc", "referable_auc"):
        assert clustered[name] == pytest.approx(alone[name], abs=1e-9)
        width, narrower = (one[name][1] - one[name][0] for one in (clustered, others))
        assert width > 1.2 * narrower


def test_perfect_areas_of_few_patients_are_not_certain():
    table = simulated_predictions(photograph_table(60), 1.0)
    grade = np.where(np.arange(60) < 4, 4, 0)
    shares = {f"p{one}": (grade == one).astype(float) for one in range(5)}
    found = summarize(table.assign(grade=grade, predicted=grade, patient=[f"{n}" for n in range(60)], **shares))
    assert found["auc"][4] == 1 and found["intervals"]["auc"][4] == pytest.approx([4 / (4 + 1.96**2), 1], abs=1e-3)
