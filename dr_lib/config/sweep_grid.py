"""What a sweep varies, and which run answers for each combination, as the experiment folder records it."""

from dataclasses import asdict, dataclass
from typing import Any

EVALUATE_ON = ("testing", "validation")
"""The photographs whose figures answer a sweep: what it chooses by must not be what it is tested on in the end."""
GO_TOGETHER = {
    "model": {"model"},
    "pretrained": {
        "pretrained", "pretrained_weights", "pretraining_photographs", "pretraining_epochs",
        "feature_extraction_epochs",
    },
    "weighted": {"class_weights"},
}  # fmt: skip
"""Parameters that differ when runs differ in their network, their start or their loss alone."""


@dataclass(frozen=True)
class SweepRun:
    """One combination of what is varied, and the name of the run that answers for it."""

    name: str
    values: dict[str, Any]


@dataclass(frozen=True)
class SweepGrid:
    """A sweep as ``sweep.json`` keeps it. Combinations that come to the same share a run, each with its own entry."""

    sweep: str
    """The stem of its file."""
    title: str
    question: str
    vary: dict[str, list[Any]]
    runs: tuple[SweepRun, ...]
    telling: tuple[str, ...]
    """What of ``vary`` changes more than network, start and loss, by which runs are called anyway; seeds aside."""
    evaluate_on: str = "testing"
    """One of :data:`EVALUATE_ON`."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "SweepGrid":
        """Return the grid that :meth:`as_json` gave; ``KeyError`` or ``TypeError`` for what is none."""
        runs = tuple(SweepRun(**run) for run in record["runs"])
        return cls(**record | {"runs": runs, "telling": tuple(record["telling"])})
