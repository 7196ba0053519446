"""Two runs on the same photographs: differences are paired, told from none, and refused for other photographs."""

import numpy as np
import pytest
from experiment_factory import photograph_table, simulated_predictions
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, roc_auc_score

from dr_lib import PROBABILITIES
from dr_lib.evaluation.bootstrap import Difference, percentile_interval, resampled_figures
from dr_lib.evaluation.paired import Comparison, compare


@pytest.fixture(scope="module")
def table():
    return photograph_table(800)


@pytest.fixture(scope="module")
def weak(table):
    return simulated_predictions(table, 0.3, seed=1)


@pytest.fixture(scope="module")
def strong(table):
    return simulated_predictions(table, 1.5, seed=2)


def test_differences_are_those_of_scikit_learn(weak, strong):
    found = compare(weak, strong)
    score = lambda run: run[["p2", "p3", "p4"]].to_numpy().sum(axis=1)  # noqa: E731
    figures = {
        "accuracy": lambda run: (run["grade"] == run["predicted"]).mean(),
        "kappa": lambda run: cohen_kappa_score(run["grade"], run["predicted"], weights="quadratic"),
        "balanced_accuracy": lambda run: balanced_accuracy_score(run["grade"], run["predicted"]),
        "macro_auc": lambda run: roc_auc_score(run["grade"], run[list(PROBABILITIES)], multi_class="ovr"),
        "referable_auc": lambda run: roc_auc_score(run["grade"] >= 2, score(run)),
    }
    for name, figure in figures.items():
        change = getattr(found, name)
        assert change.value == pytest.approx(figure(strong) - figure(weak), abs=1e-12)
        assert 0 < change.low < change.value < change.high
    assert found.mcnemar.only_second > found.mcnemar.only_first and found.mcnemar.p < 0.001


def test_the_other_way_round_is_the_negative(weak, strong):
    there, back = compare(weak, strong), compare(strong, weak)
    for name in ("accuracy", "kappa", "referable_auc"):
        change = -getattr(back, name)
        assert (change.value, change.low, change.high) == pytest.approx(
            (lambda d: (d.value, d.low, d.high))(getattr(there, name)), abs=1e-12
        )
    assert there.mcnemar.p == back.mcnemar.p


def test_order_of_photographs_does_not_matter(weak):
    same = compare(weak, weak.sample(frac=1, random_state=0))
    assert same.accuracy == same.referable_auc == Difference(0, 0, 0) and not same.accuracy.distinguishable
    assert same.mcnemar.p == 1


def test_twins_are_not_told_apart(table):
    first, second = simulated_predictions(table, 1.0, seed=1), simulated_predictions(table, 1.0, seed=2)
    found = compare(first, second)
    assert not found.kappa.distinguishable and not found.referable_auc.distinguishable


def test_pairing_narrows_the_interval(table):
    run = simulated_predictions(table, 1.0, seed=1)
    nearly = run.copy()
    nearly.loc[nearly.index[:40], "predicted"] = (nearly["grade"][:40] + 1) % 5
    paired = compare(run, nearly).accuracy
    alone = [np.diff(percentile_interval(resampled_figures(rows)["accuracy"][1:]))[0] for rows in (run, nearly)]
    assert paired.high - paired.low < 0.75 * np.hypot(*alone)


def test_grades_that_are_absent_have_no_recall_to_compare(weak):
    few = weak[weak["grade"] < 2]
    recall = compare(few, few).recall
    assert [change is None for change in recall] == [False, False, True, True, True]
    assert compare(few, few).referable_auc is None


def test_other_photographs_cannot_be_compared(weak):
    assert compare(weak, weak.head(100)) == compare(weak.head(100), weak) == Comparison()
    regraded = weak.assign(grade=(weak["grade"] + 1) % 5)
    assert compare(weak, regraded) == Comparison() and Comparison().recall == (None,) * 5
