"""Figures of merit agree with scikit-learn, and say what they do where scikit-learn gives up."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from dr_lib import PROBABILITIES
from dr_lib.errors import InputError
from dr_lib.evaluation import matrix_metrics as metrics
from dr_lib.evaluation import metrics as public
from dr_lib.evaluation.bootstrap import patient_matrices
from dr_lib.evaluation.calibration import at_temperature, fit_temperature, reliability
from dr_lib.evaluation.intervals import of_areas
from dr_lib.evaluation.predictions import answer, ensemble, prediction_table
from dr_lib.evaluation.ranking import macro_auc
from dr_lib.evaluation.referral import referral, worse_eye
from dr_lib.evaluation.summary import summarize

GRADES = list(range(5))


def sample(seed, n=400, present=GRADES):
    rng = np.random.default_rng(seed)
    grades = rng.choice(present, size=n)
    predicted = np.where(rng.random(n) < 0.5, grades, rng.choice(present, size=n))
    return grades, predicted


@pytest.mark.parametrize("present", [GRADES, [0, 2, 4], [0, 1]])
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_scikit_learn(seed, present):
    grades, predicted = sample(seed, present=present)
    matrix = metrics.confusion_matrix(grades, predicted)
    assert np.array_equal(matrix, reference.confusion_matrix(grades, predicted, labels=GRADES))
    close = lambda ours, theirs: np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)  # noqa: E731
    close(metrics.accuracy(matrix), reference.accuracy_score(grades, predicted))
    close(metrics.quadratic_weighted_kappa(matrix), reference.cohen_kappa_score(grades, predicted, weights="quadratic"))
    close(metrics.balanced_accuracy(matrix), reference.balanced_accuracy_score(grades, predicted))
    close(metrics.macro_f1(matrix), reference.f1_score(grades, predicted, average="macro"))
    options = {"labels": GRADES, "average": None, "zero_division": np.nan}
    close(metrics.recall(matrix), reference.recall_score(grades, predicted, **options))
    close(metrics.precision(matrix), reference.precision_score(grades, predicted, **options))
    for normalize in ("true", "pred", "all"):
        expected = reference.confusion_matrix(grades, predicted, labels=GRADES, normalize=normalize)
        close(metrics.normalize_matrix(matrix, normalize), expected)
        close(public.confusion_matrix(grades, predicted, normalize=normalize), expected)
    # The public ones, by scikit-learn, and the matrix form, by us, are one and the same.
    for name in ("accuracy", "quadratic_weighted_kappa", "balanced_accuracy", "macro_f1", "recall", "precision"):
        close(getattr(metrics, name)(matrix), getattr(public, name)(grades, predicted))


def test_kappa_of_published_table():
    # Fleiss & Cohen 1973: quadratic kappa of a table with all disagreement one step apart.
    matrix = np.zeros((5, 5))
    matrix[:3, :3] = [[20, 5, 0], [5, 30, 5], [0, 5, 30]]
    observed = 20 / 100
    rows = matrix.sum(axis=1)
    distance = np.subtract.outer(np.arange(5), np.arange(5)) ** 2
    expected = (distance * np.outer(rows, rows)).sum() / 100 / 100
    assert metrics.quadratic_weighted_kappa(matrix) == pytest.approx(1 - observed / expected, abs=1e-12)


def test_kappa_at_its_ends():
    same = metrics.confusion_matrix([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])
    assert metrics.quadratic_weighted_kappa(same) == 1
    assert metrics.quadratic_weighted_kappa(metrics.confusion_matrix([0, 4], [4, 0])) == -1
    constant_answer = metrics.confusion_matrix([0, 1, 2], [0, 0, 0])
    assert metrics.quadratic_weighted_kappa(constant_answer) == 0
    both_constant = metrics.confusion_matrix([0, 0], [0, 0])
    assert metrics.quadratic_weighted_kappa(both_constant) == public.quadratic_weighted_kappa([0, 0], [0, 0]) == 0
    grades, predicted = sample(1)
    there, back = metrics.confusion_matrix(grades, predicted), metrics.confusion_matrix(predicted, grades)
    assert metrics.quadratic_weighted_kappa(there) == pytest.approx(metrics.quadratic_weighted_kappa(back))


def test_absent_and_unanswered_grades_are_undefined():
    matrix = metrics.confusion_matrix([0, 0, 2], [0, 1, 1])
    assert np.isnan(metrics.recall(matrix)).tolist() == [False, True, False, True, True]
    assert np.isnan(metrics.precision(matrix)).tolist() == [False, False, True, True, True]
    assert np.isnan(public.precision([0, 0, 2], [0, 1, 1])).tolist() == [False, False, True, True, True]
    assert metrics.balanced_accuracy(matrix) == public.balanced_accuracy([0, 0, 2], [0, 1, 1]) == 0.25
    assert np.isnan(metrics.accuracy(np.zeros((5, 5))))


def test_majority_follows_the_training_grades_where_given():
    assert metrics.majority_accuracy([0, 1, 1, 1]) == 0.75
    assert metrics.majority_accuracy([0, 1, 1, 1], training_grades=[0, 0, 1]) == 0.25


def test_many_matrices_are_scored_at_once():
    matrices = np.stack([metrics.confusion_matrix(*sample(seed)) for seed in range(6)]).reshape(2, 3, 5, 5)
    for figure in (metrics.accuracy, metrics.quadratic_weighted_kappa, metrics.balanced_accuracy, metrics.macro_f1):
        assert figure(matrices).shape == (2, 3)
        assert figure(matrices)[1, 2] == figure(matrices[1, 2])
    assert metrics.recall(matrices).shape == (2, 3, 5)


def table(probability):
    """Return six predictions of which one has ``probability`` for each grade."""
    rows = pd.DataFrame({"image": list("abcdef"), "patient": list("aabbcc"), "grade": [0, 1, 2, 3, 4, 0]})
    rows["predicted"] = [0, 1, 1, 1, 4, 0]
    rows[list(PROBABILITIES)] = 0.2
    rows.loc[3, list(PROBABILITIES)] = probability
    return rows


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(
    "score",
    [
        lambda rows, shares: summarize(rows),
        lambda rows, shares: ensemble([rows, rows]),
        lambda rows, shares: answer(shares, "coral"),
        lambda rows, shares: of_areas(rows),
        lambda rows, shares: referral(rows, rows),
        lambda rows, shares: worse_eye(rows),
        lambda rows, shares: prediction_table(rows, shares, rows.predicted),
        lambda rows, shares: macro_auc(rows.grade, shares),
        lambda rows, shares: fit_temperature(rows.grade, shares),
        lambda rows, shares: at_temperature(shares, 2.0),
        lambda rows, shares: reliability(rows.grade == rows.predicted, shares[:, 0]),
        lambda rows, shares: metrics.confusion_matrix(rows.grade, shares[:, 0].round()),
        lambda rows, shares: patient_matrices(rows.patient, rows.grade, shares[:, 0].round()),
        lambda rows, shares: metrics.majority_accuracy(shares[:, 0].round()),
        lambda rows, shares: metrics.accuracy(shares[:5]),
        lambda rows, shares: metrics.quadratic_weighted_kappa(shares[:5]),
        lambda rows, shares: metrics.macro_f1(shares[:5]),
        lambda rows, shares: metrics.balanced_accuracy(shares[:5]),
        lambda rows, shares: metrics.precision(shares[:5]),
        lambda rows, shares: metrics.normalize_matrix(shares[:5], "true"),
    ],
)
def test_no_figure_is_made_of_what_is_not_finite(score, bad):
    """NaN is what is undefined here, and is left out of means: it must not come in with the predictions."""
    sound, broken = table(0.2), table(bad)
    score(sound, sound[list(PROBABILITIES)].to_numpy())
    with pytest.raises(InputError, match="not all are finite numbers"):
        score(broken, broken[list(PROBABILITIES)].to_numpy())


@pytest.mark.parametrize("wrong", [[0, 5, 1], [0, -1, 1], [0, 1.5, 1]])
def test_what_is_no_grade_is_neither_left_out_nor_counted_elsewhere(wrong):
    """scikit-learn leaves it out in silence; a count by place would put it into the next row, or the next patient."""
    for score in (
        lambda: public.confusion_matrix([0, 1, 1], wrong),
        lambda: public.accuracy(wrong, [0, 1, 1]),
        lambda: public.quadratic_weighted_kappa(wrong, [0, 1, 1]),
        lambda: metrics.confusion_matrix(wrong, [0, 1, 1]),
        lambda: patient_matrices(["a", "b", "c"], [0, 1, 1], wrong),
        lambda: metrics.majority_accuracy([0, 1, 1], wrong),
    ):
        with pytest.raises(InputError, match="grades: not all are whole numbers from 0 to 4"):
            score()
