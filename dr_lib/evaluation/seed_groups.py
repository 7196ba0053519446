"""Runs that differ in their seed alone: their mean figure, and how far it is to be trusted over seeds and patients.

Two things could have come out otherwise: the patients who were tested, and the seeds, which are a handful. Patients are
resampled, the same ones for all seeds. What moves all seeds alike then is the patients' share of the variance of the
mean; what is left is seen in the spread of the K runs itself, whose variance over K holds both the seeds and how
differently they take the same patients. (A bootstrap that draws seeds too promises too much: of three seeds, it finds
two thirds of their variance.)

Of so few seeds the second share is badly known, and Student's t has to make up for it. There are two ways to join it
with the first: by the degrees of freedom of the sum (Welch, Biometrika 1947; Satterthwaite, Biometrics Bulletin 1946),
or by squares of the two half-widths. In simulations of 3 and 5 seeds, nominal 95%, the first covers 92.4 to 96.7%, too
little where one configuration's seeds vary far more than patients do; the second 94.8 to 97.7%, too much where both
vary alike; half-widths half-way between them 94.8 to 96.7%, wherever the variance comes from, and these are used. Of a
difference between seeds and other seeds the first alone covers 94.8 to 96.7%, since degrees of freedom add up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, stdtrit
from scipy.stats import multivariate_t

from dr_lib import GRADES
from dr_lib.data.sample_size import NORMAL
from dr_lib.evaluation.bootstrap import (
    LEVEL,
    SEED,
    Difference,
    percentile_interval,
    resampled_figures,
)

FIGURES = (
    "accuracy",
    "kappa",
    "balanced_accuracy",
    "macro_f1",
    "macro_auc",
    "referable_auc",
    "referable_average_precision",
    "referable_sensitivity",
    "referable_specificity",
)
_BY_GRADE = ("recall", "precision", "auc")
_POINTS = ("referable_at_90_sensitivity", "referable_at_95_specificity")

Name = str | tuple[str, int | str]


@dataclass(frozen=True)
class SeedFigure:
    """A figure of ``n`` runs that differ in their seed: mean, standard deviation (n - 1), 95% interval of the mean.

    Of one run the deviation is NaN and the interval is over patients alone: it is about this run, not about others of
    its kind. An interval that cannot be said is NaN, and so is a mean of none.
    """

    mean: float
    sd: float
    n: int
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return not np.isnan(self.low)


@dataclass(frozen=True)
class Spread:
    """A figure over seeds and patients: ``value``, ``low`` and ``high`` of its 95% interval.

    ``freedom``: degrees of freedom of Student's t behind it. ``patients``: what the deviations between resamples have
    to be multiplied by to be those that patients alone cause, 0..1.
    """

    value: float
    low: float
    high: float
    freedom: float = np.inf
    patients: float = 1.0


def over_seeds(tables: Sequence[pd.DataFrame]) -> dict[Name, SeedFigure]:
    """Return the mean of each figure over runs that differ in their seed alone, with its 95% interval.

    ``tables``: their predictions (image, patient, grade, predicted, p0..p4) of the same photographs; ValueError where
    they are not. Named as in ``metrics.json``: those of :data:`FIGURES` by their name, figures of a grade as
    ``("recall", 3)``, points as ``("referable_at_90_sensitivity", "specificity")``. ``n`` counts the seeds in which a
    figure is defined.
    """
    if any(same_photographs(tables[0], table) is None for table in tables[1:]):
        raise ValueError("seeds were not tested on the same photographs with the same grades")
    runs = [resampled_figures(table) for table in tables]
    figures: dict[Name, SeedFigure] = {
        name: _figure([run[name] for run in runs], -1.0 if name == "kappa" else 0.0) for name in FIGURES
    }
    for name in _BY_GRADE:
        figures |= {(name, grade): _figure([run[name][:, grade] for run in runs]) for grade in GRADES}
    for name in _POINTS:
        for column, part in enumerate(("sensitivity", "specificity"), 1):
            figures[name, part] = _figure([run[name][:, column] for run in runs])
    return figures


def same_photographs(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame | None:
    """Return both tables side by side, the second's columns ending in ``_second``; ``None`` unless they are of the
    same photographs with the same grades and patients."""
    joined = first.merge(second, on="image", suffixes=("", "_second"))
    alike = len(joined) == len(first) == len(second) and all(
        (joined[column] == joined[f"{column}_second"]).all() for column in ("grade", "patient")
    )
    return joined if alike else None


def seeds_alone(values: Sequence[float] | NDArray) -> SeedFigure:
    """Return the mean of a number that each seed has, with its interval over seeds alone, by Student's t.

    For what is known of a run as a number only, such as its highest testing accuracy. Of one seed there is no interval.
    """
    numbers = np.asarray(values, dtype=float)
    if len(numbers) < 2:
        return SeedFigure(float(numbers.mean()) if len(numbers) else np.nan, np.nan, len(numbers), np.nan, np.nan)
    interval = spread_of(np.repeat(numbers[:, None], 3, axis=1))
    return SeedFigure(interval.value, float(numbers.std(ddof=1)), len(numbers), interval.low, interval.high)


def against_control(control: Sequence[float], others: Sequence[Sequence[float]]) -> list[Difference | None]:
    """Return how much the mean of each of ``others`` is above that of ``control``, values one a seed.

    The intervals are Dunnett's (Journal of the American Statistical Association 1955): of many settings against one,
    they hold for all together in 95 of 100 studies. The spread between seeds is taken to be the same everywhere, and
    is known from all of them; ``None`` where no setting has two seeds. They are over seeds alone: of these photographs.
    """
    settings = [np.asarray(values, dtype=float) for values in (control, *others)]
    sizes = tuple(len(values) for values in settings)
    freedom = sum(sizes) - len(sizes)
    if not others or freedom < 1:
        return [None] * len(others)
    pooled = np.sqrt(sum(((values - values.mean()) ** 2).sum() for values in settings) / freedom)
    reach = dunnetts_t(sizes[0], sizes[1:], freedom) * pooled * np.sqrt(1 / sizes[0] + 1 / np.array(sizes[1:]))
    changes = [float(values.mean() - settings[0].mean()) for values in settings[1:]]
    return [Difference(change, change - far, change + far) for change, far in zip(changes, reach.tolist(), strict=True)]


@lru_cache(maxsize=64)
def dunnetts_t(control: int, others: tuple[int, ...], freedom: int) -> float:
    """Return how many standard errors wide Dunnett's two-sided intervals are to each side, all at 95% together.

    ``control`` and ``others``: how many values each mean is of. ``freedom``: degrees of freedom of their common
    variance. Two differences from one control correlate as l_i l_j with l = sqrt(n / (n + n_control)), so that together
    they have a multivariate t-distribution, whose central box of 95% is looked for (Dunnett 1955, section 3).

    ``scipy.stats.dunnett`` looks for the same box, but with fresh noise at each step: of 219 random layouts its search
    failed in 5, with 2 seeds of 4 settings by a factor of 17. With one seed for all steps, it is within 0.1% of the
    exact value in all of them.
    """
    if len(others) == 1:
        return float(stdtrit(freedom, (1 + LEVEL) / 2))
    shared = np.sqrt([n / (n + control) for n in others])
    correlation = np.outer(shared, shared) + np.diag(1 - shared**2)
    together, corner = multivariate_t(shape=correlation, df=freedom), np.ones(len(others))

    def excess(reach: float) -> float:
        return float(together.cdf(reach * corner, lower_limit=-reach * corner, random_state=SEED)) - LEVEL

    # From a little below Student's t of one difference to a little above Bonferroni's of all.
    low, high = stdtrit(freedom, [(1 + LEVEL) / 2, 1 - (1 - LEVEL) / (2 * len(others))])
    return float(brentq(excess, 0.95 * low, 1.05 * high, xtol=1e-4))


def optimism(highest: Sequence[float], honest: Sequence[float]) -> SeedFigure:
    """Return by how much the highest testing accuracy of all epochs is above that of the chosen epoch, mean over seeds.

    Both: shares 0..1, one a seed. It is never negative: the highest is looked for among the epochs that include the
    chosen one, with the photographs that then judge it. It is what this choice gained here, interval over seeds alone.
    How much of it would be left on other patients cannot be said: that takes the predictions of every epoch, which are
    not kept.
    """
    return seeds_alone(np.subtract(highest, honest))


def spread_of(runs: NDArray, less: NDArray | None = None) -> Spread:
    """Return the mean of a figure over ``runs``, or what it is more than the mean over the runs ``less``.

    Both have one row a seed: its value, then its values under resamples of the patients, the same for all rows; shape
    (seeds, 1 + resamples). See the module for how they become an interval.
    """
    sides = [runs] if less is None else [runs, less]
    means = runs.mean(axis=0) if less is None else runs.mean(axis=0) - less.mean(axis=0)
    value, resampled = float(means[0]), means[1:]
    limits = percentile_interval(resampled)
    if limits is None:
        return Spread(value, np.nan, np.nan)
    if all(len(side) == 1 for side in sides):
        return Spread(value, *limits)
    several = [side for side in sides if len(side) > 1]
    seeds = luck = freedom_part = 0.0
    for side in several:
        # A single run on the other side varies with its seed as these do.
        weight = 1 / len(side) + (len(several) < len(sides))
        seeds += weight * (seen := float(side[:, 0].var(ddof=1)))
        luck += weight * _apart(side[:, 1:])
        freedom_part += (weight * seen) ** 2 / (len(side) - 1)
    drawn = float(np.nanvar(resampled, ddof=1))
    patients = max(0.0, drawn - luck)
    freedom_of_seeds, freedom = (
        variance**2 / freedom_part if freedom_part else np.inf for variance in (seeds, patients + seeds)
    )

    share = float(np.sqrt(patients / drawn)) if drawn else 0.0

    def half_width(distance: float) -> float:
        alike = max(0.0, distance) * share
        by_sum = student(NORMAL, freedom) * np.hypot(alike / NORMAL, np.sqrt(seeds))
        by_squares = np.hypot(alike, student(NORMAL, freedom_of_seeds) * np.sqrt(seeds))
        return float(by_sum if len(several) == 2 else (by_sum + by_squares) / 2)

    low, high = value - half_width(value - limits[0]), value + half_width(limits[1] - value)
    return Spread(value, low, high, freedom, share)


def _apart(resampled: NDArray) -> float:
    """Return the variance between runs that resampling patients brings about, beyond what moves all of them alike."""
    return float(np.nanvar(resampled - resampled.mean(axis=0), axis=1, ddof=1).sum() / (len(resampled) - 1))


def student(deviate: float, freedom: float) -> float:
    """Return the value of Student's t that is as improbable as the normal ``deviate``."""
    return deviate if np.isinf(freedom) else float(-stdtrit(freedom, ndtr(-deviate)))


def _figure(values: Sequence[NDArray], least: float = 0.0) -> SeedFigure:
    runs = defined_rows(values)
    if runs is None:
        return SeedFigure(np.nan, np.nan, 0, np.nan, np.nan)
    interval, sd = spread_of(runs), float(runs[:, 0].std(ddof=1)) if len(runs) > 1 else np.nan
    low, high = np.clip((interval.low, interval.high), least, 1.0)
    return SeedFigure(interval.value, sd, len(runs), float(low), float(high))


def defined_rows(values: Sequence[NDArray]) -> NDArray | None:
    """Return the rows whose own value is defined, shape (seeds, 1 + resamples); ``None`` where none is."""
    rows = [row for row in values if not np.isnan(row[0])]
    return np.stack(rows) if rows else None
