"""The report's figures of merit, tests, other eyes and calibration say what the run folders say."""

import re

import pytest
from experiment_factory import made_up_audit, photograph_table, write_experiment, write_run

from dr_lib.files import read_json, write_json
from dr_lib.report.collect import collect
from dr_lib.report.comparisons import all_comparisons
from dr_lib.report.sections.doubts import calibration, corrected_differences, other_eyes
from dr_lib.report.sections.merit import figures_by_grade, figures_of_merit

SECTIONS = [calibration, corrected_differences, figures_by_grade, figures_of_merit, other_eyes]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return collect(write_experiment(tmp_path_factory.mktemp("experiment") / "lab"))


def text_of(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def test_figures_and_their_intervals_are_those_of_the_folders(study):
    text = text_of(figures_of_merit(study))
    for run in study.done:
        test, limits = run.test, run.test["intervals"]
        low, high = limits["balanced_accuracy"]
        assert f"{100 * test['balanced_accuracy']:.1f}% {100 * low:.1f}% to {100 * high:.1f}%" in text
        low, high = limits["referable_auc"]
        assert f"{test['referable_auc']:.3f} {low:.3f} to {high:.3f}" in text
        point = test["referable_at_90_sensitivity"]["specificity"]
        low, high = limits["referable_at_90_sensitivity"]["specificity"]
        assert f"{100 * point:.1f}% {100 * low:.1f}% to {100 * high:.1f}%" in text
    assert "Specificity at sensitivity 90%" in text and "Sensitivity at specificity 95%" in text


def test_every_grade_has_its_figures(study):
    text = text_of(figures_by_grade(study))
    for run in study.done:
        for grade in range(5):
            assert f"{run.test['auc'][grade]:.3f}" in text and f"{100 * run.test['recall'][grade]:.0f}%" in text


def test_all_comparisons_are_tested_together(study):
    found = all_comparisons(study)
    assert len(found) == 4 + 4 + 4
    assert min(one.p for one in found) == min(1, 12 * min(one.found.mcnemar.p for one in found))
    for one in found:
        assert one.found.mcnemar.p <= one.p
        assert one.found.accuracy.value == pytest.approx(one.second.test["accuracy"] - one.first.test["accuracy"])
    text = text_of(corrected_differences(study))
    assert text.count("interval ") >= 12 and "Of 12 comparisons" in text
    assert "distinguishable" in text and "McNemar" in text


def test_one_of_many_has_to_be_surer(tmp_path):
    table = photograph_table(600)
    for pretrained in (False, True):
        write_run(tmp_path, table, pretrained=pretrained, skill=1.0, luck=pretrained)
    twins = text_of(corrected_differences(collect(tmp_path)))
    assert "not distinguishable" in twins and "Of 1 comparison, 0 have" in twins


def test_the_other_eye_is_looked_for_among_the_patients_of_the_audit(study, tmp_path):
    known = study.audit["patients_on_both_sides"]["patients"]
    text = text_of(other_eyes(study))
    run = study.done[0]
    inside = run.predictions["patient"].isin(known)
    right = run.predictions["grade"] == run.predictions["predicted"]
    assert f"{100 * right[inside].mean():.1f}% where the other eye is in training" in text
    assert f"{100 * right[~inside].mean():.1f}% where it is not" in text
    assert f"{inside.sum()} testing photographs" in text

    table = photograph_table(60)
    write_run(tmp_path, table)
    assert "is not known here" in text_of(other_eyes(collect(tmp_path)))
    audit = made_up_audit(table)
    for patients in ([], table["patient"].unique().tolist()):
        audit["patients_on_both_sides"]["patients"] = patients
        write_json(tmp_path / "audit.json", audit)
        assert "all of one kind" in text_of(other_eyes(collect(tmp_path)))


def test_patients_who_were_trained_on_are_caught(tmp_path):
    table = photograph_table(600)
    audit = made_up_audit(table)
    audit["patients_on_both_sides"]["patients"] = table["patient"].unique()[:150].tolist()
    folder = write_run(tmp_path, table)
    write_json(tmp_path / "audit.json", audit)
    run = collect(tmp_path).runs[0]
    known = run.predictions["patient"].isin(audit["patients_on_both_sides"]["patients"])
    learnt = run.predictions.assign(predicted=run.predictions["predicted"].where(~known, run.predictions["grade"]))
    learnt.to_csv(folder / "predictions.csv", index=False)
    assert re.search(
        r"100\.0% where the other eye is in training.*points better", text_of(other_eyes(collect(tmp_path)))
    )


def test_calibration_counts_every_photograph_once(study):
    html = calibration(study)
    bins = study.done[0].test["calibration"]["bins"]
    assert sum(row["photographs"] for row in bins) == study.done[0].test["photographs"]
    assert html.count("<tr") == 1 + sum(row["photographs"] > 0 for row in bins)
    assert text_of(html).count("its calibration error is") == len(study.done) and "temperature" not in text_of(html)


def test_a_fitted_temperature_is_told(tmp_path):
    folder = write_run(tmp_path, photograph_table(60))
    metrics = read_json(folder / "metrics.json")
    write_json(folder / "metrics.json", metrics | {"temperature_scaling": {"temperature": 1.7, "ece": 0.0}})
    assert "a temperature of 1.70 lowers it from" in text_of(calibration(collect(tmp_path)))


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_sections_stand_what_is_missing(section, tmp_path):
    write_run(tmp_path / "none", photograph_table(60), state="failed", reason="no photographs")
    section(collect(tmp_path / "none"))
    # One grade alone, and figures as they were before there were more of them.
    folder = write_run(tmp_path / "one", photograph_table(60).assign(grade=0))
    text = text_of(section(collect(tmp_path / "one")))
    assert "nan" not in text.lower().split() and "None" not in text
    metrics = read_json(folder / "metrics.json")
    old = {"accuracy", "kappa", "macro_auc", "referable_auc", "recall", "precision", "support"}
    metrics["test"] = {name: value for name, value in metrics["test"].items() if name in old | {"balanced_accuracy"}}
    metrics["test"]["intervals"] = {"accuracy": [0.1, 0.9], "kappa": None}
    write_json(folder / "metrics.json", metrics)
    section(collect(tmp_path / "one"))
