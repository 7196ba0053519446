"""Numbers in, Axes out; photographs in, a Figure out. Nothing is shown, saved, seeded or styled globally.

Figures are drawn at the size at which they are read: a unit of the figure is a pixel of a 300 px wide panel, so that a
telephone shows one panel a row in legible letters and a desktop three.
"""

from dr_lib.plots.accuracy import accuracy_limits, plot_accuracy, plot_column
from dr_lib.plots.axes import (
    FONT,
    GRID,
    HEAT,
    MAJORITY,
    MUTED,
    NETWORKS,
    PHASE,
    TEXT,
    Line,
    Words,
    network_colors,
    new_axes,
    panel,
    percent,
    plain_axes,
    spread_out,
)
from dr_lib.plots.confusion import plot_confusion, plot_grade_shares, plot_recall_slopes
from dr_lib.plots.overview import plot_cost, plot_many
from dr_lib.plots.photographs import plot_photographs
from dr_lib.plots.roc import OperatingPoint, plot_precision_recall, plot_reliability, plot_roc
from dr_lib.plots.sweeps import (
    MAX_LINES,
    line_styles,
    plot_by_batch_size,
    plot_gradients,
    plot_per_epoch,
    plot_settings,
    value_limits,
)

__all__ = [
    "FONT",
    "GRID",
    "HEAT",
    "MAJORITY",
    "MAX_LINES",
    "MUTED",
    "NETWORKS",
    "PHASE",
    "TEXT",
    "Line",
    "OperatingPoint",
    "Words",
    "accuracy_limits",
    "line_styles",
    "network_colors",
    "new_axes",
    "panel",
    "percent",
    "plain_axes",
    "plot_accuracy",
    "plot_by_batch_size",
    "plot_column",
    "plot_confusion",
    "plot_cost",
    "plot_grade_shares",
    "plot_gradients",
    "plot_many",
    "plot_per_epoch",
    "plot_photographs",
    "plot_precision_recall",
    "plot_recall_slopes",
    "plot_reliability",
    "plot_roc",
    "plot_settings",
    "spread_out",
    "value_limits",
]
