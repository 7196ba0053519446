"""Plots hold what they were given: lines, texts, ticks and colours are read back."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import colors

from dr_lib import plots
from dr_lib.report.drawing import block_svg, inline_svg, interval_svg

MATRIX = [[90, 10, 0, 0, 0], [5, 5, 0, 0, 0], [0, 0, 8, 2, 0], [0, 0, 0, 0, 0], [1, 0, 0, 0, 3]]


@pytest.fixture
def curves():
    epochs = pd.Index(range(1, 11), name="epoch")
    return {
        "pretrained": pd.Series(np.linspace(0.7, 0.85, 10), epochs),
        "scratch": pd.Series(np.linspace(0.72, 0.74, 10), epochs),
    }


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_accuracy_curves_are_named_at_their_ends_and_stand_with_the_majority(curves):
    ax = plots.plot_accuracy(curves, colour="#0072b2", majority=0.734, head_only=3, chosen={"pretrained": 7})
    by_name = {line.get_label(): line for line in ax.lines}
    for name, curve in curves.items():
        assert np.array_equal(by_name[name].get_ydata(), curve.to_numpy())
        assert by_name[name].get_color() == "#0072b2"
    assert {"pretrained", "scratch", "majority", "head only"} <= set(texts(ax))
    majority = [line for line in ax.lines if np.ptp(line.get_ydata()) == 0 and line.get_ydata()[0] == 0.734]
    assert colors.to_hex(majority[0].get_color()) == plots.MAJORITY and majority[0].get_linestyle() == "--"
    dot = next(line for line in ax.lines if line.get_gid() == "chosen")
    assert dot.get_xdata()[0] == 7 and dot.get_ydata()[0] == curves["pretrained"].loc[7]


def test_names_of_curves_that_meet_do_not_overlap(curves):
    same = curves["scratch"]
    ax = plots.plot_accuracy({"a": same, "b": same, "c": same}, colour="#0072b2", majority=float(same.iloc[-1]))
    heights = sorted(text.xy[1] for text in ax.texts)
    assert min(np.diff(heights)) >= 0.07 and heights[-1] <= 1 + 1e-9


def test_one_epoch_is_a_curve_too(curves):
    plots.plot_accuracy({"pretrained": curves["pretrained"].head(1)}, colour="#0072b2")


def test_confusion_shows_rows_as_shares_and_counts_of_each_grade():
    ax = plots.plot_confusion(MATRIX)
    cells = np.array(texts(ax)).reshape(5, 5)
    assert cells[0].tolist() == ["0.90", "0.10", "0.00", "0.00", "0.00"]
    assert set(cells[3]) == {"–"}
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels[0] == "0 no DR\nn = 100" and labels[3] == "3 severe\nn = 0"
    depth = np.array([patch.get_alpha() for patch in ax.patches]).reshape(5, 5)
    assert depth[0, 0] == depth[0].max() and depth.max() <= 0.6


def test_recall_change_leaves_undefined_grades_out():
    ax = plots.plot_recall_change([0.9, 0.1, None, 0.2, 0.0], [0.8, 0.4, 0.5, 0.2, 0.3], colour="#d55e00")
    rows = {line.get_ydata()[0] for line in ax.lines}
    assert rows == {0, 1, 3, 4}


def test_shares_are_written_beside_their_bars():
    ax = plots.plot_grade_shares({"training": [0.7, 0.1, 0.1, 0.05, 0.05], "testing": [0.6, 0.2, 0.1, 0.05, 0.05]})
    assert "70.0%" in texts(ax) and "60.0%" in texts(ax) and len(ax.patches) == 10


def test_networks_keep_their_colours():
    assert plots.network_colours(["resnet50"]) == {"resnet50": "#d55e00"}
    many = plots.network_colours(["resnet18", "resnet34", "resnet50", "vgg16"])
    assert many["resnet18"] == "#0072b2" and len(set(many.values())) == 4
    assert len(plots.network_colours([f"m{i}" for i in range(20)])) == 20


def test_inline_svg_follows_the_page_and_carries_its_alternative_text():
    label = 'a <b> & "c"'
    svg = inline_svg(plots.plot_confusion(MATRIX), label)
    assert svg == inline_svg(plots.plot_confusion(MATRIX), label)
    assert 'role="img" aria-label="a &lt;b&gt; &amp; &quot;c&quot;"' in svg
    assert "var(--fg, #1d2330)" in svg and "DejaVu" not in svg and "viewBox" in svg
    assert "<metadata" not in svg and "http:" not in svg.replace("http://www.w3.org", "")


def test_ids_of_two_figures_differ(curves):
    import re

    svgs = [inline_svg(plots.plot_accuracy(curves, colour=c), "curve") for c in ("#0072b2", "#d55e00")]
    first, second = (set(re.findall(r'id="([^"]+)"', svg)) for svg in svgs)
    assert first and not first & second
    for svg, ids in zip(svgs, (first, second), strict=True):
        assert set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg)) == ids


def test_small_drawings_speak():
    drawing = interval_svg(0.8, (0.78, 0.82), 0.734, (0.6, 0.9), "accuracy 80%")
    assert 'aria-label="accuracy 80%"' in drawing and 'class="maj"' in drawing and 'class="whisk"' in drawing
    assert 'class="whisk"' not in interval_svg(0.8, None, None, (0.6, 0.9), "x")
    assert "<script" not in block_svg(["<script>"], "block")
