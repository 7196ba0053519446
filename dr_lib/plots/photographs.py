"""Photographs beside each other, each under its title."""

import math
from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from dr_lib.plots.axes import FONT, TEXT
from dr_lib.system.terminal import printable_lines

SIDE = 130
"""Width of a photograph, px of the report."""
_LINE = 15


def plot_photographs(photographs: Iterable[tuple[str, ArrayLike]], *, columns: int = 5, side: float = SIDE) -> Figure:
    """Show photographs in rows of ``columns``, each under its title, which may have several lines.

    ``photographs``: titles and pixels, uint8 (H, W, 3), or Pillow images; where there are none, the figure says so. A
    notebook shows the figure that is returned; ``figure.axes`` has one Axes a photograph.
    """
    shown = list(photographs)
    if not shown:
        figure = Figure(figsize=(3 * side / 72, 0.4))
        ax = figure.add_axes((0, 0, 1, 1))
        ax.text(0, 0.5, "There is no photograph to show.", fontsize=FONT, color=TEXT, va="center")
        ax.set_axis_off()
        return figure
    columns = min(columns, len(shown))
    rows = math.ceil(len(shown) / columns)
    below = 6 + _LINE * max(title.count("\n") + 1 for title, _ in shown)
    figure = Figure(figsize=(columns * side / 72, rows * (side + below) / 72), layout="constrained")
    for number, (title, pixels) in enumerate(shown, start=1):
        ax = figure.add_subplot(rows, columns, number)
        _show(ax, title, pixels)
    return figure


def _show(ax: Axes, title: str, pixels: ArrayLike) -> None:
    """Show one photograph, uint8 (H, W, 3), in ``ax``."""
    ax.imshow(pixels)
    # A name with dollars in it is no formula.
    ax.set_title(printable_lines(title), fontsize=FONT - 3, color=TEXT, parse_math=False)
    ax.set_axis_off()
