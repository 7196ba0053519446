"""The figures of sweeps: what a figure of merit does along what was varied.

Lines are told apart by color, by marker or dashes, and by their names, which stand at their ends.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from dr_lib.plots.axes import (
    FONT,
    MUTED,
    NETWORKS,
    TEXT,
    Line,
    Words,
    count_axis,
    mark_majority,
    name_ends,
    panel,
    plain_axes,
    row_axis,
    value_axis,
)

MAX_LINES = 6
"""More lines than this in one panel cannot be told apart."""

_MARKERS = "osD^vP"
_ORDER = (2, 3, 4, 5, 0, 1)
"""Blue and orange come last: elsewhere in the report they are ResNet18 and ResNet50."""


def line_styles(names: Sequence[str]) -> dict[str, Line]:
    """Return a look for each of up to :data:`MAX_LINES` names."""
    return {
        name: Line(NETWORKS[which], marker)
        for name, which, marker in zip(names, _ORDER[: len(names)], _MARKERS, strict=False)
    }


def plot_by_batch_size(
    lines: Mapping[str, Mapping[int, Sequence[float]]],
    *,
    styles: Mapping[str, Line],
    words: Words,
    intervals: Mapping[str, Mapping[int, tuple[float, float]]] | None = None,
    majority: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a figure of merit against the batch size, on an axis of doublings, one line a rule.

    ``lines``: by rule and batch size, the figure of each seed; the line goes through their means, and where there are
    several each has a small dot. ``intervals`` (low, high) are drawn as bars, side by side. A single line has its
    numbers written beside its points.
    """
    ax = ax or panel(360, 240)
    sizes = sorted({size for line in lines.values() for size in line})
    ends = mark_majority(ax, majority)
    for number, (name, line) in enumerate(lines.items()):
        color = styles[name].color
        apart = 2 ** (0.13 * (number - (len(lines) - 1) / 2)) if intervals else 1.0
        x, y = np.array([(size * apart, value) for size in sorted(line) for value in line[size]]).T
        sns.lineplot(
            x=x, y=y, errorbar=None, color=color, lw=2, marker=styles[name].marker, markersize=6,
            markeredgecolor=color, label=name, legend=False, zorder=3, ax=ax,
        )  # fmt: skip
        several = np.isin(x, [size * apart for size in line if len(line[size]) > 1])
        ax.plot(x[several], y[several], ".", ms=5, color=color, zorder=2, gid="seed")
        for size, (low, high) in (intervals or {}).get(name, {}).items():
            ax.vlines(size * apart, low, high, color=color, lw=1.4, alpha=0.6, zorder=2)
        means = {size: float(np.mean(line[size])) for size in sorted(line)}
        ends[name] = (means[max(means)], TEXT)
        if len(lines) == 1:
            for size, mean in means.items():
                ax.annotate(
                    words(mean), (size, mean), xytext=(0, 7), textcoords="offset points", ha="center",
                    fontsize=FONT - 1, color=TEXT,
                )  # fmt: skip
    ax.set_xscale("log", base=2)
    ax.set_xlim(sizes[0] / 1.3, sizes[-1] * 1.3)
    ax.margins(y=0.14)
    plain_axes(ax)
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("batch size", fontsize=FONT, color=MUTED)
    value_axis(ax, words)
    if len(ends) > 1:
        name_ends(ax, ends)
    return ax


def plot_per_epoch(
    curves: Mapping[str, pd.Series],
    *,
    styles: Mapping[str, Line],
    words: Words,
    limits: tuple[float, float],
    majority: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw curves over epochs (values indexed by epoch), named at their ends, on a value axis of ``limits``."""
    ax = ax or panel(360, 230)
    ends = mark_majority(ax, majority)
    for name, curve in curves.items():
        style = styles[name]
        ax.plot(curve.index, curve.to_numpy(), color=style.color, label=name, zorder=3, **style.strokes)
        ax.plot(curve.index[-1:], curve.to_numpy()[-1:], style.marker, color=style.color, ms=5, zorder=3)
        ends[name] = (float(curve.iloc[-1]), TEXT)
    first, last = (int(edge([curve.index[end] for curve in curves.values()])) for edge, end in ((min, 0), (max, -1)))
    ax.set_xlim(first - 0.4, max(last, first + 1) + 0.2)
    ax.set_ylim(*limits)
    plain_axes(ax)
    count_axis(ax, "epoch")
    value_axis(ax, words)
    name_ends(ax, ends)
    return ax


def plot_gradients(
    norms: Mapping[str, pd.Series],
    *,
    styles: Mapping[str, Line],
    limits: tuple[float, float],
    ax: Axes | None = None,
) -> Axes:
    """Draw the norm of the gradient of each layer (indexed by depth, 1 next to the photograph), in powers of ten.

    A layer that has none, since it is frozen, is left out.
    """
    ax = ax or panel(360, 230)
    ax.set_yscale("log")
    ends = {}
    for name, norm in norms.items():
        style, seen = styles[name], norm[norm > 0]
        if seen.empty:
            continue
        ax.plot(
            seen.index, seen.to_numpy(), color=style.color, marker=style.marker, ms=3.5, lw=1.6, label=name,
            ls=(0, (4, 2)) if style.dashed else "-", zorder=3,
        )  # fmt: skip
        ends[name] = (float(seen.iloc[-1]), TEXT)
    deepest = max(int(norm.index[-1]) for norm in norms.values())
    ax.set_xlim(0.3, deepest + 0.7)
    ax.set_ylim(*limits)
    plain_axes(ax)
    ax.yaxis.set_major_locator(LogLocator(numticks=6))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda norm, _: f"{norm:g}"))
    count_axis(ax, "layer, from the photograph to the answer")
    name_ends(ax, ends)
    return ax


def plot_settings(
    figures: Mapping[str, Sequence[float]],
    intervals: Mapping[str, tuple[float, float] | None],
    *,
    words: Words,
    majority: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw one row a setting: the figure of each seed as a dot, their mean as a stroke, the interval as a bar."""
    ax = ax or panel(360, 70 + 30 * len(figures))
    values = [(row, value) for row, seeds in enumerate(figures.values()) for value in seeds]
    table = pd.DataFrame(values, columns=["row", "value"], dtype=float)
    rows: dict[str, Any] = {"x": "value", "y": "row", "orient": "y", "native_scale": True, "ax": ax}
    rows["color"] = NETWORKS[_ORDER[0]]
    sns.stripplot(table, jitter=False, size=6, zorder=3, gid="seed", **rows)
    several = table[table.groupby("row")["value"].transform("size") > 1]
    if len(several):
        sns.pointplot(
            several, errorbar=None, linestyle="none", marker="|", markersize=16, markeredgewidth=2.4, zorder=4,
            gid="mean", **rows,
        )  # fmt: skip
    for row, name in enumerate(figures):
        if limits := intervals.get(name):
            ax.hlines(row, *limits, color=rows["color"], lw=7, alpha=0.3, zorder=2)
    mark_majority(ax, majority, across=False)
    ax.set_ylim(len(figures) - 0.5, -0.5)
    ax.margins(x=0.08)
    row_axis(ax, dict(enumerate(figures)), words)
    return ax


def value_limits(curves: Sequence[Sequence[float]], also: float | None = None) -> tuple[float, float]:
    """Return a range that holds all ``curves``, for panels that are to be compared."""
    values = np.concatenate([np.asarray(curve, dtype=float) for curve in curves])
    values = np.append(values, [] if also is None else also)
    air = 0.07 * float(np.ptp(values)) or 0.01
    return float(values.min()) - air, float(values.max()) + air
