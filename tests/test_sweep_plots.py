"""The figures of sweeps hold what they were given: lines, bars, names and scales are read back."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib import colors

from dr_lib import plots
from dr_lib.plots import sweeps as plot
from dr_lib.report.drawing import inline_svg

KAPPAS = {"unscaled": {8: [0.3], 32: [0.4], 128: [0.1]}, "linear": {8: [0.2], 32: [0.4], 128: [0.35]}}
INTERVALS = {"unscaled": {8: (0.2, 0.4), 32: (0.3, 0.5), 128: (0.0, 0.2)}, "linear": {8: (0.1, 0.3)}}
STYLES = plot.line_styles(list(KAPPAS))
TWO = lambda value: f"{value:.2f}"  # noqa: E731


def texts(ax):
    return [text.get_text() for text in ax.texts]


def named(ax):
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


def test_batch_sizes_stand_on_an_axis_of_doublings():
    ax = plot.plot_by_batch_size(KAPPAS, styles=STYLES, words=TWO)
    assert ax.get_xscale() == "log" and ax.xaxis.get_transform().base == 2
    assert [label.get_text() for label in ax.get_xticklabels()] == ["8", "32", "128"]
    for name, line in KAPPAS.items():
        drawn = named(ax)[name]
        assert drawn.get_xdata().tolist() == [8, 32, 128]
        assert list(drawn.get_ydata()) == [values[0] for values in line.values()]
        assert drawn.get_color() == STYLES[name].color and drawn.get_marker() == STYLES[name].marker
    assert {"unscaled", "linear"} <= set(texts(ax)) and ax.get_xlabel() == "batch size"


def test_intervals_stand_beside_each_other_and_seeds_about_their_mean():
    ax = plot.plot_by_batch_size(KAPPAS, styles=STYLES, words=TWO, intervals=INTERVALS, majority=0.3)
    bars = [path.vertices for collection in ax.collections for path in collection.get_paths()]
    assert sorted(tuple(bar[:, 1]) for bar in bars) == sorted(
        limits for line in INTERVALS.values() for limits in line.values()
    )
    at_eight = [bar[0, 0] for bar in bars if 7 < bar[0, 0] < 9]
    assert len(set(at_eight)) == 2
    assert "majority" in texts(ax)

    several = {"unscaled": {8: [0.1, 0.3, 0.5], 32: [0.2, 0.2, 0.2]}}
    ax = plot.plot_by_batch_size(several, styles=STYLES, words=TWO)
    assert named(ax)["unscaled"].get_ydata() == pytest.approx([0.3, 0.2])
    seeds = [line for line in ax.lines if line.get_gid() == "seed"]
    assert [list(line.get_ydata()) for line in seeds] == [[0.1, 0.3, 0.5, 0.2, 0.2, 0.2]]
    assert texts(ax) == ["0.30", "0.20"]  # a single line has its numbers beside it


def test_one_batch_size_alone_is_drawn_too():
    ax = plot.plot_by_batch_size({"all runs": {64: [3.0]}}, styles=plot.line_styles(["all runs"]), words=TWO)
    assert texts(ax) == ["3.00"]


def test_curves_are_named_at_their_ends_in_their_looks():
    epochs = pd.Index(range(1, 6))
    curves = {"ResNet18": pd.Series(np.linspace(0.5, 0.2, 5), epochs), "ResNet34": pd.Series([0.3] * 5, epochs)}
    styles = {"ResNet18": plot.Line("#0072b2"), "ResNet34": plot.Line("#009e73", "s", dashed=True)}
    ax = plot.plot_per_epoch(curves, styles=styles, words=TWO, limits=(0.1, 0.6), majority=0.26)
    for name, curve in curves.items():
        assert np.array_equal(named(ax)[name].get_ydata(), curve.to_numpy())
    assert named(ax)["ResNet18"].get_linestyle() == "-" and named(ax)["ResNet34"].get_linestyle() == "--"
    assert ax.get_ylim() == (0.1, 0.6) and {"ResNet18", "ResNet34", "majority"} == set(texts(ax))
    red = [line for line in ax.lines if colors.to_hex(line.get_color()) == plots.MAJORITY]
    assert red[0].get_ydata()[0] == 0.26
    heights = {text.get_text(): text.xy[1] for text in ax.texts}
    assert heights["ResNet34"] == pytest.approx((0.3 - 0.1) / 0.5, abs=0.1)


def test_gradients_are_drawn_in_powers_of_ten_and_frozen_layers_left_out():
    norms = {"plain": pd.Series([0.0, 0.001, 0.1], [1, 2, 3]), "residual": pd.Series([0.1, 0.1, 0.1], [1, 2, 3])}
    styles = {"plain": plot.Line("#0072b2", dashed=True), "residual": plot.Line("#0072b2", "s")}
    ax = plot.plot_gradients(norms, styles=styles, limits=(1e-4, 1))
    assert ax.get_yscale() == "log" and ax.get_ylim() == (1e-4, 1)
    assert named(ax)["plain"].get_xdata().tolist() == [2, 3] and list(named(ax)["residual"].get_ydata()) == [0.1] * 3
    heights = {text.get_text(): text.xy[1] for text in ax.texts}
    # Both end at 0.1, three quarters up an axis of four powers of ten, and are moved apart from there.
    assert np.mean(list(heights.values())) == pytest.approx(0.75, abs=0.06) and len(set(heights.values())) == 2
    ticks = [ax.yaxis.get_major_formatter()(tick) for tick in ax.get_yticks() if 1e-4 <= tick <= 1]
    assert ticks == ["0.0001", "0.001", "0.01", "0.1", "1"]
    assert not texts(plot.plot_gradients({"plain": norms["plain"] * 0}, styles=styles, limits=(0.1, 1)))


def test_settings_have_a_row_each_with_interval_or_seeds():
    figures = {"softmax": [0.3], "coral": [0.2, 0.4]}
    ax = plot.plot_settings(figures, {"softmax": (0.2, 0.4), "coral": None}, words=TWO, majority=0.25)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["softmax", "coral"]
    *dots, bar = ax.collections
    assert [row.get_offsets().tolist() for row in dots] == [[[0.3, 0]], [[0.2, 1], [0.4, 1]]]
    assert bar.get_paths()[0].vertices[:, 0].tolist() == [0.2, 0.4]
    means = [line for line in ax.lines if line.get_gid() == "mean"]
    assert len(means) == 1 and means[0].get_xdata() == pytest.approx([0.3]) and means[0].get_ydata() == [1]
    assert "majority" in texts(ax)
    plot.plot_settings({"undefined": [None, None], "once": [None, 0.3]}, {}, words=TWO)


def test_names_that_would_overlap_are_moved_apart():
    same = {str(number): {8: [0.3], 16: [0.3]} for number in range(5)}
    ax = plot.plot_by_batch_size(same, styles=plot.line_styles(list(same)), words=TWO)
    heights = sorted(text.xy[1] for text in ax.texts)
    assert min(np.diff(heights)) > 0.05 and heights[0] >= 0 and heights[-1] <= 1 + 1e-9


def test_every_look_is_another_and_follows_the_page():
    looks = plot.line_styles([str(number) for number in range(plot.MAX_LINES)])
    for first, second in itertools.combinations(looks.values(), 2):
        assert first.color != second.color and first.marker != second.marker
    svg = inline_svg(plot.plot_by_batch_size(KAPPAS, styles=STYLES, words=TWO), "Kappa by batch size")
    assert "var(--net2, #009e73)" in svg and 'aria-label="Kappa by batch size"' in svg


def test_limits_hold_all_curves_with_some_air():
    low, high = plot.value_limits([[0.2, 0.3], [0.1]], 0.5)
    assert low < 0.1 and high > 0.5 and high - low < 0.5
    low, high = plot.value_limits([[0.3, 0.3]])
    assert low < 0.3 < high
