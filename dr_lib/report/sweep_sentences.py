"""What sweeps say, in words that follow from the numbers: each finding is a headline and the sentence that bears it.

Shares 0..1 in, percent and points out. A difference is one only where its interval leaves out zero.
"""

import math
from collections.abc import Mapping, Sequence

from scipy.stats import f as fisher

from dr_lib.evaluation.bootstrap import LEVEL, Difference
from dr_lib.report.formatting import between, counted, duration, listed, percent, signed
from dr_lib.report.sentences import change_in_kappa, kappa_of

Finding = tuple[str, str]

ALIKE = 1.02
"""Training losses that differ by a smaller factor are called the same."""
NOTABLE = math.log(1.25)
"""Gradients that differ by a smaller factor are called alike."""
FADED = 0.1
"""Share of the last layer's gradient below which little can be said to be left of it in the first one."""

AT_REST = 5e-4
"""Unrest of testing accuracy below which a curve does not move at all, which is no sign of steady learning."""


def best_setting(
    label: str, kappa: float, limits: Sequence[float] | None, others: Mapping[str, Difference | None]
) -> Finding:
    """Return which setting grades best, and from which of the ``others`` it can be told.

    ``others``: by label, the best setting's kappa less the other's; ``None`` where they cannot be compared.
    """
    said = f"Its {kappa_of(kappa, limits)}."
    worse = [name for name, change in others.items() if change and change.distinguishable]
    alike = [name for name in others if name not in worse]
    if not others:
        return f"Only {label} has finished.", said
    headline = f"Of {counted(len(others) + 1, 'setting')}, the highest kappa is that of {label}"
    if not worse:
        return f"{headline}, and no other can be told from it.", said
    if not alike:
        return f"{headline}, and all others are lower.", said
    return f"{headline}, but not of it alone.", (
        f"{said} {capitalized(listed(alike))} cannot be told from it; "
        f"{listed(worse)} {_verb(worse, 'is', 'are')} lower."
    )


def against_the_first(label: str, figure: str, value: float, changes: Mapping[str, Difference | None]) -> Finding:
    """Return which settings can be told from the first, whose ``figure`` has ``value``.

    ``changes``: by label, another setting's figure less the first one's; ``None`` where there is no interval.
    """
    first, said = f"“{label}”", f"The {figure} of “{label}” on validation photographs is {value:.3f}."
    if not changes:
        return f"Only {first} has finished.", said
    if not any(changes.values()):
        return "With one seed each, nothing can be told from chance.", said
    described = {name: change for name, change in changes.items() if change and change.distinguishable}
    if not described:
        return f"Nothing that was tried can be told from {first}.", said
    headline = []
    for word, sign in (("worse", -1), ("better", 1)):
        names = [f"“{name}”" for name, change in described.items() if sign * change.value > 0]
        if names:
            headline.append(f"{listed(names)} {_verb(names, 'is', 'are')} {word} than {first}.")
    by_how_much = [
        f"“{name}” changes it by {signed(change.value, 3)} ({between(change.low, change.high, scale=1, digits=3)})."
        for name, change in described.items()
    ]
    rest = len(changes) - len(described)
    left = [f"{capitalized(counted(rest, 'other setting'))} cannot be told from it."] if rest else []
    return " ".join(headline), " ".join([said, *by_how_much, *left])


def speed(sizes: tuple[int, int], steps: tuple[float, float], seconds: tuple[float, float]) -> Finding:
    """Return what the larger of two batch sizes does to the steps and the time of an epoch."""
    small, large = sizes
    ratio = seconds[1] / seconds[0]
    headline = (
        f"Batches of {large} make an epoch {percent(1 - ratio, 0)} shorter."
        if ratio < 0.95
        else f"Batches of {large} make an epoch {percent(ratio - 1, 0)} longer."
        if ratio > 1.05
        else "Larger batches make an epoch no shorter."
    )
    return headline, (
        f"It takes {counted(round(steps[0]), 'step')} and {_time(seconds[0])} with batches of {small}, "
        f"{counted(round(steps[1]), 'step')} and {_time(seconds[1])} with batches of {large}."
    )


def calm(sizes: tuple[int, int], epoch_std: Mapping[str, tuple[float, float]], steps: int) -> Finding:
    """Return whether larger batches calm the curve of testing accuracy.

    ``epoch_std``: by rule, the standard deviation of the curve's steps from one epoch to the next with the smaller
    and the larger batch, ``steps`` of them. Told apart by the F test for two variances at 95%, which takes steps for
    independent and normal.
    """
    small, large = sizes
    bound = float(fisher.ppf((1 + LEVEL) / 2, steps - 1, steps - 1)) ** 0.5
    ways = {
        name: ""
        if min(before, after) < AT_REST
        else "calm"
        if after * bound < before
        else "stir"
        if before * bound < after
        else ""
        for name, (before, after) in epoch_std.items()
    }
    headline = _by_rule(
        ways,
        {"calm": "Larger batches calm the testing curve", "stir": "Larger batches make the testing curve shake more"},
        f"Whether larger batches calm the testing curve cannot be told from {counted(steps + 1, 'epoch')}",
    )
    described = [
        f"{100 * before:.1f} points with batches of {small} and {100 * after:.1f} with {large} ({name})"
        for name, (before, after) in epoch_std.items()
    ]
    said = f"Its steps from epoch to epoch have a standard deviation of {listed(described)}."
    if min(min(pair) for pair in epoch_std.values()) < AT_REST:
        said += " A curve that does not move at all may be a network that gives every photograph the same answer."
    return headline, said


def learning(sizes: tuple[int, int], losses: Mapping[str, tuple[float, float]], epochs: int) -> Finding:
    """Return whether the same number of epochs teaches less in larger batches, by the training loss at their end."""
    ways = {
        name: "less" if after > ALIKE * before else "more" if before > ALIKE * after else ""
        for name, (before, after) in losses.items()
    }
    headline = _by_rule(
        ways,
        {
            "less": "The same epochs teach less in larger batches",
            "more": "The same epochs teach more in larger batches",
        },
        "The same epochs teach about as much in larger batches",
    )
    described = [f"{before:.2f} and {after:.2f} ({name})" for name, (before, after) in losses.items()]
    return headline, (
        f"After {counted(epochs, 'epoch')} the training loss with batches of {sizes[0]} and of {sizes[1]} is "
        f"{listed(described)}."
    )


def quality(cause: str, changes: Mapping[str, Difference | None]) -> Finding:
    """Return what ``cause``, a plural, does to kappa; ``changes`` by rule."""
    ways = {
        name: ("raise" if change.value > 0 else "lower") if change and change.distinguishable else ""
        for name, change in changes.items()
    }
    headline = _by_rule(
        ways, {way: f"{cause} {way} kappa" for way in ("raise", "lower")}, f"{cause} do not move kappa measurably"
    )
    described = [f"{name}: {change_in_kappa(change)}" for name, change in changes.items()]
    return headline, f"{capitalized('; '.join(described))}."


def depth(
    kind: str, networks: tuple[str, str], errors: tuple[float, float], change: Difference, epochs: int
) -> Finding:
    """Return whether the deeper of two networks of one ``kind``, plain or residual, has the higher training error.

    ``errors``: shares of the training photographs answered wrongly in the last epoch, shallow and deep. ``change``:
    their difference, deep less shallow.
    """
    if not change.distinguishable:
        headline = f"Depth does not move the training error of {kind} networks measurably"
    elif change.value > 0:
        headline = f"The deeper {kind} network has the higher training error"
        headline += ": degradation" if kind == "plain" else ""
    else:
        headline = f"The deeper {kind} network has the lower training error"
    return f"{headline}.", (
        f"In epoch {epochs} it is {percent(errors[1])} for {networks[1]} and {percent(errors[0])} for {networks[0]} "
        f"(difference {signed(100 * change.value)} points, {between(change.low, change.high)})."
    )


def shortcuts(network: str, errors: tuple[float, float], change: Difference, kappa: Difference | None) -> Finding:
    """Return what shortcuts do to the training error (``errors`` without and with) and to kappa of ``network``."""
    if not change.distinguishable:
        headline = f"Shortcuts do not move the training error of {network} measurably."
    else:
        headline = f"Shortcuts {'lower' if change.value < 0 else 'raise'} the training error of {network}."
    return headline, (
        f"It is {percent(errors[0])} without them and {percent(errors[1])} with them (difference "
        f"{signed(100 * change.value)} points, {between(change.low, change.high)}); on the testing photographs "
        f"{change_in_kappa(kappa)}."
    )


def gradients(network: str, first: tuple[float, float], last: tuple[float, float], epochs: int) -> Finding:
    """Return what shortcuts do to the gradient on its way back through ``network``.

    ``first`` and ``last`` epoch: norm at the first convolution over that at the last one, without shortcuts and with.
    """
    plain, residual = (abs(math.log(factor)) for factor in last)
    headline = (
        "Shortcuts keep the gradient more even from layer to layer."
        if residual < plain - NOTABLE
        else "Shortcuts make the gradient less even from layer to layer."
        if residual > plain + NOTABLE
        else "Shortcuts leave the gradients of the layers about as even as they were."
    )
    said = (
        f"Set against the gradient at the last convolution of {network}, that at the first one is {_share(first[0])} "
        f"without shortcuts and {_share(first[1])} with them in epoch 1, {_share(last[0])} and {_share(last[1])} in "
        f"epoch {epochs}."
    )
    if last[0] < FADED:
        said += " In the plain network little of it is left where the photograph comes in."
    elif last[0] < 1:
        said += " It does not vanish in the plain network: batch normalization sees to that, as He et al. found too."
    return headline, said


def unlearned(errors: Sequence[float], majority_error: float, chance: float) -> str:
    """Return a warning where no network has learned its training photographs, else an empty string.

    ``majority_error``: share of them that the commonest grade gets wrong; ``chance``: how much less than that may be
    chance.
    """
    if min(errors) < majority_error - chance:
        return ""
    return (
        f"None of the networks answers its training photographs better than the commonest grade would ("
        f"{percent(majority_error)} wrong). Where nothing is learned, depth and shortcuts cannot show what they do: "
        "more epochs, more photographs or another learning rate are needed first."
    )


def missing(done: int, asked: int) -> str:
    """Return how many of the sweep's runs are there, where some are not."""
    if done == asked:
        return ""
    return f"{done} of {counted(asked, 'run')} of this sweep have finished; the rest is missing from what follows."


def caution(seeds: Sequence[int], spread: float | None) -> str:
    """Return how far the sweep can be trusted.

    ``seeds``: runs of each setting; ``spread``: standard deviation of kappa among the seeds of a setting, in the mean
    over settings, where there are several.
    """
    if max(seeds) == 1 or spread is None:
        return (
            "Each setting was run with one seed, which proves little: intervals say what other patients would change, "
            "not what another seed would."
        )
    return (
        f"Settings were run with up to {max(seeds)} seeds; kappa of the same setting differs among them by "
        f"{spread:.2f} (standard deviation). Intervals are over seeds and patients."
    )


def _by_rule(ways: Mapping[str, str], words: Mapping[str, str], neither: str) -> str:
    """Return one headline for all rules where they agree, or which rule does what."""
    found = set(ways.values())
    if len(found) == 1:
        return f"{words.get(found.pop(), neither)}."
    described = [
        f"{text} ({listed([name for name, own in ways.items() if own == way])})"
        for way, text in words.items()
        if way in found
    ]
    rest = [name for name, way in ways.items() if not way]
    return "; ".join(described) + (f", not measurably ({listed(rest)})." if rest else ".")


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)


def _share(factor: float) -> str:
    """Return percent with two digits that count: a gradient may be any power of ten."""
    return f"{100 * factor:.2g}%" if factor < 1 else f"{100 * factor:,.0f}%"


def capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def _verb(subjects: Sequence[str], one: str, several: str) -> str:
    return one if len(subjects) == 1 else several
