"""Calibration: the error by hand and by counting, the temperature that was put in is found again."""

import numpy as np
import pandas as pd
import pytest
from experiment_factory import photograph_table
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from dr_lib import PROBABILITIES
from dr_lib.evaluation.calibration import (
    BINS,
    at_temperature,
    equal_bins,
    fit_temperature,
    reliability,
    reliability_of,
    temperature_failed,
    temperature_scaling,
)


def graded(seed, photographs=4000, temperature=1.0):
    """Return predictions whose probabilities are the true ones, but for a ``temperature``."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=1.5, size=(photographs, 5))
    truth = softmax(logits, axis=1)
    grades = (rng.random((photographs, 1)) > truth.cumsum(axis=1)).sum(axis=1).clip(max=4)
    told = softmax(logits / temperature, axis=1)
    frame = pd.DataFrame(told, columns=[f"p{grade}" for grade in range(5)])
    return frame.assign(grade=grades, predicted=told.argmax(axis=1))


def test_error_by_hand():
    # Two of three right at 0.9, none of one at 0.5: (3 |2/3 - 0.9| + 1 |0 - 0.5|) / 4.
    found = reliability([True, True, False, False], [0.9, 0.9, 0.9, 0.5])
    assert found["ece"] == pytest.approx((0.7 + 0.5) / 4, abs=1e-12)
    filled = [row for row in found["bins"] if row["photographs"]]
    assert [row["photographs"] for row in filled] == [1, 3] and len(found["bins"]) == BINS
    assert filled[1]["accuracy"] == pytest.approx(2 / 3) and filled[1]["confidence"] == pytest.approx(0.9)
    assert filled[1]["low"] < 0.9 <= filled[1]["high"]


def test_ends_of_bins():
    found = reliability([True] * 3, [0.0, 1 / BINS, 1.0])
    assert [row["photographs"] for row in found["bins"]] == [2] + [0] * (BINS - 2) + [1]
    assert reliability([True], [1.0])["ece"] == 0 and reliability([False], [1.0])["ece"] == 1
    assert reliability([], [])["ece"] is None


def test_table_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    confidence = rng.random(3000)
    right = rng.random(3000) < confidence**2
    bins = [row for row in reliability(right, confidence)["bins"] if row["photographs"]]
    accuracy, mean = calibration_curve(right, confidence, n_bins=BINS)
    assert np.allclose([row["accuracy"] for row in bins], accuracy, rtol=0, atol=1e-12)
    assert np.allclose([row["confidence"] for row in bins], mean, rtol=0, atol=1e-12)


def test_error_is_that_of_scikit_learns_table():
    rng = np.random.default_rng(1)
    confidence = rng.random(3000)
    right = rng.random(3000) < confidence**2
    accuracy, mean = calibration_curve(right, confidence, n_bins=BINS)
    weights = np.histogram(confidence, BINS, (0, 1))[0] / 3000
    assert reliability(right, confidence)["ece"] == pytest.approx((weights * np.abs(accuracy - mean)).sum(), abs=1e-12)


def test_honest_probabilities_are_calibrated_and_others_not():
    assert reliability_of(graded(1))["ece"] < 0.025
    assert reliability_of(graded(1, temperature=0.4))["ece"] > 0.1
    assert reliability_of(graded(1, temperature=3.0))["ece"] > 0.1


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_is_found_again(temperature):
    frame = graded(2, temperature=temperature)
    told = frame[[f"p{grade}" for grade in range(5)]]
    found = fit_temperature(frame["grade"], told)
    assert found == pytest.approx(1 / temperature, rel=0.06)
    # Where the loss is flat: its slope by the logarithm of the temperature, counted on both sides.
    loss = lambda t: -np.log(at_temperature(told, t)[np.arange(len(told)), frame["grade"]]).mean()  # noqa: E731
    assert loss(found) <= min(loss(found * 1.001), loss(found / 1.001))


def test_the_temperature_is_where_scipy_finds_scikit_learns_loss_least():
    frame = graded(5, photographs=800, temperature=0.6)
    told = frame[[f"p{grade}" for grade in range(5)]].to_numpy()
    loss = lambda heat: log_loss(frame["grade"], at_temperature(told, np.exp(heat)))  # noqa: E731
    found = minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-10})
    # As near as a minimum can be found from values, whose last digits are noise.
    assert fit_temperature(frame["grade"], told) == pytest.approx(np.exp(found.x), rel=1e-6)
    # There, the network expects the logits that it finds, to the last digits.
    logits = np.log(told)
    expected = (at_temperature(told, fit_temperature(frame["grade"], told)) * logits).sum(axis=1).mean()
    assert expected == pytest.approx(logits[np.arange(800), frame["grade"]].mean(), abs=1e-12)


def test_temperatures_end_where_no_better_one_is_sought():
    told = np.tile([0.6, 0.1, 0.1, 0.1, 0.1], (10, 1))
    assert fit_temperature([0] * 10, told) == 0.05 and fit_temperature([1] * 10, told) == 20


def test_scaling_heals_a_network_that_is_too_sure_and_moves_no_answer():
    validation, tested = graded(3, temperature=0.4), graded(4, temperature=0.4)
    found = temperature_scaling(validation, tested)
    assert found["temperature"] > 2 and found["photographs"] == 4000
    assert found["ece"] < 0.03 < reliability_of(tested)["ece"]
    told = tested[[f"p{grade}" for grade in range(5)]].to_numpy()
    scaled = at_temperature(told, found["temperature"])
    assert np.allclose(scaled.sum(axis=1), 1) and np.array_equal(scaled.argmax(axis=1), told.argmax(axis=1))
    assert np.allclose(at_temperature(told, 1.0), told, atol=1e-12)


def test_a_probability_of_zero_is_no_accident():
    told = np.eye(5)[[0, 1, 2, 3]]
    assert fit_temperature([0, 1, 2, 4], told) > 1
    assert np.isfinite(at_temperature(told, 2.0)).all()


def test_equal_bins_hold_all_answers_from_the_least_sure_to_the_surest():
    table = photograph_table(150).assign(predicted=0)
    sure = np.linspace(0.3, 0.99, len(table))
    table[PROBABILITIES] = np.column_stack([sure, *[(1 - sure) / 4] * 4])
    bins = equal_bins(table)
    assert len(bins) == 7 and sum(row["photographs"] for row in bins) == 150
    assert [row["confidence"] for row in bins] == sorted(row["confidence"] for row in bins)
    right = (table["grade"] == 0).to_numpy()[: bins[0]["photographs"]]
    assert bins[0]["accuracy"] == right.mean() and bins[0]["confidence"] == pytest.approx(sure[: len(right)].mean())
    low, high = bins[0]["limits"]
    assert low < right.mean() < high
    # Twice as hot, less sure; answers stay.
    hot = equal_bins(table, 2.0)
    assert hot[-1]["confidence"] < bins[-1]["confidence"] and hot[-1]["accuracy"] == bins[-1]["accuracy"]
    assert len(equal_bins(table.head(12))) == 1 and equal_bins(table.head(0)) == []


def test_a_temperature_at_its_bound_or_that_makes_it_worse_has_failed():
    assert temperature_failed(20.0, 0.1, 0.05) and temperature_failed(0.05, 0.1, 0.05)
    assert temperature_failed(1.3, 0.05, 0.06) and not temperature_failed(1.3, 0.06, 0.05)
