"""Whether a network is right as often as its probabilities say, and one number that makes them more honest."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import softmax

from dr_lib import PROBABILITIES
from dr_lib.data.sample_size import wilson
from dr_lib.errors import check_finite

BINS = 15
"""As in Guo et al., ICML 2017."""

MOST_EQUAL, FEWEST_IN_ONE = 8, 20
"""Bins of :func:`equal_bins`: 15 of equal width hold a handful of answers each where hundreds are tested."""

_LEAST = 1e-12
_TEMPERATURES = (0.05, 20.0)


def reliability(right: ArrayLike, confidence: ArrayLike) -> dict[str, Any]:
    """Return the expected calibration error and the table that it sums up.

    ``right``: bool (N,), whether an answer is right. ``confidence``: (N,), 0..1, the probability that the network gives
    its own answer. Answers fall in 15 bins of confidence of equal width, lower end out and upper end in. ``ece``: mean
    distance of a bin's accuracy from its mean confidence, each bin weighing as many photographs as are in it (Guo et
    al., ICML 2017), 0..1; None without photographs. ``bins``: ``low``, ``high``, ``photographs``, and mean
    ``confidence`` and ``accuracy``, None in an empty one; the means are those of scikit-learn's ``calibration_curve``,
    which does not say how many photographs a bin holds, though ``ece`` needs it. No interval goes with ``ece``: it is
    a sum of absolute values, which resamples only make larger.
    """
    right, confidence = np.asarray(right, dtype=float), check_finite(confidence, "probabilities")
    number = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    counts, hits, trust = (np.bincount(number, weights, BINS) for weights in (None, right, confidence))
    table = [
        {
            "low": i / BINS,
            "high": (i + 1) / BINS,
            "photographs": int(counts[i]),
            "confidence": float(trust[i] / counts[i]) if counts[i] else None,
            "accuracy": float(hits[i] / counts[i]) if counts[i] else None,
        }
        for i in range(BINS)
    ]
    ece = float(np.abs(hits - trust).sum() / len(right)) if len(right) else None
    return {"ece": ece, "bins": table}


def reliability_of(predictions: pd.DataFrame) -> dict[str, Any]:
    """Return :func:`reliability` of ``predictions`` (columns grade, predicted, p0..p4)."""
    answers = predictions["predicted"].to_numpy()
    confidence = predictions[PROBABILITIES].to_numpy(dtype=float)[np.arange(len(answers)), answers]
    return reliability(answers == predictions["grade"], confidence)


def equal_bins(predictions: pd.DataFrame, temperature: float = 1.0) -> list[dict[str, Any]]:
    """Return how often answers are right in bins of equally many answers, from the least sure to the surest.

    ``predictions``: columns patient, grade, predicted, p0..p4; ``temperature``: of the probabilities. As many bins as
    leave 20 answers in each, 8 at most. Each has ``photographs``, mean ``confidence`` and ``accuracy``, and ``limits``,
    Wilson's 95% interval of the accuracy with as many observations as the bin has patients.
    """
    table = predictions.reset_index(drop=True)
    if table.empty:
        return []
    answers = table["predicted"].to_numpy()
    sure = at_temperature(table[PROBABILITIES], temperature)[np.arange(len(answers)), answers]
    right = (table["grade"] == answers).to_numpy()
    bins = min(MOST_EQUAL, max(1, len(table) // FEWEST_IN_ONE))
    return [
        {
            "photographs": len(rows),
            "confidence": float(sure[rows].mean()),
            "accuracy": float(right[rows].mean()),
            "limits": wilson(float(right[rows].mean()), table["patient"].iloc[rows].nunique()),
        }
        for rows in np.array_split(np.argsort(sure, kind="stable"), bins)
    ]


def fit_temperature(grades: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the temperature, 0.05..20, under which ``probabilities`` (N, 5) make ``grades`` (N,) likeliest.

    Above 1 the network is too sure of itself, below 1 too unsure. One number for all photographs, which changes no
    order between grades (Guo et al., ICML 2017). (scikit-learn fits one too, to an estimator, not to probabilities.)
    """
    logits, grades = _logits(probabilities), np.asarray(grades, dtype=np.int64)
    observed = logits[np.arange(len(grades)), grades].mean()

    def slope(sharpness: float) -> float:
        # Of the mean loss by 1 / temperature, in which it is convex: what the network expects less what it finds.
        return float((softmax(sharpness * logits, axis=1) * logits).sum(axis=1).mean() - observed)

    coldest, hottest = _TEMPERATURES
    if slope(1 / hottest) >= 0:
        return hottest
    if slope(1 / coldest) <= 0:
        return coldest
    return float(1 / brentq(slope, 1 / hottest, 1 / coldest, xtol=1e-15))


def temperature_failed(temperature: float, before: float, after: float) -> bool:
    """Tell whether a fitted temperature is no use: it ended where the search ends, or it raises the error."""
    return temperature in _TEMPERATURES or after > before


def at_temperature(probabilities: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """Return ``probabilities`` (N, 5) with their logarithms divided by ``temperature``; rows sum to 1."""
    return softmax(_logits(probabilities) / temperature, axis=1)


def temperature_scaling(validation: pd.DataFrame, predictions: pd.DataFrame) -> dict[str, Any]:
    """Return ``temperature``, fitted to ``validation``, and what :func:`reliability` finds in ``predictions`` under it.

    Both have the columns grade, predicted, p0..p4.
    """
    temperature = fit_temperature(validation["grade"], validation[PROBABILITIES])
    scaled = predictions.copy()
    scaled[PROBABILITIES] = at_temperature(predictions[PROBABILITIES], temperature)
    return {"temperature": temperature, "photographs": len(validation), **reliability_of(scaled)}


def _logits(probabilities: ArrayLike) -> NDArray[np.float64]:
    # A probability of 0 has no logarithm.
    return np.log(np.maximum(check_finite(probabilities, "probabilities"), _LEAST))
