"""The report's figures of merit, tests, other eyes and calibration say what the run folders say."""

import re

import numpy as np
import pytest
from experiment_factory import made_up_audit, photograph_table, recorded, write_experiment, write_run

from dr_lib import PROBABILITIES
from dr_lib.evaluation.effects import compare
from dr_lib.evaluation.referral import referral
from dr_lib.evaluation.summary import plain_json
from dr_lib.report.collect import collect
from dr_lib.report.formatting import signed
from dr_lib.report.sections.calibration import calibration
from dr_lib.report.sections.first_screen import effects_table
from dr_lib.report.sections.metrics_table import figures_by_grade, figures_of_merit
from dr_lib.report.sections.referable import referable_figures
from dr_lib.report.sections.runs import runs_table
from dr_lib.report.sections.significance import other_eyes, seeds
from dr_lib.storage.checksums import write_sealed_json
from dr_lib.storage.files import read_json, write_json

SECTIONS = [
    calibration,
    effects_table,
    figures_by_grade,
    figures_of_merit,
    other_eyes,
    referable_figures,
    seeds,
]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    return collect(write_experiment(tmp_path_factory.mktemp("experiment") / "lab"))


def text_of(html):
    """Return what a section says, drawings and their alternative texts left out."""
    html = re.sub(r"<svg.*?</svg>", "", getattr(html, "data", html), flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def test_figures_and_their_intervals_are_those_of_the_folders(experiment):
    text = text_of(figures_of_merit(experiment)) + text_of(referable_figures(experiment))
    for run in experiment.done:
        test, limits = run.test, run.test["intervals"]
        low, high = limits["balanced_accuracy"]
        assert f"{100 * test['balanced_accuracy']:.1f}% {100 * low:.1f}% to {100 * high:.1f}%" in text
        low, high = limits["referable_auc"]
        assert f"{test['referable_auc']:.3f} {low:.3f} to {high:.3f}" in text
        point = test["referable_at_90_sensitivity"]["specificity"]
        low, high = limits["referable_at_90_sensitivity"]["specificity"]
        assert f"{100 * point:.1f}% {100 * low:.1f}% to {100 * high:.1f}%" in text
    assert "Specificity at sensitivity 90%" in text and "Sensitivity at specificity 95%" in text


def test_every_grade_has_its_figures(experiment):
    text = text_of(figures_by_grade(experiment))
    for run in experiment.done:
        for grade in range(5):
            assert f"{run.test['auc'][grade]:.3f}" in text and f"{100 * run.test['recall'][grade]:.0f}%" in text


def test_all_comparisons_are_tested_together(experiment):
    assert len(experiment.all_effects) == 4 + 4 + 4
    for one in experiment.all_effects:
        alone = compare([one.first.first.predictions], [one.second.first.predictions])
        assert one.change.accuracy.value == pytest.approx(one.second.accuracy - one.first.accuracy)
        assert one.change.accuracy.p >= alone.accuracy.p and one.change.kappa.low < alone.kappa.low
    text = text_of(effects_table(experiment))
    assert text.count(", p ") == 24 and "all 12 comparisons" in text
    for one in experiment.all_effects:
        change = one.change.kappa
        assert f"{signed(change.low, 2)} to {signed(change.high, 2)}, p " in text


def test_one_of_many_has_to_be_surer(tmp_path):
    table = photograph_table(600)
    for pretrained in (False, True):
        write_run(tmp_path, table, pretrained=pretrained, skill=1.0, luck=pretrained)
    twins = text_of(effects_table(collect(tmp_path)))
    assert "Pretraining makes no measurable difference to accuracy or kappa." in twins


def test_the_other_eye_is_looked_for_among_the_patients_of_the_audit(experiment, tmp_path):
    known = experiment.audit["patients_on_both_sides"]["patients"]
    text = text_of(other_eyes(experiment))
    run = experiment.done[0]
    inside = run.predictions["patient"].isin(known)
    right = run.predictions["grade"] == run.predictions["predicted"]
    assert f"{100 * right[inside].mean():.1f}% {100 * right[~inside].mean():.1f}%" in text
    assert f"{inside.sum()} photographs of patients who have another" in text

    table = photograph_table(60)
    write_run(tmp_path, table)
    assert "is not known here" in text_of(other_eyes(collect(tmp_path)))
    audit = made_up_audit(table)
    for patients in ([], table["patient"].unique().tolist()):
        audit["patients_on_both_sides"]["patients"] = patients
        write_sealed_json(tmp_path / "audit.json", audit)
        assert "all of one kind" in text_of(other_eyes(collect(tmp_path)))


def test_unknown_patients_are_on_no_side(tmp_path):
    table = photograph_table(600)
    table.loc[:99, "patient"] = table.loc[:99, "image"]
    audit = made_up_audit(table)
    audit["patients_on_both_sides"]["patients"] = table["patient"].unique()[-100:].tolist()
    write_run(tmp_path, table)
    write_sealed_json(tmp_path / "audit.json", audit)
    assert "on 200 photographs of patients who have another" in (text := text_of(other_eyes(collect(tmp_path))))
    assert "and on 300 of known patients who have none" in text


def test_patients_who_were_trained_on_are_caught(tmp_path):
    table = photograph_table(600)
    audit = made_up_audit(table)
    audit["patients_on_both_sides"]["patients"] = table["patient"].unique()[:150].tolist()
    folder = write_run(tmp_path, table)
    write_sealed_json(tmp_path / "audit.json", audit)
    run = collect(tmp_path).runs[0]
    known = run.predictions["patient"].isin(audit["patients_on_both_sides"]["patients"])
    learned = run.predictions.assign(predicted=run.predictions["predicted"].where(~known, run.predictions["grade"]))
    learned.to_csv(folder / "predictions.csv", index=False)
    recorded(folder)
    text = text_of(other_eyes(collect(tmp_path)))
    assert "better in 1 of 1 configuration" in text and "100.0%" in text


def test_calibration_tells_how_sure_each_run_is(experiment):
    html = calibration(experiment).data
    text = text_of(html)
    for run in experiment.done:
        assert f"{100 * run.test['calibration']['ece']:.1f}" in text
        sure = run.predictions[[f"p{grade}" for grade in range(5)]].max(axis=1).mean()
        assert f"{100 * sure:.1f}%" in text
    assert "too sure" in text and not re.search(r"temperature \d", text)
    assert html.count('aria-label="Reliability diagram') == 2


def test_a_fitted_temperature_is_told(tmp_path):
    folder = write_run(tmp_path, photograph_table(60))
    metrics = read_json(folder / "metrics.json")
    bins = metrics["test"]["calibration"]["bins"]
    scaled = {"temperature": 1.7, "ece": 0.0, "bins": bins}
    write_json(folder / "metrics.json", metrics | {"temperature_scaling": scaled})
    recorded(folder)
    html = calibration(collect(tmp_path)).data
    assert "0.0 temperature 1.70" in text_of(html) and "a temperature of 1.70 lowers it from" in html


def test_seeds_are_told_with_their_spread(tmp_path):
    table = photograph_table(300)
    for seed in range(3):
        write_run(tmp_path, table, seed=seed, luck=seed, name=f"resnet18-seed{seed}")
    experiment = collect(tmp_path)
    (one,) = experiment.configurations
    shares = [run.test["accuracy"] for run in experiment.runs]
    mean, deviation = np.mean(shares), np.std(shares, ddof=1)
    assert f"{100 * mean:.1f}% ± {100 * deviation:.1f}" in text_of(seeds(experiment))
    assert ", ".join(f"{100 * share:.1f}%" for share in shares) in text_of(seeds(experiment))
    votes = np.mean([run.predictions.sort_values("image")[list(PROBABILITIES)] for run in experiment.runs], axis=0)
    right = (votes.argmax(axis=1) == table.sort_values("image").grade).mean()
    assert f"{100 * right:.1f}% kappa" in text_of(seeds(experiment))
    limits = one.figure("accuracy")
    assert f"{100 * limits.low:.1f}% to {100 * limits.high:.1f}%" in text_of(runs_table(experiment))
    assert limits.low < mean < limits.high


def test_seeds_of_two_networks_are_compared_by_their_means(tmp_path):
    table = photograph_table(300)
    for seed in range(3):
        for pretrained in (False, True):
            name = f"resnet18{'-pretrained' * pretrained}-seed{seed}"
            write_run(tmp_path, table, seed=seed, luck=seed + 3 * pretrained, pretrained=pretrained, name=name)
    experiment = collect(tmp_path)
    (found,) = experiment.all_effects
    assert found.change.only_first is None
    assert found.change.accuracy.value == pytest.approx(found.second.accuracy - found.first.accuracy)
    assert "only the one and only the other" in text_of(effects_table(experiment))
    assert not re.search(r"p [<=]\S* \([\d,]+ and [\d,]+\)", text_of(effects_table(experiment)))


def test_operating_points_are_drawn_where_the_folders_have_them(experiment):
    html = referable_figures(experiment).data
    assert html.count("<svg") == 2
    for one in experiment.main:
        if not one.weighted:
            assert f"{one.first.test['referable_auc']:.3f}" in html
    assert f"{100 * experiment.majority:.1f}%" in html


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_sections_stand_what_is_missing(section, tmp_path):
    write_run(tmp_path / "none", photograph_table(60), state="failed", reason="no photographs")
    section(collect(tmp_path / "none"))
    # One grade alone, and figures as they were before there were more of them.
    folder = write_run(tmp_path / "one", photograph_table(60).assign(grade=0))
    text = text_of(section(collect(tmp_path / "one")))
    assert not re.search(r"\bnan\b", text.lower()) and "None" not in text
    metrics = read_json(folder / "metrics.json")
    old = {"accuracy", "majority_accuracy", "kappa", "macro_auc", "referable_auc", "recall", "precision", "support"}
    metrics["test"] = {name: value for name, value in metrics["test"].items() if name in old | {"balanced_accuracy"}}
    metrics["test"]["intervals"] = {"accuracy": [0.1, 0.9], "kappa": None}
    write_json(folder / "metrics.json", metrics)
    recorded(folder)
    section(collect(tmp_path / "one"))


def test_patients_are_referred_from_a_threshold_that_validation_has_set(experiment, tmp_path):
    folder = write_run(tmp_path, photograph_table(300))
    assert "Patients referred" not in text_of(referable_figures(collect(tmp_path)))  # of an earlier version
    predictions, metrics = collect(tmp_path).runs[0].predictions, read_json(folder / "metrics.json")
    for validation, words in ((predictions.sample(frac=0.5, random_state=0), "validation patients"),
                              (None, "testing patients themselves, which flatters it")):  # fmt: skip
        found = referral(predictions, validation)
        write_json(folder / "metrics.json", metrics | {"referral": plain_json(found)})
        text, point = text_of(referable_figures(collect(recorded(folder).parent.parent))), found["patients"]
        assert words in text and "Patients referred by the worse eye" in text
        for name in ("sensitivity", "specificity", "ppv", "npv"):
            low, high = point["at_90_sensitivity"]["intervals"][name]
            value = point["at_90_sensitivity"][name]
            assert f"{100 * value:.1f}% {100 * low:.1f}% to {100 * high:.1f}%" in text
