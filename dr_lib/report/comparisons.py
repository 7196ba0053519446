"""Which runs are compared and what is found: differences with intervals, and tests corrected for their number."""

from dataclasses import dataclass
from functools import lru_cache

import pandas as pd

from dr_lib.evaluation import paired
from dr_lib.evaluation.paired import Comparison
from dr_lib.evaluation.significance import holm
from dr_lib.report.study import Run, Study


@dataclass(frozen=True)
class Tested:
    """Two runs that differ in one thing, ``first`` without it, as one of all comparisons of an experiment.

    ``p``: of McNemar's exact test by Holm's correction for all of them; ``None`` where they cannot be compared.
    """

    first: Run
    second: Run
    found: Comparison
    p: float | None


def compare(first: Run, second: Run) -> Comparison:
    """Return the figures of ``second`` less those of ``first`` with 95% intervals, patients resampled in pairs."""
    return _compare(_Predictions(first.predictions), _Predictions(second.predictions))


def all_comparisons(study: Study) -> list[Tested]:
    """Return every two finished runs that differ in pretraining, depth or class weights alone, in this order."""
    pairs = [*study.pairs("pretrained"), *study.depth_pairs(), *study.pairs("weighted")]
    found = [compare(*pair) for pair in pairs]
    corrected = iter(holm([comparison.mcnemar.p for comparison in found if comparison.mcnemar]))
    return [
        Tested(first, second, comparison, next(corrected) if comparison.mcnemar else None)
        for (first, second), comparison in zip(pairs, found, strict=True)
    ]


class _Predictions:
    """A frame that the cache below can key by identity."""

    def __init__(self, frame: pd.DataFrame | None):
        assert frame is not None
        self.frame = frame

    def __hash__(self) -> int:
        return id(self.frame)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Predictions) and self.frame is other.frame


@lru_cache(maxsize=64)
def _compare(first: _Predictions, second: _Predictions) -> Comparison:
    return paired.compare(first.frame, second.frame)
