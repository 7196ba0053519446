"""Set-up: the hyperparameters, those that all runs share and those that tell them apart."""

from collections import defaultdict
from html import escape
from typing import Any

from IPython.display import HTML

from dr_lib.config import RunConfig
from dr_lib.report import formatting, markup
from dr_lib.report.experiment_results import ExperimentResults
from dr_lib.report.run_results import RunResults

HYPERPARAMETERS = (
    "batch_size", "learning_rate", "epochs", "feature_extraction_epochs", "optimizer", "momentum", "weight_decay",
    "head", "class_weights", "resize", "image_size", "augmentations", "normalization", "validation_share",
    "select_by", "seed",
)  # fmt: skip
"""Always told, in the order of the lab report, then the rest."""

LOSSES = {
    "softmax": "cross entropy",
    "coral": "binary cross entropy of each threshold (CORAL)",
    "corn": "binary cross entropy of each threshold, given the one before (CORN)",
    "regression": "distance from the grade",
}

RECIPE = (
    "residual", "zero_init_residual", "learning_rate_scaling", "reference_batch", "schedule", "warmup_epochs",
    "decay_batchnorm", "gradient_clip", "label_smoothing", "focal_gamma", "regression_loss", "mixup_alpha", "ema_decay",
    "sampling", "sampling_decay", "early_stopping", "test_time_augmentation", "preprocessing", "fast_decode",
    "precision", "tf32", "devices",
)  # fmt: skip
"""Told where a run departs from the lab's."""

MOST_NAMED = 4
"""Runs that are named beside a value that only some have."""


def hyperparameters(experiment: ExperimentResults) -> HTML:
    """Return the hyperparameters of all runs; where they differ, which run has which."""
    runs = [run for run in experiment.runs if run.parameters]
    if not runs:
        return markup.shown(markup.paragraphs("No run has recorded its parameters."))
    losses = {LOSSES[run.parameters.get("head", "softmax")] for run in runs}
    rows = [["Loss function", escape(formatting.listed(sorted(losses))), "by the head"]]
    for name in HYPERPARAMETERS + RECIPE:
        if name in RECIPE and not any(_departs(run.parameters, name) for run in runs):
            continue
        values: dict[str, list[RunResults]] = defaultdict(list)
        for run in runs:
            if name in run.parameters:
                values[_number(run.parameters[name])].append(run)
        meaning = RunConfig.model_fields[name].description or ""
        if len(values) == 1:
            value = escape(next(iter(values)))
        else:
            value = "<br>".join(
                f'{escape(text)} <span class="sub">{escape(_which(group, runs))}</span>'
                for text, group in values.items()
            )
        if values:
            rows.append([escape(name.replace("_", " ").capitalize()), value, escape(meaning)])
    caption = "Hyperparameters, from the runs' config.json."
    table = markup.table(["Parameter", "Value", "Meaning"], rows, caption, css="cards")
    return markup.shown(f'<details class="more"><summary>All hyperparameters</summary>{table}</details>')


def _departs(parameters: dict[str, Any], name: str) -> bool:
    field = RunConfig.model_fields[name]
    return parameters.get(name, field.default) != field.default


def _number(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_step, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value).replace("_", " ")


def _which(group: list[RunResults], runs: list[RunResults]) -> str:
    """Return in a few words which of ``runs`` are in ``group``: networks, a word of their names, or names."""
    models = {run.network for run in group}
    if all(run in group for run in runs if run.network in models):
        return formatting.listed(sorted(models))
    names = [run.name for run in group]
    if len(names) <= MOST_NAMED:
        return formatting.listed(names)
    others = [run.name for run in runs if run not in group]
    for word in sorted(_words_of(names[0]), key=len):
        if all(word in _words_of(name) for name in names) and not any(word in _words_of(name) for name in others):
            return f"{len(names)} runs called …{word}…"
    for word in _words_of(others[0]):
        if all(word in _words_of(name) for name in others) and not any(word in _words_of(name) for name in names):
            return f"the {len(names)} other runs"
    return formatting.listed([*names[:MOST_NAMED], f"{len(names) - MOST_NAMED} more"])


def _words_of(name: str) -> list[str]:
    return name.split("-")


def _step(value: Any) -> str:
    """Return an entry of a list of transforms as it is written in a params file."""
    if not isinstance(value, dict):
        return str(value)
    return "; ".join(f"{name} ({', '.join(f'{key} {setting}' for key, setting in given.items())})"
                     for name, given in value.items())  # fmt: skip
