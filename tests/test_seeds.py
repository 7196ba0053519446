"""Figures over seeds: means and deviations by hand, one seed as ever, intervals that hold the truth 95 times of 100."""

from functools import partial

import numpy as np
import pytest
from experiment_factory import photograph_table, simulated_predictions
from scipy.stats import dunnett, multivariate_t, t, ttest_1samp, ttest_ind
from sklearn.metrics import cohen_kappa_score, f1_score, roc_auc_score

from dr_lib.evaluation import matrix_metrics as metrics
from dr_lib.evaluation.bootstrap import draws, patient_matrices, resample
from dr_lib.evaluation.ranking import rank
from dr_lib.evaluation.seed_groups import (
    FIGURES,
    against_control,
    dunnetts_t,
    optimism,
    over_seeds,
    seeds_alone,
    spread_of,
)
from dr_lib.evaluation.summary import summarize


@pytest.fixture(scope="module")
def table():
    return photograph_table(300)


@pytest.fixture(scope="module")
def strong(table):
    return [simulated_predictions(table, 1.2 + 0.1 * seed, seed=seed) for seed in range(3)]


@pytest.fixture(scope="module")
def weak(table):
    return [simulated_predictions(table, 0.3, seed=10 + seed) for seed in range(3)]


def test_means_and_deviations_are_those_of_the_runs(strong):
    found = over_seeds(strong)
    score = lambda run: run[["p2", "p3", "p4"]].to_numpy().sum(axis=1)  # noqa: E731
    figures = {
        "accuracy": lambda run: (run["grade"] == run["predicted"]).mean(),
        "kappa": lambda run: cohen_kappa_score(run["grade"], run["predicted"], weights="quadratic"),
        "macro_f1": lambda run: f1_score(run["grade"], run["predicted"], average="macro"),
        "referable_auc": lambda run: roc_auc_score(run["grade"] >= 2, score(run)),
        ("recall", 2): lambda run: (run["predicted"] == 2)[run["grade"] == 2].mean(),
    }
    for name, figure in figures.items():
        values = [figure(run) for run in strong]
        assert found[name].mean == pytest.approx(np.mean(values), abs=1e-12)
        assert found[name].sd == pytest.approx(np.std(values, ddof=1), abs=1e-12) and found[name].n == 3
        assert 0 <= found[name].low <= found[name].mean <= found[name].high <= 1 and found[name].known
    assert {name for name in found if isinstance(name, str)} == set(FIGURES)
    assert found["referable_at_90_sensitivity", "sensitivity"].mean >= 0.9


def test_one_seed_is_what_it_always_was(strong):
    found, test = over_seeds(strong[:1]), summarize(strong[0])
    for name in FIGURES:
        assert found[name].mean == test[name]
        if not name.startswith("referable_s") and "auc" not in name:  # of one run, Wilson's and DeLong's intervals
            assert (found[name].low, found[name].high) == tuple(test["intervals"][name])
        assert np.isnan(found[name].sd) and found[name].n == 1


def test_equal_seeds_add_nothing_but_do_not_count_as_more_patients(strong):
    alone, thrice = over_seeds(strong[:1])["kappa"], over_seeds([strong[0]] * 3)["kappa"]
    assert (thrice.mean, thrice.low, thrice.high) == pytest.approx((alone.mean, alone.low, alone.high), abs=1e-12)
    assert thrice.sd == pytest.approx(0, abs=1e-12)


def test_with_endless_patients_it_is_students_t():
    values = np.array([0.70, 0.72, 0.77])
    runs = np.repeat(values[:, None], 101, axis=1)
    half = t.ppf(0.975, 2) * values.std(ddof=1) / np.sqrt(3)
    found = spread_of(runs)
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=1e-12)
    assert found.freedom == pytest.approx(2)
    # Two sides of three with the same spread: Welch's test has its full four degrees of freedom.
    between = spread_of(runs + 0.1, runs)
    half = t.ppf(0.975, 4) * values.std(ddof=1) * np.sqrt(2 / 3)
    assert (between.low, between.high) == pytest.approx((0.1 - half, 0.1 + half), abs=1e-12)
    # One run is taken to vary as the three do, and they know no more about it.
    alone = spread_of(runs, np.full((1, 101), 0.5))
    half = t.ppf(0.975, 2) * values.std(ddof=1) * np.sqrt(1 / 3 + 1)
    assert alone.high - alone.low == pytest.approx(2 * half, abs=1e-12)


def test_no_interval_leaves_what_is_possible(strong):
    wild = [strong[0], strong[0].assign(predicted=0), strong[0].assign(predicted=4)]
    accuracy, kappa = (over_seeds(wild)[name] for name in ("accuracy", "kappa"))
    assert accuracy.low == 0 and accuracy.high == 1 and -1 <= kappa.low < 0


def test_other_photographs_are_refused(strong, weak):
    fewer = [run.head(200) for run in weak]
    with pytest.raises(ValueError, match="same photographs"):
        over_seeds([strong[0], fewer[0]])
    shuffled = [run.sample(frac=1, random_state=seed) for seed, run in enumerate(strong)]
    assert over_seeds(shuffled)["macro_auc"] == over_seeds(strong)["macro_auc"]


def test_what_is_undefined_is_left_out(strong):
    few = [run[run["grade"] < 2] for run in strong]
    found = over_seeds(few)
    assert np.isnan(found["referable_auc"].mean) and not found["referable_auc"].known and found["recall", 4].n == 0
    # A grade that one of the seeds never answers has a precision in the two others.
    few = [strong[0].assign(predicted=0), *strong[1:]]
    assert over_seeds(few)["precision", 2].n == 2 and over_seeds(few)["precision", 0].n == 3


def test_optimism_is_what_the_highest_epoch_gained():
    highest, honest = [0.84, 0.85, 0.86], [0.83, 0.82, 0.855]
    found, gains = optimism(highest, honest), np.subtract(highest, honest)
    limits = ttest_1samp(gains, 0).confidence_interval()
    assert (found.mean, found.sd, found.n) == pytest.approx((gains.mean(), gains.std(ddof=1), 3))
    assert (found.low, found.high) == pytest.approx(tuple(limits), abs=1e-12)
    one = optimism([0.8], [0.75])
    assert one.mean == pytest.approx(0.05) and not one.known and np.isnan(one.sd) and seeds_alone([]).n == 0


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize(
    ("of_seeds", "of_both", "of_patients"), [(0, 0.3, 1), (1, 0.3, 1), (5, 0.3, 1), (1, 1, 0), (0, 1, 0.2)]
)
def test_normal_figures_are_covered_whatever_their_variance_comes_from(seeds, of_seeds, of_both, of_patients):
    """Figures that are sums of what is due to the seed, the patients, and the seed's way with these patients."""
    rng, covered, sweeps, resamples = np.random.default_rng(0), [], 800, 150
    normal = lambda variance, *shape: np.sqrt(variance) * rng.normal(size=shape)  # noqa: E731
    for _ in range(sweeps):
        own = normal(of_seeds, seeds, 1) + normal(of_both, seeds, 1) + normal(of_patients, 1, 1)
        drawn = own + normal(of_both, seeds, resamples) + normal(of_patients, 1, resamples)
        found = spread_of(np.hstack([own, drawn]))
        covered.append(found.low <= 0 <= found.high)
    assert 0.93 <= np.mean(covered) <= 0.97


CUTS = np.array([0.3, 0.6, 1.1, 1.6])
PATIENTS, RESAMPLES = 300, 300


def two_eyes(rng, patients):
    """Return severity of both eyes of ``patients``, and what all networks take for severity beside it."""
    severity = rng.normal(size=patients)[:, None] + 0.5 * rng.normal(size=(patients, 2))
    looks = 0.6 * rng.normal(size=patients)[:, None] + 0.3 * rng.normal(size=(patients, 2))
    return severity.ravel(), looks.ravel()


def trained(rng, severity, looks, luck, skill):
    """Return answers and scores of a network with the ``luck`` of its seed, standard normal, and a taste of its own."""
    patients = len(severity) // 2
    taste = (0.4 * rng.normal(size=patients)[:, None] + 0.3 * rng.normal(size=(patients, 2))).ravel()
    score = skill * (1 + 0.06 * luck) * severity + looks + taste
    return np.digitize(0.7 * score / skill + 0.02 * luck, CUTS), score


def figures_of(grades, answers, score, sweep):
    """Return accuracy, kappa and AUC of referable retinopathy, values first and resamples after them, (3, 1 + R)."""
    patients = np.repeat(np.arange(PATIENTS), 2)
    counts = patient_matrices(patients, grades, answers)
    matrices = np.concatenate([counts.sum(axis=0, keepdims=True), resample(counts, RESAMPLES, sweep)])
    drawn = np.concatenate([np.ones((1, PATIENTS), dtype=np.uint8), draws(PATIENTS, RESAMPLES, sweep)])
    areas = rank(grades >= 2, score, patients, drawn).auc
    return np.stack([metrics.accuracy(matrices), metrics.quadratic_weighted_kappa(matrices), areas])


def truths(skill):
    """Return the figures of all patients by the luck of the seed, as polynomials, and their means over seeds."""
    rng = np.random.default_rng(99)
    severity, looks = two_eyes(rng, 150_000)
    grades = np.digitize(severity, CUTS)
    lucks, weights = np.polynomial.hermite_e.hermegauss(7)
    found = []
    for luck in lucks:
        answers, score = trained(rng, severity, looks, luck, skill)
        matrix = metrics.confusion_matrix(grades, answers)
        area = roc_auc_score(grades >= 2, score)
        found.append([metrics.accuracy(matrix), metrics.quadratic_weighted_kappa(matrix), area])
    found = np.array(found)
    return [np.polynomial.Polynomial.fit(lucks, values, 3) for values in found.T], weights / weights.sum() @ found


@pytest.mark.slow
def test_intervals_over_seeds_and_patients_cover_the_truth_in_95_of_100_sweeps():
    """Of one network, of two, and of 3 and 5 seeds alone and against 3 of another kind."""
    skills, sweeps = (1.0, 1.15), 1500
    by_luck, over_luck = zip(*(truths(skill) for skill in skills), strict=True)
    rng, covered, plain = np.random.default_rng(5), {}, 0
    for sweep in range(sweeps):
        severity, looks = two_eyes(rng, PATIENTS)
        grades = np.digitize(severity, CUTS)
        lucks = [rng.normal(size=number) for number in (5, 3)]
        sides = [
            np.stack([figures_of(grades, *trained(rng, severity, looks, luck, skill), sweep) for luck in seeds], axis=1)
            for skill, seeds in zip(skills, lucks, strict=True)
        ]
        for which, name in enumerate(("accuracy", "kappa", "referable AUC")):
            of_first, of_second = (curves[which] for curves in by_luck)
            means = [figures[which] for figures in over_luck]
            first, second = (side[which] for side in sides)
            here = partial(note, covered.setdefault, name)
            here("one run", spread_of(first[:1]), of_first(lucks[0][0]))
            here("paired", spread_of(second[:1], first[:1]), of_second(lucks[1][0]) - of_first(lucks[0][0]))
            for seeds in (3, 5):
                here(f"{seeds} seeds", spread_of(first[:seeds]), means[0])
                here(f"{seeds} seeds against 3", spread_of(second, first[:seeds]), means[1] - means[0])
            if name == "kappa":
                mean = spread_of(first[:3].mean(axis=0, keepdims=True))
                plain += mean.low <= means[0] <= mean.high
    shares = {what: float(np.mean(found)) for what, found in covered.items()}
    assert len(shares) == 18 and all(0.93 <= share <= 0.97 for share in shares.values()), shares
    # Patients alone would promise too much.
    assert plain / sweeps < 0.92


def note(found, name, what, spread, truth):
    found((name, what), []).append(spread.low <= truth <= spread.high)


def test_one_setting_against_the_control_is_students_pooled_interval():
    control, other = [0.70, 0.72, 0.71], [0.75, 0.74, 0.77, 0.73]
    (found,) = against_control(control, [other])
    expected = ttest_ind(other, control).confidence_interval(0.95)
    assert found.value == pytest.approx(np.mean(other) - np.mean(control), abs=1e-15)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(
    ("freedom", "published"),
    [  # Dunnett, Biometrics 1964, table of two-sided 5 % points: 1 to 9 settings against a control, as many values each
        (10, [2.23, 2.57, 2.76, 2.89, 2.99, 3.07, 3.14, 3.19, 3.24]),
        (20, [2.09, 2.38, 2.54, 2.65, 2.73, 2.80, 2.86, 2.90, 2.95]),
        (60, [2.00, 2.27, 2.41, 2.51, 2.58, 2.64, 2.69, 2.73, 2.77]),
    ],
)
def test_dunnetts_table(freedom, published):
    found = [dunnetts_t(3, (3,) * settings, freedom) for settings in range(1, 10)]
    assert found == pytest.approx(published, abs=0.011)


# Of the second, two seeds each, scipy.stats.dunnett makes intervals that are 17 times too wide, with a warning.
@pytest.mark.parametrize(
    ("control", "sizes"), [(5, (3, 2, 4)), (2, (2, 2, 2)), (1, (1, 3, 5, 3, 5, 5, 4)), (3, (3,) * 13), (3, (4,))]
)
def test_all_intervals_together_hold_95_of_100_whatever_the_numbers_of_seeds(control, sizes):
    freedom = control + sum(sizes) - len(sizes) - 1
    reach = dunnetts_t(control, sizes, freedom)
    shared = np.sqrt([size / (size + control) for size in sizes])
    box = multivariate_t(shape=np.outer(shared, shared) + np.diag(1 - shared**2), df=freedom)
    corner = np.full(len(sizes), reach)
    assert box.cdf(corner, lower_limit=-corner, maxpts=400_000, random_state=0) == pytest.approx(0.95, abs=1e-3)
    # The same at each call, or reports of one experiment would differ.
    dunnetts_t.cache_clear()
    assert dunnetts_t(control, sizes, freedom) == reach


def test_intervals_are_those_of_scipys_dunnett_where_it_finds_them():
    # Thomson & Short 1969, the example of scipy.stats.dunnett.
    control, others = [2.9, 3.0, 2.5, 2.6, 3.2], [[3.8, 2.7, 4.0, 2.4], [2.8, 3.4, 3.7, 2.2, 2.0]]
    expected = dunnett(*others, control=control, rng=np.random.default_rng(0)).confidence_interval()
    found = against_control(control, others)
    assert [change.low for change in found] == pytest.approx(expected.low, rel=0.005)
    assert [change.high for change in found] == pytest.approx(expected.high, rel=0.005)


def test_settings_without_any_spread_have_intervals_without_width():
    same, better = against_control([0.5, 0.5], [[0.5, 0.5], [0.6, 0.6]])
    assert same.low == same.high == 0 and better.low == better.high == pytest.approx(0.1)


def test_a_single_seed_borrows_the_spread_of_the_others_and_one_seed_each_has_none():
    changes = against_control([0.7, 0.72], [[0.71], [0.69, 0.7]])
    assert all(change is not None and change.low < change.value < change.high for change in changes)
    assert against_control([0.7], [[0.71], [0.69]]) == [None, None] and against_control([0.7, 0.8], []) == []
