"""Sweeps: a grid of runs over lists of parameters, from one params file to one configuration a run."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from dr_lib.config import (
    ABBREVIATIONS,
    MOST_RUNS,
    RunConfig,
    nearest,
    parse_assignment,
    read_parameters,
    shipped_or_own,
    spelled_out,
)
from dr_lib.errors import InputError
from dr_lib.storage.folders import EVALUATE_ON, GO_TOGETHER, SweepGrid, SweepRun
from dr_lib.training.schedules import scaled_learning_rate

_KEYS = ("title", "question", "evaluate_on", "recipe", "runs", "vary")
_SHORT = {"batch_size": "batch", "learning_rate": "lr", "learning_rate_scaling": "scaling"}
_WORDS = {"residual": ("plain", "residual"), "pretrained": ("scratch", "pretrained")}
"""What the field calls runs without and with these parameters."""


@dataclass(frozen=True)
class SweepFile:
    """A params file with ``vary``: what all runs share, and the values that each combination takes one of.

    What varies is a parameter with a list of values, or a name of the sweep's own, such as ``recipe``, with settings:
    labels, each for several parameters at once. ``settings`` holds these by name and label.
    """

    path: Path
    title: str
    question: str
    shared: dict[str, Any]
    vary: dict[str, list[Any]]
    settings: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    evaluate_on: str = "testing"

    def parameters(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of a combination: its values, and what its labels stand for."""
        parameters: dict[str, Any] = {}
        for name, value in point.items():
            parameters |= self.settings[name][value] if name in self.settings else {name: value}
        return parameters

    @property
    def listed(self) -> dict[str, list[Any]]:
        """The parameters that vary by a list of their own."""
        return {name: values for name, values in self.vary.items() if name not in self.settings}


def is_sweep(path: Path) -> bool:
    """Tell whether a params file describes a sweep rather than one run."""
    return any(key in read_parameters(path) for key in ("title", "question", "vary"))


def read_sweep(path: Path) -> SweepFile:
    """Return the sweep in ``path``; :class:`InputError` names the file and the key that is wrong."""
    entries = read_parameters(path)
    for key in entries:
        if key not in _KEYS:
            raise InputError(f"{path}: {key}: a sweep has no such key{nearest(key, _KEYS)}; parameters go under runs")
    for key in ("title", "question"):
        if not isinstance(entries.get(key), str) or not entries[key].strip():
            raise InputError(f"{path}: {key}: a sweep needs one, a line of text")
    evaluate_on = entries.get("evaluate_on", EVALUATE_ON[0])
    if evaluate_on not in EVALUATE_ON:
        raise InputError(f"{path}: evaluate_on: {evaluate_on!r} is none of {', '.join(EVALUATE_ON)}")
    shared = _recipe(path, "recipe", entries["recipe"]) if "recipe" in entries else {}
    shared |= _parameters(f"{path}: runs", entries.get("runs"))
    vary = _mapping(f"{path}: vary", entries.get("vary"))
    if not vary:
        raise InputError(f"{path}: vary: nothing is varied; give a list to a parameter, such as 'batch_size: [8, 32]'")
    settings = {key: _settings(path, key, labels) for key, labels in vary.items() if isinstance(labels, dict)}
    listed = _parameters(f"{path}: vary", {key: values for key, values in vary.items() if key not in settings})
    for key, values in listed.items():
        if key in ("name", "out_dir"):
            raise InputError(f"{path}: vary: {key}: runs are named and placed by what varies; leave it out")
        if key in shared:
            raise InputError(f"{path}: {key} is under runs and under vary; leave one of them out")
        if not isinstance(values, list):
            raise InputError(f"{path}: vary: {key}: {values!r} is no list; make it [{values}], or put it under runs")
        if not values:
            raise InputError(f"{path}: vary: {key}: the list is empty; a run needs a value")
    taken = dict.fromkeys(listed, "a list of its own")
    for key, labels in settings.items():
        for name in dict.fromkeys(name for parameters in labels.values() for name in parameters):
            if name in taken:
                raise InputError(f"{path}: vary: {key}: sets {name}, which has {taken[name]}; leave one of them out")
            taken[name] = f"settings under {key}"
    varied = {key: list(values) for key, values in spelled_out(f"{path}: vary", vary).items()}
    return SweepFile(path, entries["title"].strip(), entries["question"].strip(), shared, varied, settings, evaluate_on)


def expand(
    sweep: SweepFile, files: Sequence[Path], assignments: Sequence[str], out_dir: str
) -> tuple[SweepGrid, list[RunConfig]]:
    """Return the grid of a sweep and the configuration of each of its runs.

    ``files`` in order, what all runs share, settings with a label, then ``assignments`` (``KEY=VALUE``), later ones
    winning; what varies by a list cannot be assigned. Combinations that come to the same are one run, that of the
    first.
    """
    given = []
    for text in assignments:
        key, value = parse_assignment(text)
        if key in sweep.listed:
            raise InputError(f"--set {text}: {sweep.path} varies {key}; set something else, or edit its list")
        given.append((f"--set {text}", {key: value}))
    layers = [(str(path), read_parameters(path)) for path in files] + [(f"{sweep.path}: runs", sweep.shared)]
    fixed = {"out_dir": out_dir, "name": ""}

    def configuration(combination: tuple[Any, ...]) -> RunConfig:
        point = dict(zip(sweep.vary, combination, strict=True))
        varied = (f"{sweep.path}: vary", sweep.parameters(point))
        return _configuration(sweep, [*layers, varied, *given], fixed, point)

    if (count := math.prod(map(len, sweep.vary.values()))) > MOST_RUNS:
        raise InputError(f"{sweep.path}: vary: {count:,} combinations, more than {MOST_RUNS:,}; vary less at a time")
    combinations = list(product(*sweep.vary.values()))
    configs = [configuration(combination) for combination in combinations]
    vary = _as_configured(sweep, configs)
    points = [
        {key: value if key in sweep.settings else getattr(config, key)
         for key, value in zip(sweep.vary, combination, strict=True)}
        for combination, config in zip(combinations, configs, strict=True)
    ]  # fmt: skip
    names = _names(vary, points, [json.dumps(_decisive(config)) for config in configs])
    runs: dict[str, RunConfig] = {}
    for name, config in zip(names, configs, strict=True):
        runs.setdefault(name, config.model_copy(update={"name": name}))
    entries = tuple(SweepRun(name, point) for name, point in zip(names, points, strict=True))
    telling = tuple(name for name in vary if name != "seed" and _tells(name, points, configs))
    grid = SweepGrid(sweep.path.stem, sweep.title, sweep.question, vary, entries, telling, sweep.evaluate_on)
    return grid, list(runs.values())


def _mapping(where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value or {}, dict):
        raise InputError(f"{where}: holds a {type(value).__name__}, needs lines of 'parameter: value'")
    return {str(name): value for name, value in (value or {}).items()}


def _parameters(where: str, value: Any) -> dict[str, Any]:
    """Return parameters by name, abbreviations spelled out and all of them known."""
    parameters = spelled_out(where, _mapping(where, value))
    for name in parameters:
        if name not in RunConfig.model_fields:
            raise InputError(f"{where}: unknown parameter {name!r}{nearest(name, RunConfig.model_fields)}")
    return parameters


def _recipe(path: Path, key: str, file: Any) -> dict[str, Any]:
    """Return the parameters in the params file that a sweep names, beside its own."""
    if not isinstance(file, str):
        raise InputError(f"{path}: {key}: {file!r} is no file; name a params file, such as ../recipes/strong.yaml")
    beside = path.parent / file
    elsewhere = not shipped_or_own(beside).exists() and shipped_or_own(Path(file)).exists()
    recipe = Path(file) if elsewhere else beside  # as params/recipes/strong.yaml, from anywhere
    return _parameters(str(recipe), read_parameters(recipe))


def _settings(path: Path, key: str, labels: dict[Any, Any]) -> dict[str, dict[str, Any]]:
    """Return the parameters that each label under ``apply: key`` stands for.

    Written there, in a params file, or in a list of these, of which later ones prevail.
    """
    where = f"{path}: vary: {key}"
    if ABBREVIATIONS.get(key, key) in RunConfig.model_fields:
        raise InputError(f"{where}: is a parameter, which takes a list; settings need a name of their own")
    if not labels:
        raise InputError(f"{where}: there are no settings; give each a label and its parameters")
    settings: dict[str, dict[str, Any]] = {}
    for label, given in labels.items():
        if not isinstance(label, str):
            raise InputError(f"{where}: {label!r}: a label is a text; put it in quotes")
        place = f"{where}: {label}"
        settings[label] = {}
        for part in given if isinstance(given, list) else [given]:
            settings[label] |= _recipe(path, place, part) if isinstance(part, str) else _parameters(place, part)
        for name in ("name", "out_dir"):
            if name in settings[label]:
                raise InputError(f"{where}: {label}: {name}: runs are named and placed by what varies; leave it out")
    return settings


def _configuration(
    sweep: SweepFile, layers: Sequence[tuple[str, dict[str, Any]]], fixed: dict[str, Any], point: Mapping[str, Any]
) -> RunConfig:
    """Return the configuration of one combination, from parameters in layers, each with where it was written."""
    values = {key: value for _, layer in layers for key, value in layer.items()} | fixed
    sources = {key: source for source, layer in layers for key in layer}
    try:
        return RunConfig.from_mapping(values, sources)
    except InputError as error:
        if str(error).startswith(tuple(sources.values())):
            raise
        # What does not fit together is no single key's fault; the combination tells it.
        combination = ", ".join(f"{key} {value}" for key, value in point.items())
        raise InputError(f"{sweep.path}: {combination}: {error}") from None


def _as_configured(sweep: SweepFile, configs: Sequence[RunConfig]) -> dict[str, list[Any]]:
    """Return the lists of ``sweep`` as the configurations of its combinations read them; none may repeat itself."""
    vary: dict[str, list[Any]] = {key: list(values) for key, values in sweep.vary.items()}
    for places, config in zip(product(*(range(len(values)) for values in vary.values())), configs, strict=True):
        for place, (key, values) in zip(places, vary.items(), strict=True):
            if key not in sweep.settings:
                values[place] = getattr(config, key)
    for key, values in vary.items():
        twice = next((value for place, value in enumerate(values) if value in values[:place]), None)
        if twice is not None:
            raise InputError(f"{sweep.path}: vary: {key}: {twice!r} is in the list twice; leave one out")
    return vary


def _tells(name: str, points: Sequence[dict[str, Any]], configs: Sequence[RunConfig]) -> bool:
    """Tell whether ``name`` changes more than what runs are called by, or changes it without another name coming of it.

    ``points``: the values of each combination, in the order of ``configs``.
    """
    alike: dict[str, list[RunConfig]] = {}
    for point, config in zip(points, configs, strict=True):
        alike.setdefault(repr({key: value for key, value in point.items() if key != name}), []).append(config)
    other = lambda config: config.model_dump(exclude=set().union(*GO_TOGETHER.values()))  # noqa: E731
    for group in alike.values():
        if any(other(config) != other(group[0]) for config in group) or len(set(map(_called, group))) < len(group):
            return True
    return False


def _called(config: RunConfig) -> tuple[str, str, bool]:
    """Return what the name of a run in a report comes from: its network, its start, and whether grades are weighted."""
    return config.model, config.pretrained_weights if config.pretrained else "", config.class_weights != "none"


def _decisive(config: RunConfig) -> dict[str, Any]:
    """Return what a run does: its parameters with the learning rate as scaled, and idle ones left out."""
    rate = scaled_learning_rate(
        config.learning_rate, config.batch_size, config.reference_batch, config.learning_rate_scaling
    )
    kept = config.model_dump(exclude={"name", "learning_rate_scaling", "reference_batch", *config.idle()})
    return kept | {"learning_rate": rate}


def _names(vary: Mapping[str, list[Any]], points: Sequence[dict[str, Any]], same_as: Sequence[str]) -> list[str]:
    """Return a folder's name for each point: what its values are called, those that make no difference left out."""
    tokens = {key: dict(zip(map(repr, values), _tokens(key, vary), strict=True)) for key, values in vary.items()}
    called = [[tokens[key][repr(point[key])] for key in vary] for point in points]
    groups = {mark: [name for name, other in zip(called, same_as, strict=True) if other == mark] for mark in same_as}
    short = {
        mark: "-".join(words[0] for words in zip(*group, strict=True) if len(set(words)) == 1)
        for mark, group in groups.items()
    }
    taken = list(short.values())
    return [
        short[mark] if short[mark] and taken.count(short[mark]) == 1 else "-".join(groups[mark][0]) for mark in same_as
    ]


def _tokens(key: str, vary: Mapping[str, list[Any]]) -> list[str]:
    """Return what each value of ``key`` is called in the names of runs: ``batch8``, ``linear``, ``no-scaling``."""
    short = _SHORT.get(key, key)
    elsewhere = [value for other, values in vary.items() if other != key for value in values if isinstance(value, str)]

    def token(value: Any) -> str:
        if isinstance(value, bool):
            return _WORDS.get(key, (f"no-{short}", short))[value]
        if value == "none":
            return f"no-{short}"
        if isinstance(value, str):
            return re.sub(r"[^\w.+=-]+|^\.+$", "_", f"{short}-{value}" if value in elsewhere else value)
        return f"{short}{'=' * ('_' in short)}{value:g}"

    values = vary[key]
    if not any(isinstance(value, (list, dict)) for value in values):
        called = [token(value) for value in values]
        if len(set(called)) == len(called) and max(map(len, called)) <= 40:
            return called
    return [f"{short}{number}" for number in range(1, len(values) + 1)]
