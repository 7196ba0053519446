"""What the numbers say, in sentences: numbers in, plain text out, nothing said that an interval does not carry.

Shares come in, percent and percentage points go out. A difference counts only where its 95% interval excludes zero.
"""

from collections.abc import Sequence

from dr_lib import GRADE_NAMES
from dr_lib.evaluation.bootstrap import Difference
from dr_lib.evaluation.seed_groups import SeedFigure
from dr_lib.report.formatting import between, counted, listed, percent, points, signed

UNPAIRED = "the two were not tested on the same photographs, so no interval can be given for the difference"


def change_in_accuracy(cause: str, change: Difference | None) -> str:
    """Return the clause ``pretraining adds 8.9 points (95% interval 8.0 to 9.8)``, or that it is not told from none."""
    if change is None:
        return UNPAIRED
    if not change.distinguishable:
        return (
            f"the difference of {signed(100 * change.value)} points may be chance ({between(change.low, change.high)})"
        )
    gain = change if change.value > 0 else -change
    return f"{cause} {'adds' if change.value > 0 else 'costs'} {points(gain.value)} ({between(gain.low, gain.high)})"


def change_in_kappa(change: Difference | None) -> str:
    """Return the clause on quadratic weighted kappa that follows one on accuracy."""
    if change is None:
        return "kappa cannot be compared"
    if not change.distinguishable:
        limits = between(change.low, change.high, scale=1, digits=2)
        return f"kappa does not move measurably ({signed(change.value, 2)}, {limits})"
    gain = change if change.value > 0 else -change
    limits = between(gain.low, gain.high, scale=1, digits=2)
    return f"kappa {'rises' if change.value > 0 else 'falls'} by {gain.value:.2f} ({limits})"


def effect(
    cause: str, subject: str, without: str, with_it: str, before: float, after: float,
    accuracy: Difference | None, kappa: Difference | None,
) -> str:  # fmt: skip
    """Return one sentence on what ``cause`` changes between two runs, testing accuracies ``before`` and ``after``."""
    return (
        f"{subject} reaches {percent(after)} {with_it} and {percent(before)} {without}: "
        f"{change_in_accuracy(cause, accuracy)}; {change_in_kappa(kappa)}."
    )


def headline(cause: str, changes: Sequence[Difference | None], *, plural: bool = False) -> str:
    """Return the headline over several comparisons of one cause, such as ``Pretraining raises accuracy.``"""
    raises, lowers, make = ("raise", "lower", "make") if plural else ("raises", "lowers", "makes")
    known = [change for change in changes if change is not None]
    if not known:
        return f"Nothing can be said about {cause[:1].lower()}{cause[1:]}."
    directions = {(change.value > 0) - (change.value < 0) if change.distinguishable else 0 for change in known}
    if directions == {1}:
        return f"{cause} {raises} accuracy."
    if directions == {-1}:
        return f"{cause} {lowers} accuracy."
    if directions == {0}:
        return f"{cause} {make} no measurable difference to accuracy."
    if directions == {0, 1}:
        return f"{cause} {raises} accuracy in some comparisons, not measurably in others."
    if directions == {0, -1}:
        return f"{cause} {lowers} accuracy in some comparisons, not measurably in others."
    return f"{cause} {'work' if plural else 'works'} in opposite directions in different comparisons."


def optimism(
    label: str, highest: float, highest_epoch: int, chosen: float, chosen_epoch: int, select_by: str = "val_kappa"
) -> str:
    """Return what looking at the testing accuracy of every epoch adds to the honest figure."""
    if chosen_on(select_by) == "testing":
        return (
            f"{label}: the epoch was itself chosen by its testing accuracy, {percent(chosen)} in epoch {chosen_epoch}; "
            "there is no honest figure to compare it with."
        )
    gain = highest - chosen
    if highest_epoch == chosen_epoch or abs(gain) < 5e-4:
        return (
            f"{label}: the highest testing accuracy of all epochs, {percent(highest)} in epoch {highest_epoch}, is "
            f"what {tested_epoch(chosen_on(select_by))} ({chosen_epoch}) reaches too."
        )
    return (
        f"{label}: the highest testing accuracy of all epochs is {percent(highest)}, in epoch {highest_epoch}; "
        f"{tested_epoch(chosen_on(select_by))} ({chosen_epoch}) reaches {percent(chosen)}. Picking the epoch by its "
        f"testing accuracy flatters the network by {points(gain)}."
    )


def mean_optimism(gains: Sequence[float], chosen_on: str) -> str:
    """Return how much kinder the highest testing accuracy is than the honest one, over all finished runs.

    ``gains``: of each run, shares. No interval is given: it would need the answers at every epoch, which are not kept.
    """
    if chosen_on == "testing" or len(gains) < 2:
        return ""
    mean, most = sum(gains) / len(gains), max(gains)
    return (
        f"Over {counted(len(gains), 'finished run')}, the highest testing accuracy is on average {points(mean)} above "
        f"that of {tested_epoch(chosen_on)}, at most {points(most)}."
    )


def optimism_of_seeds(label: str, gain: SeedFigure) -> str:
    """Return how much kinder the highest testing accuracy is than the honest one, over the seeds of a network."""
    return (
        f"{label}, {gain.n} seeds: the highest testing accuracy is on average {points(gain.mean)} above the honest one "
        f"(95% interval over seeds {signed(100 * gain.low)} to {signed(100 * gain.high)})."
    )


def chosen_on(select_by: str) -> str:
    """Return what chose the epoch: ``validation``, ``testing``, which flatters, or nothing, it being the ``last``."""
    return {"val": "validation", "test": "testing", "last": "last"}[select_by.partition("_")[0]]


def chosen_by(select_by: str) -> str:
    """Return how an epoch came to be the tested one, to stand behind its number."""
    return "the last one" if select_by == "last" else f"chosen by {select_by}"


def tested_epoch(chosen_on: str) -> str:
    """Return which epoch it is that was tested."""
    return "the last epoch" if chosen_on == "last" else f"the epoch chosen on {chosen_on}"


def kappa_of(value: float, limits: Sequence[float] | None) -> str:
    """Return ``quadratic weighted kappa is 0.71 (95% interval 0.69 to 0.73)``."""
    said = f"quadratic weighted kappa is {signed(value, 2)}"
    return f"{said} ({between(*limits, scale=1, digits=2)})" if limits else said


def recall_changes(
    before: Sequence[float | None], after: Sequence[float | None], changes: Sequence[Difference | None]
) -> str:
    """Return for which grades recall rises, falls or stays, by the interval of each grade's difference."""
    groups: dict[str, list[str]] = {"rises": [], "falls": [], "does not change measurably": [], "is undefined": []}
    for grade, (start, end, change) in enumerate(zip(before, after, changes, strict=True)):
        name = f"grade {grade}"
        if start is None or end is None or change is None:
            groups["is undefined"].append(name)
        else:
            way = (
                "does not change measurably" if not change.distinguishable else "rises" if change.value > 0 else "falls"
            )
            groups[way].append(f"{name} ({percent(start, 0)} to {percent(end, 0)})")
    parts = [f"{way} for {listed(grades)}" for way, grades in groups.items() if grades]
    return f"Recall {'; it '.join(parts)}." if parts else ""


def trade(accuracy: Difference | None, recalls: Sequence[Difference | None]) -> str:
    """Return what class weights trade: accuracy against the recall of the grades with disease."""
    diseased = [change for change in recalls[1:] if change is not None and change.distinguishable]
    gained = bool(diseased) and all(change.value > 0 for change in diseased)
    lost = bool(diseased) and all(change.value < 0 for change in diseased)
    dearer = accuracy is not None and accuracy.distinguishable and accuracy.value < 0
    cheaper = accuracy is not None and accuracy.distinguishable and accuracy.value > 0
    if gained and dearer:
        return "The weights buy recall of the diseased grades with accuracy."
    if gained:
        return "The weights buy recall of diseased grades" + (
            " and accuracy as well." if cheaper else " at no measurable cost in accuracy."
        )
    if lost:
        return "The weights lower the recall of diseased grades, the opposite of what they are for."
    if diseased:
        return "The weights help some diseased grades and harm others."
    return "The weights do not change the recall of any diseased grade measurably" + (
        ", and cost accuracy." if dearer else "."
    )


def phases(
    label: str, last_frozen: float | None, first_tuned: float | None, chosen: float, *, tuned: bool = True
) -> str:
    """Return how testing accuracy moves when fine-tuning begins after feature extraction.

    ``tuned``: whether the chosen epoch is one of fine-tuning. Empty where a run has not both phases.
    """
    if last_frozen is None or first_tuned is None:
        return ""
    if not tuned:
        return (
            f"{label}: the chosen epoch ({percent(chosen)}) lies in feature extraction; fine-tuning brought nothing "
            "better on the photographs that choose the epoch."
        )
    gain = chosen - last_frozen
    way = "leaves it where it was" if abs(gain) < 0.005 else "raises it" if gain > 0 else "lowers it"
    return (
        f"{label}: testing accuracy is {percent(last_frozen)} at the end of feature extraction, {percent(first_tuned)} "
        f"after one epoch of fine-tuning and {percent(chosen)} at the chosen epoch; fine-tuning {way}."
    )


def generalization(label: str, training: float, testing: float, majority: float) -> str:
    """Return how far training and testing accuracy lie apart at the chosen epoch.

    A network that has not learned its training photographs beyond the ``majority`` cannot have overfitted them.
    """
    gap = training - testing
    if abs(gap) < 0.01:
        return f"{label}: training ({percent(training)}) and testing accuracy ({percent(testing)}) agree."
    side = "above" if gap > 0 else "below"
    return (
        f"{label}: training accuracy, {percent(training)}, is {points(gap)} {side} testing accuracy, "
        f"{percent(testing)}" + (", a sign of overfitting." if gap > 0.05 and training > majority else ".")
    )


def confusion(label: str, matrix: Sequence[Sequence[int]]) -> str:
    """Return which grades a network recognizes best and worst, and what the worst is taken for."""
    rows = {grade: row for grade, row in enumerate(matrix) if sum(row)}
    if not rows:
        return f"{label}: no photographs."
    answers = [grade for grade in range(len(matrix)) if any(row[grade] for row in matrix)]
    if len(answers) == 1:
        return f"{label} answers “{GRADE_NAMES[answers[0]]}” for every photograph."
    recalls = {grade: row[grade] / sum(row) for grade, row in rows.items()}
    best, worst = max(recalls, key=recalls.__getitem__), min(recalls, key=recalls.__getitem__)
    said = f"{label} recognizes grade {best} best ({percent(recalls[best], 0)})"
    if best == worst or recalls[best] == recalls[worst]:
        return f"{said}."
    row = rows[worst]
    wrong = max((grade for grade in range(len(row)) if grade != worst), key=lambda grade: row[grade])
    mistaken = f", which it calls grade {wrong} in {percent(row[wrong] / sum(row), 0)} of cases" if row[wrong] else ""
    return f"{said} and grade {worst} worst ({percent(recalls[worst], 0)}){mistaken}."
