"""How long runs will take, by what finished ones have measured, and which take longest where nothing is measured."""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import median

from torchvision import models

from dr_lib.config import RunConfig
from dr_lib.storage.run_folder import RunFolder
from dr_lib.training.schedules import FEATURE_EXTRACTION, FINE_TUNING, phase_of

_PASSES = {FEATURE_EXTRACTION: 1, FINE_TUNING: 3}
"""Arithmetic of a training step in forward passes: the backward pass is two more, which a frozen backbone is spared."""

_Kind = tuple[str, int]
"""Network and side of what it sees, px."""


class TimeEstimate:
    """Times by the median photographs a second of the finished runs of the same network and size, phase by phase.

    ``others``: runs of other experiments; those that were done on the ``device`` of that name tell what ``folders``
    have nothing like.
    """

    def __init__(self, folders: Iterable[RunFolder], others: Iterable[RunFolder] = (), device: str = ""):
        self._rates = _measured(others, device) | _measured(folders)

    def photographs_a_second(self, config: RunConfig) -> float | None:
        """Return the speed of training all weights; that of training the head alone where no other is measured."""
        rates = self._rates.get((config.model, config.image_size))
        return rates.get(FINE_TUNING) or rates[FEATURE_EXTRACTION] if rates else None

    def seconds(self, config: RunConfig, training: int, held_out: int, *, epochs_done: int = 0) -> float | None:
        """Return how long the epochs of a run that are missing take; ``None`` where nothing like it is measured.

        ``training``, ``held_out``: photographs that each epoch trains on and is evaluated on. The latter take a
        forward pass alone, which is a third of a step.
        """
        speed = self.photographs_a_second(config)
        if speed is None:
            return None
        rates = self._rates[config.model, config.image_size]
        phases = [phase_of(config, epoch) for epoch in range(epochs_done + 1, config.epochs + 1)]
        learning = sum(training / rates.get(phase, speed) for phase in phases)
        return learning + len(phases) * held_out / (_PASSES[FINE_TUNING] * speed)

    def cost(self, config: RunConfig, training: int, held_out: int) -> float:
        """Return seconds, or where they are not known what they would be at the speed of other networks.

        Good for telling which of several runs takes longest, also where nothing at all is measured.
        """
        seconds = self.seconds(config, training, held_out)
        if seconds is not None:
            return seconds
        passes = sum(_PASSES[phase_of(config, epoch)] * training + held_out for epoch in range(1, config.epochs + 1))
        return passes * _operations(config.model, config.image_size) * self._seconds_an_operation

    @property
    def _seconds_an_operation(self) -> float:
        """Median over what is measured; 1 where nothing is."""
        known = [
            1 / (_PASSES[phase] * _operations(*kind) * rate)
            for kind, rates in self._rates.items()
            for phase, rate in rates.items()
        ]
        return median(known) if known else 1.0


def _measured(folders: Iterable[RunFolder], device: str | None = None) -> dict[_Kind, dict[str, float]]:
    """Return the median photographs a second of finished runs, on the ``device`` of that name if one is given."""
    measured: dict[_Kind, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for folder in folders:
        if not folder.done:
            continue
        try:
            record = folder.read_config()
            kind = record["parameters"]["model"], record["parameters"]["image_size"]
            epochs = folder.read_history()[["phase", "images_per_second"]]
            if device is not None and record["device"]["name"] != device:
                continue
        except (OSError, ValueError, KeyError, TypeError):  # of another version, or damaged: no forecast is worth a run
            continue
        for phase, rate in epochs.itertuples(index=False):
            measured[kind][phase].append(rate)
    return {kind: {phase: median(rates) for phase, rates in phases.items()} for kind, phases in measured.items()}


def time_of_all(seconds: Sequence[float], parallel: int) -> float:
    """Return how long jobs take together, ``parallel`` at a time, the longest begun first."""
    ends = [0.0] * parallel
    for length in sorted(seconds, reverse=True):
        heapq.heappush(ends, heapq.heappop(ends) + length)
    return max(ends)


def _operations(model: str, image_size: int) -> float:
    """Return 10^9 multiplications of a forward pass of one photograph, by torchvision's figure for 224 px."""
    weights = next(iter(models.get_model_weights(model)), None)
    return (weights.meta["_ops"] if weights else 1.0) * (image_size / 224) ** 2
