"""Findings are worded by what they are: opposite numbers, opposite text, and no change said that an interval denies."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from experiment_factory import photograph_table, write_run

from dr_lib.evaluation.bootstrap import Difference
from dr_lib.evaluation.effects import Comparison
from dr_lib.evaluation.seed_groups import SeedFigure
from dr_lib.report import sections
from dr_lib.report.collect import collect
from dr_lib.report.findings import Finding, amount, limits, moved
from dr_lib.report.sections.ablation import first_setting
from dr_lib.report.sections.answer import CAUSES, cause_finding
from dr_lib.report.sections.batch_sweep import quality
from dr_lib.report.sections.confusion import confusion_finding
from dr_lib.report.sections.degradation_sweep import gradients
from dr_lib.report.sections.discussion import trade_finding

UP, DOWN, FLAT = Difference(0.089, 0.080, 0.098), Difference(-0.089, -0.098, -0.080), Difference(0.003, -0.004, 0.010)
FEW = Difference(0.5, np.nan, np.nan)


def kappa_of(change):
    return quality("Larger batches", {"it": change}).text


def test_a_change_rises_falls_or_is_unclear():
    assert kappa_of(UP) == "It: kappa rises by 0.09 (95% interval 0.08 to 0.10)."
    assert kappa_of(DOWN) == "It: kappa falls by 0.09 (95% interval 0.08 to 0.10)."
    assert kappa_of(FLAT) == "It: kappa does not change measurably (0.00, 95% interval 0.00 to 0.01)."
    assert kappa_of(FEW) == "It: the change of kappa (+0.50) has no interval, with fewer than 10 patients."
    assert kappa_of(None) == "It: kappa cannot be compared."


@pytest.mark.parametrize("figure", ["accuracy", "kappa"])
def test_no_change_is_shown_as_zero_nor_its_interval_with_zero_in_it(figure):
    for low, value, high in [(1e-4, 4e-4, 1e-3), (-9e-3, -4e-3, -3e-5), (0.02, 0.02, 0.02)]:
        change = Difference(value, low, high)
        numbers = re.findall(r"[\d.]+", amount(change, figure) + limits(change, figure).removeprefix("95% interval"))
        assert all(float(number) > 0 for number in numbers), numbers
    assert amount(Difference(-0.00001, -0.1, 0.1), figure, sign=True).startswith("0.0")
    assert amount(Difference(0.01, 0.0, 0.1), "accuracy") == "1.0 point"


def of(*ways):
    """Return an experiment whose comparisons have these changes of accuracy and kappa, all of networks that grade."""
    pairs = [
        SimpleNamespace(first="one", second="other", change=Comparison(accuracy=accuracy, kappa=kappa))
        for accuracy, kappa in ways
    ]
    return SimpleNamespace(effects={"pretrained": pairs, "model": pairs, "weighted": pairs}, grades=lambda one: True)


def test_what_a_cause_does_is_counted():
    say = lambda which, *ways: cause_finding(of(*ways), CAUSES[which]).text  # noqa: E731
    assert say(0, (UP, UP), (UP, UP)) == "Pretraining raised accuracy in 2 of 2 comparisons and kappa in 2."
    assert say(0, (UP, FLAT), (FLAT, FLAT)) == "Pretraining raised accuracy in 1 of 2 comparisons."
    assert say(2, (DOWN, UP), (DOWN, FLAT)) == (
        "Class weights raised kappa in 1 of 2 comparisons and lowered accuracy in 2 of 2 comparisons."
    )
    assert say(1, (UP, DOWN)) == "Depth raised accuracy and lowered kappa."
    assert say(1, (FLAT, FLAT)) == "Depth makes no measurable difference to accuracy or kappa."
    assert say(2, *[(FLAT, FLAT)] * 4) == (
        "Class weights make no measurable difference to accuracy or kappa in 4 comparisons."
    )
    assert say(2) == "No two finished runs differ in class weights alone, so nothing can be said about them."
    assert say(0, (None, None)).startswith("The runs that differ in pretraining alone were not tested on the same")


def test_the_main_comparison_is_said_in_numbers():
    values = {"label": "ResNet50 pretrained", "other": "ResNet50 from scratch"}
    gains = lambda accuracy, kappa: Finding("gains", {**values, "accuracy": accuracy, "kappa": kappa}).text  # noqa: E731
    assert gains(UP, UP) == (
        "ResNet50 pretrained gains 8.9 points of accuracy (95% interval 8.0 to 9.8) and 0.09 of kappa (95% interval "
        "0.08 to 0.10) against ResNet50 from scratch."
    )
    assert "gains 0.09 of kappa (95% interval 0.08 to 0.10) and loses 8.9 points of accuracy (" in gains(DOWN, UP)
    assert gains(FLAT, None) == ""


def test_networks_that_do_not_grade_are_not_counted():
    experiment = of((UP, UP), (UP, UP), (FLAT, FLAT))
    failing = iter([True, False, False])
    for pair in experiment.effects["pretrained"]:
        pair.first = next(failing)
    experiment.grades = lambda one: one is not False
    assert cause_finding(experiment, CAUSES[0]).text == (
        "Pretraining raised accuracy and kappa. (2 more comparisons have a network that does not grade; in 2 only the "
        "pretrained network does.)"
    )
    experiment.grades = lambda one: not isinstance(one, bool)
    assert cause_finding(experiment, CAUSES[0]).text == (
        "Only the pretrained network grades in 3 of 3 comparisons, so by how much it helps cannot be told."
    )
    experiment.grades = lambda one: False
    assert cause_finding(experiment, CAUSES[0]).text == (
        "What pretraining does cannot be told: each of 3 comparisons has a network that does not grade."
    )


def test_the_best_is_held_against_the_majority():
    kappa, accuracy = SeedFigure(0.71, np.nan, 1, 0.69, 0.73), SeedFigure(0.826, np.nan, 1, 0.818, 0.834)
    values = {"label": "ResNet50", "majority": 0.734, "majority_name": "no DR", "accuracy": accuracy, "kappa": kappa}
    assert Finding("best_network", {"of": 1, "seeds": 1, **values}).text == (
        "ResNet50, with a quadratic weighted kappa of 0.71 (95% interval 0.69 to 0.73). It is right for "
        "82.6% of the testing photographs (81.8% to 83.4%; always answering “no DR”: 73.4%)."
    )
    several = Finding("best_network", {"of": 8, "seeds": 3, **values}).text
    assert (
        several.startswith("Best of 8 configurations: ResNet50")
        and "picked as the highest" in several
        and "mean of 3 seeds" in several
    )
    unknown = SeedFigure(0.74, np.nan, 1, np.nan, np.nan)
    values |= {"accuracy": unknown, "kappa": unknown}
    assert "nan" not in Finding("best_network", {"of": 1, "seeds": 1, **values}).text


@pytest.mark.parametrize(
    ("accuracy", "recall", "expected"),
    [
        (DOWN, [DOWN, UP, FLAT, UP, UP], "buy recall of the diseased grades with accuracy"),
        (FLAT, [FLAT, UP, UP, UP, UP], "at no measurable cost"),
        (UP, [FLAT, UP, UP, UP, UP], "and accuracy as well"),
        (DOWN, [UP, DOWN, DOWN, FLAT, FLAT], "the opposite of what they are for"),
        (FLAT, [FLAT, UP, DOWN, FLAT, FLAT], "help some diseased grades and harm others"),
        (DOWN, [DOWN, FLAT, FLAT, FEW, None], "and cost accuracy"),
    ],
)
def test_what_class_weights_trade(accuracy, recall, expected):
    assert expected in trade_finding(Comparison(accuracy=accuracy, recall=tuple(recall))).text


def test_missed_and_sent_are_counted():
    values = {"seed": None, "ill": 9, "missed": {"moderate": 2, "severe": 1}, "others": 20, "sent": 0}
    assert Finding("screening", values).text == (
        "Of 9 testing photographs of referable retinopathy, it misses 3 (2 moderate and 1 severe); of 20 others, it "
        "would send none to an ophthalmologist."
    )
    assert (
        "misses none; of 1 other, it would send 1"
        in Finding("screening", {**values, "missed": {}, "others": 1, "sent": 1}).text
    )
    assert "referable" not in Finding("screening", {**values, "ill": 0, "missed": {}}).text
    assert Finding("screening", {**values, "seed": 2}).text.startswith("With seed 2, of 9 testing photographs")


def test_optimism_of_the_highest_testing_accuracy():
    values = {"label": "It", "highest": 0.831, "highest_epoch": 23, "chosen": 0.826, "chosen_epoch": 20, "same": False}
    assert "flatters the network by 0.5 points" in Finding("optimism", {**values, "chosen_on": "validation"}).text
    assert "no honest figure" in Finding("optimism", {**values, "chosen_on": "testing"}).text
    assert "reaches too" in Finding("optimism", {**values, "chosen_on": "validation", "same": True}).text
    assert "the last epoch (20) reaches" in Finding("optimism", {**values, "chosen_on": "last"}).text


def test_confusion_names_best_worst_and_what_it_is_taken_for():
    matrix = [[90, 5, 5, 0, 0], [8, 1, 1, 0, 0], [5, 0, 15, 0, 0], [0] * 5, [0, 0, 1, 0, 4]]
    assert confusion_finding("It", matrix).text == (
        "It recognizes grade 0 best (90%) and grade 1 worst (10%), which it calls grade 0 in 80% of cases."
    )
    same = confusion_finding("It", [[9, 0, 0, 0, 0], [1, 0, 0, 0, 0], *[[0] * 5] * 3]).text
    assert same == "It answers “no DR” for every photograph."
    assert confusion_finding("It", [[0, 9, 0, 0, 0], [0, 0, 9, 0, 0], *[[0] * 5] * 3]).text == (
        "It recognizes no grade."
    )
    assert confusion_finding("It", [[0] * 5] * 5).text == "It: no photographs."


def test_numbers_that_are_shown_alike_did_not_move():
    assert moved(0.0301, 0.0299, 3) == "same" and moved(0.03, 0.02, 3) == "down" and moved(0.02, 0.03, 3) == "up"
    cooled = {"label": "It", "temperature": 2.0, "before": 0.1, "after": 0.02}
    assert (
        "temperature of 2.00 lowers it from 10.0 points to 2.0 points"
        in Finding("cooled", {**cooled, "way": "down"}).text
    )
    assert "leaves it at 10.0 points" in Finding("cooled", {**cooled, "way": "same"}).text
    assert "temperature of 2.00 failed: " in Finding("cooled", {**cooled, "way": "failed"}).text
    assert "failed in 1 of 8 runs" in Finding("failed_temperatures", {"n": 8, "failed": 1}).text
    assert Finding("failed_temperatures", {"n": 8, "failed": 0}).text == ""


def test_sureness():
    assert Finding("sureness", {"gap": 0.1}).text == "10.0 points too sure"
    assert Finding("sureness", {"gap": -0.1}).text == "10.0 points too unsure"
    assert Finding("sureness", {"gap": 0.0}).text == "about as sure as right"


def test_other_eyes_help_harm_or_do_neither():
    assert (
        "better in 1 and worse in 1 of 3 configurations"
        in Finding("other_eyes", {"n": 3, "better": 1, "worse": 1}).text
    )
    assert Finding("other_eyes", {"n": 1, "better": 0, "worse": 0}).text.startswith("In none of 1 configuration is")
    assert Finding("other_eyes", {"n": 0, "better": 0, "worse": 0}).text == ""


def test_settings_against_the_first():
    found = first_setting("as it is", "macro AUC", 0.8, {"more": UP, "less": DOWN, "same": FLAT})
    assert found.headline == "“less” is worse than “as it is”. “more” is better than “as it is”."
    assert "“more” changes it by 0.089 (95% interval 0.080 to 0.098)" in found.text
    assert "1 other setting cannot be told from it" in found.text
    assert first_setting("it", "kappa", 0.8, {"a": None}).headline.startswith("With one seed each")
    assert first_setting("it", "kappa", 0.8, {}).headline == "Only “it” has finished."


def test_rules_that_agree_have_one_headline():
    assert quality("Larger batches", {"linear": UP, "none": UP}).headline == "Larger batches raise kappa."
    assert quality("Larger batches", {"linear": UP, "none": FLAT}).headline == (
        "Larger batches raise kappa (linear), not measurably (none)."
    )
    assert quality("Larger batches", {"linear": FLAT}).headline == "Larger batches do not move kappa measurably."
    assert quality("Larger batches", {"linear": UP}).text == "Linear: kappa rises by 0.09 (95% interval 0.08 to 0.10)."


def test_gradients_of_any_size():
    faded = gradients("ResNet50", (0.001, 0.9), (1e-9, 1.0), 20)
    assert "more even" in faded.headline and "1e-07%" in faded.text and "little of it is left" in faded.text
    assert "less even" in gradients("It", (1, 1), (1, 0.2), 2).headline
    assert "about as even" in gradients("It", (1, 1), (0.5, 0.5), 2).headline


SECTIONS = [
    "answer", "tiles", "effects_table", "runs_table", "highest_accuracies", "training_course", "class_weights",
    "confusion_figures", "other_eyes", "calibration", "referable_figures", "seeds", "figures_of_merit", "limitations",
]  # fmt: skip


def everything_said(experiment):
    """Return the text of the sections that depend on numbers, drawings left out."""
    html = "".join(getattr(sections, name)(experiment).data for name in SECTIONS)
    text = re.sub(r"<[^>]*>", " ", re.sub(r"<svg.*?</svg>", " ", html, flags=re.DOTALL))
    return re.sub(r"\s+", " ", text)


def odd_experiment(which, folder):
    """Write an experiment of numbers that sentences find hard."""
    rng = np.random.default_rng(4)
    table = photograph_table({"one photograph": 1, "few": 12}.get(which, 200))
    lab = [(model, pretrained) for model in ("resnet18", "resnet50") for pretrained in (False, True)]
    for number, (model, pretrained) in enumerate(lab[:1] if which == "one run" else lab):
        skill = {"all equal": 1.0, "failed": -3.0}.get(which, float(rng.uniform(0, 2)))
        luck = 0 if which == "all equal" else number
        for seed in range(2 if which == "two seeds" else 1):
            name = f"{model}{'-pretrained' * pretrained}-seed{seed}"
            write_run(
                folder,
                table,
                model=model,
                pretrained=pretrained,
                skill=skill,
                luck=luck + 9 * seed,
                seed=seed,
                name=name,
            )
    return collect(folder)


@pytest.mark.parametrize("which", ["all equal", "one run", "failed", "two seeds", "one photograph", "few"])
def test_odd_experiments_are_worded_without_contradiction(which, tmp_path):
    experiment = odd_experiment(which, tmp_path)
    text = everything_said(experiment)
    assert not re.search(r"\bnan\b|None(?! of)|\{|\}|−0\.0+\b(?!\d)", text), text
    assert not re.search(r"(?:rises|falls) by 0(?:\.0*)? ", text)
    assert not re.search(r"from ([\d.]+ points?) to \1\b", text)
    for effect in experiment.all_effects:
        for figure, change in (("accuracy", effect.change.accuracy), ("kappa", effect.change.kappa)):
            if change and not change.distinguishable:
                assert f"{figure} {'rises' if change.value > 0 else 'falls'} by {amount(change, figure)} " not in text
    if which in ("all equal", "one run", "one photograph", "few", "failed"):
        assert "raised" not in text and "lowered" not in text and "is better" not in text
