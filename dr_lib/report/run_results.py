"""One run of an experiment, as the report speaks of it."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

STATE_WORDS = {
    "queued": "not started",
    "running": "not finished",
    "interrupted": "interrupted",
    "failed": "failed",
    "done": "done",
}


@dataclass(frozen=True)
class RunResults:
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
    table: str = ""
    """Address of its predictions, likewise."""
    setting: str = ""
    """What a sweep varied in it, where there is one."""

    @property
    def done(self) -> bool:
        return self.state == "done"

    @property
    def done_history(self) -> pd.DataFrame:
        """``history`` of a ``done`` run."""
        assert self.history is not None
        return self.history

    @property
    def done_predictions(self) -> pd.DataFrame:
        """``predictions`` of a ``done`` run."""
        assert self.predictions is not None
        return self.predictions

    @property
    def done_metrics(self) -> dict[str, Any]:
        """``metrics`` of a ``done`` run."""
        assert self.metrics is not None
        return self.metrics

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
        """Where the initial weights came from, in words: ``pretrained (ImageNet V2)``, ``from scratch``."""
        if not self.pretrained:
            return "from scratch"
        used = self.config.get("weights", {})
        match used.get("kind"):
            case "ImageNet":
                return f"pretrained (ImageNet {used.get('name', '').removeprefix('IMAGENET1K_')})"
            case "generated":
                return "pretrained (generated)"
            case "file":
                return f"pretrained (file {used.get('name', '')})"
        return f"pretrained ({self.parameters.get('pretrained_weights', 'weights not recorded')})"

    @property
    def label(self) -> str:
        """Network, start and loss in a few words, unique among the lab's eight configurations and in a sweep."""
        varied = f", {self.setting}" if self.setting else ""
        return f"{self.network} {self.weights}" + ", weighted" * self.weighted + varied

    @property
    def description(self) -> str:
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

    def at_chosen_epoch(self, column: str) -> float:
        """Return a figure of ``history.csv``, in which :attr:`highest` is too: epochs see one view of a photograph."""
        return float(self.done_history.set_index("epoch")[column].loc[self.chosen_epoch])


def network_name(model: str) -> str:
    """Return ``ResNet50`` for torchvision's ``resnet50``; other names as they are."""
    return model.replace("resnet", "ResNet").replace("wide_", "Wide ").replace("resnext", "ResNeXt")


def chosen_on(select_by: str) -> str:
    """Return what chose the epoch: ``validation``, ``testing``, which flatters, or nothing, it being the ``last``."""
    return {"val": "validation", "test": "testing", "last": "last"}[select_by.partition("_")[0]]


def chosen_by(select_by: str) -> str:
    """Return how an epoch came to be the tested one, to stand behind its number."""
    return "the last one" if select_by == "last" else f"chosen by {select_by}"


def tested_epoch(chosen_on: str) -> str:
    """Return which epoch it is that was tested."""
    return "the last epoch" if chosen_on == "last" else f"the epoch chosen on {chosen_on}"
