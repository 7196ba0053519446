"""Many runs at once: what each took, and where all those with one setting lie."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from numpy.typing import NDArray

from dr_lib.plots.axes import FONT, HEAT, MUTED, TEXT, Words, mark_majority, panel, row_axis

_ROW = 24


def plot_cost(
    figures: Mapping[str, Sequence[float]],
    *,
    words: Words,
    name: str,
    colors: Mapping[str, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw what each run took, such as minutes of training or photographs a second: a bar a run, its number beside it.

    ``figures``: by run, the figure of each of its seeds, none negative; the bar is their mean, and where there are
    several each has a dot. Names stand above the bars: beside them, long ones would leave no room for bars. ``name``:
    of the axis. ``colors``: by run.
    """
    ax = ax or panel(360, 56 + 1.7 * _ROW * len(figures))
    largest = max((max(values) for values in figures.values()), default=0) or 1.0
    bars = []
    for row, (run, values) in enumerate(figures.items()):
        bars += [(row + 0.2, value) for value in values]
        ax.annotate(
            words(float(np.mean(values))), (max(values), row + 0.2), xytext=(6, 0), textcoords="offset points",
            va="center", fontsize=FONT - 1.5, color=TEXT,
        )  # fmt: skip
        ax.annotate(
            run, (0, row - 0.22), xytext=(1, 0), textcoords="offset points", va="center", fontsize=FONT - 1,
            color=TEXT, gid="name",
        )  # fmt: skip
    table = pd.DataFrame(bars, columns=["row", "value"])
    palette = [(colors or {}).get(run, HEAT) for run in figures]
    rows: dict[str, Any] = {"x": "value", "y": "row", "orient": "y", "native_scale": True, "legend": False, "ax": ax}
    sns.barplot(table, hue="row", palette=palette, saturation=1, width=0.36, errorbar=None, **rows)
    seeds = table[table.groupby("row")["value"].transform("size") > 1]
    if len(seeds):
        sns.stripplot(seeds, color=TEXT, size=5.5, jitter=False, zorder=3, gid="seed", **rows)
    ax.set(xlim=(0, 1.18 * largest), ylim=(len(figures) - 0.5, -0.5))
    row_axis(ax, {}, words)
    ax.set_xlabel(name, fontsize=FONT, color=MUTED)
    # The bars start here; further right there are only numbers.
    ax.set_xticks([tick for tick in ax.get_xticks() if tick <= 1.05 * largest])
    return ax


def plot_many(
    groups: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    words: Words,
    majority: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw where hundreds of runs lie, parameter by parameter: a dot a run, a stroke at the median of a row.

    ``groups``: by parameter and its value, the figures of all runs that have it; every run is in one row of each
    parameter. Dots that would hide each other are moved apart, up and down. What a row does not say is which other
    settings its runs have: rows of a full grid can be compared, since these are the same in each.
    """
    lines = sum(len(rows) + 1 for rows in groups.values())
    ax = ax or panel(360, 70 + _ROW * lines)
    numbers = np.array([value for rows in groups.values() for values in rows.values() for value in values])
    span = float(np.ptp(numbers)) or 1.0
    names: dict[float, str] = {}
    places, row = [], 0
    for parameter, rows in groups.items():
        ax.annotate(
            parameter, (0, row), xycoords=("axes fraction", "data"), va="center", fontsize=FONT - 0.5,
            fontweight="bold", color=TEXT, annotation_clip=False,
        )  # fmt: skip
        for place, (name, values) in enumerate(rows.items(), row + 1):
            names[place] = name
            places += [place] * len(values)
        row += 1 + len(rows)
    options: dict[str, Any] = {"x": numbers, "y": places, "orient": "y", "native_scale": True, "ax": ax}
    drawn = len(ax.collections)
    sns.stripplot(**options, jitter=False, color=HEAT, size=4.6, zorder=3, gid="runs")
    # Its jitter is drawn from a generator that all share, so that each drawing would be another.
    for dots in ax.collections[drawn:]:
        x, y = np.asarray(dots.get_offsets()).T
        dots.set_offsets(np.column_stack([x, y + _apart(x, span / 75)]))
    sns.pointplot(
        **options, estimator="median", errorbar=None, linestyle="none", color=TEXT, marker="|", markersize=17,
        markeredgewidth=2.6, zorder=4, gid="median",
    )  # fmt: skip
    mark_majority(ax, majority, across=False)
    ax.set_ylim(lines - 0.4, -0.6)
    ax.margins(x=0.05)
    row_axis(ax, names, words)
    return ax


def _apart(figures: NDArray[np.float64], near: float) -> NDArray[np.float64]:
    """Return how far each dot is moved, in rows -0.36..0.36: those in one bin of width ``near`` fan out about 0."""
    moved = np.zeros(len(figures))
    bins = np.round(figures / near)
    for value in np.unique(bins):
        together = np.flatnonzero(bins == value)
        step = min(0.16, 0.72 / len(together))
        moved[together] = step * (np.arange(len(together)) - (len(together) - 1) / 2)
    return moved
