"""results.csv and results.json hold the numbers of the run folders, digit for digit, and none of runs that failed."""

import csv
import io
import json
from pathlib import Path

import pandas as pd
import pytest
from experiment_factory import photograph_table, recorded, write_experiment, write_run

from dr_lib.report.collect import collect
from dr_lib.report.results_files import (
    COLUMNS,
    FIGURES,
    differing_parameters,
    results_csv,
    results_json,
    write_results,
)
from dr_lib.storage.files import read_json, write_json
from dr_lib.storage.folders import ExperimentFolder


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    folder = write_experiment(tmp_path_factory.mktemp("results") / "lab", photographs=200)
    write_run(folder, photograph_table(200), name="resnet18-broken", state="failed", reason="=1+1\nout of memory")
    write_results(collect(folder), ExperimentFolder(folder))
    return ExperimentFolder(folder)


@pytest.fixture(scope="module")
def table(experiment):
    return pd.read_csv(experiment.results_table).set_index("run")


def test_a_row_a_run_with_the_figures_of_its_folder(experiment, table):
    assert sorted(table.index) == sorted(folder.name for folder in experiment.runs())
    long = pd.read_csv(experiment.all_results).set_index(["run", "figure"])
    near = lambda value: pytest.approx(value, abs=0.00005001, nan_ok=True)  # noqa: E731
    for folder in experiment.runs():
        if folder.name == "resnet18-broken":
            continue
        metrics, row, figures = read_json(folder.metrics), table.loc[folder.name], long.loc[folder.name]
        test = metrics["test"]
        assert row["state"] == "done" and row["chosen_epoch"] == metrics["chosen_epoch"]
        assert row["highest_testing_accuracy"] == near(metrics["highest_testing_accuracy"]["accuracy"])
        for name in ("accuracy", "kappa", "balanced_accuracy", "referable_auc"):
            assert row[name] == near(test[name])
        for name in ("accuracy", "kappa"):
            assert [row[f"{name}_low"], row[f"{name}_high"]] == near(test["intervals"][name])
        for name in ("accuracy", "kappa", "balanced_accuracy", "macro_f1", "macro_auc", "referable_auc"):
            assert figures.loc[name].tolist() == near([test[name], *test["intervals"][name]])
        for grade in range(5):
            for name in ("recall", "precision", "auc"):
                value = test[name][grade]
                assert figures.loc[f"{name}_{grade}", "value"] == near(float("nan") if value is None else value)
        point = test["referable_at_90_sensitivity"]
        assert figures.loc["referable_at_90_sensitivity_specificity", "value"] == near(point["specificity"])
        limits = test["intervals"]["referable_at_90_sensitivity"]["specificity"]
        assert figures.loc["referable_at_90_sensitivity_specificity", "high"] == near(limits[1])
        assert row["training_seconds"] == folder.read_status()["seconds"]
    together = collect(experiment.path).kappas["resnet18"]
    assert long.loc[("resnet18", "kappa_together"), ["low", "high"]].tolist() == near([together.low, together.high])
    assert len(table.columns) < 22 and all(len(str(value)) <= 7 for value in table["kappa"])


def test_every_column_and_figure_is_explained(experiment, table):
    explained = pd.read_csv(experiment.results_columns).set_index("column")
    names = {name for entry in explained.index for name in _of_grades(entry)}
    assert {"run", *table.columns} <= names and explained["meaning"].notna().all()
    assert set(pd.read_csv(experiment.all_results)["figure"]) <= names
    page = (Path(__file__).parent.parent / "docs" / "outputs.md").read_text()
    for column, (unit, meaning) in (COLUMNS | FIGURES).items():
        assert f"| `{column}` | {unit} | {meaning} |" in page


def _of_grades(entry):
    """Return the names that ``recall_0 to recall_4`` stands for."""
    first, _, last = entry.partition(" to ")
    return [f"{first[:-1]}{grade}" for grade in range(5)] if last else [first]


def test_a_failed_run_has_its_reason_and_parameters_and_no_numbers(experiment, table):
    row = table.loc["resnet18-broken"]
    told = ["state", "reason", *differing_parameters(collect(experiment.path))]
    assert row["state"] == "failed" and row["model"] == "resnet18" and row["batch_size"] == 64
    assert row.drop(told).isna().all()
    run = next(run for run in read_json(experiment.results)["runs"] if run["run"] == "resnet18-broken")
    assert run["reason"] == "=1+1\nout of memory" and "figures" not in run and "chosen_epoch" not in run


def test_what_a_spreadsheet_would_run_is_text_and_numbers_stay_numbers(experiment, tmp_path):
    rows = list(csv.DictReader(io.StringIO(experiment.results_table.read_text())))
    assert next(row for row in rows if row["run"] == "resnet18-broken")["reason"] == "'=1+1 out of memory"
    for number, name in enumerate(("@SUM(A1)", "+1", "-1+cmd|'C calc'!A0")):
        path = write_run(tmp_path, photograph_table(60), name=f"run{number}")
        path.rename(path.with_name(name))
    text = results_csv(collect(tmp_path))
    found = list(csv.reader(io.StringIO(text)))
    assert sorted(row[0] for row in found[1:]) == ["'+1", "'-1+cmd|'C calc'!A0", "'@SUM(A1)"]
    for row in found[1:]:
        for cell in row:
            assert not cell.startswith(("=", "+", "@")) and (not cell.startswith("-") or float(cell) < 0)


def test_parameters_that_differ_are_told_and_no_others(experiment, tmp_path):
    assert differing_parameters(collect(experiment.path)) == [
        "model", "pretrained", "class_weights", "seed", "batch_size",
    ]  # fmt: skip
    for augmentations in ([], ["RandomHorizontalFlip"]):
        name = f"run{len(augmentations)}"
        write_run(tmp_path, photograph_table(60), name=name, parameters={"augmentations": augmentations})
    rows = list(csv.DictReader(io.StringIO(results_csv(collect(tmp_path)))))
    assert [json.loads(row["augmentations"]) for row in rows] == [[], ["RandomHorizontalFlip"]]


def test_json_has_differences_data_and_versions(experiment):
    found = json.loads(experiment.results.read_text(), parse_constant=pytest.fail)
    results = collect(experiment.path)
    assert found["experiment"] == "lab" and found["data"]["fingerprint"] == "0" * 64
    assert found["data"]["splits"] == results.splits and found["data"]["majority_accuracy"] == results.majority
    tested = results.all_effects
    assert len(found["comparisons"]) == len(tested) == 12
    for told, comparison in zip(found["comparisons"], tested, strict=True):
        assert told["first_runs"] == [run.name for run in comparison.first.runs]
        change = comparison.change.accuracy
        assert told["accuracy"] == {"value": change.value, "low": change.low, "high": change.high, "p": change.p}
        first, second = (read_json(experiment.run(told[f"{side}_runs"][0]).metrics) for side in ("first", "second"))
        assert told["kappa"]["value"] == pytest.approx(second["test"]["kappa"] - first["test"]["kappa"], abs=1e-12)
        assert 0 < told["accuracy"]["p"] <= 1 and len(told["recall"]) == 5
        assert told["only_second_right"] - told["only_first_right"] == round(
            change.value * comparison.first.first.test["photographs"]
        )
    run = next(run for run in found["runs"] if run["run"] == "resnet50")
    assert run["versions"]["torch"] == "2.14.1" and run["parameters"]["batch_size"] == 16
    metrics = read_json(experiment.run("resnet50").metrics)["test"]
    low, high = metrics["intervals"]["recall"][0]
    assert run["figures"]["recall_0"] == {"value": metrics["recall"][0], "low": low, "high": high}
    assert run["confusion_matrix"] == metrics["confusion_matrix"]


def test_seeds_stand_together_with_their_spread(tmp_path):
    for seed in range(3):
        write_run(tmp_path, photograph_table(100), seed=seed, luck=seed, name=f"resnet18-seed{seed}")
    (one,) = results_json(collect(tmp_path))["configurations"]
    accuracies = pd.Series(
        [read_json(tmp_path / "runs" / name / "metrics.json")["test"]["accuracy"] for name in one["runs"]]
    )
    assert len(accuracies) == 3
    assert one["figures"]["accuracy"]["mean"] == pytest.approx(accuracies.mean(), abs=1e-12)
    assert one["figures"]["accuracy"]["sd"] == pytest.approx(accuracies.std(), abs=1e-12)


def test_figures_of_an_earlier_version_are_enough(tmp_path):
    path = write_run(tmp_path, photograph_table(60))
    metrics = read_json(path / "metrics.json")
    metrics["test"] = {key: value for key, value in metrics["test"].items() if key != "calibration"}
    del metrics["test"]["macro_auc"], metrics["test"]["intervals"]["macro_auc"]
    write_json(path / "metrics.json", metrics)
    recorded(path)
    assert "macro_auc" not in results_csv(collect(tmp_path)).partition("\n")[0].split(",")
