"""Areas and operating points agree with scikit-learn, resamples with repeated photographs, intervals with the truth."""

import numpy as np
import pandas as pd
import pytest
from medmnist.evaluator import getACC, getAUC
from sklearn import metrics as reference

from dr_lib.evaluation import matrix_metrics as metrics
from dr_lib.evaluation.bootstrap import draws, patient_matrices, percentile_interval, resample
from dr_lib.evaluation.predictions import prediction_table
from dr_lib.evaluation.ranking import grade_areas, macro_auc, rank
from dr_lib.evaluation.summary import summarize

FIGURES = ("auc", "average_precision", "at_sensitivity", "at_specificity")


def sample(seed, photographs=300, decimals=None):
    """Return positives, scores that tell them somewhat, and patients with two photographs each."""
    rng = np.random.default_rng(seed)
    positive = rng.random(photographs) < 0.25
    score = rng.normal(size=photographs) + 1.2 * positive
    return positive, score if decimals is None else score.round(decimals), np.arange(photographs) // 2


def once(patients):
    return np.ones((1, patients.max() + 1), dtype=np.uint8)


def operating_points(positive, score):
    """Return both points by trying every threshold, counting from nothing."""
    tried = []
    for threshold in np.unique(score):
        called = score >= threshold
        tried.append(
            (threshold, called[positive].sum() / positive.sum(), (~called[~positive]).sum() / (~positive).sum())
        )
    sensitive = max((point for point in tried if point[1] >= 0.90), key=lambda point: point[2])
    specific = max(
        (point for point in tried if point[2] >= 0.95), key=lambda point: point[1:], default=(np.nan, 0.0, 1.0)
    )
    return sensitive, specific


@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize("seed", range(3))
def test_one_set_agrees_with_scikit_learn(seed, decimals):
    positive, score, patients = sample(seed, decimals=decimals)
    found = rank(positive, score, patients, once(patients))
    assert found.auc[0] == pytest.approx(reference.roc_auc_score(positive, score), abs=1e-12)
    assert found.average_precision[0] == pytest.approx(reference.average_precision_score(positive, score), abs=1e-12)
    sensitive, specific = operating_points(positive, score)
    assert np.allclose(found.at_sensitivity[0], sensitive, rtol=0, atol=1e-12)
    assert np.allclose(found.at_specificity[0, 1:], specific[1:], rtol=0, atol=1e-12, equal_nan=True)
    alarms, sensitivity, _ = reference.roc_curve(positive, score, drop_intermediate=False)
    assert found.at_sensitivity[0, 2] == pytest.approx(1 - alarms[sensitivity >= 0.90].min(), abs=1e-12)
    assert found.at_specificity[0, 1] == pytest.approx(sensitivity[1 - alarms >= 0.95].max(), abs=1e-12)


@pytest.mark.parametrize("decimals", [None, 1])
def test_the_macro_area_and_the_accuracy_are_those_of_medmnists_evaluator(decimals):
    rng = np.random.default_rng(4)
    grades = rng.choice(5, size=400, p=[0.435, 0.115, 0.23, 0.17, 0.05])
    probabilities = rng.dirichlet(np.ones(5), size=400) + 0.3 * np.eye(5)[grades]
    if decimals:
        probabilities = probabilities.round(decimals)
    task = "ordinal-regression"  # RetinaMNIST's
    assert macro_auc(grades, probabilities) == pytest.approx(getAUC(grades[:, None], probabilities, task), abs=1e-12)
    table = prediction_table(
        pd.DataFrame({"image": np.arange(400).astype(str), "patient": np.arange(400), "grade": grades}),
        probabilities,
        probabilities.argmax(axis=1),
    )
    figures = summarize(table)
    assert figures["macro_auc"] == pytest.approx(getAUC(grades[:, None], probabilities, task), abs=1e-12)
    assert figures["accuracy"] == pytest.approx(getACC(grades[:, None], probabilities, task), abs=1e-12)


def test_the_macro_area_leaves_out_grades_that_are_not_there():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(5), size=40)
    grades = np.arange(40) % 2
    areas = [reference.roc_auc_score(grades == grade, probabilities[:, grade]) for grade in (0, 1)]
    assert macro_auc(grades, probabilities) == pytest.approx(np.mean(areas), abs=1e-12)
    assert np.isnan(macro_auc(np.zeros(40, int), probabilities))


def test_a_resample_is_the_set_with_its_photographs_repeated():
    positive, score, patients = sample(5, decimals=1)
    drawn = draws(150, 20)
    found = rank(positive, score, patients, drawn)
    for row, times in enumerate(drawn):
        index = np.repeat(np.arange(len(score)), times[patients])
        alone = rank(positive[index], score[index], np.zeros(len(index), dtype=int), np.ones((1, 1), dtype=np.uint8))
        for figure in FIGURES:
            assert np.array_equal(getattr(found, figure)[row], getattr(alone, figure)[0], equal_nan=True)
        assert found.auc[row] == pytest.approx(reference.roc_auc_score(positive[index], score[index]), abs=1e-12)


def test_perfect_opposite_and_constant_scores():
    positive, patients = np.array([True, True, False, False]), np.arange(4)
    for score, area in ((positive, 1.0), (~positive, 0.0), (np.zeros(4), 0.5)):
        assert rank(positive, score.astype(float), patients, once(patients)).auc[0] == area
    perfect = rank(positive, positive.astype(float), patients, once(patients))
    assert perfect.at_sensitivity[0].tolist() == perfect.at_specificity[0].tolist() == [1.0, 1.0, 1.0]
    constant = rank(positive, np.zeros(4), patients, once(patients))
    # All or none: at 95% specificity nobody is called.
    assert constant.at_sensitivity[0].tolist() == [0.0, 1.0, 0.0]
    assert np.isnan(constant.at_specificity[0, 0]) and constant.at_specificity[0, 1:].tolist() == [0.0, 1.0]


def test_without_both_sides_nothing_is_defined():
    patients = np.arange(3)
    only = rank(np.ones(3, dtype=bool), np.arange(3.0), patients, once(patients))
    assert np.isnan(only.auc[0]) and np.isnan(only.at_specificity).all() and only.average_precision[0] == 1
    none = rank(np.zeros(3, dtype=bool), np.arange(3.0), patients, once(patients))
    assert np.isnan(none.auc[0]) and np.isnan(none.average_precision[0])
    # A resample that misses the only positive is undefined, and no other.
    drawn = np.array([[0, 2, 1], [1, 1, 1]], dtype=np.uint8)
    assert np.isnan(rank(np.array([True, False, False]), np.arange(3.0), patients, drawn).auc).tolist() == [True, False]


def test_areas_by_grade_are_scikit_learns():
    rng = np.random.default_rng(4)
    grades = rng.integers(5, size=300)
    probabilities = (rng.dirichlet(np.ones(5), size=300) + 0.3 * np.eye(5)[grades]).round(2)  # ties
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    patients = np.arange(300)
    areas = grade_areas(grades, probabilities, patients, once(patients))[0]
    expected = [reference.roc_auc_score(grades == grade, probabilities[:, grade]) for grade in range(5)]
    assert np.allclose(areas, expected, rtol=0, atol=1e-12)
    macro = reference.roc_auc_score(grades, probabilities, multi_class="ovr", average="macro")
    assert metrics.mean_of_defined(areas) == pytest.approx(macro, abs=1e-12)
    few = grade_areas(np.minimum(grades, 1), probabilities, patients, once(patients))[0]
    assert np.isnan(few).tolist() == [False, False, True, True, True]


def two_eyes(rng, patients):
    """Return grades, answers and scores of both eyes of ``patients``, alike within a patient beyond their grade."""
    severity = rng.normal(size=patients)[:, None] + 0.5 * rng.normal(size=(patients, 2))
    own = 0.8 * rng.normal(size=patients)[:, None] + 0.5 * rng.normal(size=(patients, 2))
    score = (severity + own).ravel()
    grade_of = lambda values: np.digitize(values, [0.3, 0.6, 1.1, 1.6])  # noqa: E731
    return grade_of(severity.ravel()), grade_of(0.75 * score), score


@pytest.mark.slow
def test_intervals_cover_the_truth_in_95_of_100_sweeps():
    sweeps, few, number, resamples = 1000, 300, 400, 1000
    figures = {"accuracy": metrics.accuracy, "kappa": metrics.quadratic_weighted_kappa}
    grades, answers, score = two_eyes(np.random.default_rng(1), 500_000)
    whole = metrics.confusion_matrix(grades, answers)
    truth = {name: figure(whole) for name, figure in figures.items()} | {
        "auc": reference.roc_auc_score(grades >= 2, score),
        "average_precision": reference.average_precision_score(grades >= 2, score),
    }
    patients, rng = np.repeat(np.arange(number), 2), np.random.default_rng(2)
    covered, eye_by_eye = dict.fromkeys(truth, 0), 0
    for experiment in range(sweeps):
        grades, answers, score = two_eyes(rng, number)
        matrices = resample(patient_matrices(patients, grades, answers), resamples, seed=experiment)
        ranking = rank(grades >= 2, score, patients, draws(number, resamples, experiment))
        found = {name: figure(matrices) for name, figure in figures.items()}
        found |= {"auc": ranking.auc, "average_precision": ranking.average_precision}
        for name, values in found.items():
            covered[name] += within(truth[name], values)
        if experiment < few:
            eyes = draws(2 * number, resamples, experiment)
            eye_by_eye += within(truth["auc"], rank(grades >= 2, score, np.arange(2 * number), eyes).auc)
    shares = {name: count / sweeps for name, count in covered.items()}
    assert all(0.93 <= share <= 0.97 for share in shares.values()), shares
    # Were eyes drawn instead of patients, the interval would promise too much.
    assert eye_by_eye / few < 0.92


def within(truth, resampled):
    low, high = percentile_interval(resampled)
    return int(low <= truth <= high)
