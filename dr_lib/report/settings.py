"""What a study varied, as settings with their finished runs: seeds of one setting belong together."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dr_lib.config import RunConfig
from dr_lib.report.configuration import Configuration, Figure
from dr_lib.report.run import Run, network_name
from dr_lib.report.study import Study

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
class Setting(Configuration):
    """One combination of what a study varies, seeds aside, with its finished runs."""

    values: dict[str, Any]

    @property
    def label(self) -> str:
        return told(self.values)

    def interval(self, name: str) -> tuple[float, float] | None:
        """Return the interval of ``accuracy`` or ``kappa`` over patients, and over seeds where there are several."""
        found = self.figure(name)
        return (found.low, found.high) if found.known else None


def settings_of(study: Study) -> list[Setting]:
    """Return the settings of the study that have a finished run, in the order of its lists."""
    assert study.grid is not None
    settings: dict[str, Setting] = {}
    for point in study.grid.runs:
        values = {name: value for name, value in point.values.items() if name != "seed"}
        if runs := study.repeats(point.name):
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
        lines.setdefault(told(others) or "all runs", {})[setting.values[name]] = setting
    return lines


def told(values: Mapping[str, Any]) -> str:
    """Return values in words, such as ``batch 8 linear``."""
    return " ".join(_told(name, value) for name, value in values.items())


def _told(name: str, value: Any) -> str:
    if name == "model":
        return network_name(value)
    if isinstance(value, (str, bool)) and (name, value) in _TOLD:
        return _TOLD[name, value]
    if name not in RunConfig.model_fields:  # a study's own settings, by their label
        return str(value)
    words = "batch" if name == "batch_size" else name.replace("_", " ")
    if isinstance(value, bool):
        return f"with {words}" if value else f"without {words}"
    return f"no {words}" if value == "none" else f"{words} {value}"


def by_parameter(study: Study, figure: Figure) -> dict[str, dict[str, list[float]]]:
    """Return ``figure`` of all finished runs by parameter and value, of the parameters that they differ in."""
    groups: dict[str, dict[str, list[float]]] = {}
    for name in study.differing:
        values = sorted(study.done, key=lambda run, name=name: _order(run.parameters.get(name)))
        for run in values:
            label = _value_told(name, run.parameters.get(name))
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


def accuracy(run: Run) -> float:
    """Return testing accuracy at the chosen epoch, 0..1."""
    return run.test["accuracy"]


def kappa(run: Run) -> float:
    """Return quadratic weighted kappa on testing photographs at the chosen epoch, -1..1."""
    return run.test["kappa"]


def seconds(run: Run) -> float:
    """Return the median time that an epoch's training took, s."""
    assert run.history is not None
    return float(run.history["seconds"].median())


def steps(run: Run) -> float:
    """Return how many steps an epoch has."""
    return math.ceil(run.config["data"]["splits"]["train"]["photographs"] / run.parameters["batch_size"])


def unrest(run: Run) -> float:
    """Return how much testing accuracy shakes: the standard deviation of its steps from epoch to epoch, 0..1.

    A steady climb is no unrest. NaN for fewer than three epochs.
    """
    assert run.history is not None
    return float(run.history["test_accuracy"].diff().std())


def last(column: str) -> Figure:
    """Return the figure that takes a column of the history at its last epoch."""

    def figure(run: Run) -> float:
        assert run.history is not None
        return float(run.history[column].iloc[-1])

    return figure
