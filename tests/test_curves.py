"""ROC and precision-recall curves are scikit-learn's, thinned by less than can be seen."""

import numpy as np
import pytest
from experiment_factory import photograph_table, simulated_predictions
from sklearn import metrics as reference

from dr_lib.evaluation.curves import MOST_POINTS, precision_recall_curve, referable, roc_curve, thinned


@pytest.fixture(scope="module")
def scored():
    return referable(simulated_predictions(photograph_table(7026), 0.8))


def test_referable_is_grade_two_or_worse_by_the_sum_of_their_probabilities():
    predictions = simulated_predictions(photograph_table(50), 1.0)
    positive, score = referable(predictions)
    assert positive.tolist() == [grade in (2, 3, 4) for grade in predictions["grade"]]
    assert np.allclose(score, predictions["p2"] + predictions["p3"] + predictions["p4"], rtol=0, atol=1e-12)


def test_a_small_curve_is_scikit_learns():
    positive, score = [False, True, False, True, True, False], [0.1, 0.9, 0.8, 0.7, 0.35, 0.3]
    alarms, sensitivity, _ = reference.roc_curve(positive, score)
    assert np.array_equal(roc_curve(positive, score), [alarms, sensitivity])
    precision, recall, _ = reference.precision_recall_curve(positive, score)
    found = set(zip(*precision_recall_curve(positive, score), strict=True))
    # All but those on a straight line.
    assert found <= set(zip(recall, precision, strict=True)) and len(found) >= len(recall) - 2


def test_thousands_of_photographs_become_few_points_that_hold_the_curve(scored):
    alarms, sensitivity = roc_curve(*scored)
    assert len(alarms) <= MOST_POINTS and (alarms[0], sensitivity[0], alarms[-1], sensitivity[-1]) == (0, 0, 1, 1)
    assert (np.diff(alarms) >= 0).all() and (np.diff(sensitivity) >= 0).all()
    assert np.trapezoid(sensitivity, alarms) == pytest.approx(reference.roc_auc_score(*scored), abs=2e-4)
    full = reference.roc_curve(*scored, drop_intermediate=False)
    # Half a pixel of a panel whose axes are 290 px long.
    assert farthest(np.stack(full[:2], axis=1), np.stack([alarms, sensitivity], axis=1)) < 0.5 / 290

    recall, precision = precision_recall_curve(*scored)
    assert len(recall) <= MOST_POINTS and (recall[0], recall[-1], precision[-1]) == (1, 0, 1)
    assert precision[0] == pytest.approx(scored[0].mean())
    full = reference.precision_recall_curve(*scored)
    assert farthest(np.stack(full[1::-1], axis=1), np.stack([recall, precision], axis=1)) < 1 / 290


def farthest(points, line):
    """Return how far the farthest of ``points`` (N, 2) lies from ``line`` (M, 2), measured to each of its pieces."""
    start, along = line[:-1], np.diff(line, axis=0)
    share = ((points[:, None] - start) * along).sum(axis=2) / (along**2).sum(axis=1)
    nearest = start + np.clip(share, 0, 1)[..., None] * along
    return np.hypot(*np.moveaxis(points[:, None] - nearest, 2, 0)).min(axis=1).max()


def test_thinning_keeps_corners_and_drops_what_is_straight():
    assert np.array_equal(thinned([0, 0.5, 1, 1, 1], [0, 0, 0, 0.3, 1]), [[0, 1, 1], [0, 0, 1]])
    zigzag = np.arange(1000) % 2
    assert len(thinned(np.linspace(0, 1, 1000), zigzag, most=100)[0]) <= 100
    assert np.array_equal(thinned([0.5], [0.2]), [[0.5], [0.2]])


def test_curves_without_both_sides_do_not_exist():
    for positive in ([True, True], [False, False], []):
        assert roc_curve(positive, np.arange(len(positive))) is None
    assert precision_recall_curve([False, False], [0.1, 0.2]) is None
    recall, precision = precision_recall_curve([True, True], [0.1, 0.2])
    assert set(precision) == {1} and recall[0] == 1
