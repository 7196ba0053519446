"""Generated sentences follow the numbers: opposite numbers, opposite text."""

import pytest

from dr_lib.evaluation.bootstrap import Difference
from dr_lib.report import data_sentences as said
from dr_lib.report import formatting, sentences

UP, DOWN, FLAT = Difference(0.089, 0.080, 0.098), Difference(-0.089, -0.098, -0.080), Difference(0.003, -0.004, 0.010)


def effect(accuracy, kappa):
    return sentences.effect("pretraining", "ResNet50", "from scratch", "pretrained", 0.737, 0.826, accuracy, kappa)


def test_pretraining_adds_costs_or_does_neither():
    assert "pretraining adds 8.9 points (95% interval 8.0 to 9.8); kappa rises by 0.09" in effect(UP, UP)
    assert "pretraining costs 8.9 points (95% interval 8.0 to 9.8); kappa falls by 0.09" in effect(DOWN, DOWN)
    neither = effect(FLAT, FLAT)
    assert "the difference of 0.3 points may be chance (95% interval −0.4 to 1.0)" in neither
    assert "kappa does not move measurably" in neither and "adds" not in neither
    assert sentences.UNPAIRED in effect(None, None)


def test_headlines():
    assert sentences.headline("Depth", [UP, UP]) == "Depth raises accuracy."
    assert sentences.headline("Depth", [DOWN]) == "Depth lowers accuracy."
    assert sentences.headline("Depth", [FLAT, FLAT]) == "Depth makes no measurable difference to accuracy."
    assert "not measurably in others" in sentences.headline("Depth", [UP, FLAT])
    assert "opposite directions" in sentences.headline("Depth", [UP, DOWN])
    assert sentences.headline("Class weights", [DOWN], plural=True) == "Class weights lower accuracy."
    assert sentences.headline("Class weights", [None], plural=True) == "Nothing can be said about class weights."


def test_optimism_of_the_highest_testing_accuracy():
    assert "flatters the network by 0.5 points" in sentences.optimism("It", 0.831, 23, 0.826, 20)
    assert "no honest figure" in sentences.optimism("It", 0.826, 20, 0.826, 20, "test_accuracy")
    assert "reaches too" in sentences.optimism("It", 0.826, 20, 0.826, 20)
    assert "the last epoch (20) reaches" in sentences.optimism("It", 0.831, 13, 0.826, 20, "last")
    assert "on average 2.0 points above" in sentences.mean_optimism([0.01, 0.03], "validation")
    assert sentences.mean_optimism([0.01], "validation") == sentences.mean_optimism([0.01, 0.03], "testing") == ""


def test_recall_is_sorted_by_what_its_intervals_say():
    text = sentences.recall_changes(
        [0.99, 0.1, 0.5, None, 0.2], [0.8, 0.3, 0.51, None, 0.25], [DOWN, UP, FLAT, None, FLAT]
    )
    assert "rises for grade 1 (10% to 30%)" in text
    assert "falls for grade 0 (99% to 80%)" in text
    assert "does not change measurably for grade 2 (50% to 51%) and grade 4" in text
    assert "undefined for grade 3" in text


@pytest.mark.parametrize(
    ("accuracy", "recalls", "expected"),
    [
        (DOWN, [DOWN, UP, FLAT, UP, UP], "buy recall of the diseased grades with accuracy"),
        (FLAT, [FLAT, UP, UP, UP, UP], "at no measurable cost"),
        (UP, [FLAT, UP, UP, UP, UP], "and accuracy as well"),
        (DOWN, [UP, DOWN, DOWN, FLAT, FLAT], "the opposite of what they are for"),
        (FLAT, [FLAT, UP, DOWN, FLAT, FLAT], "help some diseased grades and harm others"),
        (DOWN, [DOWN, FLAT, FLAT, FLAT, None], "and cost accuracy"),
    ],
)
def test_what_class_weights_trade(accuracy, recalls, expected):
    assert expected in sentences.trade(accuracy, recalls)


def test_phases_and_generalization():
    assert "fine-tuning raises it" in sentences.phases("It", 0.74, 0.70, 0.82)
    assert "fine-tuning lowers it" in sentences.phases("It", 0.74, 0.76, 0.65)
    assert "leaves it where it was" in sentences.phases("It", 0.74, 0.74, 0.741)
    assert "lies in feature extraction" in sentences.phases("It", 0.74, 0.77, 0.80, tuned=False)
    assert sentences.phases("It", None, None, 0.8) == ""
    assert "overfitting" in sentences.generalization("It", 0.95, 0.80, majority=0.74)
    assert "overfitting" not in sentences.generalization("It", 0.70, 0.20, majority=0.74)
    assert "below testing accuracy" in sentences.generalization("It", 0.78, 0.80, majority=0.74)
    assert "agree" in sentences.generalization("It", 0.801, 0.80, majority=0.74)


def test_confusion_names_best_worst_and_what_it_is_taken_for():
    matrix = [[90, 5, 5, 0, 0], [8, 1, 1, 0, 0], [5, 0, 15, 0, 0], [0] * 5, [0, 0, 1, 0, 4]]
    text = sentences.confusion("It", matrix)
    assert "grade 0 best (90%)" in text and "grade 1 worst (10%), which it calls grade 0 in 80%" in text
    assert "answers “no DR” for every photograph" in sentences.confusion(
        "It", [[9, 0, 0, 0, 0], [1, 0, 0, 0, 0]] + [[0] * 5] * 3
    )


def test_damage_and_leak():
    file = {"status": "truncated", "action": "repaired"}
    assert said.damage(9, []) == "Each of 9 photographs was decoded to its last row; none is damaged."
    assert "Of 100 photographs, 1 is damaged: 1 truncated. Of these, 1 repaired." in said.damage(100, [file])
    assert "2 are damaged: 2 truncated" in said.damage(100, [file, file])
    assert "(88.9%)" in said.leak(6322, 5618) and "flatter" in said.leak(6322, 5618)
    assert said.leak(10, 0).startswith("None of the 10")
    assert "is not known" in said.leak(10, 0, named=False)
    assert "The patients of 39 photographs are unknown" in said.leak(0, 0, unknown=39)
    assert "None of" not in said.leak(0, 0, unknown=39)
    assert said.leak(8, 2, unknown=1).startswith("2 of 8 testing patients (25.0%)")


def test_imbalance():
    assert "Grade 0 has 73.5%" in said.imbalance([20656, 1955, 4210, 698, 581])
    assert "36 to 1" in said.imbalance([20656, 1955, 4210, 698, 581])
    assert "Grade 3 has" in said.imbalance([10, 20, 30, 400, 50])
    assert "about balanced" in said.imbalance([100, 101, 99, 100, 100])
    assert "lack grade 4" in said.imbalance([10, 5, 5, 5, 0])


def test_numbers_as_text():
    assert formatting.signed(-0.04) == "0.0" and formatting.signed(-1.26) == "−1.3"
    assert formatting.points(-0.01) == "1.0 point" and formatting.points(0.02) == "2.0 points"
    assert formatting.listed(["a", "b", "c"]) == "a, b and c" and formatting.listed([]) == ""
