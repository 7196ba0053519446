"""Numbers in, Axes out. Nothing is shown, saved, seeded or styled globally.

Figures are drawn at the size at which they are read: a unit of the figure is a pixel of a 360 px wide panel, so that a
telephone shows one panel a row in legible letters and a desktop two.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike

from dr_lib import GRADE_NAMES, GRADES

TEXT, MUTED, GRID, PHASE = "#1d2330", "#5a6375", "#e3e6ec", "#f1f3f6"
MAJORITY, HEAT = "#b0342c", "#0b5fa5"
NETWORKS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe & Ito's palette, which colour-blind readers can tell apart; one colour a network, everywhere."""

FONT = 12.5
_KNOWN = {"resnet18": NETWORKS[0], "resnet50": NETWORKS[1]}


def network_colours(models: Sequence[str]) -> dict[str, str]:
    """Return one colour for each network; ResNet18 and ResNet50 have theirs whatever else is shown."""
    free = iter(NETWORKS[2:] * (len(models) // 4 + 1))
    return {model: _KNOWN.get(model) or next(free) for model in models}


def panel(width: float = 360, height: float = 270) -> Axes:
    """Return empty Axes in a figure of its own, sizes in px of the report."""
    figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
    figure.patch.set_alpha(0)
    return figure.subplots()


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
        ax.axhline(majority, color=MAJORITY, lw=1.6, ls=(0, (2, 2)), zorder=1)
        ends["majority"] = (majority, MAJORITY)
    for number, (name, curve) in enumerate(curves.items()):
        style = {"ls": "-", "lw": 2.4} if number == 0 else {"ls": (0, (5, 2.2)), "lw": 1.9}
        ax.plot(curve.index, curve.to_numpy(), color=colour, zorder=3, label=name, **style)
        if len(curve) == 1:
            ax.plot(curve.index, curve.to_numpy(), "o", color=colour, ms=4, zorder=3)
        if chosen and name in chosen:
            ax.plot(chosen[name], curve.loc[chosen[name]], "o", color=colour, ms=8, zorder=4, gid="chosen")
        ends[name] = (float(curve.iloc[-1]), TEXT)
    _name_ends(ax, ends)
    plain_axes(ax)
    ax.set_xlabel("epoch", fontsize=FONT, color=MUTED)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.0f}%"))
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    return ax


def accuracy_limits(curves: ArrayLike, majority: float | None = None) -> tuple[float, float]:
    """Return a range of accuracy that holds all ``curves`` and the majority with a little air."""
    values = np.concatenate([np.asarray(curve, dtype=float).ravel() for curve in curves])
    values = np.append(values, [] if majority is None else majority)
    low, high = float(values.min()), float(values.max())
    air = max(0.02, 0.09 * (high - low))
    return max(0.0, low - air), min(1.02, high + air)


def plot_confusion(matrix: ArrayLike, *, ax: Axes | None = None) -> Axes:
    """Draw a confusion matrix (counts, 5 x 5), each row as shares of its true grade: rows sum to 1.

    A cell is the deeper the larger its share; a row without photographs stays empty and says so.
    """
    ax = ax or panel(360, 340)
    matrix = np.asarray(matrix, dtype=float)
    for row in GRADES:
        support = matrix[row].sum()
        for column in GRADES:
            share = matrix[row, column] / support if support else 0.0
            # No deeper than 0.6, so that the same text colour is legible on every cell, light or dark.
            cell = Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, color=HEAT, lw=0, clip_on=False)
            cell.set_alpha(0.03 + 0.57 * share)
            ax.add_patch(cell)
            ax.text(
                column, row, f"{share:.2f}" if support else "–", ha="center", va="center", color=TEXT,
                fontsize=FONT + 0.5, fontweight="bold" if row == column else "normal",
            )  # fmt: skip
    ax.set(xlim=(-0.5, 4.5), ylim=(4.5, -0.5))
    ax.set_xticks(GRADES, [str(grade) for grade in GRADES], fontsize=FONT, color=TEXT)
    labels = [
        f"{grade} {name}\nn = {int(n):,}"
        for grade, name, n in zip(GRADES, GRADE_NAMES, matrix.sum(axis=1), strict=True)
    ]
    ax.set_yticks(GRADES, labels, fontsize=FONT - 1.5, color=TEXT)
    ax.set_xlabel("predicted grade", fontsize=FONT, color=MUTED)
    ax.set_ylabel("true grade", fontsize=FONT, color=MUTED)
    ax.tick_params(length=0)
    ax.patch.set_alpha(0)
    ax.spines[:].set_visible(False)
    return ax


def plot_recall_change(before: ArrayLike, after: ArrayLike, *, colour: str, ax: Axes | None = None) -> Axes:
    """Draw how the recall of each grade (shares, length 5) moves from ``before`` (ring) to ``after`` (dot)."""
    ax = ax or panel(360, 230)
    for grade, (start, end) in enumerate(zip(before, after, strict=True)):
        if start is None or end is None:
            continue
        ax.annotate(
            "", (end, grade), (start, grade), arrowprops={"arrowstyle": "-", "color": colour, "lw": 2}, zorder=2
        )
        ax.plot([start], [grade], "o", ms=8, mfc="none", mec=colour, mew=1.8, zorder=3)
        ax.plot([end], [grade], "o", ms=8, color=colour, zorder=4)
    ax.set(xlim=(-0.03, 1.03), ylim=(4.5, -0.5))
    plain_axes(ax)
    ax.grid(axis="x", color=GRID, lw=0.8)
    ax.set_yticks(GRADES, [f"{grade} {name}" for grade, name in enumerate(GRADE_NAMES)], fontsize=FONT - 1, color=TEXT)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.0f}%"))
    ax.set_xlabel("recall", fontsize=FONT, color=MUTED)
    return ax


def plot_grade_shares(shares: Mapping[str, ArrayLike], *, ax: Axes | None = None) -> Axes:
    """Draw the share of each grade, one bar a grade and one row of bars a split; shares 0..1 by split."""
    ax = ax or panel(360, 250)
    height = 0.8 / len(shares)
    for number, (split, values) in enumerate(shares.items()):
        where = np.arange(len(GRADES)) - 0.4 + height * (number + 0.5)
        ax.barh(where, values, height * 0.9, color=HEAT, alpha=0.9 - 0.5 * number / len(shares), label=split)
        for y, share in zip(where, values, strict=True):
            ax.annotate(
                f"{100 * share:.1f}%", (share, y), xytext=(4, 0), textcoords="offset points", va="center",
                fontsize=FONT - 2, color=TEXT,
            )  # fmt: skip
    ax.set(xlim=(0, 1.15 * max(np.max(values) for values in shares.values())), ylim=(4.5, -0.5))
    plain_axes(ax)
    ax.grid(False)
    ax.set_yticks(GRADES, [f"{grade} {name}" for grade, name in enumerate(GRADE_NAMES)], fontsize=FONT - 1, color=TEXT)
    ax.set_xticks([])
    return ax


def plain_axes(ax: Axes) -> None:
    """Leave a horizontal grid and small letters; take the frame away."""
    ax.patch.set_alpha(0)
    ax.spines[:].set_visible(False)
    ax.set_axisbelow(True)
    ax.grid(axis="y", color=GRID, lw=0.8)
    ax.tick_params(length=0, labelsize=FONT - 1, labelcolor=MUTED, pad=4)


def _name_ends(ax: Axes, ends: Mapping[str, tuple[float, str]]) -> None:
    """Write each name at the right of the Axes at its height, moved apart where they would overlap."""
    low, high = ax.get_ylim()
    gap = 0.075 * (high - low)
    heights = spread_out([value for value, _ in ends.values()], gap, low, high)
    for (name, (_, colour)), height in zip(ends.items(), heights, strict=True):
        ax.annotate(
            name, (1, height), xycoords=("axes fraction", "data"), xytext=(5, 0), textcoords="offset points",
            va="center", fontsize=FONT - 0.5, color=colour, annotation_clip=False,
        )  # fmt: skip


def spread_out(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return ``values`` moved as little as a sweep up and one down need to lie ``gap`` apart within low..high."""
    order = np.argsort(values, kind="stable")
    placed = np.asarray(values, dtype=float)[order]
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    excess = max(0.0, placed[-1] - high)
    placed[-1] -= excess
    for i in range(len(placed) - 2, -1, -1):
        placed[i] = min(placed[i], placed[i + 1] - gap)
    result = np.empty(len(placed))
    result[order] = placed
    return result.tolist()
