"""What all panels share: colors, size, plain axes, scales, and names at the ends of lines."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from matplotlib.transforms import ScaledTranslation

TEXT, MUTED, GRID, PHASE = "#1d2330", "#5a6375", "#e3e6ec", "#f1f3f6"
MAJORITY, HEAT = "#b0342c", "#0b5fa5"
NETWORKS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe & Ito's palette, which color-blind readers can tell apart; one color a network, everywhere."""

FONT = 12.5
DOTTED, DASHED = (0, (2, 2)), (0, (5, 2.2))
"""Dashes of what a network has to beat (the majority, chance), and of second lines in one color."""

_KNOWN = {"resnet18": NETWORKS[0], "resnet50": NETWORKS[1]}

Words = Callable[[float], str]
"""What a number is called on an axis and beside a point."""


@dataclass(frozen=True)
class Line:
    """How a line looks in every panel of a figure."""

    color: str
    marker: str = "o"
    dashed: bool = False

    @property
    def strokes(self) -> dict[str, Any]:
        """Style and width of its strokes, as matplotlib takes them."""
        return {"ls": DASHED, "lw": 1.9} if self.dashed else {"ls": "-", "lw": 2.2}


def network_colors(models: Sequence[str]) -> dict[str, str]:
    """Return one color for each network; ResNet18 and ResNet50 have theirs whatever else is shown."""
    free = iter(NETWORKS[2:] * (len(models) // 4 + 1))
    return {model: _KNOWN.get(model) or next(free) for model in models}


def panel(width: float = 300, height: float = 235) -> Axes:
    """Return empty Axes in a figure of its own, sizes in px of the report."""
    figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
    figure.patch.set_alpha(0)
    ax = figure.subplots()
    # Each call of seaborn would else lay out all ticks to see whether it should name the axes, which takes it 30 ms.
    ax.set(xlabel=" ", ylabel=" ")
    return ax


def new_axes(ax: Axes | None = None, width: float = 6.0, height: float = 4.5) -> Axes:
    """Return ``ax``, or Axes of a new figure of pyplot, ``width`` x ``height`` inches, which a notebook shows."""
    import matplotlib.pyplot as plt  # only where a person draws: the report's figures do without its list of figures

    return ax if ax is not None else plt.subplots(figsize=(width, height), layout="constrained")[1]


def plain_axes(ax: Axes) -> None:
    """Leave a horizontal grid and small letters; take the frame and the names of the axes away."""
    ax.set(xlabel="", ylabel="")
    ax.patch.set_alpha(0)
    ax.spines[:].set_visible(False)
    ax.set_axisbelow(True)
    ax.grid(axis="y", color=GRID, lw=0.8)
    ax.tick_params(length=0, labelsize=FONT - 1, labelcolor=MUTED, pad=4)


def percent(share: float) -> str:
    """Return a share 0..1 as whole percent."""
    return f"{100 * share:.0f}%"


def value_axis(ax: Axes, words: Words) -> None:
    """Give the vertical axis about five ticks at round values, called what ``words`` calls them."""
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: words(value)))


def row_axis(ax: Axes, names: Mapping[float, str], words: Words) -> None:
    """Give the vertical axis rows, from the top down, and the horizontal one a few values, called by ``words``.

    ``names``: of rows, by their place.
    """
    plain_axes(ax)
    ax.grid(False, axis="y")
    ax.grid(axis="x", color=GRID, lw=0.8)
    ax.set_yticks(list(names), list(names.values()), fontsize=FONT - 1, color=TEXT)
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words(value)))


def mark_majority(ax: Axes, majority: float | None, *, across: bool = True) -> dict[str, tuple[float, str]]:
    """Draw a dotted line at ``majority``, where there is one; ``across``, or else upwards and named at its top.

    Return what :func:`name_ends` needs to name the one across.
    """
    if majority is None:
        return {}
    if across:
        ax.axhline(majority, color=MAJORITY, lw=1.6, ls=DOTTED, zorder=1)
    else:
        ax.axvline(majority, color=MAJORITY, lw=1.6, ls=DOTTED, zorder=1)
        ax.annotate(
            "majority", (majority, 1), xycoords=("data", "axes fraction"), xytext=(0, 3), textcoords="offset points",
            ha="center", fontsize=FONT - 1, color=MAJORITY,
        )  # fmt: skip
    return {"majority": (majority, MAJORITY)}


def count_axis(ax: Axes, name: str) -> None:
    """Give the horizontal axis a few ticks at whole numbers, such as epochs, and its ``name``."""
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    ax.set_xlabel(name, fontsize=FONT, color=MUTED)


def name_ends(ax: Axes, ends: Mapping[str, tuple[float, str]]) -> None:
    """Write each name at the right of the Axes at the height of its value, none over another.

    ``ends``: by name, the value and the color of the text. The limits and the scale of the vertical axis, which may
    be logarithmic, have to be final.
    """
    if not ends:
        return
    left = ax.get_xlim()[0]
    to_axes = ax.transData + ax.transAxes.inverted()
    wanted = [float(to_axes.transform((left, value))[1]) for value, _ in ends.values()]
    # 16 px a name, of an axes that takes three quarters of its row of the figure.
    place = ax.get_subplotspec()
    rows = place.get_gridspec().nrows if place else 1
    figure = ax.get_figure(root=True)
    assert figure is not None  # Axes that are drawn on have one
    gap = 16 * rows / (0.75 * 72 * figure.get_figheight())
    for (name, (_, color)), height in zip(ends.items(), spread_out(wanted, gap, 0, 1), strict=True):
        ax.annotate(
            name, (1, height), xycoords="axes fraction", xytext=(5, 0), textcoords="offset points", va="center",
            fontsize=FONT - 0.5, color=color, annotation_clip=False,
        )  # fmt: skip


KEY_ROW = 18
"""Height of a row of :func:`key`, px."""


def key(ax: Axes, rows: Sequence[tuple[str, Line, bool]]) -> None:
    """Write a row a line under the Axes: a stroke in its look and its text, with its marker where that is asked for.

    For lines that meet at their ends, which cannot be named there. ``rows``: text, look, whether it has markers.
    """
    for number, (text, line, marked) in enumerate(rows):
        down = 46 + KEY_ROW * number  # px; the names of the horizontal axis need the first
        where = ax.transAxes + ScaledTranslation(0, -down / 72, ax.figure.dpi_scale_trans)
        marker: dict[str, Any] = {"marker": line.marker, "ms": 6, "markevery": [1]} if marked else {}
        # Its middle point carries the marker.
        ax.add_artist(
            Line2D(
                [0, 0.05, 0.1], [0, 0, 0], color=line.color, transform=where, clip_on=False, **line.strokes, **marker
            )
        )
        ax.annotate(
            text, (0.13, 0), xycoords="axes fraction", xytext=(0, -down), textcoords="offset points", va="center",
            fontsize=FONT - 1, color=TEXT, annotation_clip=False, gid="key",
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
