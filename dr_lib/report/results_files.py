"""The report's numbers for other programs and people.

``results.csv`` has a row a run with what is asked most, ``results-long.csv`` a row a figure, ``results-columns.csv``
says what they are, ``results.json`` has it all with the comparisons.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any

from dr_lib.config import RunConfig
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


COLUMNS = {
    "run": ("", "name of the run, of its folder in runs/"),
    "state": ("", "done, failed, interrupted, running or queued; what is not done has no figures"),
    "reason": ("", "why it is not done"),
    "model": ("", "network, as torchvision names it"),
    "pretrained": ("", "whether it started from weights that were learned elsewhere"),
    "class_weights": ("", "weights of the grades in the loss: none, or how they follow from the counts"),
    "seed": ("", "of initial values, order and augmentation"),
    "chosen_epoch": ("epochs", "the epoch that was tested"),
    "accuracy": ("share", "testing photographs whose answer is the true grade"),
    "kappa": ("-1..1", "quadratic weighted kappa of answers and true grades; 0 is chance"),
    "balanced_accuracy": ("share", "mean recall of the grades"),
    "referable_auc": ("share", "area under the ROC curve of grade 2 or worse"),
    "majority_accuracy": (
        "share",
        "accuracy of always answering the commonest training grade, on the same photographs",
    ),
    "highest_testing_accuracy": ("share", "the best testing accuracy of all epochs, which flatters"),
    "training_seconds": ("seconds", "from start to end, testing included"),
}
"""Unit and meaning of the columns of ``results.csv``; parameters that differ between runs come besides."""

FIGURES = {
    "macro_f1": ("share", "mean F1 of the grades"),
    "macro_auc": ("share", "mean area under the ROC curve of each grade against the others"),
    "recall_0 to recall_4": ("share", "of the photographs of a grade, those that are called so"),
    "precision_0 to precision_4": ("share", "of the photographs called a grade, those that are of it"),
    "auc_0 to auc_4": ("share", "area under the ROC curve of a grade against the others"),
    "referable_sensitivity": ("share", "of the photographs of grade 2 or worse, those that are called so"),
    "referable_specificity": ("share", "of the other photographs, those that are not called so"),
    "referable_average_precision": ("share", "mean precision over the photographs of grade 2 or worse"),
    "referable_at_90_sensitivity_threshold": ("share", "probability of grade 2 or worse from which 90 % are found"),
    "referable_at_90_sensitivity_sensitivity": ("share", "sensitivity there"),
    "referable_at_90_sensitivity_specificity": ("share", "specificity there"),
    "referable_at_95_specificity_threshold": ("share", "probability of grade 2 or worse from which 95 % are spared"),
    "referable_at_95_specificity_sensitivity": ("share", "sensitivity there"),
    "referable_at_95_specificity_specificity": ("share", "specificity there"),
    "calibration_error": ("share", "expected calibration error over 15 bins of equal width"),
    "kappa_together": ("-1..1", "kappa of a run's configuration, its interval for all configurations together"),
}
"""The same of what ``results-long.csv`` has besides."""

_ENDS = {"_low": "lower limit of the 95 % interval", "_high": "upper limit of the 95 % interval"}
_WITH_ENDS = ("accuracy", "kappa")
_DIGITS = 4


def write_results(experiment: ExperimentResults, folder: ExperimentFolder) -> None:
    """Write ``results.csv``, ``results-long.csv``, ``results-columns.csv`` and ``results.json``.

    Figures of the tables have four digits after the point, those of the JSON all. Text in a table that a spreadsheet
    would take for a formula has an apostrophe before it; ``results.json`` has it as it is.
    """
    write_text(folder.results_table, results_csv(experiment))
    write_text(folder.all_results, _csv(("run", "figure", "value", "low", "high"), _long_rows(experiment)))
    write_text(folder.results_columns, _csv(("column", "unit", "meaning"), _dictionary(experiment)))
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
    """Return one row a run as CSV with a heading: :data:`COLUMNS`, parameters that differ, and two intervals."""
    rows = results_rows(experiment)
    there = set().union(*rows)
    columns = [name for column in COLUMNS for name in _with_ends(column) if name in there]
    at = columns.index("seed") + 1 if "seed" in columns else len(columns)
    columns[at:at] = [name for name in differing_parameters(experiment) if name not in columns]
    return _csv(columns, ([_shown(name, row.get(name)) for name in columns] for row in rows))


def _with_ends(column: str) -> list[str]:
    return [column, *(f"{column}{end}" for end in _ENDS)] if column in _WITH_ENDS else [column]


def _shown(column: str, value: Any) -> Any:
    """Return a figure with four digits, a parameter as it is."""
    is_figure = column.removesuffix("_low").removesuffix("_high") in COLUMNS
    return round(value, _DIGITS) if is_figure and isinstance(value, float) else value


def _long_rows(experiment: ExperimentResults) -> Iterator[list[Any]]:
    for run in experiment.done:
        figures = dict(estimates(run.test))
        for name, figure in figures.items():
            yield [run.name, name, *(end if end is None else round(end, _DIGITS) for end in figure)]
    for one in experiment.configurations:
        found = experiment.kappas[one.name]
        ends = (round(end, _DIGITS) if end == end else None for end in (found.mean, found.low, found.high))
        yield [one.name, "kappa_together", *ends]


def _dictionary(experiment: ExperimentResults) -> Iterator[list[str]]:
    for column, (unit, meaning) in (COLUMNS | FIGURES).items():
        yield [column, unit, meaning]
        if column in _WITH_ENDS:
            yield from ([f"{column}{end}", unit, f"{words} of {column}"] for end, words in _ENDS.items())
    for name in differing_parameters(experiment):
        if name not in COLUMNS and name in RunConfig.model_fields:
            yield [name, "", RunConfig.model_fields[name].description or ""]


def _csv(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(columns)
    table.writerows(map(_cell, row) for row in rows)
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
