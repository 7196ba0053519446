"""One run and all runs of an experiment, as the report speaks of them."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from dr_lib.config import RunConfig
from dr_lib.errors import InputError
from dr_lib.report.sentences import chosen_on
from dr_lib.studies import StudyGrid

_SAME_ANYWHERE = {"name", "out_dir", "cache_dir", "num_workers", "device", "seed"}
_GO_TOGETHER = {
    "model": {"model"},
    "pretrained": {"pretrained", "pretrained_weights", "feature_extraction_epochs"},
    "weighted": {"class_weights"},
}
"""Parameters that differ when runs differ in their network, their start or their loss alone."""

STATE_WORDS = {
    "queued": "not started",
    "running": "not finished",
    "interrupted": "interrupted",
    "failed": "failed",
    "done": "done",
}


@dataclass(frozen=True)
class Run:
    """One run of the experiment. Only a ``done`` one has ``history``, ``predictions`` and ``metrics``."""

    name: str
    state: str
    reason: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    history: pd.DataFrame | None = None
    predictions: pd.DataFrame | None = None
    gradients: pd.DataFrame | None = None
    """One row a layer and epoch (``epoch, depth, layer, norm``), where the run recorded them."""
    metrics: dict[str, Any] | None = None
    page: str = ""
    """Address of the executed notebook's page relative to the report, or an empty string."""
    setting: str = ""
    """What a study varied in it, where there is one."""

    @property
    def done(self) -> bool:
        return self.state == "done"

    @property
    def parameters(self) -> dict[str, Any]:
        return self.config.get("parameters", {})

    @property
    def model(self) -> str:
        """torchvision's name of the network."""
        return self.parameters.get("model", self.name.split("-")[0])

    @property
    def network(self) -> str:
        """The network's name as the field writes it, ``ResNet50``."""
        return network_name(self.model)

    @property
    def pretrained(self) -> bool:
        return bool(self.parameters.get("pretrained", "-pretrained" in self.name))

    @property
    def weighted(self) -> bool:
        return self.parameters.get("class_weights", "majority_ratio" if "-weighted" in self.name else "none") != "none"

    @property
    def weights(self) -> str:
        """Where the initial weights came from, in words: ``pretrained (ImageNet, IMAGENET1K_V2)``."""
        if not self.pretrained:
            return "from scratch"
        used = self.config.get("weights", {})
        match used.get("kind"):
            case "ImageNet":
                return f"pretrained (ImageNet, {used.get('name', '')})"
            case "generated":
                return "pretrained (generated photographs)"
            case "file":
                return f"pretrained (file {used.get('name', '')})"
        return f"pretrained ({self.parameters.get('pretrained_weights', 'weights not recorded')})"

    @property
    def label(self) -> str:
        """Network, start and loss in a few words, unique among the lab's eight configurations and in a study."""
        varied = f", {self.setting}" if self.setting else ""
        return f"{self.network} {self.weights}" + " with class weights" * self.weighted + varied

    @property
    def configuration(self) -> str:
        """The label without the network."""
        return self.label.removeprefix(f"{self.network} ")

    @property
    def seed(self) -> int:
        return self.parameters.get("seed", 0)

    @property
    def chosen_epoch(self) -> int:
        assert self.metrics is not None
        return self.metrics["chosen_epoch"]

    @property
    def test(self) -> dict[str, Any]:
        """The figures on the testing photographs at the epoch chosen on validation."""
        assert self.metrics is not None
        return self.metrics["test"]

    @property
    def highest(self) -> dict[str, Any]:
        """``accuracy`` and ``epoch`` of the lab's figure: the best testing accuracy of all epochs."""
        assert self.metrics is not None
        return self.metrics["highest_testing_accuracy"]


@dataclass(frozen=True)
class Study:
    """The runs of one experiment folder and its audit (``None`` where there is none)."""

    path: Path
    runs: tuple[Run, ...]
    audit: dict[str, Any] | None
    audit_page: str = ""
    """Address of the audit's page relative to the report, or an empty string."""
    pretrainings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By network, what ``pretraining.json`` says, with ``page`` for the address of its notebook's page."""
    grid: StudyGrid | None = None
    """What the runs vary, where a study asked for them."""

    @cached_property
    def done(self) -> tuple[Run, ...]:
        """The finished runs, best accuracy first."""
        finished = [run for run in self.runs if run.done]
        return tuple(sorted(finished, key=lambda run: (-run.test["accuracy"], run.name)))

    @cached_property
    def models(self) -> tuple[str, ...]:
        """The networks of the runs, shallow ones first."""
        return tuple(sorted({run.model for run in self.runs}, key=_depth_order))

    def find(self, model: str, *, pretrained: bool, weighted: bool) -> Run | None:
        """Return the finished run of this configuration, that of the lowest seed where there are several.

        Of the runs of a study, that with the fewest of the other parameters varied away from their defaults.
        """
        return min(
            (run for run in self.done if (run.model, run.pretrained, run.weighted) == (model, pretrained, weighted)),
            key=lambda run: (self._varied_away(run), run.seed, len(run.name), run.name),
            default=None,
        )

    def _varied_away(self, run: Run) -> int:
        others = (self.grid.vary.keys() if self.grid else set()) - {"model", "pretrained", "class_weights", "seed"}
        return sum(run.parameters.get(name) != RunConfig.model_fields[name].default for name in others)

    def pairs(self, differing: str) -> Iterator[tuple[Run, Run]]:
        """Yield finished runs that differ in ``pretrained`` or ``weighted`` alone, the one without first."""
        other = {"pretrained": "weighted", "weighted": "pretrained"}[differing]
        for model in self.models:
            for fixed in (False, True):
                without, with_it = (
                    self.find(model, **{differing: value, other: fixed}) for value in (False, True)
                )  # fmt: skip
                if without and with_it:
                    yield without, with_it

    def depth_pairs(self) -> Iterator[tuple[Run, Run]]:
        """Yield finished runs of the shallowest and the deepest network that are otherwise alike, shallow first."""
        if len(self.models) < 2:
            return
        for pretrained in (True, False):
            for weighted in (False, True):
                shallow, deep = (
                    self.find(model, pretrained=pretrained, weighted=weighted)
                    for model in (self.models[0], self.models[-1])
                )
                if shallow and deep:
                    yield shallow, deep

    def repeats(self, name: str) -> tuple[Run, ...]:
        """Return the finished runs that differ from run ``name`` in their seed at most, lowest seed first."""
        found = next((run for run in self.runs if run.name == name), None)
        if found is None:
            return ()
        alike = lambda run: {key: run.parameters[key] for key in run.parameters.keys() - _SAME_ANYWHERE}  # noqa: E731
        return tuple(sorted((run for run in self.done if alike(run) == alike(found)), key=lambda run: run.seed))

    def repeated(self) -> Iterator[list[Run]]:
        """Yield the finished runs of each configuration that was run with several seeds, those of a study left out."""
        groups = defaultdict(list)
        in_study = {run.name for point in self.grid.runs for run in self.repeats(point.name)} if self.grid else set()
        for run in (run for run in self.done if run.name not in in_study):
            groups[run.model, run.pretrained, run.weighted].append(run)
        for runs in groups.values():
            if len({run.seed for run in runs}) > 1:
                yield sorted(runs, key=lambda run: run.seed)

    @cached_property
    def splits(self) -> dict[str, Any]:
        """Photographs, patients, counts and shares of each split, from the audit or else from a run."""
        if self.audit:
            return self.audit["splits"]
        return next((run.config["data"]["splits"] for run in self.runs if run.config.get("data")), {})

    @cached_property
    def majority(self) -> float | None:
        """The accuracy of always answering the commonest training grade, as a share."""
        if self.audit and self.audit.get("majority_accuracy") is not None:
            return self.audit["majority_accuracy"]
        return self.done[0].test["majority_accuracy"] if self.done else None

    @cached_property
    def chosen_on(self) -> str:
        """Which photographs chose the epochs: ``validation``, or ``testing`` where any run asked for that."""
        selections = {chosen_on(run.metrics["select_by"]) for run in self.done if run.metrics}
        return "testing" if "testing" in selections else "validation"

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


def also_different(first: Run, second: Run, differing: str) -> list[str]:
    """Return the parameters that differ between two runs beside ``differing``, such as ``batch size 64 → 16``.

    ``differing``: ``model``, ``pretrained`` or ``weighted``.
    """
    expected = _SAME_ANYWHERE | _GO_TOGETHER[differing]
    names = sorted((first.parameters.keys() | second.parameters.keys()) - expected)
    values = [(name.replace("_", " "), first.parameters.get(name), second.parameters.get(name)) for name in names]
    return [f"{name} {before} → {after}" for name, before, after in values if before != after]


def network_name(model: str) -> str:
    """Return ``ResNet50`` for torchvision's ``resnet50``; other names as they are."""
    return model.replace("resnet", "ResNet").replace("wide_", "Wide ").replace("resnext", "ResNeXt")


def _depth_order(model: str) -> tuple[int, str]:
    digits = "".join(character if character.isdigit() else " " for character in model).split()
    return (int(digits[0]) if digits else 0, model)
