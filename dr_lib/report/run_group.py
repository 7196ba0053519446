"""Runs that differ in their seed alone, taken together: what the report compares and ranks."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from dr_lib.evaluation.seed_groups import Name, SeedFigure, over_seeds
from dr_lib.report.run_results import RunResults

Figure = Callable[[RunResults], float]
"""From a finished run to a number."""


@dataclass(frozen=True)
class RunGroup:
    """Finished runs that differ in nothing but their seed, lowest seed first; one at least.

    ``distinct_labels``: what its label ends in where another configuration of the experiment would have the same one.
    """

    runs: tuple[RunResults, ...]
    distinct_labels: str = field(default="", kw_only=True)

    @property
    def first(self) -> RunResults:
        """The run of the lowest seed: what only one run can show is shown of this one."""
        return self.runs[0]

    @property
    def label(self) -> str:
        """Network, start and loss in a few words, unique in its experiment."""
        return self.first.label + (f" ({self.distinct_labels})" if self.distinct_labels else "")

    @property
    def short_label(self) -> str:
        """A label short enough for the key of a panel, without the loss."""
        start = "pretrained" if self.pretrained else "scratch"
        return f"{self.network} {start}" + (f" ({self.distinct_labels})" if self.distinct_labels else "")

    @property
    def curve_label(self) -> str:
        """The same with the loss, where it is weighted: the name of a curve among others."""
        return self.short_label + ", weighted" * self.weighted

    @property
    def description(self) -> str:
        """The label without the network."""
        return self.label.removeprefix(f"{self.network} ")

    @property
    def setting(self) -> str:
        """What a sweep varied in it beside network, start and loss; empty where nothing."""
        return self.first.setting

    @property
    def distinction(self) -> str:
        """What tells it from others of its network, start and loss; empty where there are none."""
        return ", ".join(filter(None, (self.setting, self.distinct_labels)))

    @property
    def network(self) -> str:
        return self.first.network

    @property
    def model(self) -> str:
        return self.first.model

    @property
    def pretrained(self) -> bool:
        return self.first.pretrained

    @property
    def weighted(self) -> bool:
        return self.first.weighted

    @property
    def kind(self) -> tuple[str, bool, bool]:
        """Network, whether pretrained, whether with class weights."""
        return self.model, self.pretrained, self.weighted

    @property
    def weights(self) -> str:
        return self.first.weights

    @property
    def name(self) -> str:
        """The name of its first run."""
        return self.first.name

    @property
    def several(self) -> bool:
        """Whether there is more than one seed."""
        return len(self.runs) > 1

    @cached_property
    def _over_seeds(self) -> dict[Name, SeedFigure]:
        return over_seeds([run.done_predictions for run in self.runs])

    def figure(self, name: Name) -> SeedFigure:
        """Return a figure of merit by its name in ``metrics.json``: its mean over seeds, and its 95% interval.

        One with several parts takes the part too, such as ``("recall", 3)``.
        """
        if self.several:
            return self._over_seeds[name]
        whole, *part = (name,) if isinstance(name, str) else name
        value, limits = (found.get(whole) for found in (self.first.test, self.first.test["intervals"]))
        for key in part:
            value, limits = (None if found is None else found[key] for found in (value, limits))
        low, high = limits or (np.nan, np.nan)
        return SeedFigure(np.nan if value is None else value, np.nan, 1, low, high)

    @property
    def accuracy(self) -> float:
        """Testing accuracy at the chosen epoch, 0..1, mean over seeds."""
        return float(np.mean([run.test["accuracy"] for run in self.runs]))

    @property
    def highest(self) -> float:
        """The lab's highest testing accuracy of all epochs, 0..1, mean over seeds."""
        return float(np.mean([run.highest["accuracy"] for run in self.runs]))

    @property
    def confusion_matrix(self) -> np.ndarray:
        """Counts (5, 5) at the chosen epoch, summed over seeds."""
        return np.sum([run.test["confusion_matrix"] for run in self.runs], axis=0)

    def figures(self, figure: Figure) -> list[float]:
        """Return ``figure`` of each run."""
        return [figure(run) for run in self.runs]

    def mean(self, figure: Figure) -> float:
        """Return the mean of ``figure`` over seeds."""
        return float(np.mean(self.figures(figure)))


def by_kappa(one: RunGroup) -> float:
    """Return kappa, to rank by where accuracy would prefer a network that gives everybody the same answer."""
    return one.figure("kappa").mean
