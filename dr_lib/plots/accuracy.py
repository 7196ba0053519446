"""Accuracy per epoch."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from dr_lib.plots.axes import (
    DOTTED,
    FONT,
    MAJORITY,
    MUTED,
    PHASE,
    TEXT,
    count_axis,
    name_ends,
    panel,
    percent,
    plain_axes,
    value_axis,
)


def plot_accuracy(
    curves: Mapping[str, pd.Series],
    *,
    colour: str,
    majority: float | None = None,
    head_only: int = 0,
    chosen: Mapping[str, int] | None = None,
    limits: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw accuracy per epoch, one line a curve, named at its end.

    ``curves``: by name, shares 0..1 indexed by epoch; the first is drawn solid, later ones dashed. ``head_only``: so
    many first epochs are shaded as those that train the head alone (of the solid curve). ``chosen``: by name, the
    epoch that gets a dot. ``limits``: range of the accuracy axis, to compare panels.
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
    ends = {}
    if majority is not None:
        ax.axhline(majority, color=MAJORITY, lw=1.6, ls=DOTTED, zorder=1)
        ends["majority"] = (majority, MAJORITY)
    for number, (name, curve) in enumerate(curves.items()):
        style = {"ls": "-", "lw": 2.4} if number == 0 else {"ls": (0, (5, 2.2)), "lw": 1.9}
        ax.plot(curve.index, curve.to_numpy(), color=colour, zorder=3, label=name, **style)
        if len(curve) == 1:
            ax.plot(curve.index, curve.to_numpy(), "o", color=colour, ms=4, zorder=3)
        if chosen and name in chosen:
            ax.plot(chosen[name], curve.loc[chosen[name]], "o", color=colour, ms=8, zorder=4, gid="chosen")
        ends[name] = (float(curve.iloc[-1]), TEXT)
    name_ends(ax, ends)
    plain_axes(ax)
    count_axis(ax, "epoch")
    value_axis(ax, percent)
    return ax


def accuracy_limits(curves: ArrayLike, majority: float | None = None) -> tuple[float, float]:
    """Return a range of accuracy that holds all ``curves`` and the majority with a little air."""
    values = np.concatenate([np.asarray(curve, dtype=float).ravel() for curve in curves])
    values = np.append(values, [] if majority is None else majority)
    low, high = float(values.min()), float(values.max())
    air = max(0.02, 0.09 * (high - low))
    return max(0.0, low - air), min(1.02, high + air)
