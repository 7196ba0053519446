"""The report's numbers for other programs: ``results.csv``, one row a run, and ``results.json``, which says more."""

import csv
import io
import json
from importlib.metadata import version
from typing import Any

from dr_lib.evaluation.bootstrap import Difference
from dr_lib.evaluation.summary import estimates, plain_json
from dr_lib.report.comparisons import Effect
from dr_lib.report.experiment_results import ExperimentResults
from dr_lib.report.run_group import RunGroup
from dr_lib.report.run_results import RunResults
from dr_lib.storage.files import as_cell, write_json, write_text
from dr_lib.storage.folders import ExperimentFolder

_ALWAYS = ("model", "pretrained", "class_weights", "seed")
_BOOKKEEPING = {"name", "out_dir", "cache_dir", "data_dir", "num_workers", "device"}
_OVER_SEEDS = ("accuracy", "balanced_accuracy", "kappa", "macro_f1", "macro_auc", "referable_auc")
_DIFFERENCES = ("accuracy", "kappa", "balanced_accuracy", "referable_auc")


def write_results(experiment: ExperimentResults, folder: ExperimentFolder) -> None:
    """Write ``results.csv`` and ``results.json``.

    Shares are 0..1, training times seconds, throughput photographs a second. A run that is not done has its state, its
    reason and its parameters, and no numbers. Of a figure with a value a grade there is one column a grade,
    ``recall_0`` to ``recall_4``; ``…_low`` and ``…_high`` are the limits of its 95% interval.

    Text in ``results.csv`` that a spreadsheet would take for a formula has an apostrophe before it; ``results.json``
    has it as it is.
    """
    write_text(folder.results_table, results_csv(experiment))
    write_json(folder.results, results_json(experiment))


def results_rows(experiment: ExperimentResults) -> list[dict[str, Any]]:
    """Return a mapping a run, from the names of columns; a run that is not done has no numbers."""
    names = differing_parameters(experiment)
    rows = []
    for run in experiment.runs:
        row = {"run": run.name, "state": run.state, "reason": run.reason} | {
            name: run.parameters.get(name) for name in names
        }
        if run.done:
            row |= {"weights": run.weights} | _facts(run)
            for name, (value, low, high) in estimates(run.test).items():
                row |= {name: value, f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return rows


def results_csv(experiment: ExperimentResults) -> str:
    """Return one row a run as CSV with a heading; numbers have all their digits and read back as they were."""
    rows = results_rows(experiment)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(columns)
    table.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return stream.getvalue()


def results_json(experiment: ExperimentResults) -> dict[str, Any]:
    """Return all runs, what they come to over their seeds, how they differ, and what they were made with and of."""
    data: dict[str, Any] = next((run.config["data"] for run in experiment.runs if run.config.get("data")), {})
    return plain_json(
        {
            "experiment": experiment.path.resolve().name,
            "dr_lab": version("dr-lab"),
            "data": {
                "fingerprint": data.get("fingerprint") or (experiment.audit or {}).get("fingerprint"),
                "splits": experiment.splits,
                "majority_accuracy": experiment.majority,
            },
            "runs": [_run(run, differing_parameters(experiment)) for run in experiment.runs],
            "configurations": [_configuration(one) for one in experiment.configurations],
            "comparisons": [_comparison(effect) for effect in experiment.all_effects],
        }
    )


def differing_parameters(experiment: ExperimentResults) -> list[str]:
    """Return the parameters that tell the runs apart: those of the lab's question, and what else has several values."""
    everywhere = list(dict.fromkeys(name for run in experiment.runs for name in run.parameters))
    recorded = [run.parameters for run in experiment.runs if run.parameters]
    differ = [
        name
        for name in everywhere
        if name not in _BOOKKEEPING and len({json.dumps(found.get(name), sort_keys=True) for found in recorded}) > 1
    ]
    return list(dict.fromkeys([*_ALWAYS, *differ]))


def _facts(run: RunResults) -> dict[str, Any]:
    assert run.history is not None and run.metrics is not None
    return {
        "chosen_epoch": run.chosen_epoch,
        "chosen_by": run.metrics["select_by"],
        "photographs": run.test["photographs"],
        "patients": run.test["patients"],
        "unknown_patients": run.test.get("unknown_patients", 0),
        "majority_accuracy": run.test["majority_accuracy"],
        "highest_testing_accuracy": run.highest["accuracy"],
        "highest_testing_accuracy_epoch": run.highest["epoch"],
        "epochs_trained": len(run.history),
        "training_seconds": run.status.get("seconds"),
        # Epochs that train the head alone are faster, so that a mean would depend on how many there are.
        "images_per_second": float(run.history["images_per_second"].iloc[-1]),
    }


def _run(run: RunResults, names: list[str]) -> dict[str, Any]:
    record: dict[str, Any] = {"run": run.name, "state": run.state, "reason": run.reason}
    record["parameters"] = {name: run.parameters.get(name) for name in names}
    record |= {key: run.config.get(key) for key in ("versions", "device", "git_commit", "started")}
    if run.done:
        record |= {"weights": run.weights} | _facts(run)
        record["confusion_matrix"] = run.test["confusion_matrix"]
        record["figures"] = {
            name: {"value": value} | ({} if low is None else {"low": low, "high": high})
            for name, (value, low, high) in estimates(run.test).items()
        }
    return record


def _configuration(one: RunGroup) -> dict[str, Any]:
    figures = {}
    for name in _OVER_SEEDS:
        found = one.figure(name)
        figures[name] = {"mean": found.mean, "sd": found.sd, "low": found.low, "high": found.high}
    return {"label": one.label, "runs": [run.name for run in one.runs], "figures": figures}


def _comparison(effect: Effect) -> dict[str, Any]:
    change = effect.change
    return {
        "first": effect.first.label,
        "first_runs": [run.name for run in effect.first.runs],
        "second": effect.second.label,
        "second_runs": [run.name for run in effect.second.runs],
        **{name: _difference(getattr(change, name)) for name in _DIFFERENCES},
        "recall": [_difference(of_grade) for of_grade in change.recall],
        "only_first_right": change.only_first,
        "only_second_right": change.only_second,
    }


def _difference(change: Difference | None) -> dict[str, float | None] | None:
    if change is None:
        return None
    return {"value": change.value, "low": change.low, "high": change.high, "p": change.p}


def _cell(value: Any) -> Any:
    """Return a value as it stands in a cell that a spreadsheet may open."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, dict)):
        return json.dumps(value)
    if isinstance(value, str):
        text = " ".join(value.split()) if "\n" in value or "\r" in value else value
        return as_cell(text)
    return value
