"""Two runs on the same photographs: their differences, each with its interval over the same patients, and tests.

McNemar's test is for two runs on the same photographs, Holm's correction for many comparisons.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom

from dr_lib import GRADES
from dr_lib.evaluation.bootstrap import Difference, Figures, difference, resampled_figures


@dataclass(frozen=True)
class McNemar:
    """Photographs that only one of two runs answers rightly, and how probable so uneven a share is by chance.

    ``p``: two-sided, 0..1. It takes photographs for independent; the eyes of one patient are not, so that it is too
    small rather than too large where both eyes are there. The interval over patients has the last word.
    """

    only_first: int
    only_second: int
    p: float


def mcnemar(right_first: ArrayLike, right_second: ArrayLike) -> McNemar:
    """Return McNemar's exact test of two runs; arguments: bool (N,), whether each answers a photograph rightly.

    Where they disagree, each is right as often as the other by chance alone: a binomial of 1/2 (McNemar, Psychometrika
    1947, in its exact form). 1 where they never disagree, which ``scipy.stats.binomtest`` refuses.
    """
    first, second = np.asarray(right_first, dtype=bool), np.asarray(right_second, dtype=bool)
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    tail = binom.cdf(min(only_first, only_second), only_first + only_second, 0.5)
    return McNemar(only_first, only_second, min(1.0, 2 * float(tail)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return ``p_values`` corrected for their number, in their order (Holm, Scandinavian Journal of Statistics 1979).

    Calling those below 0.05 different is wrong even once in at most 5% of such families of comparisons. (SciPy
    corrects for false discoveries alone.)
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


@dataclass(frozen=True)
class Comparison:
    """What changes from one run to another, figures of the second less those of the first; ``None``: cannot be said.

    ``mcnemar``: of one run against one run. ``p``: two-sided, 0..1, how probable so large a difference of accuracy is
    by chance, of McNemar's test or, of several seeds, as :func:`dr_lib.evaluation.seed_groups.compare_seeds` says.
    """

    accuracy: Difference | None = None
    kappa: Difference | None = None
    recall: tuple[Difference | None, ...] = (None,) * len(GRADES)
    balanced_accuracy: Difference | None = None
    macro_auc: Difference | None = None
    referable_auc: Difference | None = None
    mcnemar: McNemar | None = None
    p: float | None = None


def compare(first: pd.DataFrame, second: pd.DataFrame) -> Comparison:
    """Return the figures of ``second`` less those of ``first`` with 95% intervals, patients resampled in pairs.

    Both have the columns image, patient, grade, predicted, p0..p4. Runs that were not tested on the same photographs
    with the same grades cannot be compared.
    """
    joined = same_photographs(first, second)
    if joined is None:
        return Comparison()
    before, after = resampled_figures(first), resampled_figures(second)

    def change(figure: Callable[[Figures], NDArray[np.float64]]) -> Difference | None:
        values = figure(after) - figure(before)
        return difference(values[0], values[1:])

    answers = (joined["predicted"], joined["predicted_second"])
    test = mcnemar(*(answer == joined["grade"] for answer in answers))
    return Comparison(**changes(change), mcnemar=test, p=test.p)


def changes(change: Callable) -> dict:
    """Return the differences of a :class:`Comparison` by name, each by ``change`` of what picks its figure.

    What is handed to ``change`` takes :data:`Figures` and gives back the values of one figure, (1 + resamples,).
    """
    names = ("accuracy", "kappa", "balanced_accuracy", "macro_auc", "referable_auc")
    differences = {name: change(lambda figures, name=name: figures[name]) for name in names}
    recall = tuple(change(lambda figures, grade=grade: figures["recall"][:, grade]) for grade in GRADES)
    return differences | {"recall": recall}


def same_photographs(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame | None:
    """Return both tables side by side, the second's columns ending in ``_second``; ``None`` unless they are of the
    same photographs with the same grades and patients."""
    joined = first.merge(second, on="image", suffixes=("", "_second"))
    alike = len(joined) == len(first) == len(second) and all(
        (joined[column] == joined[f"{column}_second"]).all() for column in ("grade", "patient")
    )
    return joined if alike else None
