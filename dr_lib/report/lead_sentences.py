"""The sentences at the top of the report: how well the best grades, what each cause does, whether anything grades."""

from collections.abc import Mapping, Sequence

from dr_lib import GRADE_NAMES
from dr_lib.evaluation.intervals import Difference
from dr_lib.evaluation.seeds import SeedFigure
from dr_lib.report.wording import between, counted, listed, percent, points, signed


def best(
    label: str, seeds: int, accuracy: SeedFigure, kappa: SeedFigure, majority: float, majority_grade: int = 0
) -> str:
    """Return how well the most accurate network grades, beside always answering the commonest grade."""
    always = f"always answering “{GRADE_NAMES[majority_grade]}”"
    mean = f", the mean of {seeds} seeds," if seeds > 1 else ""
    limits = f"{between(accuracy.low, accuracy.high)}; " if accuracy.known else ""
    agreement = f"with a quadratic weighted kappa of {signed(kappa.mean, 2)}"
    if kappa.known:
        agreement += f" ({signed(kappa.low, 2)} to {signed(kappa.high, 2)})"
    right = f"right for {percent(accuracy.mean)} of the testing photographs"
    if not accuracy.known or accuracy.low > majority:
        return f"{label}{mean} grades best: {right} ({limits}{always}: {percent(majority)}), {agreement}."
    relation = "does worse than" if accuracy.high < majority else "cannot be told from"
    return (
        f"The most accurate network, {label}{mean or ','} "
        f"{relation} {always} ({percent(majority)}): it is {right} ({limits.removesuffix('; ')}), {agreement}."
    )


def causes(changes: Sequence[tuple[str, bool, Difference | None]]) -> str:
    """Return one sentence on what each cause does to accuracy; ``changes``: its name, whether plural, and how much.

    A cause that no two runs differ in alone is left out; no sentence is left where none is known.
    """
    known = [(cause, plural, change) for cause, plural, change in changes if change is not None]
    moved = [_moves(*one) for one in known if one[2].distinguishable]
    still = [one for one in known if not one[2].distinguishable]
    parts = [listed(moved)] if moved else []
    if len(still) == 1:
        cause, plural, change = still[0]
        parts.append(f"{cause} make{'s' * (not plural)} no measurable difference ({_limits(change)} points)")
    elif still:
        *others, last = [f"{cause} ({_limits(change)} points)" for cause, _, change in still]
        parts.append(f"neither {', '.join(others)} nor {last} makes a measurable difference")
    text = "; ".join(parts).replace("(", "(95% interval ", 1)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _moves(cause: str, plural: bool, change: Difference) -> str:
    gain = change if change.value > 0 else -change
    verb = ("add" if change.value > 0 else "cost") + "s" * (not plural)
    return f"{cause} {verb} {points(gain.value)} ({_limits(gain)})"


def _limits(change: Difference) -> str:
    return f"{signed(100 * change.low)} to {signed(100 * change.high)}"


def nothing_learnt(accuracies: Sequence[Sequence[float]], kappas: Sequence[Sequence[float]], majority: float) -> str:
    """Return a warning where no run can be said to grade at all, else an empty string.

    From intervals over patients: no accuracy lies above the majority, and no kappa may exceed 0.2, up to which Landis
    & Koch (Biometrics 1977) call agreement slight.
    """
    if any(low > majority for low, _ in accuracies) or any(high > 0.2 for _, high in kappas):
        return ""
    return (
        "No run here grades: none is better than always giving the commonest answer, and every kappa is below 0.2, "
        "slight agreement at most. Differences in accuracy only say how often a network gives that answer."
    )


def summary_of_majority(runs: Mapping[str, Sequence[float]], majority: float) -> str:
    """Return how many of ``runs`` (intervals of accuracy by label) beat the majority share."""
    above = sum(limits[0] > majority for limits in runs.values())
    below = sum(limits[1] < majority for limits in runs.values())
    amid = len(runs) - above - below
    parts = [
        f"{n} {words}"
        for n, words in ((above, "above it"), (amid, "not distinguishable from it"), (below, "below it"))
        if n
    ]
    if not parts:
        return f"Always answering the commonest grade is right for {percent(majority)} of the testing photographs."
    return (
        f"Always answering the commonest grade is right for {percent(majority)} of the testing photographs: "
        f"of {counted(len(runs), 'configuration')}, {listed(parts)}."
    )
