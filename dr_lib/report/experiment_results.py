"""All runs of an experiment, as the report speaks of them: which belong together, and which are compared."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, product
from pathlib import Path
from typing import Any

from dr_lib.config import RunConfig
from dr_lib.errors import InputError
from dr_lib.evaluation.bootstrap import Difference
from dr_lib.evaluation.seed_groups import SeedFigure
from dr_lib.report.comparisons import Effect, Pair, above_majority, compare_family, kappas
from dr_lib.report.run_group import RunGroup, by_kappa
from dr_lib.report.run_results import RunResults, chosen_on
from dr_lib.storage.folders import GO_TOGETHER, SweepGrid

_SAME_ANYWHERE = {
    "name", "out_dir", "cache_dir", "pixel_cache", "checkpoint_minutes", "num_workers", "device", "seed",
}  # fmt: skip
_MAY_GO_ALONG = {"model": {"batch_size", "learning_rate"}}
"""Parameters that may differ besides, where it is said: a deeper network leaves memory for smaller batches only."""

Kind = tuple[str, bool, bool]
"""Network, whether pretrained, whether with class weights."""

TOP = 16
"""Configurations that tables hold; of more, results.csv has the rest."""


@dataclass(frozen=True)
class ExperimentResults:
    """The runs of one experiment folder and its audit (``None`` where there is none)."""

    path: Path
    runs: tuple[RunResults, ...]
    audit: dict[str, Any] | None
    audit_page: str = ""
    """Address of the audit's page relative to the report, or an empty string."""
    pretrainings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By network, what ``pretraining.json`` says, with ``page`` for the address of its notebook's page."""
    grid: SweepGrid | None = None
    """What the runs vary, where a sweep asked for them."""

    @cached_property
    def done(self) -> tuple[RunResults, ...]:
        """The finished runs, best accuracy first."""
        finished = [run for run in self.runs if run.done]
        return tuple(sorted(finished, key=lambda run: (-run.test["accuracy"], run.name)))

    @cached_property
    def models(self) -> tuple[str, ...]:
        """The networks of the runs, shallow ones first."""
        return tuple(sorted({run.model for run in self.runs}, key=_depth_order))

    @cached_property
    def configurations(self) -> tuple[RunGroup, ...]:
        """The finished runs, those that differ in their seed alone taken together; best accuracy first."""
        groups: list[list[RunResults]] = []
        for run in sorted(self.done, key=lambda run: (run.seed, len(run.name), run.name)):
            # The same seed twice would be the same run counted twice.
            for group in groups:
                if _alike(run, group[0]) and all(run.seed != other.seed for other in group):
                    group.append(run)
                    break
            else:
                groups.append([run])
        distinct_labels = _distinct_labels([group[0] for group in groups])
        found = [
            RunGroup(tuple(group), distinct_labels=labels)
            for group, labels in zip(groups, distinct_labels, strict=True)
        ]
        return tuple(sorted(found, key=lambda configuration: (-configuration.accuracy, configuration.name)))

    @property
    def top(self) -> tuple[RunGroup, ...]:
        """The configurations that tables hold: the most accurate ones."""
        return self.configurations[:TOP]

    @cached_property
    def main(self) -> tuple[RunGroup, ...]:
        """The configurations that answer for network, start and loss: at most one of each, best accuracy first."""
        kinds = {one.kind for one in self.configurations}
        found = [self.find(model, pretrained=pretrained, weighted=weighted) for model, pretrained, weighted in kinds]
        return tuple(one for one in self.configurations if one in found)

    def find(self, model: str, *, pretrained: bool, weighted: bool) -> RunGroup | None:
        """Return the configuration of this kind; of several, one that is compared with another kind if any is.

        Of those that are left, that with the fewest other parameters varied, then that with the shortest name.
        """
        compared = {one.name for pairs in self.pairs.values() for pair in pairs for one in pair}
        return min(
            self._of_kind((model, pretrained, weighted)),
            key=lambda one: (one.name not in compared, self._plainness(one)),
            default=None,
        )

    @cached_property
    def pairs(self) -> dict[str, tuple[Pair, ...]]:
        """By ``pretrained``, ``model`` and ``weighted``: configurations that differ in that alone, without it first.

        For ``model`` they are the shallowest and the deepest network. Where none of these differ in that alone, batches
        and learning rate may differ too, and the plainest two are compared.
        """
        no_yes = (False, True)
        shallow, deep = self.models[0], self.models[-1]
        kinds: dict[str, list[tuple[Kind, Kind]]] = {
            "pretrained": [((net, False, loss), (net, True, loss)) for net in self.models for loss in no_yes],
            "model": [((shallow, start, loss), (deep, start, loss)) for start in (True, False) for loss in no_yes],
            "weighted": [((net, start, False), (net, start, True)) for net in self.models for start in no_yes],
        }
        if shallow == deep:
            kinds["model"] = []
        return {
            differing: tuple(pair for one, other in asked for pair in self._comparable(one, other, differing))
            for differing, asked in kinds.items()
        }

    @cached_property
    def effects(self) -> dict[str, tuple[Effect, ...]]:
        """What changes within each of :attr:`pairs`, by the same names; intervals hold for all of them together."""
        every = iter(compare_family(pair for pairs in self.pairs.values() for pair in pairs))
        return {differing: tuple(next(every) for _ in pairs) for differing, pairs in self.pairs.items()}

    @cached_property
    def all_effects(self) -> tuple[Effect, ...]:
        """Those of pretraining, then of depth, then of class weights."""
        return tuple(effect for effects in self.effects.values() for effect in effects)

    @cached_property
    def kappas(self) -> dict[str, SeedFigure]:
        """Kappa of each configuration by its name, with intervals that hold for all configurations together."""
        return kappas(self.configurations)

    @cached_property
    def best(self) -> RunGroup:
        """The configuration of the highest kappa; there has to be one."""
        return max(self.configurations, key=by_kappa)

    def grades(self, one: RunGroup) -> bool:
        """Tell whether a configuration grades at all: whether the interval of its kappa lies above 0, chance."""
        return self.kappas[one.name].low > 0

    @cached_property
    def above_majority(self) -> list[Difference | None]:
        """Accuracy of each configuration less that of always giving the commonest answer, intervals together."""
        return above_majority(self.configurations, self.majority_grade)

    def pairs_of(self, parameter: str) -> list[Pair]:
        """Return every two configurations that differ in ``parameter`` alone, in the order of its values.

        ``none`` comes first. What goes with it may differ too: the epochs of the head alone with ``pretrained``, say.
        """
        together = GO_TOGETHER.get({"class_weights": "weighted"}.get(parameter, parameter), {parameter})

        def rest(group: RunGroup) -> str:
            kept = {name: group.first.parameters.get(name) for name in RunConfig.model_fields}
            return repr({name: kept[name] for name in kept if name not in _SAME_ANYWHERE | together})

        value = lambda group: group.first.parameters.get(parameter)  # noqa: E731
        groups = sorted(self.configurations, key=lambda group: (_order(value(group)), group.name))
        return [
            (first, second)
            for first, second in combinations(groups, 2)
            if value(first) != value(second) and rest(first) == rest(second)
        ]

    def _comparable(self, first: Kind, second: Kind, differing: str) -> list[Pair]:
        """Return the configurations of these kinds that differ in ``differing`` alone, the plainest first."""
        before, after = (sorted(self._of_kind(kind), key=self._plainness) for kind in (first, second))
        besides = [(pair, _other_differences(*pair, differing)) for pair in product(before, after)]
        alone = [pair for pair, others in besides if not others]
        return alone or [pair for pair, others in besides if others <= _MAY_GO_ALONG.get(differing, set())][:1]

    def _of_kind(self, kind: Kind) -> list[RunGroup]:
        return [one for one in self.configurations if one.kind == kind]

    def _plainness(self, one: RunGroup) -> tuple[int, int, str]:
        """Return what sorts configurations: the fewest parameters that others vary first, then the shortest name."""
        others = set(self.differing) - {"model", "pretrained", "class_weights", "seed"}
        values = one.first.parameters
        varied = sum(values.get(name) != RunConfig.model_fields[name].default for name in others)
        return varied, len(one.name), one.name

    @cached_property
    def differing(self) -> tuple[str, ...]:
        """The parameters that finished runs differ in, those without a say in the numbers left out."""
        names = RunConfig.model_fields.keys() - _SAME_ANYWHERE
        values = {name: {str(run.parameters.get(name)) for run in self.done} for name in names}
        return tuple(name for name in RunConfig.model_fields if len(values.get(name, ())) > 1)

    def repeats(self, name: str) -> tuple[RunResults, ...]:
        """Return the finished runs that differ from run ``name`` in their seed at most, lowest seed first."""
        found = next((run for run in self.runs if run.name == name), None)
        if found is None:
            return ()
        return next((one.runs for one in self.configurations if _alike(one.first, found)), ())

    @cached_property
    def splits(self) -> dict[str, Any]:
        """Photographs, patients, counts and shares of each split: those that a run used, or else the audit's.

        A run leaves out what is damaged and what is beyond ``limit``; the audit is about all that is there.
        """
        used = next((run.config["data"]["splits"] for run in self.runs if run.config.get("data")), None)
        return used or (self.audit or {}).get("splits", {})

    @cached_property
    def majority(self) -> float | None:
        """The accuracy of always answering the commonest training grade on the photographs tested, as a share."""
        if self.done:
            return self.done[0].test["majority_accuracy"]
        return (self.audit or {}).get("majority_accuracy")

    @cached_property
    def chosen_on(self) -> str:
        """What chose the epochs: ``testing`` or ``validation`` where any run asked for that, or ``last``."""
        selections = {chosen_on(run.metrics["select_by"]) for run in self.done if run.metrics}
        return next((one for one in ("testing", "validation", "last") if one in selections), "validation")

    @cached_property
    def majority_grade(self) -> int:
        """The commonest grade of the training photographs."""
        counts = self.splits.get("train", {}).get("counts") or [1]
        return counts.index(max(counts))

    @cached_property
    def config(self) -> RunConfig | None:
        """The parameters of the first run that has any; ``None`` where another version of dr-lab wrote them."""
        parameters = next((run.parameters for run in self.runs if run.parameters), None)
        try:
            return RunConfig.from_mapping(parameters) if parameters else None
        except InputError:
            return None


def also_different(before: RunGroup, after: RunGroup, differing: str) -> list[str]:
    """Return the parameters that differ beside ``differing``, such as ``batch size 64 → 16``.

    ``differing``: ``model``, ``pretrained`` or ``weighted``.
    """
    first, second = (one.first.parameters for one in (before, after))
    names = sorted(_other_differences(before, after, differing))
    return [f"{name.replace('_', ' ')} {first.get(name)} → {second.get(name)}" for name in names]


def _other_differences(before: RunGroup, after: RunGroup, differing: str) -> set[str]:
    first, second = (one.first.parameters for one in (before, after))
    names = (first.keys() | second.keys()) - _SAME_ANYWHERE - GO_TOGETHER[differing]
    return {name for name in names if first.get(name) != second.get(name)}


def _distinct_labels(runs: list[RunResults]) -> list[str]:
    """Return what tells each run apart from those with its label: values that differ among them, or else its name."""
    by_label: dict[str, list[RunResults]] = {}
    for run in runs:
        by_label.setdefault(run.label, []).append(run)
    labels = {}
    for namesakes in by_label.values():
        names = [name for name in RunConfig.model_fields if name not in _SAME_ANYWHERE]
        differing = [name for name in names if len({str(run.parameters.get(name)) for run in namesakes}) > 1]
        values = {
            run.name: ", ".join(f"{name.replace('_', ' ')} {run.parameters.get(name)}" for name in differing)
            for run in namesakes
        }
        shared = Counter(values.values())
        for run in namesakes:
            alone = len(namesakes) == 1
            labels[run.name] = "" if alone else values[run.name] if shared[values[run.name]] == 1 else run.name
    return [labels[run.name] for run in runs]


def _alike(first: RunResults, second: RunResults) -> bool:
    """Tell whether two runs differ in nothing but their seed, and in what has no say in the numbers."""
    names = (first.parameters.keys() | second.parameters.keys()) - _SAME_ANYWHERE
    return all(first.parameters.get(name) == second.parameters.get(name) for name in names)


def _depth_order(model: str) -> tuple[int, str]:
    digits = "".join(character if character.isdigit() else " " for character in model).split()
    return (int(digits[0]) if digits else 0, model)


def _order(value: Any) -> tuple[int, float, str]:
    """Return what sorts values of a parameter: ``none``, numbers by size, networks by depth, others as their text."""
    if value == "none":
        return -1, 0.0, ""
    if isinstance(value, bool | int | float):
        return 0, float(value), ""
    return (1, *_depth_order(value)) if isinstance(value, str) else (2, 0.0, repr(value))
