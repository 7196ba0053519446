"""Sentences on figures of merit follow the numbers: opposite numbers, opposite text."""

from dr_lib.evaluation.bootstrap import Difference
from dr_lib.report import metrics_sentences

UP, DOWN, FLAT = Difference(0.089, 0.080, 0.098), Difference(-0.089, -0.098, -0.080), Difference(0.004, -0.005, 0.013)


def test_two_runs_in_words():
    assert (
        metrics_sentences.better("A", "B", FLAT)
        == "A is 0.4 points better than B, interval −0.5 to 1.3: not distinguishable."
    )
    assert (
        metrics_sentences.better("A", "B", UP) == "A is 8.9 points better than B, interval 8.0 to 9.8: distinguishable."
    )
    assert (
        metrics_sentences.better("A", "B", DOWN)
        == "A is 8.9 points worse than B, interval −9.8 to −8.0: distinguishable."
    )
    assert "A is as good as B" in metrics_sentences.better("A", "B", Difference(0.0001, -0.01, 0.01))
    assert "not tested on the same photographs" in metrics_sentences.better("A", "B", None)


def test_many_comparisons_make_it_harder():
    assert metrics_sentences.better("A", "B", UP, 0.2, 12).endswith(
        "distinguishable by itself, not as one of 12 comparisons."
    )
    assert metrics_sentences.better("A", "B", UP, 0.01, 12).endswith(": distinguishable.")
    # The interval has the last word.
    assert metrics_sentences.better("A", "B", FLAT, 0.01, 12).endswith("not distinguishable.")
    said = metrics_sentences.survivors([(UP, 0.001), (DOWN, 0.2), (FLAT, 0.001)])
    assert "2 have an interval of accuracy without zero; corrected for their number, 1 of them remains" in said
    assert metrics_sentences.survivors([(FLAT, 1.0)]) == "Of 1 comparison, 0 have an interval of accuracy without zero."
    assert "nothing to test" in metrics_sentences.survivors([(None, None)])


def test_small_probabilities_are_not_called_zero():
    assert (
        metrics_sentences.p_value(1e-20) == "<\u00a00.001"
        and metrics_sentences.p_value(0.0494) == "0.049"
        and metrics_sentences.p_value(1.0) == "1.000"
    )
    assert metrics_sentences.p_value(None) == "–"


def test_other_eyes_help_harm_or_do_neither():
    assert "measurably better in 1 and worse in 1 of 3 configurations." in metrics_sentences.other_eyes(
        [UP, FLAT, DOWN, None]
    )
    assert metrics_sentences.other_eyes([FLAT]).startswith("In none of 1 configuration is accuracy")
    assert metrics_sentences.other_eyes([None]) == ""


def test_sureness():
    assert (
        metrics_sentences.sureness(0.9, 0.8) == "10.0 points too sure"
        and metrics_sentences.sureness(0.7, 0.8) == "10.0 points too unsure"
    )
    assert metrics_sentences.sureness(0.805, 0.8) == "about as sure as right"


def test_trust_and_temperature():
    assert "10.0 points surer of itself than it is right" in metrics_sentences.trust("It", 0.9, 0.8, 0.1)
    assert "10.0 points less sure than it is right" in metrics_sentences.trust("It", 0.7, 0.8, 0.1)
    assert "about as sure of itself" in metrics_sentences.trust("It", 0.805, 0.8, 0.02)
    assert "temperature of 2.00 lowers it from 10.0 points to 2.0 points" in metrics_sentences.cooled(
        "It", 2.0, 0.1, 0.02
    )
    assert "raises it" in metrics_sentences.cooled("It", 0.9, 0.02, 0.03)
