"""What happens to each grade: confusion matrices, recall, shares."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.ticker import FixedLocator, FuncFormatter
from numpy.typing import ArrayLike, NDArray

from dr_lib import GRADE_NAMES, GRADES
from dr_lib.evaluation.matrix_metrics import normalize_matrix
from dr_lib.plots.axes import FONT, GRID, HEAT, MUTED, TEXT, Line, panel, percent, plain_axes

# One color, the deeper the less transparent, so that it follows the page; no deeper than 0.6, so that the same text
# color is legible on every cell, light or dark.
_DEPTH = LinearSegmentedColormap.from_list("depth", [to_rgba(HEAT, 0.03), to_rgba(HEAT, 0.6)], N=1024)


def plot_confusion(
    matrix: ArrayLike,
    *,
    normalize: Literal["true", "pred", "all"] | None = "true",
    small: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw a confusion matrix (counts, 5 x 5): in each cell its share and, smaller, its count; nothing where it is 0.

    ``normalize`` means what it means in scikit-learn: shares of the true grade (rows sum to 1), of the predicted grade
    (columns sum to 1), of all photographs, or counts alone. A cell is the deeper the larger its share; shares of all,
    and counts, are measured by the largest of them. A row or column that has no photographs to share says so.
    ``small``: without the names of grades, so that four stand in a row of a page.
    """
    ax = ax or (panel(218, 232) if small else panel(300, 285))
    font = FONT - 1.5 * small
    counts = np.asarray(matrix, dtype=np.int64)
    shares = normalize_matrix(counts, normalize or "all")
    deepest = 1.0 if normalize in ("true", "pred") else shares.max() or 1.0
    along = {"true": 1, "pred": 0}.get(normalize or "all")
    defined = np.broadcast_to(np.sum(counts, axis=along, keepdims=True) > 0, counts.shape)
    spec, numbers = (",", counts) if normalize is None else (".2f", shares)
    large = [
        "–" if not known else f"{number:{spec}}" if n else ""
        for number, known, n in zip(numbers.flat, defined.flat, counts.flat, strict=True)
    ]
    sns.heatmap(
        shares, vmin=0, vmax=deepest, cmap=_DEPTH, cbar=False, linewidths=1.2, linecolor=GRID, clip_on=False, ax=ax,
        annot=np.reshape(large, counts.shape), fmt="", annot_kws={"color": TEXT, "fontsize": font},
    )  # fmt: skip
    for (row, column), text in zip(np.ndindex(counts.shape), ax.texts[-counts.size :], strict=True):
        text.set_fontweight("bold" if row == column else "normal")
        if normalize is not None and counts[row, column]:
            text.set_y(row + 0.36)
            ax.text(
                column + 0.5, row + 0.76, f"{counts[row, column]:,}", ha="center", va="center", color=TEXT,
                fontsize=FONT - 2.5, gid="count",
            )  # fmt: skip
    # Of columns how many photographs they share is said as of rows, but without the room for "n =".
    columns = [f"{grade}\n{n:,}" if normalize == "pred" else f"{grade}" for grade, n in enumerate(counts.sum(axis=0))]
    middles = np.add(GRADES, 0.5)
    ax.set_xticks(middles, columns, fontsize=FONT - 1 if normalize == "pred" else FONT, color=TEXT)
    labels = [
        f"{grade}\nn={n:,}" if small else f"{grade} {name}\nn = {n:,}"
        for grade, name, n in zip(GRADES, GRADE_NAMES, counts.sum(axis=1), strict=True)
    ]
    ax.set_yticks(middles, labels, fontsize=FONT - 1.5 - small, color=TEXT, rotation=0)
    label = "predicted grade" + ", how often" * (normalize == "pred")
    ax.set_xlabel(label, fontsize=font, color=MUTED)
    ax.set_ylabel("true grade", fontsize=font, color=MUTED)
    ax.tick_params(length=0, pad=2 if small else 4)
    ax.patch.set_alpha(0)
    return ax


def plot_recall_slopes(
    slopes: Mapping[str, tuple[float | None, float | None]],
    *,
    styles: Mapping[str, Line],
    labels: tuple[str, str] = ("without", "with"),
    ax: Axes | None = None,
) -> Axes:
    """Draw how the recall of one grade moves from left to right, a line a pair of networks.

    ``slopes``: by name, the recall before and after, shares 0..1, left out where one is None. ``styles``: the look of
    each line by the same names. ``labels``: what the two sides are called.
    """
    ax = ax or panel(172, 190)
    for name, (before, after) in slopes.items():
        if before is None or after is None:
            continue
        style = styles[name]
        fill = "none" if style.dashed else style.color
        ax.plot([0, 1], [before, after], color=style.color, marker="o", ms=5, mfc=fill, label=name, **style.strokes)
    ax.set(xlim=(-0.25, 1.25), ylim=(-0.04, 1.04))
    plain_axes(ax)
    ax.set_xticks([0, 1], labels, fontsize=FONT - 1, color=MUTED)
    ax.yaxis.set_major_locator(FixedLocator([0, 0.5, 1]))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda share, _: percent(share)))
    return ax


def plot_grade_shares(shares: Mapping[str, Sequence[float] | NDArray], *, ax: Axes | None = None) -> Axes:
    """Draw the share of each grade, one bar a grade and one row of bars a split; shares 0..1 by split."""
    ax = ax or panel(320, 215)
    long = pd.DataFrame(shares, index=GRADES).melt(ignore_index=False, var_name="split").reset_index(names="grade")
    sns.barplot(
        long, x="value", y="grade", hue="split", orient="y", native_scale=True, palette=[HEAT] * len(shares),
        saturation=1, errorbar=None, gap=0.1, legend=False, ax=ax,
    )  # fmt: skip
    containers: Any = ax.containers[-len(shares) :]
    for number, bars in enumerate(containers):
        for bar in bars:
            bar.set_alpha(0.9 - 0.5 * number / len(shares))
        texts = [f"{100 * bar.get_width():.1f}%" for bar in bars]
        ax.bar_label(bars, texts, padding=4, fontsize=FONT - 2, color=TEXT)
    ax.set(xlim=(0, 1.15 * max(np.max(values) for values in shares.values())), ylim=(4.5, -0.5))
    plain_axes(ax)
    ax.grid(False)
    ax.set_yticks(GRADES, [f"{grade} {name}" for grade, name in enumerate(GRADE_NAMES)], fontsize=FONT - 1, color=TEXT)
    ax.set_xticks([])
    return ax
