"""What figures of merit, tests and calibration say, in sentences that follow from the numbers.

Shares 0..1 in, percent and points out. A difference is one only where its 95% interval leaves out zero.
"""

from collections.abc import Sequence

from dr_lib.evaluation.bootstrap import LEVEL, Difference
from dr_lib.report.formatting import counted, listed, percent, points, signed
from dr_lib.report.sentences import UNPAIRED

CALIBRATED = 0.01
"""Mean confidence that misses accuracy by less than a point is about right."""


def better(subject: str, other: str, change: Difference | None, p: float | None = None, tests: int = 1) -> str:
    """Return ``It is 0.4 points better than …, interval −0.5 to 1.3: not distinguishable.``

    ``change``: accuracy of ``subject`` less that of ``other``. ``p``: corrected for the number of ``tests``.
    """
    if change is None:
        return f"{subject} against {other}: {UNPAIRED}."
    limits = f"interval {signed(100 * change.low)} to {signed(100 * change.high)}"
    amount = points(change.value)
    moved = (
        f"as good as {other}"
        if amount == "0.0 points"
        else f"{amount} {'better' if change.value > 0 else 'worse'} than {other}"
    )
    if not change.distinguishable:
        headline = "not distinguishable"
    elif p is None or tests == 1 or p < 1 - LEVEL:
        headline = "distinguishable"
    else:
        headline = f"distinguishable by itself, not as one of {tests} comparisons"
    return f"{subject} is {moved}, {limits}: {headline}."


def p_value(p: float | None) -> str:
    """Return ``< 0.001`` or the probability with three digits after the point; a dash where there was no test."""
    if p is None:
        return "–"
    return "<\u00a00.001" if p < 0.001 else f"{p:.3f}"


def survivors(differences: Sequence[tuple[Difference | None, float | None]]) -> str:
    """Return how many of an experiment's differences in accuracy remain; each with its corrected p."""
    described = [(change, p) for change, p in differences if change is not None and p is not None]
    if not described:
        return "No two finished runs differ in one thing alone, so there is nothing to test."
    alone = sum(change.distinguishable for change, _ in described)
    kept = sum(change.distinguishable and p < 1 - LEVEL for change, p in described)
    have = "has" if alone == 1 else "have"
    said = f"Of {counted(len(described), 'comparison')}, {alone} {have} an interval of accuracy without zero"
    if not alone:
        return f"{said}."
    return f"{said}; corrected for their number, {kept} of them {'remains' if kept == 1 else 'remain'} distinguishable."


def other_eyes(changes: Sequence[Difference | None]) -> str:
    """Return for how many networks patients whose other eye was trained on are easier; accuracy there less the rest."""
    known = [change for change in changes if change is not None]
    better = sum(change.low > 0 for change in known)
    worse = sum(change.high < 0 for change in known)
    if not known:
        return ""
    if not better and not worse:
        return (
            f"In none of {counted(len(known), 'configuration')} is accuracy measurably better or worse on patients "
            "whose other eye is in training."
        )
    parts = [f"{way} in {n}" for n, way in ((better, "better"), (worse, "worse")) if n]
    return (
        f"Accuracy on patients whose other eye is in training is measurably {listed(parts)} of "
        f"{counted(len(known), 'configuration')}."
    )


def sureness(confidence: float, accuracy: float) -> str:
    """Return ``6.8 points too sure``, ``2.0 points too unsure`` or ``about as sure as right``."""
    gap = confidence - accuracy
    return "about as sure as right" if abs(gap) < CALIBRATED else f"{points(gap)} too {'sure' if gap > 0 else 'unsure'}"


def trust(label: str, confidence: float, accuracy: float, ece: float) -> str:
    """Return whether a network is surer of itself than it may be, by its mean confidence."""
    gap = confidence - accuracy
    if abs(gap) < CALIBRATED:
        headline = "about as sure of itself as it is right"
    else:
        headline = f"{points(gap)} {'surer of itself than it is right' if gap > 0 else 'less sure than it is right'}"
    return (
        f"{label} is on average {headline} (confidence {percent(confidence)}, accuracy {percent(accuracy)}); "
        f"its calibration error is {points(ece)}."
    )


def cooled(label: str, temperature: float, before: float, after: float) -> str:
    """Return what scaling by a ``temperature`` fitted on validation does to the calibration error."""
    way = "lowers" if after < before else "raises" if after > before else "leaves"
    return f"{label}: a temperature of {temperature:.2f} {way} it from {points(before)} to {points(after)}."
