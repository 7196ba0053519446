"""What is compared and what is found: differences with intervals, and tests corrected for their number."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd

from dr_lib.evaluation.paired import Comparison, holm
from dr_lib.evaluation.seed_groups import compare_seeds
from dr_lib.report.experiment_results import ExperimentResults, Pair
from dr_lib.report.run_group import RunGroup


@dataclass(frozen=True)
class Tested:
    """Two configurations that differ in one thing, ``first`` without it, as one of all comparisons of an experiment.

    ``corrected``: ``found.p`` by Holm's correction for all of them; ``None`` where they cannot be tested.
    """

    first: RunGroup
    second: RunGroup
    found: Comparison
    corrected: float | None


def compare(first: RunGroup, second: RunGroup) -> Comparison:
    """Return the figures of ``second`` less those of ``first`` with 95% intervals over patients, and seeds if several.

    The same patients are drawn for both.
    """
    return _compare(_Tables(first), _Tables(second))


def all_comparisons(experiment: ExperimentResults) -> list[Tested]:
    """Return every two configurations that differ in pretraining, depth or class weights alone, in this order."""
    return _tested([*experiment.pairs["pretrained"], *experiment.pairs["model"], *experiment.pairs["weighted"]])


def compare_parameter(experiment: ExperimentResults, parameter: str) -> list[Tested]:
    """Return every two configurations that differ in ``parameter`` alone, and in what it brings with it."""
    return _tested(experiment.pairs_of(parameter))


def _tested(pairs: Sequence[Pair]) -> list[Tested]:
    found = [compare(*pair) for pair in pairs]
    corrected = iter(holm([one.p for one in found if one.p is not None]))
    return [
        Tested(first, second, comparison, None if comparison.p is None else next(corrected))
        for (first, second), comparison in zip(pairs, found, strict=True)
    ]


class _Tables:
    """The predictions of a configuration's runs, which the cache below can key by identity."""

    def __init__(self, configuration: RunGroup):
        self.frames: Sequence[pd.DataFrame] = [run.done_predictions for run in configuration.runs]
        self._key = tuple(map(id, self.frames))

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Tables) and self._key == other._key


@lru_cache(maxsize=256)
def _compare(first: _Tables, second: _Tables) -> Comparison:
    return compare_seeds(first.frames, second.frames)
