"""The first sentences of the report turn with the numbers."""

import math

from dr_lib.evaluation.bootstrap import Difference
from dr_lib.evaluation.seed_groups import SeedFigure
from dr_lib.report import summary_sentences

UP, DOWN, FLAT = Difference(0.089, 0.080, 0.098), Difference(-0.089, -0.098, -0.080), Difference(0.004, -0.005, 0.013)
KAPPA = SeedFigure(0.71, math.nan, 1, 0.69, 0.73)


def accuracy(mean, low, high, n=1):
    return SeedFigure(mean, math.nan if n == 1 else 0.01, n, low, high)


def test_the_best_is_held_against_the_majority():
    assert summary_sentences.best("ResNet50", 1, accuracy(0.826, 0.818, 0.834), KAPPA, 0.734) == (
        "The highest quadratic weighted kappa, 0.71 (95% interval 0.69 to 0.73), is that of ResNet50; it is right for "
        "82.6% of the testing photographs (81.8 to 83.4; always answering “no DR”: 73.4%)."
    )
    assert "always answering “mild”" in summary_sentences.best("It", 1, accuracy(0.6, 0.58, 0.62), KAPPA, 0.734, 1)
    assert "that of It, the mean of 3 seeds; it is" in summary_sentences.best(
        "It", 3, accuracy(0.74, 0.72, 0.76, 3), KAPPA, 0.734
    )
    unknown = SeedFigure(0.74, math.nan, 1, math.nan, math.nan)
    assert "nan" not in summary_sentences.best("It", 1, unknown, unknown, 0.734)


def test_causes_that_do_something_come_first():
    changes = [("pretraining", False, UP, UP), ("depth", False, FLAT, FLAT), ("class weights", True, DOWN, UP)]
    assert summary_sentences.causes(changes) == (
        "Pretraining adds 8.9 points of accuracy (8.0 to 9.8) and 0.09 of kappa (0.08 to 0.10) and class weights cost "
        "8.9 points of accuracy (8.0 to 9.8) and add 0.09 of kappa (0.08 to 0.10); depth makes no measurable "
        "difference (accuracy −0.5 to 1.3 points, kappa −0.01 to 0.01)."
    )
    # Where most photographs have one grade, kappa moves when accuracy cannot.
    assert summary_sentences.causes([("depth", False, FLAT, DOWN)]) == "Depth costs 0.09 of kappa (0.08 to 0.10)."
    alike = [("pretraining", False, FLAT, FLAT), ("depth", False, FLAT, FLAT), ("class weights", True, FLAT, FLAT)]
    assert summary_sentences.causes(alike).startswith(
        "Neither pretraining (accuracy −0.5 to 1.3 points, kappa −0.01 to 0.01), depth"
    )
    assert summary_sentences.causes(alike[2:]).startswith("Class weights make no measurable difference (accuracy")
    assert summary_sentences.causes([("depth", False, None, None)]) == "" and summary_sentences.causes([]) == ""


def test_how_many_beat_the_majority():
    runs = {"a": (0.78, 0.82), "b": (0.72, 0.76), "c": (0.5, 0.6)}
    assert "1 above it, 1 not distinguishable from it and 1 below it" in summary_sentences.summary_of_majority(
        runs, 0.734
    )
    assert "configuration" not in summary_sentences.summary_of_majority({}, 0.734)


def test_a_sweep_in_which_nothing_was_learned_says_so():
    slight, fair, unsure = (-0.02, 0.08), (0.25, 0.40), (-0.1, 0.3)
    assert "No run here grades" in summary_sentences.nothing_learned(
        [(0.71, 0.76), (0.1, 0.2)], [slight, slight], 0.739
    )
    assert summary_sentences.nothing_learned([(0.71, 0.76), (0.75, 0.79)], [slight, slight], 0.739) == ""
    assert summary_sentences.nothing_learned([(0.71, 0.76), (0.1, 0.2)], [slight, fair], 0.739) == ""
    assert summary_sentences.nothing_learned([(0.71, 0.76)], [unsure], 0.739) == ""
