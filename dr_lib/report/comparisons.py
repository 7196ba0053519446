"""Families of comparisons: configurations that differ in one thing, their differences judged together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dr_lib.evaluation import effects
from dr_lib.evaluation.bootstrap import Difference
from dr_lib.evaluation.effects import Comparison
from dr_lib.evaluation.seed_groups import SeedFigure
from dr_lib.report.run_group import RunGroup

Pair = tuple[RunGroup, RunGroup]


@dataclass(frozen=True)
class Effect:
    """What changes from ``first`` to ``second``, one of a family whose intervals hold together."""

    first: RunGroup
    second: RunGroup
    change: Comparison


def compare_family(pairs: Iterable[Pair]) -> tuple[Effect, ...]:
    """Return what changes from the first to the second of each pair, with intervals that hold for all of them."""
    pairs = list(pairs)
    changes = effects.compare_all([(_tables(first), _tables(second)) for first, second in pairs])
    return tuple(Effect(*pair, change) for pair, change in zip(pairs, changes, strict=True))


def above_majority(groups: Sequence[RunGroup], grade: int) -> list[Difference | None]:
    """Return by how much the accuracy of each group is above that of always answering ``grade``, judged together."""
    return effects.against_majority([_tables(group) for group in groups], grade)


def below_best(groups: Sequence[RunGroup]) -> tuple[RunGroup, dict[str, Difference | None]]:
    """Return the group of the highest kappa, and by name how far below it the others are (negative)."""
    best, changes = effects.against_best([_tables(group) for group in groups])
    others = {group.name: change for group, change in zip(groups, changes, strict=True) if group is not groups[best]}
    return groups[best], others


def kappas(groups: Sequence[RunGroup]) -> dict[str, SeedFigure]:
    """Return kappa of each group by its name, with intervals that hold for all of them."""
    figures = effects.together([_tables(group) for group in groups], "kappa", [one.figure("kappa") for one in groups])
    return {group.name: figure for group, figure in zip(groups, figures, strict=True)}


def _tables(group: RunGroup) -> list:
    return [run.done_predictions for run in group.runs]
