"""Whether a network is right as often as it says."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter

from dr_lib.plots.axes import DOTTED, FONT, GRID, KEY_ROW, MAJORITY, MUTED, Line, key, panel, percent, plain_axes

_FLOOR, _TALLEST = -0.30, 0.22


def plot_reliability(
    before: Mapping[str, Any],
    after: Mapping[str, Any] | None = None,
    *,
    color: str,
    names: tuple[str, str] = ("as trained", "temperature scaled"),
    ax: Axes | None = None,
) -> Axes:
    """Draw the accuracy of each bin of confidence against its mean confidence, and below how many answers it holds.

    ``before``, and ``after`` its probabilities were scaled: ``ece`` and ``bins`` as
    :func:`dr_lib.evaluation.calibration.reliability` gives them. A network that is right as often as it says lies on
    the dotted diagonal, one that is too sure below it. ``before`` is solid with dots, ``after`` dashed with squares;
    ``names`` stand under the panel, each with its expected calibration error.
    """
    tables = {names[0]: (before, Line(color, "o"))}
    if after is not None:
        tables[names[1]] = (after, Line(color, "s", dashed=True))
    ax = ax or panel(360, 390 + KEY_ROW * len(tables))
    ax.plot([0, 1], [0, 1], color=MAJORITY, lw=1.6, ls=DOTTED, zorder=1, label="right as often as it says")
    largest = max((row["photographs"] for table, _ in tables.values() for row in table["bins"]), default=0) or 1
    for number, (name, (table, style)) in enumerate(tables.items()):
        filled = [row for row in table["bins"] if row["photographs"]]
        ax.plot(
            [row["confidence"] for row in filled], [row["accuracy"] for row in filled], marker=style.marker, ms=5.5,
            color=color, label=name, zorder=4, mfc="none" if style.dashed else color, **style.strokes,
        )  # fmt: skip
        for row in filled:
            wide = (row["high"] - row["low"]) / len(tables)
            # An outline beside a full bar: told apart without a second color.
            bar = Rectangle(
                (row["low"] + wide * (number + 0.1), _FLOOR), 0.8 * wide, _TALLEST * row["photographs"] / largest,
                facecolor="none" if style.dashed else color, edgecolor=color, lw=1, zorder=3,
            )  # fmt: skip
            ax.add_patch(bar)
    ax.annotate(
        f"answers in each bin, {largest:,} in the fullest", (0, _FLOOR + _TALLEST), xytext=(2, 4),
        textcoords="offset points", va="bottom", fontsize=FONT - 1.5, color=MUTED,
    )  # fmt: skip
    ax.set(xlim=(0, 1.01), ylim=(_FLOOR, 1.02))
    plain_axes(ax)
    ax.grid(axis="x", color=GRID, lw=0.8)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(FixedLocator([0, 0.2, 0.4, 0.6, 0.8, 1]))
        axis.set_major_formatter(FuncFormatter(lambda share, _: percent(share)))
    ax.set_xlabel("confidence: how sure it says it is", fontsize=FONT - 0.5, color=MUTED)
    ax.set_ylabel("accuracy: how often it is right", fontsize=FONT - 0.5, color=MUTED, y=0.62)
    rows = [
        (f"{name}: calibration error {table['ece']:.3f}" if table["ece"] is not None else name, style, True)
        for name, (table, style) in tables.items()
    ]
    key(ax, rows)
    return ax
