"""How well scores tell the ill from the healthy, and how honest they are: ROC, precision-recall and reliability."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter
from numpy.typing import ArrayLike

from dr_lib.plots.axes import DOTTED, FONT, GRID, KEY_ROW, MAJORITY, MUTED, Line, key, panel, percent, plain_axes

SIDE = 310
"""Height of a square panel of 330 px with its axis names, before the rows of its key."""


@dataclass(frozen=True)
class OperatingPoint:
    """One way of using a score: sensitivity and specificity, shares 0..1, with their intervals where known."""

    sensitivity: float
    specificity: float
    sensitivity_limits: tuple[float, float] | None = None
    specificity_limits: tuple[float, float] | None = None


def plot_roc(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    styles: Mapping[str, Line],
    areas: Mapping[str, float] | None = None,
    intervals: Mapping[str, tuple[float, float] | None] | None = None,
    points: Mapping[str, Sequence[OperatingPoint]] | None = None,
    targets: tuple[float, float] | None = (0.90, 0.95),
    band: tuple[str, ArrayLike, ArrayLike, ArrayLike] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw sensitivity against the share of healthy photographs that are called ill (1 - specificity).

    ``curves``: by run, the two shares from (0, 0) to (1, 1). All of them meet at both ends, so that they are named in
    rows under the panel, best first, each with its area (``areas``) and its interval (``intervals``, low and high).
    ``points``: by run, operating points, drawn with their intervals as crosses. ``targets``: sensitivity and
    specificity that are asked for, as thin lines. ``band``: the name of the curve that the others stand back behind,
    and its 95% band: shares of false alarms, low and high sensitivity. The dotted diagonal is chance.
    """
    ax = ax or panel(330, SIDE + KEY_ROW * len(curves))
    ax.plot([0, 1], [0, 1], color=MAJORITY, lw=1.6, ls=DOTTED, zorder=1, label="chance")
    _beside(ax, "chance", (0.66, 0.66), (6, -8), "left", MAJORITY)
    if targets:
        sensitivity, specificity = targets
        ax.axhline(sensitivity, color=MUTED, lw=0.9, zorder=1)
        ax.axvline(1 - specificity, color=MUTED, lw=0.9, zorder=1)
        _beside(ax, f"sensitivity {percent(sensitivity)}", (0.84, sensitivity), (0, -8), "right", MUTED)
        _beside(ax, f"specificity {percent(specificity)}", (1 - specificity, 0), (4, 8), "left", MUTED)
    for name, (alarms, sensitivities) in curves.items():
        style = styles[name]
        ax.plot(alarms, sensitivities, color=style.color, label=name, zorder=3, **_strokes(style, name, band))
        for point in (points or {}).get(name, ()):
            _cross(ax, point, style)
    if band:
        name, at, low, high = band
        ax.fill_between(at, low, high, color=styles[name].color, alpha=0.16, lw=0, zorder=2, gid="band")
    _shares(ax, "called ill of the healthy (1 − specificity)", "sensitivity")
    key(ax, _rows(curves, styles, areas, intervals, bool(points)))
    return ax


def plot_precision_recall(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    styles: Mapping[str, Line],
    prevalence: float,
    areas: Mapping[str, float] | None = None,
    intervals: Mapping[str, tuple[float, float] | None] | None = None,
    foremost: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw precision against recall (sensitivity), both shares 0..1.

    ``curves``: by run, recall and precision. ``areas``: their average precision. ``prevalence``: share of photographs
    that are ill, the precision of answering by chance, as a dotted line. ``foremost``: the curve that the others
    stand back behind. Else as :func:`plot_roc`.
    """
    ax = ax or panel(330, SIDE + KEY_ROW * len(curves))
    ax.axhline(prevalence, color=MAJORITY, lw=1.6, ls=DOTTED, zorder=1, label="chance")
    _beside(ax, f"chance {percent(prevalence)}", (0, prevalence), (4, -8 if prevalence > 0.08 else 8), "left", MAJORITY)
    for name, (recall, precision) in curves.items():
        strokes = _strokes(styles[name], name, (foremost,) if foremost else None)
        ax.plot(recall, precision, color=styles[name].color, label=name, zorder=3, **strokes)
    _shares(ax, "recall (sensitivity)", "precision")
    key(ax, _rows(curves, styles, areas, intervals, False))
    return ax


def _strokes(style: Line, name: str, foremost: Sequence[Any] | None) -> dict[str, Any]:
    """Return how a curve is drawn: thin where another one is ``foremost``."""
    return style.strokes | ({"lw": 1.1, "alpha": 0.75} if foremost and foremost[0] != name else {})


def _cross(ax: Axes, point: OperatingPoint, style: Line) -> None:
    x, y = 1 - point.specificity, point.sensitivity
    if point.specificity_limits:
        low, high = point.specificity_limits
        ax.plot([1 - high, 1 - low], [y, y], color=style.color, lw=1.3, zorder=4, gid="interval")
    if point.sensitivity_limits:
        ax.plot([x, x], point.sensitivity_limits, color=style.color, lw=1.3, zorder=4, gid="interval")
    ax.plot([x], [y], style.marker, color=style.color, ms=7, zorder=5, gid="point")


def _rows(curves, styles, areas, intervals, marked) -> list[tuple[str, Line, bool]]:
    """Return the rows of the key, largest area first."""
    names = sorted(curves, key=lambda name: -(areas or {}).get(name, np.nan)) if areas else list(curves)
    rows = []
    for name in names:
        text = name
        if areas and name in areas:
            text += f": {areas[name]:.3f}"
            if limits := (intervals or {}).get(name):
                text += f" ({limits[0]:.3f} to {limits[1]:.3f})"
        rows.append((text, styles[name], marked))
    return rows


def _shares(ax: Axes, across: str, up: str) -> None:
    """Make both axes shares of 0 to 1, in a square."""
    ax.set(xlim=(0, 1), ylim=(0, 1.003))
    ax.set_box_aspect(1)
    plain_axes(ax)
    ax.grid(axis="x", color=GRID, lw=0.8)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(FixedLocator([0, 0.2, 0.4, 0.6, 0.8, 1]))
        axis.set_major_formatter(FuncFormatter(lambda share, _: percent(share)))
    ax.set_xlabel(across, fontsize=FONT - 0.5, color=MUTED)
    ax.set_ylabel(up, fontsize=FONT - 0.5, color=MUTED)


def _beside(ax: Axes, text: str, where: tuple[float, float], offset: tuple[float, float], side: str, color: str):
    ax.annotate(
        text, where, xytext=offset, textcoords="offset points", ha=side, va="center", fontsize=FONT - 1.5, color=color
    )


def plot_reliability(
    before: Mapping[str, Any],
    after: Mapping[str, Any] | None = None,
    *,
    color: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw how often answers are right against how sure the network says it is, in bins with their intervals.

    ``before``, and ``after`` its probabilities were scaled: ``ece``, and ``bins`` as
    :func:`dr_lib.evaluation.calibration.equal_bins` gives them; those without photographs are left out. A network
    that is right as often as it says lies on the dotted diagonal, one that is too sure below it. ``before`` is solid
    with dots, ``after`` dashed with squares; their expected calibration errors stand under the panel.
    """
    tables = {"as trained": (before, Line(color, "o"))}
    if after is not None:
        tables["temperature scaled"] = (after, Line(color, "s", dashed=True))
    ax = ax or panel(300, 285 + KEY_ROW * len(tables))
    ax.plot([0, 1], [0, 1], color=MAJORITY, lw=1.6, ls=DOTTED, zorder=1, label="right as often as it says")
    for name, (table, style) in tables.items():
        filled = [row for row in table["bins"] if row["photographs"]]
        ax.plot(
            [row["confidence"] for row in filled], [row["accuracy"] for row in filled], marker=style.marker, ms=5.5,
            color=color, label=name, zorder=4, mfc="none" if style.dashed else color, **style.strokes,
        )  # fmt: skip
        for row in filled:
            if row.get("limits") and not style.dashed:
                ax.plot(
                    [row["confidence"]] * 2, row["limits"], color=color, lw=1.2, alpha=0.6, zorder=3, gid="interval"
                )
    _shares(ax, "how sure it says it is", "how often it is right")
    rows = [
        (f"{name}: calibration error {table['ece']:.3f}" if table["ece"] is not None else name, style, True)
        for name, (table, style) in tables.items()
    ]
    key(ax, rows)
    return ax
