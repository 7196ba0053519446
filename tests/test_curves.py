"""ROC and precision-recall curves are scikit-learn's, drawn with fewer points by less than can be seen."""

import re

import numpy as np
import pytest
from experiment_factory import photograph_table, simulated_predictions
from sklearn import metrics as reference

from dr_lib import plots
from dr_lib.evaluation.metrics import precision_recall_curve, referable, roc_curve
from dr_lib.report.drawing import inline_svg


@pytest.fixture(scope="module")
def scored():
    return referable(simulated_predictions(photograph_table(7026), 0.8))


def test_referable_is_grade_two_or_worse_by_the_sum_of_their_probabilities():
    predictions = simulated_predictions(photograph_table(50), 1.0)
    positive, score = referable(predictions)
    assert positive.tolist() == [grade in (2, 3, 4) for grade in predictions["grade"]]
    assert np.allclose(score, predictions["p2"] + predictions["p3"] + predictions["p4"], rtol=0, atol=1e-12)


def test_curves_run_from_end_to_end_and_hold_all_points(scored):
    alarms, sensitivity = roc_curve(*scored)
    assert (alarms[0], sensitivity[0], alarms[-1], sensitivity[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(sensitivity, alarms) == pytest.approx(reference.roc_auc_score(*scored), abs=1e-12)
    recall, precision = precision_recall_curve(*scored)
    assert (recall[0], recall[-1], precision[-1]) == (1, 0, 1) and precision[0] == pytest.approx(scored[0].mean())
    full = reference.precision_recall_curve(*scored)
    assert set(zip(recall, precision, strict=True)) <= set(zip(full[1], full[0], strict=True))


def test_thousands_of_points_are_drawn_as_hundreds_that_cannot_be_told_from_them(scored):
    alarms, sensitivity = reference.roc_curve(*scored, drop_intermediate=False)[:2]
    styles = {"run": plots.Line(plots.NETWORKS[0])}
    figure = inline_svg(plots.plot_roc({"run": (alarms, sensitivity)}, styles=styles), "curve")
    drawn = max((re.findall(r"[ML] (\S+) (\S+)", path) for path in re.findall(r' d="([^"]*)"', figure)), key=len)
    points = np.array(drawn, dtype=float)
    assert len(alarms) > 5000 and len(points) < 1000
    low, high = points.min(axis=0), points.max(axis=0)
    full = low + np.stack([alarms, 1 - sensitivity], axis=1) * (high - low)
    assert farthest(full, points) < 0.5  # px


def farthest(points, line):
    """Return how far the farthest of ``points`` (N, 2) lies from ``line`` (M, 2), measured to each of its pieces."""
    start, along = line[:-1], np.diff(line, axis=0)
    length = np.maximum((along**2).sum(axis=1), 1e-12)
    share = np.clip(((points[:, None] - start) * along).sum(axis=2) / length, 0, 1)
    return np.linalg.norm(points[:, None] - (start + share[..., None] * along), axis=2).min(axis=1).max()


def test_curves_without_both_sides_do_not_exist():
    for positive in ([True, True], [False, False], []):
        assert roc_curve(positive, np.arange(len(positive))) is None
    assert precision_recall_curve([False, False], [0.1, 0.2]) is None
    recall, precision = precision_recall_curve([True, True], [0.1, 0.2])
    assert set(precision) == {1} and recall[0] == 1
