"""Two runs side by side: the differences that the sentences speak of, each with its interval over patients."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from dr_lib import GRADES
from dr_lib.evaluation import metrics
from dr_lib.evaluation.intervals import Difference, paired_matrices, percentile_interval, resample
from dr_lib.report.study import Run


@dataclass(frozen=True)
class Comparison:
    """What changes from one run to another; ``None`` where it cannot be said."""

    accuracy: Difference | None
    kappa: Difference | None
    recall: tuple[Difference | None, ...]


def compare(first: Run, second: Run) -> Comparison:
    """Return the figures of ``second`` less those of ``first`` with 95% intervals, patients resampled in pairs."""
    return _compare(_Predictions(first.predictions), _Predictions(second.predictions))


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
    counts = paired_matrices(first.frame, second.frame)
    if counts is None:
        return Comparison(None, None, (None,) * len(GRADES))
    whole, drawn = counts.sum(axis=0), resample(counts)
    recalls = np.diff(metrics.recall(whole), axis=0)[0], np.diff(metrics.recall(drawn), axis=1)[:, 0]
    return Comparison(
        _difference(np.diff(metrics.accuracy(whole))[0], np.diff(metrics.accuracy(drawn), axis=1)[:, 0]),
        _difference(
            np.diff(metrics.quadratic_weighted_kappa(whole))[0],
            np.diff(metrics.quadratic_weighted_kappa(drawn), axis=1)[:, 0],
        ),
        tuple(_difference(recalls[0][grade], recalls[1][:, grade]) for grade in GRADES),
    )


def _difference(value: float, resampled: np.ndarray) -> Difference | None:
    limits = percentile_interval(resampled)
    return None if limits is None or np.isnan(value) else Difference(float(value), *limits)
