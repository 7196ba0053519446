"""Thresholds come from validation, results are told per patient, and predictive values follow the prevalence."""

import numpy as np
import pytest
from equal_networks import network, photographs

from dr_lib import PROBABILITIES
from dr_lib.errors import InputError
from dr_lib.evaluation.referral import decide, predictive_values, referral, thresholds, worse_eye
from dr_lib.evaluation.summary import summarize


@pytest.fixture(scope="module")
def tables():
    rng = np.random.default_rng(0)
    return [network(photographs(patients, rng), rng, 0.8) for patients in (150, 300)]


def test_validation_sets_the_threshold_and_testing_judges_it(tables):
    validation, test = tables
    found = referral(test, validation)
    assert found["set_on"] == "validation"
    point = found["photographs"]["at_90_sensitivity"]
    assert point["threshold"] == thresholds(validation)["at_90_sensitivity"] != thresholds(test)["at_90_sensitivity"]
    ill, sent = test["grade"] >= 2, test[list(PROBABILITIES[2:])].sum(axis=1) >= point["threshold"]
    assert point["sensitivity"] == pytest.approx(sent[ill].mean())
    assert point["specificity"] == pytest.approx((~sent)[~ill].mean())
    assert point["ppv"] == pytest.approx(ill[sent].mean()) and point["npv"] == pytest.approx((~ill)[~sent].mean())
    for name, (low, high) in point["intervals"].items():
        assert low < point[name] < high
    own = referral(test, None)
    assert own["set_on"] == "test" and own["photographs"]["at_90_sensitivity"]["sensitivity"] >= 0.9


def test_a_threshold_that_testing_photographs_place_promises_too_much():
    rng = np.random.default_rng(1)
    promised, kept = [], []
    for _ in range(60):
        one, other = (network(photographs(60, rng), rng, 0.8) for _ in range(2))
        placed = thresholds(one)["at_90_sensitivity"]
        promised.append(decide(one, placed)["sensitivity"])
        kept.append(decide(other, placed)["sensitivity"])
    assert np.mean(promised) > np.mean(kept) + 0.01


def test_a_patient_is_as_ill_as_the_worse_eye(tables):
    _, test = tables
    patients = worse_eye(test)
    assert patients["patient"].tolist() == sorted(test["patient"].unique())
    assert patients["grade"].tolist() == test.groupby("patient")["grade"].max().tolist()
    assert patients["predicted"].tolist() == test.groupby("patient")["predicted"].max().tolist()
    scores = test.assign(score=test[list(PROBABILITIES[2:])].sum(axis=1))
    assert np.allclose(patients[list(PROBABILITIES[2:])].sum(axis=1), scores.groupby("patient")["score"].max())
    summary = summarize(patients)
    assert summary["photographs"] == 300 and summary["confusion_matrix"][0][0] < len(test)


def test_predictive_values_follow_the_prevalence():
    few, many = (predictive_values(0.9, 0.95, prevalence, 60, 240) for prevalence in (0.02, 0.3))
    assert few["ppv"][0] == pytest.approx(0.9 * 0.02 / (0.9 * 0.02 + 0.05 * 0.98))
    assert few["npv"][0] == pytest.approx(0.95 * 0.98 / (0.95 * 0.98 + 0.1 * 0.02))
    assert few["ppv"][0] < many["ppv"][0] and few["npv"][0] > many["npv"][0]
    for values in (few, many):
        assert all(low <= value <= high for value, (low, high) in values.values())
    none = predictive_values(0.0, 1.0, 0.1, 60, 240)
    assert none["ppv"] == (None, None) and none["npv"][0] == pytest.approx(0.9)


def test_a_prevalence_that_is_none_is_refused(tables):
    for prevalence in (0.0, 1.0, 10.0):
        with pytest.raises(InputError, match=r"prevalence .*above 0 and below 1"):
            referral(tables[1], tables[0], prevalence)


def test_without_referable_photographs_there_is_no_point(tables):
    validation, test = tables
    healthy = validation[validation["grade"] < 2]
    assert referral(test, healthy)["photographs"]["at_90_sensitivity"] is None


@pytest.mark.slow
def test_predictive_values_cover():
    """95 of 100 intervals hold the truth, with as few as 40 ill."""
    rng, held = np.random.default_rng(2), []
    truth = predictive_values(0.85, 0.9, 0.1, 40, 200)
    for _ in range(2000):
        sensitivity, specificity = rng.binomial(40, 0.85) / 40, rng.binomial(200, 0.9) / 200
        found = predictive_values(sensitivity, specificity, 0.1, 40, 200)
        held.append([found[name][1][0] <= truth[name][0] <= found[name][1][1] for name in ("ppv", "npv")])
    assert (np.mean(held, axis=0) > 0.93).all()
