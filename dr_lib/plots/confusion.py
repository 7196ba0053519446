"""What happens to each grade: confusion matrices, recall, shares."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.ticker import FuncFormatter
from numpy.typing import ArrayLike, NDArray

from dr_lib import GRADE_NAMES, GRADES
from dr_lib.evaluation.matrix_metrics import normalize_matrix
from dr_lib.plots.axes import FONT, GRID, HEAT, MUTED, TEXT, panel, percent, plain_axes

# One color, the deeper the less transparent, so that it follows the page; no deeper than 0.6, so that the same text
# color is legible on every cell, light or dark.
_DEPTH = LinearSegmentedColormap.from_list("depth", [to_rgba(HEAT, 0.03), to_rgba(HEAT, 0.6)], N=1024)


def plot_confusion(
    matrix: ArrayLike, *, normalize: Literal["true", "pred", "all"] | None = "true", ax: Axes | None = None
) -> Axes:
    """Draw a confusion matrix (counts, 5 x 5): in each cell its share and, smaller, its count.

    ``normalize`` means what it means in scikit-learn: shares of the true grade (rows sum to 1), of the predicted grade
    (columns sum to 1), of all photographs, or counts alone. A cell is the deeper the larger its share; shares of all,
    and counts, are measured by the largest of them. A row or column that has no photographs to share says so.
    """
    ax = ax or panel(360, 350)
    counts = np.asarray(matrix, dtype=np.int64)
    shares = normalize_matrix(counts, normalize or "all")
    deepest = 1.0 if normalize in ("true", "pred") else shares.max() or 1.0
    along = {"true": 1, "pred": 0}.get(normalize or "all")
    defined = np.broadcast_to(np.sum(counts, axis=along, keepdims=True) > 0, counts.shape)
    spec, numbers = (",", counts) if normalize is None else (".2f", shares)
    large = [f"{number:{spec}}" if known else "–" for number, known in zip(numbers.flat, defined.flat, strict=True)]
    sns.heatmap(
        shares, vmin=0, vmax=deepest, cmap=_DEPTH, cbar=False, linewidths=1.2, linecolor=GRID, clip_on=False, ax=ax,
        annot=np.reshape(large, counts.shape), fmt="", annot_kws={"color": TEXT, "fontsize": FONT + 0.5},
    )  # fmt: skip
    for (row, column), text in zip(np.ndindex(counts.shape), ax.texts[-counts.size :], strict=True):
        text.set_fontweight("bold" if row == column else "normal")
        if normalize is not None and defined[row, column]:
            text.set_y(row + 0.37)
            ax.text(
                column + 0.5, row + 0.75, f"{counts[row, column]:,}", ha="center", va="center", color=TEXT,
                fontsize=FONT - 2.5, gid="count",
            )  # fmt: skip
    # Of columns how many photographs they share is said as of rows, but without the room for "n =".
    columns = [f"{grade}\n{n:,}" if normalize == "pred" else f"{grade}" for grade, n in enumerate(counts.sum(axis=0))]
    middles = np.add(GRADES, 0.5)
    ax.set_xticks(middles, columns, fontsize=FONT - 1 if normalize == "pred" else FONT, color=TEXT)
    labels = [
        f"{grade} {name}\nn = {n:,}" for grade, name, n in zip(GRADES, GRADE_NAMES, counts.sum(axis=1), strict=True)
    ]
    ax.set_yticks(middles, labels, fontsize=FONT - 1.5, color=TEXT, rotation=0)
    label = "predicted grade" + ", how often" * (normalize == "pred")
    ax.set_xlabel(label, fontsize=FONT, color=MUTED)
    ax.set_ylabel("true grade", fontsize=FONT, color=MUTED)
    ax.tick_params(length=0)
    ax.patch.set_alpha(0)
    return ax


def plot_recall_change(
    before: Iterable[float | None], after: Iterable[float | None], *, color: str, ax: Axes | None = None
) -> Axes:
    """Draw how the recall of each grade (shares, length 5) moves from ``before`` (ring) to ``after`` (dot)."""
    ax = ax or panel(360, 230)
    for grade, (start, end) in enumerate(zip(before, after, strict=True)):
        if start is None or end is None:
            continue
        ax.annotate("", (end, grade), (start, grade), arrowprops={"arrowstyle": "-", "color": color, "lw": 2}, zorder=2)
        ax.plot([start], [grade], "o", ms=8, mfc="none", mec=color, mew=1.8, zorder=3)
        ax.plot([end], [grade], "o", ms=8, color=color, zorder=4)
    ax.set(xlim=(-0.03, 1.03), ylim=(4.5, -0.5))
    plain_axes(ax)
    ax.grid(axis="x", color=GRID, lw=0.8)
    ax.set_yticks(GRADES, [f"{grade} {name}" for grade, name in enumerate(GRADE_NAMES)], fontsize=FONT - 1, color=TEXT)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda share, _: percent(share)))
    ax.set_xlabel("recall", fontsize=FONT, color=MUTED)
    return ax


def plot_grade_shares(shares: Mapping[str, Sequence[float] | NDArray], *, ax: Axes | None = None) -> Axes:
    """Draw the share of each grade, one bar a grade and one row of bars a split; shares 0..1 by split."""
    ax = ax or panel(360, 250)
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
