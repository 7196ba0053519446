"""The sentences at the top of the report: how well the best grades, what each cause does, whether anything grades."""

from collections.abc import Mapping, Sequence

from dr_lib import GRADE_NAMES
from dr_lib.evaluation.bootstrap import Difference
from dr_lib.evaluation.seed_groups import SeedFigure
from dr_lib.report.formatting import between, counted, listed, percent, points, signed


def best(
    label: str, seeds: int, accuracy: SeedFigure, kappa: SeedFigure, majority: float, majority_grade: int = 0
) -> str:
    """Return how well the network with the highest kappa grades, beside always answering the commonest grade."""
    always = f"always answering “{GRADE_NAMES[majority_grade]}”: {percent(majority)}"
    mean = f", the mean of {seeds} seeds" if seeds > 1 else ""
    agreement = f" ({between(kappa.low, kappa.high, scale=1, digits=2)})" if kappa.known else ""
    limits = f"{signed(100 * accuracy.low)} to {signed(100 * accuracy.high)}; " if accuracy.known else ""
    return (
        f"The highest quadratic weighted kappa, {signed(kappa.mean, 2)}{agreement}, is that of {label}{mean}; it is "
        f"right for {percent(accuracy.mean)} of the testing photographs ({limits}{always})."
    )


def causes(changes: Sequence[tuple[str, bool, Difference | None, Difference | None]]) -> str:
    """Return one sentence on what each cause does; ``changes``: its name, whether plural, of accuracy, of kappa.

    A cause that no two runs differ in alone is left out; no sentence is left where none is known.
    """
    known = [(cause, plural, accuracy, kappa) for cause, plural, accuracy, kappa in changes if accuracy and kappa]
    moved = [_moves(*one) for one in known if one[2].distinguishable or one[3].distinguishable]
    still = [one for one in known if not (one[2].distinguishable or one[3].distinguishable)]
    parts = [listed(moved)] if moved else []
    if len(still) == 1:
        cause, plural, accuracy, kappa = still[0]
        make = "make" if plural else "makes"
        parts.append(f"{cause} {make} no measurable difference ({_ranges(accuracy, kappa)})")
    elif still:
        *others, last = [f"{cause} ({_ranges(accuracy, kappa)})" for cause, _, accuracy, kappa in still]
        parts.append(f"neither {', '.join(others)} nor {last} makes a measurable difference")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _moves(cause: str, plural: bool, accuracy: Difference, kappa: Difference) -> str:
    """Return which of the two figures rise or fall, each with its interval."""
    said = []
    for change, amount, scale, digits, noun in (
        (accuracy, points(accuracy.value), 100, 1, "of accuracy"),
        (kappa, f"{abs(kappa.value):.2f}", 1, 2, "of kappa"),
    ):
        if change.distinguishable:
            gain = change if change.value > 0 else -change
            verb = ("add" if change.value > 0 else "cost") + "s" * (not plural)
            limits = f"{signed(scale * gain.low, digits)} to {signed(scale * gain.high, digits)}"
            said.append((verb, f"{amount} {noun} ({limits})"))
    (verb, first), *more = said
    rest = "".join(f" and {text}" if other == verb else f" and {other} {text}" for other, text in more)
    return f"{cause} {verb} {first}{rest}"


def _ranges(accuracy: Difference, kappa: Difference) -> str:
    return (
        f"accuracy {signed(100 * accuracy.low)} to {signed(100 * accuracy.high)} points, "
        f"kappa {signed(kappa.low, 2)} to {signed(kappa.high, 2)}"
    )


def nothing_learned(accuracies: Sequence[Sequence[float]], kappas: Sequence[Sequence[float]], majority: float) -> str:
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


def evaluated_on_validation(settings: int) -> str:
    """Return why a sweep that is judged on validation photographs should not be read by its best testing figure."""
    best = (
        f"the best of {settings} on testing photographs" if settings > 1 else "what it reaches on testing photographs"
    )
    return (
        "This sweep chooses by validation photographs, and its answer is in the next section; "
        f"{best} flatters whoever chooses by it."
    )
