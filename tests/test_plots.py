"""Plots hold what they were given: lines, texts, ticks and colors are read back."""

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib import colors
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn import metrics as reference

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
    ax = plots.plot_accuracy(curves, color="#0072b2", majority=0.734, head_only=3, chosen={"pretrained": 7})
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
    ax = plots.plot_accuracy({"a": same, "b": same, "c": same}, color="#0072b2", majority=float(same.iloc[-1]))
    heights = sorted(text.xy[1] for text in ax.texts)
    assert min(np.diff(heights)) >= 0.07 and heights[-1] <= 1 + 1e-9


def test_names_do_not_overlap_where_panels_stand_over_one_another(curves):
    figure, same = Figure(figsize=(10, 7), layout="constrained"), curves["scratch"]
    for ax in figure.subplots(2, 2).flat:
        plots.plot_accuracy({"a": same, "b": same}, color="#0072b2", majority=float(same.iloc[-1]), ax=ax)
        ax.set_title("above")
    FigureCanvasAgg(figure).draw()
    for ax in figure.axes:
        boxes = sorted((text.get_window_extent() for text in ax.texts), key=lambda box: box.y0)
        assert all(upper.y0 >= lower.y1 for lower, upper in itertools.pairwise(boxes))


def test_one_epoch_is_a_curve_too(curves):
    plots.plot_accuracy({"pretrained": curves["pretrained"].head(1)}, color="#0072b2")


def test_seeds_are_a_mean_in_a_band_from_the_lowest_to_the_highest(curves):
    low = curves["scratch"]
    seeds = pd.DataFrame({0: low, 1: low + 0.01, 2: low + 0.05})
    ax = plots.plot_accuracy({"scratch": seeds}, color="#0072b2", chosen={"scratch": [3, 5, 10]})
    assert ax.lines[0].get_ydata() == pytest.approx((low + 0.02).to_numpy())
    (band,) = ax.collections
    edges = band.get_paths()[0].vertices
    assert edges[:, 1].min() == pytest.approx(low.min()) and edges[:, 1].max() == pytest.approx(low.max() + 0.05)
    dots = [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines if line.get_gid() == "chosen"]
    assert dots == [(3, seeds.loc[3, 0]), (5, seeds.loc[5, 1]), (10, seeds.loc[10, 2])]
    assert not plots.plot_accuracy({"scratch": seeds[[0]]}, color="#0072b2").collections
    with pytest.raises(ValueError):
        plots.plot_accuracy({"scratch": seeds}, color="#0072b2", chosen={"scratch": [3, 5]})


def cells_of(ax):
    """Return the large texts of the cells, the small ones, and how deep the cells are, each 5 x 5."""
    large = [text.get_text() for text in ax.texts if text.get_gid() != "count"]
    small = {
        (int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in ax.texts if t.get_gid() == "count"
    }
    (mesh,) = ax.collections
    mesh.update_scalarmappable()
    assert {colors.to_hex(color) for color in mesh.get_facecolors().reshape(-1, 4)} == {plots.HEAT}
    depth = mesh.get_facecolors().reshape(5, 5, 4)[..., 3]
    return np.array(large).reshape(5, 5), small, depth


@pytest.mark.parametrize("normalize", ["true", "pred", "all"])
def test_cells_of_a_confusion_matrix_have_scikit_learns_shares_and_counts(normalize):
    counts = np.array(MATRIX)
    truth, answers = (np.repeat(side.ravel(), counts.ravel()) for side in np.indices(counts.shape))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn divides by empty rows
        shares = reference.confusion_matrix(truth, answers, labels=range(5), normalize=normalize)
    large, small, depth = cells_of(plots.plot_confusion(MATRIX, normalize=normalize))
    for cell in np.ndindex(5, 5):
        nobody = not counts.sum(axis=1)[cell[0]] and normalize == "true"
        # Where nobody is nothing is written, so that the mistakes stand out.
        assert large[cell] == ("–" if nobody else f"{shares[cell]:.2f}" if counts[cell] else "")
        assert small.get(cell) == (str(counts[cell]) if counts[cell] else None)
    deepest = shares.max() if normalize == "all" else 1
    assert np.allclose(depth, 0.03 + 0.57 * shares / deepest, rtol=0, atol=1e-3)


def test_confusion_names_grades_and_how_many_have_them():
    ax = plots.plot_confusion(MATRIX)
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels[0] == "0 no DR\nn = 100" and labels[3] == "3 severe\nn = 0"
    assert [label.get_text() for label in ax.get_xticklabels()] == list("01234")
    answered = plots.plot_confusion(MATRIX, normalize="pred").get_xticklabels()
    assert [label.get_text() for label in answered] == ["0\n96", "1\n15", "2\n8", "3\n2", "4\n3"]
    large, small, _ = cells_of(plots.plot_confusion(np.array(MATRIX) * 100, normalize=None))
    assert large[0].tolist() == ["9,000", "1,000", "", "", ""] and not small
    large, small, _ = cells_of(plots.plot_confusion(np.zeros((5, 5)), normalize="all"))
    assert set(large.ravel()) == {"–"} and not small


def test_nothing_is_left_open_in_pyplot(curves):
    """A notebook would show it below the cell."""
    plt.close("all")
    plots.plot_confusion(MATRIX, ax=Figure().subplots())
    plots.plot_confusion(MATRIX)
    plots.plot_accuracy(curves, color="#0072b2")
    assert not plt.get_fignums()


def test_recall_slopes_leave_undefined_recalls_out():
    styles = {name: plots.Line("#d55e00", dashed=name == "b") for name in "abc"}
    ax = plots.plot_recall_slopes({"a": (0.9, 0.8), "b": (0.1, 0.4), "c": (None, 0.5)}, styles=styles)
    drawn = {line.get_label(): list(line.get_ydata()) for line in ax.lines}
    assert drawn == {"a": [0.9, 0.8], "b": [0.1, 0.4]}
    assert [label.get_text() for label in ax.get_xticklabels()] == ["without", "with"]


def test_small_matrices_have_no_names_and_stand_four_in_a_row():
    ax = plots.plot_confusion(MATRIX, small=True)
    assert ax.get_yticklabels()[0].get_text() == "0\nn=100"
    assert ax.figure.get_figwidth() * 72 * 4 < 58 * 16


def test_shares_are_written_beside_their_bars():
    ax = plots.plot_grade_shares({"training": [0.7, 0.1, 0.1, 0.05, 0.05], "testing": [0.6, 0.2, 0.1, 0.05, 0.05]})
    assert "70.0%" in texts(ax) and "60.0%" in texts(ax) and len(ax.patches) == 10
    training, testing = ax.containers
    assert [bar.get_width() for bar in training] == [0.7, 0.1, 0.1, 0.05, 0.05]
    # Of a grade, training above testing.
    middles = [[bar.get_y() + bar.get_height() / 2 for bar in bars] for bars in (training, testing)]
    assert np.allclose(middles, [np.arange(5) - 0.2, np.arange(5) + 0.2])


def test_networks_keep_their_colors():
    assert plots.network_colors(["resnet50"]) == {"resnet50": "#d55e00"}
    many = plots.network_colors(["resnet18", "resnet34", "resnet50", "vgg16"])
    assert many["resnet18"] == "#0072b2" and len(set(many.values())) == 4
    assert len(plots.network_colors([f"m{i}" for i in range(20)])) == 20


def test_inline_svg_follows_the_page_and_carries_its_alternative_text():
    label = 'a <b> & "c"'
    svg = inline_svg(plots.plot_confusion(MATRIX), label)
    assert svg == inline_svg(plots.plot_confusion(MATRIX), label)
    assert 'role="img" aria-label="a &lt;b&gt; &amp; &quot;c&quot;"' in svg
    assert "var(--fg, #1d2330)" in svg and "DejaVu" not in svg and "viewBox" in svg
    assert "<metadata" not in svg and "http:" not in svg.replace("http://www.w3.org", "")


def test_ids_of_two_figures_differ(curves):
    import re

    svgs = [inline_svg(plots.plot_accuracy(curves, color=c), "curve") for c in ("#0072b2", "#d55e00")]
    first, second = (set(re.findall(r'id="([^"]+)"', svg)) for svg in svgs)
    assert first and not first & second
    for svg, ids in zip(svgs, (first, second), strict=True):
        assert set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg)) == ids


def test_small_drawings_speak():
    drawing = interval_svg(0.8, (0.78, 0.82), 0.734, (0.6, 0.9), "accuracy 80%")
    assert 'aria-label="accuracy 80%"' in drawing and 'class="maj"' in drawing and 'class="whisk"' in drawing
    assert 'class="whisk"' not in interval_svg(0.8, None, None, (0.6, 0.9), "x")
    assert "<script" not in block_svg(["<script>"], "block")
