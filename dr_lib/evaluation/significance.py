"""Tests that go with differences: McNemar's for two runs on the same photographs, Holm's correction for many."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binom


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
