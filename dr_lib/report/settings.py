"""What a sweep varied, as settings with their finished runs: seeds of one setting belong together."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dr_lib.config import RunConfig
from dr_lib.report.experiment_results import ExperimentResults
from dr_lib.report.run_group import Figure, RunGroup
from dr_lib.report.run_results import RunResults, network_name

_TOLD = {
    ("learning_rate_scaling", "none"): "unscaled",
    ("learning_rate_scaling", "linear"): "linear",
    ("learning_rate_scaling", "sqrt"): "square root",
    ("residual", True): "residual",
    ("residual", False): "plain",
    ("pretrained", True): "pretrained",
    ("pretrained", False): "from scratch",
    ("head", "softmax"): "softmax",
    ("head", "coral"): "CORAL",
    ("head", "corn"): "CORN",
    ("head", "regression"): "regression",
}
"""Values that have a name of their own in the field."""


@dataclass(frozen=True)
class Setting(RunGroup):
    """One combination of what a sweep varies, seeds aside, with its finished runs."""

    values: dict[str, Any]

    @property
    def label(self) -> str:
        return format_settings(self.values)

    def interval(self, name: str) -> tuple[float, float] | None:
        """Return the interval of ``accuracy`` or ``kappa`` over patients, and over seeds where there are several."""
        found = self.figure(name)
        return (found.low, found.high) if found.known else None


def settings_of(experiment: ExperimentResults) -> list[Setting]:
    """Return the settings of the sweep that have a finished run, in the order of its lists."""
    assert experiment.grid is not None
    settings: dict[str, Setting] = {}
    for point in experiment.grid.runs:
        values = {name: value for name, value in point.values.items() if name != "seed"}
        if runs := experiment.repeats(point.name):
            settings[repr(values)] = Setting(runs, values)
    return list(settings.values())


def distinct(settings: list[Setting]) -> list[Setting]:
    """Return the settings that differ in more than a parameter without effect; of those that share runs, the first."""
    return list({setting.runs[0].name: setting for setting in reversed(settings)}.values())[::-1]


def lines_over(settings: list[Setting], name: str) -> dict[str, dict[Any, Setting]]:
    """Return what is to be drawn against parameter ``name``: by what else varies in words, then by value."""
    lines: dict[str, dict[Any, Setting]] = {}
    for setting in settings:
        others = {other: value for other, value in setting.values.items() if other != name}
        lines.setdefault(format_settings(others) or "all runs", {})[setting.values[name]] = setting
    return lines


def format_settings(values: Mapping[str, Any]) -> str:
    """Return values in words, such as ``batch 8 linear``."""
    return " ".join(_format_setting(name, value) for name, value in values.items())


def _format_setting(name: str, value: Any) -> str:
    if name == "model":
        return network_name(value)
    if isinstance(value, (str, bool)) and (name, value) in _TOLD:
        return _TOLD[name, value]
    if name not in RunConfig.model_fields:  # a sweep's own settings, by their label
        return str(value)
    words = "batch" if name == "batch_size" else name.replace("_", " ")
    if isinstance(value, bool):
        return f"with {words}" if value else f"without {words}"
    return f"no {words}" if value == "none" else f"{words} {value}"


def by_parameter(experiment: ExperimentResults, figure: Figure) -> dict[str, dict[str, list[float]]]:
    """Return ``figure`` of all finished runs by parameter and value, of the parameters that they differ in."""
    groups: dict[str, dict[str, list[float]]] = {}
    for name in experiment.differing:
        values = [(run, run.parameters.get(name)) for run in experiment.done]
        for run, value in sorted(values, key=lambda pair: _order(pair[1])):
            label = _value_told(name, value)
            groups.setdefault(name.replace("_", " "), {}).setdefault(label, []).append(figure(run))
    return groups


def _order(value: Any) -> tuple[bool, float, str]:
    """Return a key that puts numbers in their order, before what is none."""
    number = isinstance(value, (int, float))
    return not number, float(value) if number else 0.0, str(value)


def _value_told(name: str, value: Any) -> str:
    if name == "model":
        return network_name(value)
    known = _TOLD.get((name, value)) if isinstance(value, (str, bool)) else None
    return known or (f"{value:g}" if isinstance(value, float) else str(value).replace("_", " "))


def accuracy(run: RunResults) -> float:
    """Return testing accuracy at the chosen epoch, 0..1."""
    return run.test["accuracy"]


def kappa(run: RunResults) -> float:
    """Return quadratic weighted kappa on testing photographs at the chosen epoch, -1..1."""
    return run.test["kappa"]


def seconds(run: RunResults) -> float:
    """Return the median time that an epoch's training took, s."""
    assert run.history is not None
    return float(run.history["seconds"].median())


def steps(run: RunResults) -> float:
    """Return how many steps an epoch has."""
    return math.ceil(run.config["data"]["splits"]["train"]["photographs"] / run.parameters["batch_size"])


def epoch_std(run: RunResults) -> float:
    """Return how much testing accuracy shakes: the standard deviation of its steps from epoch to epoch, 0..1.

    A steady climb is no unrest. NaN for fewer than three epochs.
    """
    assert run.history is not None
    return float(run.history["test_accuracy"].diff().std())


def last(column: str) -> Figure:
    """Return the figure that takes a column of the history at its last epoch."""

    def figure(run: RunResults) -> float:
        assert run.history is not None
        return float(run.history[column].iloc[-1])

    return figure
