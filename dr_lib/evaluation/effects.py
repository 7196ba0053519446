"""Differences between runs, with intervals that hold for a whole family of them at once.

Many differences are looked at together: three questions, several pairs each, of accuracy, kappa, areas and recalls. If
each had a 95% interval of its own, twelve comparisons of equal networks would show one without zero in a third of
experiments. Here all intervals of a family hold together in 95 of 100 experiments, and the p of each is corrected to
match: it is below 0.05 exactly where the interval leaves out zero.

This is the max-t method (Westfall & Young, Resampling-based Multiple Testing, 1993; Hothorn, Bretz & Westfall,
Biometrical Journal 2008): each difference is divided by its standard error, and the largest one of the family is
compared with the largest ones that chance brings. Chance comes from the patients, the same draws for every run, so that
differences which rise and fall together are not paid for twice; and from the seeds, whose deviations from their mean
are weighted at random (a multiplier bootstrap). No library that is used here does this for draws of patients.

Accuracy and recall of one run against one other are counted, not resampled: D is how many photographs of a patient the
second run gets right less how many the first does, and sum(D) / sqrt(sum(D^2)) is McNemar's test for clusters
(Eliasziw & Donner, Statistics in Medicine 1991; Obuchowski, Statistics in Medicine 1998), here with the correction for
continuity (Edwards, Psychometrika 1948), without which 7 photographs against 1 would count as a difference.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtr

from dr_lib import GRADES, PROBABILITIES
from dr_lib.data.sample_size import NORMAL
from dr_lib.evaluation.bootstrap import (
    LEVEL,
    RESAMPLES,
    SEED,
    Difference,
    Figures,
    Statistic,
    draws,
    patient_index,
    resampled_difference_of_groups,
    resampled_figures,
)  # fmt: skip
from dr_lib.evaluation.intervals import freedom
from dr_lib.evaluation.seed_groups import (
    SeedFigure,
    Spread,
    defined_rows,
    same_photographs,
    spread_of,
    student,
)

Runs = Sequence[pd.DataFrame]
"""Predictions (image, patient, grade, predicted, p0..p4) of runs that differ in their seed alone; one at least."""

Figure = str | tuple[str, int]
"""A name of :func:`dr_lib.evaluation.bootstrap.resampled_figures`, or one of a grade: ``("recall", 3)``."""

OVERALL = ("accuracy", "kappa", "balanced_accuracy", "macro_auc", "referable_auc")
FIGURES: tuple[Figure, ...] = (*OVERALL, *(("recall", grade) for grade in GRADES))
"""What is spoken of, and so what a family of comparisons has to hold for."""

FEWEST = 10
"""Patients, of a grade or of all, from whom a difference is judged; of fewer it is shown without an interval."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """Figures of the second less those of the first; ``None``: undefined, or not tested on the same photographs.

    ``only_first`` and ``only_second``: photographs that the one gets right and the other does not; of one run each.
    """

    accuracy: Difference | None = None
    kappa: Difference | None = None
    balanced_accuracy: Difference | None = None
    macro_auc: Difference | None = None
    referable_auc: Difference | None = None
    recall: tuple[Difference | None, ...] = (None,) * len(GRADES)
    only_first: int | None = None
    only_second: int | None = None


def compare(first: Runs, second: Runs) -> Comparison:
    """Return what changes from ``first`` to ``second``: :func:`compare_all` of this pair alone."""
    return compare_all([(first, second)])[0]


def compare_all(pairs: Sequence[tuple[Runs, Runs]], figures: Sequence[Figure] = FIGURES) -> list[Comparison]:
    """Return what changes from the first to the second of each pair, intervals and p for all of them together.

    Patients are the same on both sides and drawn in pairs; seeds of one side have nothing to do with those of the
    other, even where their numbers are the same. One run against several is taken to vary with its seed as the several
    do. Pairs that were not tested on the same photographs with the same grades are not compared.
    """
    family = _Family()
    estimates = [_estimates(first, second, figures, family) for first, second in pairs]
    largest = _largest(estimate.noise for by_figure in estimates for estimate in by_figure.values())
    return [
        _comparison(pair, {figure: estimate.difference(largest) for figure, estimate in by_figure.items()}, family)
        for pair, by_figure in zip(pairs, estimates, strict=True)
    ]


def compare_patients(runs: Sequence[tuple[Runs, Runs]], statistic: Statistic) -> list[Difference | None]:
    """Return ``statistic`` of the second group of patients less that of the first, for all runs together.

    Each of ``runs`` has the predictions of its seeds for the one group and for the other, which are different patients.
    ``None`` where a group has nothing to ask.
    """
    estimates: list[_Estimate | None] = []
    for first, second in runs:
        seeds = zip(first, second, strict=True)
        values = defined_rows([resampled_difference_of_groups(*of_seed, statistic) for of_seed in seeds])
        if values is None:
            estimates.append(None)
            continue
        means = values[:, 1:].mean(axis=0)
        estimates.append(_resampled(spread_of(values), _standard(means - means.mean()), np.inf))
    largest = _largest(estimate.noise for estimate in estimates if estimate)
    return [estimate.difference(largest) if estimate else None for estimate in estimates]


def against_majority(groups: Sequence[Runs], grade: int) -> list[Difference | None]:
    """Return by how much each group's accuracy is above that of always answering ``grade``, for all groups together."""
    pairs = [([_constant(runs[0], grade)], runs) for runs in groups]
    return [comparison.accuracy for comparison in compare_all(pairs, ("accuracy",))]


def against_best(groups: Sequence[Runs], figure: Figure = "kappa") -> tuple[int, list[Difference | None]]:
    """Return which group has the highest ``figure``, and by how much each of the others is below it (below: negative).

    Which one is the best is not known beforehand, so that the intervals hold for every two groups at once (Tukey's
    comparisons of all pairs; Hsu's with the best, Annals of Statistics 1984, rule out too many where several are
    equally good). The best itself has ``None``, and so have groups that were tested on other photographs.
    """
    family = _Family()
    values = [float(np.nanmean([family.values(run, figure)[0] for run in runs])) for runs in groups]
    best = int(np.nanargmax(values))
    comparable = [i for i, runs in enumerate(groups) if family.joined(groups[best][0], runs[0]) is not None]
    rows = np.stack([family.noise(groups[i], figure) for i in comparable])
    largest = np.zeros(rows.shape[1])
    for i in range(len(rows)):  # a row against all that follow: of hundreds of settings, not all pairs at once
        apart = rows[i] - rows[i + 1 :]
        sd = np.nanstd(apart, axis=1, keepdims=True)
        largest = np.fmax(largest, _peak(np.divide(apart, sd, out=np.zeros_like(apart), where=sd > 0)))
    largest = np.sort(largest)[::-1]
    changes: list[Difference | None] = [None] * len(groups)
    for i in comparable:
        if i != best and (by_figure := _estimates(groups[best], groups[i], (figure,), family)):
            changes[i] = by_figure[figure].difference(largest)
    return best, changes


def together(groups: Sequence[Runs], figure: Figure, alone: Sequence[SeedFigure]) -> list[SeedFigure]:
    """Return ``alone``, the figures of each group, with intervals that hold for all groups at once.

    So the one of whichever group is picked for being the highest covers what other patients would give, at 95%.
    """
    family = _Family()
    largest = _largest(_standard(family.noise(runs, figure)) for runs in groups)
    critical = _critical(largest)
    wider = [student(critical, _freedom(family.noise(runs, figure), runs[0])) / NORMAL for runs in groups]
    low_end = -1.0 if figure == "kappa" else 0.0
    return [
        SeedFigure(
            group.mean,
            group.sd,
            group.n,
            max(low_end, group.mean - times * (group.mean - group.low)),
            min(1.0, group.mean + times * (group.high - group.mean)),
        )
        if group.known
        else group
        for group, times in zip(alone, wider, strict=True)
    ]


@dataclass(frozen=True)
class _Estimate:
    """A difference before its family is known.

    ``interval``: its limits at so many standard errors to each side, of a normal deviate. ``score``: how many standard
    errors it is away from zero. ``noise``: what chance does to it, in standard errors, shape (resamples,).
    """

    value: float
    interval: Callable[[float], tuple[float, float]]
    score: float
    noise: Floats

    def difference(self, largest: Floats) -> Difference:
        """Return the difference with an interval that holds for the family whose maxima are ``largest``, falling."""
        low, high = self.interval(_critical(largest))
        if np.isnan(low):
            return Difference(self.value, np.nan, np.nan)
        low, high = max(low, min(-1.0, self.value)), min(high, max(1.0, self.value))
        p = max(2 * float(ndtr(-self.score)), (1 + int((largest >= self.score).sum())) / (1 + len(largest)))
        return Difference(self.value, float(low), float(high), min(1.0, p))


def _estimates(first: Runs, second: Runs, figures: Sequence[Figure], family: "_Family") -> dict[Figure, _Estimate]:
    """Return the estimates of what is defined on both sides; nothing of runs on other photographs."""
    tables = [*first, *second]
    if any(family.joined(tables[0], table) is None for table in tables[1:]):
        return {}
    estimates = {}
    for figure in figures:
        before, after = (defined_rows([family.values(run, figure) for run in side]) for side in (first, second))
        if before is None or after is None:
            continue
        chance = _standard(family.noise(second, figure) - family.noise(first, figure))
        value = float(after[:, 0].mean() - before[:, 0].mean())
        patients = _patients(tables[0], figure)
        counted = len(tables) == 2 and (figure == "accuracy" or figure[0] == "recall")
        if patients < FEWEST:
            estimates[figure] = _Estimate(value, lambda _: (np.nan, np.nan), 0.0, np.zeros(RESAMPLES))
        elif counted:
            estimates[figure] = _counted(family.joined(first[0], second[0]), figure, value, chance)
        else:
            estimates[figure] = _resampled(spread_of(after, before), chance, _freedom(chance, tables[0]))
    return estimates


def _counted(joined: pd.DataFrame | None, figure: Figure, value: float, chance: Floats) -> _Estimate:
    """Return the estimate of a share, from what the two get right of each patient.

    Its interval holds the differences d that the test does not reject: with n photographs a patient, those where
    ``|sum(D - d n)| <= reach * sqrt(sum((D - d n)^2)) + 1``, which are between the roots of two quadratics.
    """
    assert joined is not None
    asked = joined if figure == "accuracy" else joined[joined["grade"] == figure[1]]
    gained = (asked["predicted_second"] == asked["grade"]).astype(int) - (asked["predicted"] == asked["grade"])
    of_patients = gained.groupby(asked["patient"].to_numpy()).agg(["sum", "size"]).to_numpy(dtype=float)
    gain, photographs = of_patients.T
    total, asked_in_all = gain.sum(), float(len(asked))
    both, squares, sizes = gain @ photographs, gain @ gain, photographs @ photographs

    def limit(reach: float, side: int) -> float:
        square = asked_in_all**2 - reach**2 * sizes
        if square <= 0:
            return float(side)
        linear = asked_in_all * (total + side) - reach**2 * both
        constant = (total + side) ** 2 - reach**2 * squares
        return float((linear + side * np.sqrt(max(0.0, linear**2 - square * constant))) / square)

    score = max(0.0, abs(total) - 1) / np.sqrt(squares) if squares else 0.0
    return _Estimate(value, lambda reach: (limit(reach, -1), limit(reach, 1)), float(score), chance)


def _resampled(spread: Spread, chance: Floats, freedom: float) -> _Estimate:
    """Return the estimate of a figure whose standard error to each side is that of its resamples, and of its seeds.

    ``freedom``: how well the patients know that standard error.
    """
    value, reach = spread.value, student(NORMAL, spread.freedom)
    below, above = (abs(limit - value) / reach for limit in (spread.low, spread.high))
    unsure = 1 / max(spread.freedom, 1.0) + 1 / freedom
    freedom = 1 / unsure if unsure else np.inf
    towards_zero = below if value > 0 else above
    if np.isnan(towards_zero) or (value and not towards_zero):
        return _Estimate(value, lambda _: (np.nan, np.nan), 0.0, np.zeros(RESAMPLES))
    standard = abs(value) / towards_zero if value else 0.0
    score = float(-ndtri(max(stdtr(freedom, -standard), 1e-300)))

    def interval(deviate: float) -> tuple[float, float]:
        reach = student(deviate, freedom)
        return value - reach * below, value + reach * above

    return _Estimate(value, interval, score, chance)


@dataclass
class _Family:
    """What is asked of the same runs again and again while a family is compared, worked out once."""

    _figures: dict[int, Figures] = field(default_factory=dict)
    _joined: dict[tuple[int, int], pd.DataFrame | None] = field(default_factory=dict)
    _noise: dict[tuple, Floats] = field(default_factory=dict)
    _numbers: dict[tuple, int] = field(default_factory=dict)

    def values(self, run: pd.DataFrame, figure: Figure) -> Floats:
        """Return a figure of a run and then of its resamples, (1 + resamples,)."""
        if id(run) not in self._figures:
            self._figures[id(run)] = resampled_figures(run)
        figures = self._figures[id(run)]
        return figures[figure] if isinstance(figure, str) else figures[figure[0]][:, figure[1]]

    def joined(self, first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame | None:
        """Return :func:`same_photographs` of two runs."""
        key = id(first), id(second)
        if key not in self._joined:
            self._joined[key] = same_photographs(first, second)
        return self._joined[key]

    def noise(self, runs: Runs, figure: Figure) -> Floats:
        """Return how other patients and seeds would move the group's mean, units of the figure, shape (resamples,)."""
        group = tuple(map(id, runs))
        if (group, figure) not in self._noise:
            number = self._numbers.setdefault(group, len(self._numbers))
            self._noise[group, figure] = self._deviations(runs, figure, number)
        return self._noise[group, figure]

    def _deviations(self, runs: Runs, figure: Figure, number: int) -> Floats:
        values = defined_rows([self.values(run, figure) for run in runs])
        if values is None:
            return np.zeros(RESAMPLES)
        means = values[:, 1:].mean(axis=0)
        patients = means - np.nanmean(means) if not np.isnan(means).all() else np.zeros_like(means)
        if len(values) == 1:
            return patients
        own, seeds = values[:, 0], len(values)
        weights = np.random.default_rng((SEED, number)).standard_normal((len(means), seeds))
        # What patients do to the seeds differently is in the spread of the seeds already.
        return spread_of(values).patients * patients + weights @ (own - own.mean()) / np.sqrt(seeds * (seeds - 1))


def _comparison(pair: tuple[Runs, Runs], differences: Mapping[Figure, Difference], family: _Family) -> Comparison:
    first, second = pair
    comparison = Comparison(
        **{name: differences.get(name) for name in OVERALL},  # type: ignore[arg-type]  # names of differences alone
        recall=tuple(differences.get(("recall", grade)) for grade in GRADES),
    )
    joined = family.joined(first[0], second[0])
    if len(first) > 1 or len(second) > 1 or joined is None:
        return comparison
    before, after = (joined[answer] == joined["grade"] for answer in ("predicted", "predicted_second"))
    return replace(comparison, only_first=int((before & ~after).sum()), only_second=int((after & ~before).sum()))


def _constant(table: pd.DataFrame, grade: int) -> pd.DataFrame:
    """Return the predictions of a grader who answers ``grade`` for every photograph of ``table``."""
    sure = {name: float(name == PROBABILITIES[grade]) for name in PROBABILITIES}
    return table[["image", "patient", "grade"]].assign(predicted=grade, **sure)


def _freedom(noise: Floats, table: pd.DataFrame) -> float:
    """Return the degrees of freedom of a standard error that is estimated from the patients of ``table``.

    Influences are covariances between how often a patient is drawn and what comes of it (Efron, Journal of the Royal
    Statistical Society B 2014).
    """
    number, _ = patient_index(table["patient"])
    drawn = draws(number).astype(np.float32)
    return freedom(np.nan_to_num(noise).astype(np.float32) @ (drawn - 1) / len(drawn))


def _patients(table: pd.DataFrame, figure: Figure) -> int:
    asked = table if isinstance(figure, str) else table[table["grade"] == figure[1]]
    return int(asked["patient"].nunique())


def _standard(noise: Floats) -> Floats:
    sd = float(np.nanstd(noise))
    return noise / sd if sd > 0 else np.zeros_like(noise)


def _largest(noises: Iterable[Floats]) -> Floats:
    """Return the largest deviation of the family in each resample, falling."""
    largest = np.zeros(RESAMPLES)
    for noise in noises:
        largest = np.fmax(largest, np.abs(noise))
    return np.sort(largest)[::-1]


def _peak(rows: Floats) -> Floats:
    """Return the largest absolute value of each column; 0 of no rows."""
    return np.nanmax(np.abs(rows), axis=0, initial=0.0)


def _critical(largest: Floats) -> float:
    """Return how many standard errors (of a normal deviate) hold for all: where p, as it is counted, falls below 5%."""
    return max(NORMAL, float(largest[int(np.ceil((1 - LEVEL) * (1 + len(largest)))) - 2]))
