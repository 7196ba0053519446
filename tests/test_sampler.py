import numpy as np
import pytest
from scipy.stats import chisquare
from sklearn.utils.class_weight import compute_class_weight

from dr_lib.training.sampler import FINAL_WEIGHTS, epoch_order, repeats, sampling_weights

EYEPACS = np.array([25810, 2443, 5292, 873, 708])
"""Photographs of each grade in the training part of Kaggle's competition."""

GRADES = np.random.default_rng(5).permutation(np.repeat(np.arange(5), [2064, 195, 421, 70, 58]))
KINDS = ["none", "balanced", "sqrt", "decay"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_order_is_a_function_of_seed_and_epoch(kind):
    order = epoch_order(GRADES, kind=kind, seed=3, epoch=2)
    assert order.shape == (len(GRADES),) and order.dtype == np.int64
    assert order.min() >= 0 and order.max() < len(GRADES)
    np.random.default_rng(0).random(5)
    assert np.array_equal(order, epoch_order(list(GRADES), kind=kind, seed=3, epoch=2))
    for other in ({"seed": 3, "epoch": 3}, {"seed": 2, "epoch": 3}, {"seed": 2, "epoch": 2}):
        assert (order != epoch_order(GRADES, kind=kind, **other)).mean() > 0.9


def test_none_shows_each_photograph_once():
    order = epoch_order(GRADES, kind="none", seed=0, epoch=1)
    assert np.array_equal(np.sort(order), np.arange(len(GRADES)))
    assert not np.array_equal(order, np.arange(len(GRADES)))
    assert epoch_order([2], kind="none", seed=0, epoch=1).tolist() == [0]


@pytest.mark.parametrize(
    ("kind", "epoch"), [("balanced", 1), ("sqrt", 1), ("decay", 1), ("decay", 30), ("decay", 4000)]
)
def test_grades_come_as_often_as_their_weights_say(kind, epoch):
    orders = [epoch_order(GRADES, kind=kind, seed=seed, epoch=epoch) for seed in range(20)]
    shown = np.bincount(GRADES[np.concatenate(orders)], minlength=5)
    counts = np.bincount(GRADES)
    power = {"balanced": 0.0, "sqrt": 0.5}
    if kind in power:  # Kang et al. 2020, eq. 1
        shares = counts ** power[kind]
    else:
        left = 0.975 ** (epoch - 1)
        shares = counts * (left * len(GRADES) / counts + (1 - left) * np.array([1, 2, 2, 2, 2]))
    expected = shares / shares.sum() * shown.sum()
    assert chisquare(shown, expected).pvalue > 0.001
    assert chisquare(shown, counts / counts.sum() * shown.sum()).pvalue < 1e-6  # and not as often as they are


def test_photographs_of_one_grade_come_equally_often():
    orders = [epoch_order(GRADES, kind="balanced", seed=seed, epoch=1) for seed in range(20)]
    shown = np.bincount(np.concatenate(orders), minlength=len(GRADES))[GRADES == 4]
    assert chisquare(shown).pvalue > 0.001


def test_weights_of_the_first_epoch_are_those_in_the_winners_code():
    published = [1.3609453700116234, 14.378223495702006, 6.637566137566138, 40.235967926689575, 49.612994350282484]
    for kind in ("balanced", "decay"):
        np.testing.assert_allclose(sampling_weights(EYEPACS, kind=kind, epoch=1), published, rtol=1e-14)
    grades = np.repeat(np.arange(5), EYEPACS)
    expected = 5 * compute_class_weight("balanced", classes=np.arange(5), y=grades)
    np.testing.assert_allclose(sampling_weights(EYEPACS, kind="balanced", epoch=9), expected, rtol=1e-14)


def test_balance_decays_to_the_final_weights():
    weights = [sampling_weights(EYEPACS, kind="decay", epoch=epoch) for epoch in range(1, 252)]
    for epoch, (now, then) in enumerate(zip(weights[1:], weights[:-1], strict=True), start=2):
        np.testing.assert_allclose(now - FINAL_WEIGHTS, 0.975 * (then - FINAL_WEIGHTS), rtol=1e-9, err_msg=str(epoch))
    np.testing.assert_allclose(weights[-1], FINAL_WEIGHTS, atol=0.1)
    at_once = sampling_weights(EYEPACS, kind="decay", epoch=2, decay=0.0)
    assert np.array_equal(at_once, FINAL_WEIGHTS)
    stays = sampling_weights(EYEPACS, kind="decay", epoch=25, decay=1.0)
    assert np.array_equal(stays, sampling_weights(EYEPACS, kind="balanced", epoch=1))


@pytest.mark.parametrize("kind", KINDS)
def test_grades_that_nobody_has_are_no_trouble(kind):
    order = epoch_order([0, 0, 3], kind=kind, seed=0, epoch=5)
    assert len(order) == 3 and set(order) <= {0, 1, 2}


def test_repeats_count_what_came_before():
    assert repeats([4, 2, 4, 4, 2, 0]).tolist() == [0, 0, 1, 2, 1, 0]
    order = epoch_order(GRADES, kind="balanced", seed=0, epoch=1)
    seen, expected = {}, []
    for index in order.tolist():
        expected.append(seen.get(index, 0))
        seen[index] = expected[-1] + 1
    assert repeats(order).tolist() == expected
    assert max(expected) > 5
    assert not repeats(epoch_order(GRADES, kind="none", seed=0, epoch=1)).any()


def test_other_kinds_are_refused():
    with pytest.raises(ValueError, match="'weighted' is none of none, balanced, sqrt, decay"):
        epoch_order(GRADES, kind="weighted", seed=0, epoch=1)
