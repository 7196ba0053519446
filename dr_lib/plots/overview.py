"""Many runs at once: what each took, and where all those with one setting lie."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from dr_lib.plots.axes import DOTTED, FONT, GRID, HEAT, MAJORITY, MUTED, TEXT, Words, panel, plain_axes

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
    for row, (run, values) in enumerate(figures.items()):
        color, mean = (colors or {}).get(run, HEAT), float(np.mean(values))
        bar = row + 0.2
        ax.barh(bar, mean, 0.36, color=color, label=run)
        if len(values) > 1:
            ax.plot(values, [bar] * len(values), "o", ms=4.5, color=TEXT, zorder=3, gid="seed")
        ax.annotate(
            words(mean), (max(values), bar), xytext=(6, 0), textcoords="offset points", va="center",
            fontsize=FONT - 1.5, color=TEXT,
        )  # fmt: skip
        ax.annotate(
            run, (0, row - 0.22), xytext=(1, 0), textcoords="offset points", va="center", fontsize=FONT - 1,
            color=TEXT, gid="name",
        )  # fmt: skip
    ax.set(xlim=(0, 1.18 * largest), ylim=(len(figures) - 0.5, -0.5))
    _rows(ax, [], words)
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
    row, places, names = 0, [], []
    for parameter, rows in groups.items():
        ax.annotate(
            parameter, (0, row), xycoords=("axes fraction", "data"), va="center", fontsize=FONT - 0.5,
            fontweight="bold", color=TEXT, annotation_clip=False,
        )  # fmt: skip
        row += 1
        for name, values in rows.items():
            figures = np.asarray(values, dtype=float)
            ax.plot(
                figures,
                row + _apart(figures, span / 75),
                "o",
                ms=3.6,
                color=HEAT,
                zorder=3,
                label=name,
            )
            ax.plot([np.median(figures)], [row], "|", ms=17, mew=2.6, color=TEXT, zorder=4, gid="median")
            places.append(row)
            names.append(name)
            row += 1
    if majority is not None:
        ax.axvline(majority, color=MAJORITY, lw=1.6, ls=DOTTED, zorder=1)
        ax.annotate(
            "majority", (majority, 1), xycoords=("data", "axes fraction"), xytext=(0, 3), textcoords="offset points",
            ha="center", fontsize=FONT - 1, color=MAJORITY,
        )  # fmt: skip
    ax.set_ylim(lines - 0.4, -0.6)
    ax.margins(x=0.05)
    _rows(ax, names, words, places)
    return ax


def _rows(ax: Axes, names: Sequence[str], words: Words, places: Sequence[int] | None = None) -> None:
    plain_axes(ax)
    ax.grid(False, axis="y")
    ax.grid(axis="x", color=GRID, lw=0.8)
    ax.set_yticks(range(len(names)) if places is None else places, names, fontsize=FONT - 1, color=TEXT)
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words(value)))


def _apart(figures: NDArray[np.float64], near: float) -> NDArray[np.float64]:
    """Return how far each dot is moved, in rows -0.36..0.36: those in one bin of width ``near`` fan out about 0."""
    moved = np.zeros(len(figures))
    bins = np.round(figures / near)
    for value in np.unique(bins):
        together = np.flatnonzero(bins == value)
        step = min(0.16, 0.72 / len(together))
        moved[together] = step * (np.arange(len(together)) - (len(together) - 1) / 2)
    return moved
