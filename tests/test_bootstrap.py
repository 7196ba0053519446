"""The bootstrap draws patients, is reproducible and quick, and tells differences from none."""

import time

import numpy as np
import pandas as pd
import pytest
from experiment_factory import photograph_table, simulated_predictions

from dr_lib import PROBABILITIES
from dr_lib.evaluation import matrix_metrics as metrics
from dr_lib.evaluation.bootstrap import (
    draws,
    patient_matrices,
    percentile_interval,
    resample,
    resampled_figures,
    roc_band,
)
from dr_lib.evaluation.metrics import referable, roc_curve


@pytest.fixture(scope="module")
def table():
    return photograph_table(800)


def interval(predictions, statistic, **options):
    counts = patient_matrices(predictions["patient"], predictions["grade"], predictions["predicted"])
    return percentile_interval(statistic(resample(counts, **options)))


def test_patients_keep_their_photographs_together():
    matrices = patient_matrices(["b", "a", "b"], [0, 4, 1], [0, 3, 2])
    assert matrices.shape == (2, 5, 5)
    assert matrices[0, 4, 3] == 1 and matrices[0].sum() == 1
    assert matrices[1, 0, 0] == 1 and matrices[1, 1, 2] == 1


def test_resampling_has_the_mean_and_spread_of_drawing_patients(table):
    predictions = simulated_predictions(table, 1.0)
    counts = patient_matrices(predictions["patient"], predictions["grade"], predictions["predicted"])
    drawn = resample(counts, 4000)
    assert (drawn.sum(axis=(1, 2)) > 0).all()
    right = np.trace(counts, axis1=1, axis2=2)
    drawn_right = np.trace(drawn, axis1=1, axis2=2)
    assert drawn_right.mean() == pytest.approx(right.sum(), rel=0.005)
    assert drawn_right.std() == pytest.approx(right.std() * np.sqrt(len(right)), rel=0.05)


def test_interval_agrees_with_resampling_patients_one_by_one(table):
    predictions = simulated_predictions(table, 1.0)
    ours = interval(predictions, metrics.accuracy, resamples=20_000)
    right = (predictions["grade"] == predictions["predicted"]).groupby(predictions["patient"]).agg(["sum", "count"])
    drawn = np.random.default_rng(1).integers(len(right), size=(20_000, len(right)))
    shares = right["sum"].to_numpy()[drawn].sum(axis=1) / right["count"].to_numpy()[drawn].sum(axis=1)
    assert ours == pytest.approx(tuple(np.quantile(shares, [0.025, 0.975])), abs=0.002)
    assert ours == interval(predictions, metrics.accuracy, resamples=20_000)


def test_eyes_that_share_their_fate_widen_the_interval():
    patients = np.repeat(np.arange(300), 2)
    right = np.repeat(np.random.default_rng(0).random(300) < 0.7, 2)
    frame = pd.DataFrame({"patient": patients.astype(str), "grade": 0, "predicted": np.where(right, 0, 1)})
    alone = frame.assign(patient=[str(i) for i in range(600)])
    low, high = interval(frame, metrics.accuracy)
    low_alone, high_alone = interval(alone, metrics.accuracy)
    assert (high - low) / (high_alone - low_alone) == pytest.approx(np.sqrt(2), rel=0.12)


def test_draws_are_of_patients_with_replacement_and_the_same_each_time():
    drawn = draws(300, 500)
    assert (drawn.sum(axis=1) == 300).all() and drawn.max() > 3
    # How often one patient is drawn is binomial: n trials of 1/n.
    assert (drawn == 0).mean() == pytest.approx((1 - 1 / 300) ** 300, abs=0.005)
    draws.cache_clear()
    assert np.array_equal(drawn, draws(300, 500)) and not np.array_equal(drawn, draws(300, 500, seed=1))


def test_undefined_resamples_are_left_out():
    assert percentile_interval(np.array([np.nan, 1.0, 1.0])) == (1.0, 1.0)
    assert percentile_interval(np.array([np.nan])) is None


@pytest.mark.slow
def test_a_large_testing_split_takes_less_than_two_seconds():
    predictions = simulated_predictions(photograph_table(7026), 1.0)
    began = time.perf_counter()
    interval(predictions, metrics.quadratic_weighted_kappa, resamples=2000)
    assert time.perf_counter() - began < 2


def test_the_band_of_a_roc_curve_holds_it_and_narrows_with_patients(table):
    predictions = simulated_predictions(table, 1.0)
    widths = []
    for some in (predictions.head(100), predictions):
        positive, score = referable(some)
        at, low, high = roc_band(positive, score, some["patient"], resamples=100)
        curve = np.interp(at, *roc_curve(positive, score))
        assert ((low <= curve + 0.03) & (curve <= high + 0.03)).all() and high[-1] == 1
        widths.append((high - low).mean())
    assert widths[1] < widths[0] / 1.5
    assert roc_band([True, True], [0.1, 0.2], ["a", "b"]) is None


def test_means_over_grades_are_over_those_of_the_data_not_of_the_resample():
    """A constant network has 20 % whoever is drawn, not 25 % where the one patient of a grade is not."""
    grades = [0] * 40 + [1] * 8 + [2] * 8 + [3] * 4 + [4]
    table = pd.DataFrame({"image": range(61), "patient": range(61), "grade": grades, "predicted": 0})
    table[PROBABILITIES] = np.random.default_rng(0).dirichlet(np.ones(5), 61)
    figures = resampled_figures(table)
    assert set(figures["balanced_accuracy"][~np.isnan(figures["balanced_accuracy"])].round(12)) == {0.2}
    absent = np.isnan(figures["recall"][:, 4])
    assert absent.any() and all(np.isnan(figures[name][absent]).all() for name in ("macro_auc", "balanced_accuracy"))
