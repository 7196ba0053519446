"""Differences are paired, judged together, told from none where they are some, and refused for other photographs."""

import numpy as np
import pandas as pd
import pytest
from equal_networks import network, photographs
from experiment_factory import photograph_table, simulated_predictions
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar

from dr_lib import PROBABILITIES
from dr_lib.evaluation import matrix_metrics as metrics
from dr_lib.evaluation.bootstrap import (
    Difference,
    percentile_interval,
    resampled_difference_of_groups,
    resampled_figures,
)  # fmt: skip
from dr_lib.evaluation.effects import (
    FEWEST,
    OVERALL,
    Comparison,
    against_best,
    against_majority,
    compare,
    compare_all,
    compare_patients,
    together,
)  # fmt: skip
from dr_lib.evaluation.seed_groups import over_seeds


@pytest.fixture(scope="module")
def table():
    return photograph_table(800)


@pytest.fixture(scope="module")
def weak(table):
    return simulated_predictions(table, 0.3, seed=1)


@pytest.fixture(scope="module")
def strong(table):
    return simulated_predictions(table, 1.5, seed=2)


@pytest.fixture(scope="module")
def seeds(table):
    return {
        skill: [simulated_predictions(table, skill + 0.05 * seed, seed=seed) for seed in range(3)]
        for skill in (0.3, 1.5)
    }


def limits(change):
    return change.value, change.low, change.high


def test_differences_are_those_of_scikit_learn(weak, strong):
    found = compare([weak], [strong])
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
        assert 0 < change.low < change.value < change.high and change.p < 0.01
    before, after = (run["grade"] == run["predicted"] for run in (weak, strong))
    assert (found.only_first, found.only_second) == ((before & ~after).sum(), (after & ~before).sum())


def test_the_other_way_round_is_the_negative(weak, strong):
    there, back = compare([weak], [strong]), compare([strong], [weak])
    for name in ("accuracy", "kappa", "referable_auc"):
        assert limits(-getattr(back, name)) == pytest.approx(limits(getattr(there, name)), abs=1e-12)
        assert getattr(back, name).p == getattr(there, name).p


def test_order_of_photographs_does_not_matter(weak):
    same = compare([weak], [weak.sample(frac=1, random_state=0)])
    assert same.accuracy.value == same.referable_auc.value == 0 and not same.accuracy.distinguishable
    assert same.accuracy.p == same.kappa.p == 1


def test_twins_are_not_told_apart(table):
    first, second = simulated_predictions(table, 1.0, seed=1), simulated_predictions(table, 1.0, seed=2)
    found = compare([first], [second])
    assert not found.kappa.distinguishable and not found.referable_auc.distinguishable


def test_pairing_narrows_the_interval(table):
    run = simulated_predictions(table, 1.0, seed=1)
    nearly = run.copy()
    nearly.loc[nearly.index[:40], "predicted"] = (nearly["grade"][:40] + 1) % 5
    (paired,) = compare_all([([run], [nearly])], ["accuracy"])
    alone = [np.diff(percentile_interval(resampled_figures(one)["accuracy"][1:]))[0] for one in (run, nearly)]
    assert paired.accuracy.high - paired.accuracy.low < 0.75 * np.hypot(*alone)


@pytest.mark.parametrize(("only_first", "only_second"), [(7, 1), (8, 0), (30, 12), (5, 5), (60, 20)])
def test_one_photograph_a_patient_is_mcnemars_test(only_first, only_second):
    grades = np.zeros(400, dtype=int)
    first, second = grades.copy(), grades.copy()
    second[:only_first], first[-only_second or 400 :] = 1, 1
    runs = [frame(grades, answers) for answers in (first, second)]
    (found,) = compare_all([([runs[0]], [runs[1]])], ["accuracy"])
    exact = mcnemar([[1, only_first], [only_second, 1]], exact=True).pvalue
    corrected = mcnemar([[1, only_first], [only_second, 1]], exact=False, correction=True).pvalue
    # p is that of the test, as fine as 2,000 resamples can say it, and decides as the exact one.
    assert found.accuracy.p == pytest.approx(min(1, corrected) if only_first != only_second else 1, abs=0.02)
    assert found.accuracy.distinguishable == (exact < 0.05) == (found.accuracy.p < 0.05)


def frame(grades, answers, patients=None):
    patients = np.arange(len(grades)) if patients is None else patients
    table = pd.DataFrame({"image": np.arange(len(grades)).astype(str), "patient": np.asarray(patients).astype(str)})
    table = table.assign(grade=grades, predicted=answers)
    table[list(PROBABILITIES)] = np.eye(5)[answers]
    return table


def test_both_eyes_of_a_patient_are_one_observation():
    grades, patients = np.zeros(400, dtype=int), np.repeat(np.arange(200), 2)
    answers = grades.copy()
    answers[:12] = 1  # six patients, both eyes
    (together_,) = compare_all([([frame(grades, answers, patients)], [frame(grades, grades, patients)])], ["accuracy"])
    (apart,) = compare_all([([frame(grades, answers)], [frame(grades, grades)])], ["accuracy"])
    assert apart.accuracy.value == together_.accuracy.value == pytest.approx(0.03)
    assert together_.accuracy.high - together_.accuracy.low > 1.3 * (apart.accuracy.high - apart.accuracy.low)


def test_p_is_below_5_in_100_exactly_where_the_interval_leaves_out_zero(table, seeds):
    runs = [[simulated_predictions(table, skill, seed=9)] for skill in (0.9, 1.0, 1.1, 1.2)] + list(seeds.values())
    pairs = [(first, second) for first in runs for second in runs if first is not second]
    for comparison in compare_all(pairs):
        changes = [*(getattr(comparison, name) for name in OVERALL), *comparison.recall]
        assert all((change.p < 0.05) == change.distinguishable for change in changes if change)


def test_a_larger_family_asks_for_more(weak, strong, table):
    middle = simulated_predictions(table, 1.0, seed=5)
    (alone,) = compare_all([([middle], [strong])])
    among = compare_all(
        [([middle], [strong]), *(([weak], [simulated_predictions(table, 0.3, seed=n)]) for n in range(20, 32))]
    )[0]
    assert (
        among.kappa.value == alone.kappa.value and among.kappa.low < alone.kappa.low and among.kappa.p >= alone.kappa.p
    )
    # The same comparison twice costs nothing: what rises and falls together is not paid for twice.
    twice = compare_all([([middle], [strong])] * 2)[0]
    assert limits(twice.kappa) == limits(alone.kappa)


def test_grades_that_are_absent_or_rare_have_no_interval(weak, strong):
    few = weak[weak["grade"] < 2]
    recall = compare([few], [few]).recall
    assert [change is None for change in recall] == [False, False, True, True, True]
    assert compare([few], [few]).referable_auc is None
    rare = weak[weak["grade"] == 4].drop_duplicates("patient").head(FEWEST - 1).index
    kept = [run[(run["grade"] != 4) | run.index.isin(rare)] for run in (weak, strong)]
    of_rare = compare([kept[0]], [kept[1]]).recall[4]
    assert of_rare.direction == "unknown" and not of_rare.distinguishable and of_rare.p is None


def test_other_photographs_cannot_be_compared(weak):
    assert compare([weak], [weak.head(100)]) == compare([weak.head(100)], [weak]) == Comparison()
    regraded = weak.assign(grade=(weak["grade"] + 1) % 5)
    assert compare([weak], [regraded]) == Comparison() and Comparison().recall == (None,) * 5
    assert compare([weak, weak.head(100)], [weak]) == Comparison()


def test_seeds_of_two_kinds_are_told_apart_and_twins_are_not(seeds, table):
    weak, strong = seeds.values()
    found = compare(weak, strong)
    means = [np.mean([(run["grade"] == run["predicted"]).mean() for run in side]) for side in (weak, strong)]
    assert found.accuracy.value == pytest.approx(means[1] - means[0], abs=1e-12) and found.accuracy.low > 0
    assert found.kappa.distinguishable and found.only_first is None
    back = compare(strong, weak)
    assert limits(-back.accuracy) == pytest.approx(limits(found.accuracy), abs=1e-3)
    twins = [simulated_predictions(table, 0.3, seed=20 + seed) for seed in range(3)]
    assert not compare(weak, twins).accuracy.distinguishable
    # A single run against three may always be an unlucky one.
    one = compare(weak[:1], strong).kappa
    assert one.high - one.low > found.kappa.high - found.kappa.low
    wild = [strong[0], strong[0].assign(predicted=0), strong[0].assign(predicted=4)]
    change = compare(strong, wild).accuracy
    assert change.low == -1 and change.high <= 1


def test_seeds_that_vary_more_are_believed_less(table):
    steady, unsteady = (
        [simulated_predictions(table, 1 + way * (seed - 1), seed=seed) for seed in range(3)] for way in (0, 0.4)
    )
    base = [simulated_predictions(table, 0.6, seed=30 + seed) for seed in range(3)]
    widths = [(change := compare(base, runs).kappa).high - change.low for runs in (steady, unsteady)]
    assert widths[1] > 1.5 * widths[0]


def test_comparisons_that_share_an_unsteady_side_rise_and_fall_together(table):
    """The seeds of the side that all have in common move all differences at once: that is paid for once."""
    unsteady = [simulated_predictions(table, skill, seed=seed) for seed, skill in enumerate((0.6, 1.0, 1.5))]
    steady = [[simulated_predictions(table, 1.0, seed=40 + 3 * n + seed) for seed in range(3)] for n in range(8)]
    width = lambda comparison: comparison.kappa.high - comparison.kappa.low  # noqa: E731
    alone = width(compare_all([(unsteady, steady[0])], ["kappa"])[0])
    assert width(compare_all([(unsteady, group) for group in steady], ["kappa"])[0]) < 1.4 * alone


def test_the_majority_is_met_on_the_same_photographs(weak, strong, table):
    always = weak.assign(predicted=0)
    nearly = always.copy()
    nearly.loc[nearly.index[nearly["grade"] == 2][:40], "predicted"] = 2  # right where the majority is wrong
    found = against_majority([[weak], [strong], [always], [nearly]], 0)
    share = (table["grade"] == 0).mean()
    assert found[1].value == pytest.approx((strong["grade"] == strong["predicted"]).mean() - share)
    assert found[1].low > 0 and found[2].value == 0 and not found[2].distinguishable
    # 5 points more, all of them gained: far from zero, though its own interval holds the majority.
    low, _ = percentile_interval(resampled_figures(nearly)["accuracy"][1:])
    assert found[3].low > 0 > low - share - 0.02


def test_the_best_of_several_is_told_from_what_is_clearly_worse(weak, strong, table):
    groups = [[weak], [strong], [simulated_predictions(table, 1.5, seed=3)], [weak.head(100)]]
    best, changes = against_best(groups)
    assert best in (1, 2) and changes[best] is None and changes[3] is None
    assert changes[0].high < 0 and not changes[3 - best].distinguishable and changes[3 - best].value <= 0


def test_figures_of_many_have_wider_intervals_than_of_one(table):
    groups = [[simulated_predictions(table, 1.0, seed=seed)] for seed in range(8)]
    alone = [over_seeds(group)["kappa"] for group in groups]
    (same,), wider = together(groups[:1], "kappa", alone[:1]), together(groups, "kappa", alone)
    assert (same.low, same.high) == pytest.approx((alone[0].low, alone[0].high), abs=0.004)
    assert all(
        wide.low < one.low < one.mean == wide.mean < one.high < wide.high
        for one, wide in zip(alone, wider, strict=True)
    )


def test_groups_of_patients_are_told_apart_only_where_they_differ(weak, strong, table):
    some = table["patient"].astype(int) % 2 == 0
    (gain,) = compare_patients([([weak[some]], [strong[~some]])], metrics.accuracy)
    values = resampled_difference_of_groups(weak[some], strong[~some], metrics.accuracy)
    assert limits(gain) == pytest.approx((values[0], *percentile_interval(values[1:])), abs=0.004) and gain.low > 0
    same, none = compare_patients(
        [([strong[some]], [strong[~some]]), ([strong.head(0)], [strong[some]])], metrics.accuracy
    )
    assert not same.distinguishable and none is None


@pytest.mark.slow
@pytest.mark.parametrize(("skill", "trials"), [(0.8, 60), (0.25, 60)])
def test_equal_networks_are_called_different_in_5_of_100_experiments(skill, trials):
    """Twelve comparisons of eight equal networks, of all figures; and the best of eight against the others."""
    rng, told_apart, not_best = np.random.default_rng(11), 0, 0
    for _ in range(trials):
        seen = photographs(150, rng)
        runs = [[network(seen, rng, skill)] for _ in range(8)]
        pairs = [(runs[i], runs[i ^ bit]) for bit in (1, 2, 4) for i in range(8) if not i & bit]
        told_apart += any(
            change.distinguishable
            for comparison in compare_all(pairs)
            for change in (*(getattr(comparison, name) for name in OVERALL), *comparison.recall)
            if change
        )
        not_best += any(change.distinguishable for change in against_best(runs)[1] if change)
    # 5% of 60 is 3; more than 8 would be chance in 3 of 1,000.
    assert told_apart <= 8 and not_best <= 8, (told_apart, not_best)


def test_a_difference_knows_where_it_lies():
    assert [Difference(*it).direction for it in ((1, 0.5, 2), (-1, -2, -0.5), (0.1, -1, 1), (0.1, np.nan, np.nan))] == [
        "up", "down", "unclear", "unknown",
    ]  # fmt: skip
