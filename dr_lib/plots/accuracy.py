"""Accuracy, or any other column of a history, per epoch."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from dr_lib.plots.axes import (
    DASHED,
    FONT,
    MUTED,
    PHASE,
    TEXT,
    Words,
    count_axis,
    mark_majority,
    name_ends,
    panel,
    percent,
    plain_axes,
    value_axis,
)

Curve = pd.Series | pd.DataFrame
"""Shares 0..1 indexed by epoch; a frame has one column a seed."""


def plot_accuracy(
    curves: Mapping[str, Curve],
    *,
    color: str,
    majority: float | None = None,
    head_only: int = 0,
    chosen: Mapping[str, int | Sequence[int]] | None = None,
    limits: tuple[float, float] | None = None,
    words: Words = percent,
    ax: Axes | None = None,
) -> Axes:
    """Draw accuracy per epoch, one line a curve, named at its end.

    ``curves``: by name, shares 0..1 indexed by epoch; the first is drawn solid, later ones dashed. Several seeds, one
    column each, are drawn as their mean within a band from the lowest seed to the highest: of three to five seeds
    these are the facts, where a standard deviation would suggest a shape. ``head_only``: so many first epochs are
    shaded as those that train the head alone (of the solid curve). ``chosen``: by name, the epoch that gets a dot, or
    one for each seed, which stands at that seed's own accuracy. ``limits``: range of the accuracy axis, to compare
    panels. ``words``: what its values are called, where they are another figure's.
    """
    ax = ax or panel()
    last = max(int(curve.index[-1]) for curve in curves.values())
    first = min(int(curve.index[0]) for curve in curves.values())
    low, high = limits or accuracy_limits(curves.values(), majority)
    ax.set_ylim(low, high)
    ax.set_xlim(first - 0.4, max(last, first + 1) + 0.2)
    if head_only:
        ax.axvspan(first - 0.4, head_only + 0.5, color=PHASE, zorder=0, lw=0)
        ax.annotate(
            "head only", (first - 0.4, 1), xycoords=("data", "axes fraction"), xytext=(4, -5),
            textcoords="offset points", va="top", fontsize=FONT - 1.5, color=MUTED,
        )  # fmt: skip
    ends = mark_majority(ax, majority)
    for number, (name, curve) in enumerate(curves.items()):
        seeds = curve.to_frame() if isinstance(curve, pd.Series) else curve
        style: dict[str, Any] = {"ls": "-", "lw": 2.4} if number == 0 else {"ls": DASHED, "lw": 1.9}
        if len(seeds) == 1:  # a line of one epoch is not seen
            style |= {"marker": "o", "markersize": 4, "markeredgecolor": color}
        long = seeds.melt(ignore_index=False)
        sns.lineplot(
            x=long.index.to_numpy(), y=long["value"].to_numpy(), errorbar=("pi", 100) if seeds.shape[1] > 1 else None,
            color=color, label=name, legend=False, zorder=3, ax=ax,
            err_kws={"alpha": 0.22, "lw": 0, "zorder": 2, "gid": "seeds"}, **style,
        )  # fmt: skip
        if chosen and name in chosen:
            epochs = np.atleast_1d(chosen[name])
            for epoch, (_, seed) in zip(epochs, seeds.items(), strict=True):
                size = 8 if len(epochs) == 1 else 6
                ax.plot(epoch, seed.loc[epoch], "o", color=color, ms=size, zorder=4, gid="chosen")
        ends[name] = (float(seeds.iloc[-1].mean()), TEXT)
    plain_axes(ax)
    count_axis(ax, "epoch")
    value_axis(ax, words)
    name_ends(ax, ends)
    return ax


def accuracy_limits(curves: Iterable[ArrayLike], majority: float | None = None) -> tuple[float, float]:
    """Return a range of accuracy that holds all ``curves`` and the majority with a little air."""
    values = np.concatenate([np.asarray(curve, dtype=float).ravel() for curve in curves])
    values = np.append(values, [] if majority is None else majority)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    air = max(0.02, 0.09 * (high - low))
    return max(0.0, low - air), min(1.02, high + air)


def plot_column(history: pd.DataFrame, column: str, settings: Sequence[str], *, ax: Axes) -> Axes:
    """Draw a column of long histories by epoch, a line for each of the ``settings``, named beside the figure.

    ``history``: columns ``setting``, ``epoch`` and ``column``. A band reaches from the lowest seed to the highest.
    """
    sns.lineplot(
        history, x="epoch", y=column, hue="setting", hue_order=settings, errorbar=("pi", 100), marker="o", ax=ax
    )
    sns.move_legend(ax, "upper left", bbox_to_anchor=(1, 1), frameon=False, title=None)
    plain_axes(ax)
    count_axis(ax, "epoch")
    ax.set_ylabel(column)
    return ax
