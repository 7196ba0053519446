"""ROC, precision-recall, reliability and cost panels, and those of hundreds of runs, hold what they were given."""

import re

import numpy as np
import pandas as pd
import pytest
from matplotlib import colors

from dr_lib import plots
from dr_lib.evaluation.calibration import reliability
from dr_lib.report.drawing import INK, inline_svg

STYLES = {"first": plots.Line("#0072b2"), "second": plots.Line("#d55e00", "s", dashed=True)}
CURVES = {"first": ([0, 0.1, 1], [0, 0.6, 1]), "second": ([0, 0.05, 1], [0, 0.9, 1])}
POINTS = {
    "first": [plots.OperatingPoint(0.9, 0.4, (0.88, 0.92), (0.35, 0.5)), plots.OperatingPoint(0.5, 0.95)],
    "second": [],
}


def texts(ax):
    return [text.get_text() for text in ax.texts]


def named(ax):
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


def marked(ax, gid):
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines if line.get_gid() == gid]


def dots(ax, gid):
    return [row.get_offsets().tolist() for row in ax.collections if row.get_gid() == gid]


def test_roc_curves_are_drawn_and_named_best_first():
    ax = plots.plot_roc(
        CURVES, styles=STYLES, areas={"first": 0.75, "second": 0.9251}, points=POINTS,
        intervals={"second": (0.9, 0.951), "first": None},
    )  # fmt: skip
    for name, (alarms, found) in CURVES.items():
        assert list(named(ax)[name].get_xdata()) == alarms and list(named(ax)[name].get_ydata()) == found
        assert named(ax)[name].get_color() == STYLES[name].color
    keys = [text.get_text() for text in ax.texts if text.get_gid() == "key"]
    assert keys == ["second: 0.925 (0.900 to 0.951)", "first: 0.750"]
    chance = named(ax)["chance"]
    assert list(chance.get_xdata()) == list(chance.get_ydata()) == [0, 1]
    assert {"chance", "sensitivity 90%", "specificity 95%"} <= set(texts(ax))
    assert ax.get_ylabel() == "sensitivity" and "1 − specificity" in ax.get_xlabel()


def test_operating_points_stand_with_both_intervals():
    ax = plots.plot_roc(CURVES, styles=STYLES, points=POINTS)
    assert np.allclose(marked(ax, "point"), [([0.6], [0.9]), ([0.05], [0.5])])
    assert np.allclose(marked(ax, "interval"), [([0.5, 0.65], [0.9, 0.9]), ([0.6, 0.6], [0.88, 0.92])])
    targets = [line for line in ax.lines if colors.to_hex(line.get_color()) == plots.MUTED]
    assert targets[0].get_ydata()[0] == 0.9 and targets[1].get_xdata()[0] == pytest.approx(0.05)
    assert not marked(plots.plot_roc(CURVES, styles=STYLES), "point")


def test_precision_is_measured_against_the_prevalence():
    ax = plots.plot_precision_recall(CURVES, styles=STYLES, prevalence=0.194, areas={"first": 0.5, "second": 0.6})
    assert list(named(ax)["first"].get_xdata()) == CURVES["first"][0]
    assert set(named(ax)["chance"].get_ydata()) == {0.194} and "chance 19%" in texts(ax)
    assert [text for text in texts(ax) if ":" in text] == ["second: 0.600", "first: 0.500"]


def test_a_band_sets_the_foremost_curve_off():
    ax = plots.plot_roc(CURVES, styles=STYLES, band=("first", [0, 1], [0, 0.8], [0.2, 1]))
    assert named(ax)["second"].get_linewidth() < 1.2 < named(ax)["first"].get_linewidth()
    assert [row.get_gid() for row in ax.collections] == ["band"]
    thin = named(plots.plot_precision_recall(CURVES, styles=STYLES, prevalence=0.2, foremost="second"))
    assert thin["first"].get_linewidth() < 1.2 < thin["second"].get_linewidth()


def test_reliability_shows_bins_with_intervals_and_the_error():
    bins = [
        {"photographs": 3, "confidence": 0.5, "accuracy": 0.0, "limits": (0.0, 0.56)},
        {"photographs": 3, "confidence": 0.9, "accuracy": 2 / 3, "limits": (0.2, 0.94)},
    ]
    before, after = {"ece": 0.3, "bins": bins}, {"ece": 0.15, "bins": reliability([True, False], [0.7, 0.5])["bins"]}
    ax = plots.plot_reliability(before, after, color="#0072b2")
    line = named(ax)["as trained"]
    assert np.allclose(line.get_xdata(), [0.5, 0.9]) and np.allclose(line.get_ydata(), [0, 2 / 3])
    assert np.allclose(named(ax)["temperature scaled"].get_xdata(), [0.5, 0.7])
    assert {"as trained: calibration error 0.300", "temperature scaled: calibration error 0.150"} <= set(texts(ax))
    assert np.allclose([up for _, up in marked(ax, "interval")], [(0.0, 0.56), (0.2, 0.94)])
    plots.plot_reliability(reliability([], []), color="#0072b2")


def test_costs_are_bars_with_their_numbers_and_seeds_as_dots():
    words = lambda value: f"{value:.0f} min"  # noqa: E731
    ax = plots.plot_cost({"quick": [10], "slow": [30, 50]}, words=words, name="training", colors={"slow": "#d55e00"})
    assert [patch.get_width() for patch in ax.patches] == [10, 40]
    assert {"10 min", "40 min", "quick", "slow"} == set(texts(ax))
    assert colors.to_hex(ax.patches[1].get_facecolor()) == "#d55e00"
    assert dots(ax, "seed") == [[[30, 1.2], [50, 1.2]]]
    assert ax.get_xlabel() == "training" and not ax.get_yticklabels()
    assert max(ax.get_xticks()) <= 53
    tall = plots.plot_cost({str(run): [1.0] for run in range(40)}, words=words, name="training").figure
    # 20 px and more a row of letters of 12 px.
    assert tall.get_figheight() * 72 / 40 > 20


def test_two_hundred_runs_are_dots_in_a_row_of_each_setting():
    rng = np.random.default_rng(0)
    groups = {
        "batch size": {"8": rng.normal(0.5, 0.05, 100), "64": rng.normal(0.7, 0.05, 100)},
        "rule": {"linear": rng.normal(0.6, 0.1, 200)},
    }
    ax = plots.plot_many(groups, words=lambda value: f"{value:.2f}", majority=0.3)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["8", "64", "linear"]
    assert texts(ax) == ["batch size", "rule", "majority"]
    figures = [group for rows in groups.values() for group in rows.values()]
    for row, place, group in zip(dots(ax, "runs"), (1, 2, 4), figures, strict=True):
        x, y = np.transpose(row)
        assert np.array_equal(x, group) and (np.abs(y - place) < 0.45).all()
    ((medians, places),) = marked(ax, "median")
    assert np.allclose(medians, [np.median(group) for group in figures]) and places == [1, 2, 4]
    # Equal figures do not hide each other.
    (same,) = dots(plots.plot_many({"a": {"b": [0.5] * 40}}, words=str), "runs")
    assert len({y for _, y in same}) == 40
    # Two drawings of the same are the same: seaborn's own jitter is not.
    first, second = (inline_svg(plots.plot_many(groups, words=str), "runs") for _ in range(2))
    assert first == second


def test_all_colors_follow_the_page():
    bins = reliability([True, False], [0.9, 0.4])
    drawn = [
        plots.plot_roc(CURVES, styles=STYLES, points=POINTS),
        plots.plot_precision_recall(CURVES, styles=STYLES, prevalence=0.2),
        plots.plot_reliability(bins, bins, color="#e69f00"),
        plots.plot_cost({"a": [1, 2]}, words=str, name="minutes"),
        plots.plot_many({"a": {"b": [1, 2]}}, words=str, majority=1.5),
        plots.plot_confusion(np.eye(5), normalize="pred"),
        plots.plot_grade_shares({"training": [0.2] * 5, "testing": [0.2] * 5}),
        plots.plot_settings({"a": [1, 2]}, {"a": (0, 3)}, words=str, majority=1.5),
        plots.plot_by_batch_size({"a": {8: [1, 2], 16: [3, 4]}}, styles=plots.line_styles(["a"]), words=str),
        plots.plot_accuracy({"a": pd.DataFrame({0: [0.5, 0.6], 1: [0.6, 0.7]}, [1, 2])}, color="#cc79a7", head_only=1),
    ]
    for ax in drawn:
        svg = inline_svg(ax, "figure")
        assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) <= set(INK), svg
        assert len(re.findall(r"#[0-9a-f]{6}\b", svg)) == len(re.findall(r"var\(--[a-z0-9]+, #[0-9a-f]{6}\)", svg))
