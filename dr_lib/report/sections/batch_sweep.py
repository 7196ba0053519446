"""What the batch size does: steps, time, unrest, accuracy and kappa against it, one line a rule for the rate."""

from collections.abc import Mapping
from typing import Any

from scipy.stats import f as fisher

from dr_lib.evaluation.bootstrap import LEVEL, Difference
from dr_lib.plots import Line, Words, line_styles, plot_by_batch_size, plot_per_epoch, value_limits
from dr_lib.report import formatting, markup
from dr_lib.report.comparisons import compare_family
from dr_lib.report.drawing import inline_svg
from dr_lib.report.findings import Finding
from dr_lib.report.run_group import Figure
from dr_lib.report.settings import Setting, accuracy, epoch_std, kappa, last, lines_over, seconds, steps

Lines = Mapping[str, Mapping[int, Setting]]


def batch_findings(settings: list[Setting]) -> list[Finding]:
    """Return what the smallest and the largest batch size differ in, and what scaling the learning rate does there."""
    lines = lines_over(settings, "batch_size")
    sizes = sorted({size for line in lines.values() for size in line})
    small, large = sizes[0], sizes[-1]
    pairs = {name: (line[small], line[large]) for name, line in lines.items() if small in line and large in line}
    if small == large or not pairs:
        return []
    both = lambda figure: {name: (a.mean(figure), b.mean(figure)) for name, (a, b) in pairs.items()}  # noqa: E731
    findings = [_speed((small, large), next(iter(pairs.values())), list(both(seconds).values()))]
    moves = min(len(run.done_history) - 1 for pair in pairs.values() for setting in pair for run in setting.runs)
    if moves >= 2:
        findings.append(_calm((small, large), both(epoch_std), moves))
    findings.append(_learning((small, large), both(last("train_loss")), moves + 1))
    scaled = _scaled(lines, large)
    effects = compare_family([*pairs.values(), *scaled.values()])
    changes = [effect.change.kappa for effect in effects]
    findings.append(quality("Larger batches", dict(zip(pairs, changes, strict=False))))
    if scaled:
        of_scaling = dict(zip(scaled, changes[len(pairs) :], strict=True))
        findings.append(quality(f"At batch size {large}, scaled learning rates", of_scaling))
    return findings


_FASTER, _SLOWER = 0.95, 1.05
"""Ratios of times within these are called the same."""
_ALIKE = 1.02
"""Training losses that differ by a smaller factor are called the same."""
_AT_REST = 5e-4
"""Unrest of testing accuracy below which a curve does not move at all, which is no sign of steady learning."""


def _speed(sizes: tuple[int, int], pair: tuple[Setting, Setting], times: list[tuple[float, float]]) -> Finding:
    """Return what the larger of two batch sizes does to the steps and the time of an epoch."""
    before, after = (sum(side) / len(times) for side in zip(*times, strict=True))
    ratio = after / before
    return Finding(
        "speed",
        {
            "small": sizes[0],
            "large": sizes[1],
            "steps": [round(setting.mean(steps)) for setting in pair],
            "seconds": (before, after),
        },
        {
            "large": sizes[1],
            "faster": 1 - ratio if ratio < _FASTER else 0,
            "slower": ratio - 1 if ratio > _SLOWER else 0,
        },
    )


def _calm(sizes: tuple[int, int], spread: Mapping[str, tuple[float, float]], moves: int) -> Finding:
    """Return whether larger batches calm the curve of testing accuracy.

    ``spread``: by rule, the standard deviation of the curve's ``moves`` from one epoch to the next with the smaller
    and the larger batch. Told apart by the F test for two variances at 95%, which takes them for independent and
    normal.
    """
    bound = float(fisher.ppf((1 + LEVEL) / 2, moves - 1, moves - 1)) ** 0.5
    ways = {
        name: ""
        if min(before, after) < _AT_REST
        else "calm"
        if after * bound < before
        else "stir"
        if before * bound < after
        else ""
        for name, (before, after) in spread.items()
    }
    still = min(min(pair) for pair in spread.values()) < _AT_REST
    return Finding(
        "calm",
        {"small": sizes[0], "large": sizes[1], "spread": spread, "still": still},
        {"ways": ways, "epochs": moves + 1},
    )


def _learning(sizes: tuple[int, int], losses: Mapping[str, tuple[float, float]], epochs: int) -> Finding:
    """Return whether the same number of epochs teaches less in larger batches, by the training loss at their end."""
    ways = {
        name: "less" if after > _ALIKE * before else "more" if before > _ALIKE * after else ""
        for name, (before, after) in losses.items()
    }
    values = {"small": sizes[0], "large": sizes[1], "losses": losses, "epochs": epochs}
    return Finding("learning", values, {"ways": ways})


def quality(cause: str, changes: Mapping[str, Difference | None]) -> Finding:
    """Return what ``cause``, a plural, does to kappa; ``changes`` by rule."""
    words = {"up": "raise", "down": "lower"}
    ways = {name: words.get(change.direction, "") if change else "" for name, change in changes.items()}
    return Finding("quality", {"changes": changes}, {"cause": cause, "ways": ways})


def _scaled(lines: Lines, size: int) -> dict[str, tuple[Setting, Setting]]:
    """Return, by rule, the rate as it is and the rate scaled for batches of ``size``."""
    base = lines.get("unscaled", {}).get(size)
    if base is None:
        return {}
    return {
        name: (base, line[size])
        for name, line in lines.items()
        if size in line and line[size].runs[0] is not base.runs[0]
        and line[size].values.keys() == {"batch_size", "learning_rate_scaling"}
    }  # fmt: skip


def batch_figures(settings: list[Setting], majority: float | None) -> str:
    """Return the figures of merit against the batch size, and the curves of the training loss."""
    lines = lines_over(settings, "batch_size")
    styles = line_styles(list(lines))
    # How many steps an epoch has does not depend on the rule.
    one = {"all runs": {size: setting for line in reversed(lines.values()) for size, setting in line.items()}}
    whole, two_digits = (lambda number: f"{number:,.0f}"), (lambda value: formatting.signed(value, 2))
    seen = lambda share: formatting.percent(share, 0)  # noqa: E731
    panels = [
        _panel("Steps an epoch", one, steps, whole, line_styles(["all runs"])),
        _panel(
            "Time of an epoch, s", lines, seconds, lambda time: f"{time:,.0f}" if time >= 10 else f"{time:.2g}", styles
        ),
        _panel("Unrest of the testing curve, points", lines, epoch_std, lambda share: f"{100 * share:.3g}", styles),
        _panel("Testing accuracy", lines, accuracy, seen, styles, intervals="accuracy", majority=majority),
        _panel("Quadratic weighted kappa", lines, kappa, two_digits, styles, intervals="kappa"),
    ]
    caption = (
        "Each step to the right doubles the batch size. Time: median of the epochs, training alone, of runs that may "
        "have shared the machine. Unrest: standard deviation of the steps that testing accuracy takes from epoch to "
        "epoch; low is calm. Accuracy and kappa are those of the chosen epoch, bars their 95% intervals over patients: "
        "where bars overlap widely, the points may differ by chance."
    )
    html = markup.figure([panel for panel in panels if panel], "Against the batch size.", caption)
    return html + _losses(lines, styles)


def _panel(
    heading: str,
    lines: Lines,
    figure: Figure,
    in_words: Words,
    styles: Mapping[str, Line],
    *,
    intervals: str = "",
    majority: float | None = None,
) -> tuple[str, str] | None:
    """Return heading and drawing of one figure of merit; ``None`` where no run is long enough to have it."""
    values = {
        name: {size: numbers for size, setting in line.items() if (numbers := _known(setting, figure))}
        for name, line in lines.items()
    }
    values = {name: line for name, line in values.items() if line}
    if not values:
        return None
    limits = {
        name: {size: limits for size, setting in line.items() if (limits := setting.interval(intervals))}
        for name, line in lines.items()
    } if intervals else None  # fmt: skip
    ax = plot_by_batch_size(values, styles=styles, words=in_words, intervals=limits, majority=majority)
    return heading, inline_svg(ax, _spoken(f"{heading} by batch size", values, in_words))


def _known(setting: Setting, figure: Figure) -> list[float]:
    return [number for number in setting.figures(figure) if number == number]


def _spoken(what: str, values: Mapping[str, Mapping[int, list[float]]], in_words: Words) -> str:
    described = [
        f"{name} " + ", ".join(f"{in_words(sum(line[size]) / len(line[size]))} at {size}" for size in sorted(line))
        for name, line in values.items()
    ]
    return f"{what}: {'; '.join(described)}"


def _losses(lines: Lines, styles: Mapping[str, Line]) -> str:
    """Return small multiples of the training loss, one a batch size, on one scale."""
    by_size: dict[int, dict[str, Any]] = {}
    for size in sorted({size for line in lines.values() for size in line}):
        # Rules that come to the same at this size share a run: one curve, under all their names.
        runs = {line[size].runs[0].name: line[size].runs[0] for line in lines.values() if size in line}
        for run in runs.values():
            names = [name for name, line in lines.items() if size in line and line[size].runs[0] is run]
            label = "all rules" if 1 < len(names) == len(lines) else formatting.listed(names)
            by_size.setdefault(size, {})[label] = run.done_history.set_index("epoch")["train_loss"]
    looks = dict(styles) | {
        label: styles.get(label, next(iter(styles.values()))) for curves in by_size.values() for label in curves
    }
    limits = value_limits([curve for curves in by_size.values() for curve in curves.values()])
    in_words = lambda loss: f"{loss:.2f}"  # noqa: E731
    panels = []
    for size, curves in by_size.items():
        described = [f"{name} from {curve.iloc[0]:.2f} to {curve.iloc[-1]:.2f}" for name, curve in curves.items()]
        ax = plot_per_epoch(curves, styles=looks, words=in_words, limits=limits)
        panels.append(
            (f"Batch size {size}", inline_svg(ax, f"Training loss, batch size {size}: {'; '.join(described)}"))
        )
    caption = (
        "One panel a batch size, all on one scale. A curve that lies higher has learned less in as many epochs: larger "
        "batches take fewer steps, and each goes as far as the learning rate lets it."
    )
    return markup.figure(panels, "Training loss by epoch.", caption)
