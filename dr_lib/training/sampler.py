"""Which photographs an epoch shows, in what order, in which steps, and which of them fall to which process."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dr_lib.data.class_weights import class_counts

FINAL_WEIGHTS = np.array([1.0, 2.0, 2.0, 2.0, 2.0])
"""What ``decay`` ends with: how much more often than no DR a photograph of each grade is shown."""
DECAY = 0.975
"""How much of the balance is left after each epoch."""

Kind = Literal["none", "balanced", "sqrt", "decay"]


def epoch_order(grades: ArrayLike, *, kind: Kind, seed: int, epoch: int, decay: float = DECAY) -> NDArray[np.int64]:
    """Return the indices of the photographs to show in ``epoch`` (counted from 1), int64 (N,), as many as there are.

    A function of its arguments alone: to go on in the middle of an epoch is to leave out what has been shown.

    none: a permutation, each photograph once. The others draw with replacement, by :func:`sampling_weights`; what is
    rare is then shown several times, and :func:`repeats` tells these apart, so that each can be varied anew.
    """
    grades = np.asarray(grades, dtype=np.int64)
    rng = np.random.default_rng([seed, epoch])
    if kind == "none":
        return rng.permutation(len(grades))
    weights = sampling_weights(class_counts(grades), kind=kind, epoch=epoch, decay=decay)[grades]
    return rng.choice(len(grades), size=len(grades), p=weights / weights.sum())


def sampling_weights(counts: ArrayLike, *, kind: Kind, epoch: int, decay: float = DECAY) -> NDArray[np.float64]:
    """Return how often, relatively, a photograph of each grade is drawn: float64 (5,), for ``counts`` of each, (5,).

    balanced: N/n_c, so that all grades come equally often. sqrt: its square root, so that they come as the square roots
    of their numbers (Kang et al. 2020, eq. 1). decay: balanced in the first epoch, then r = ``decay``^(epoch - 1) of
    that and 1 - r of :data:`FINAL_WEIGHTS`, as second place in Kaggle's competition of 2015 trained (team o_O, report
    of Antony and Brueggemann; 0.975 over 250 epochs: of a short run's balance much is left at its end unless ``decay``
    is lower). none: ones.
    """
    counts = np.asarray(counts, dtype=np.float64)
    # A grade that has no photographs is never drawn, whatever its weight.
    balanced = counts.sum() / np.maximum(counts, 1)
    if kind == "none":
        return np.ones_like(balanced)
    if kind == "balanced":
        return balanced
    if kind == "sqrt":
        return np.sqrt(balanced)
    if kind == "decay":
        left = decay ** (epoch - 1)
        return left * balanced + (1 - left) * FINAL_WEIGHTS
    raise ValueError(f"sampling {kind!r} is none of none, balanced, sqrt, decay")


def repeats(order: ArrayLike) -> NDArray[np.int64]:
    """Return for each place in ``order`` how often its photograph has come before in the epoch: int64 (N,)."""
    order = np.asarray(order)
    by_photograph = np.argsort(order, kind="stable")
    ranks = np.arange(len(order))
    first = np.searchsorted(order[by_photograph], order[by_photograph])
    before = np.empty_like(ranks)
    before[by_photograph] = ranks - first
    return before


class EpochPlan:
    """The batches of an epoch, as indices, for one of ``processes``: a ``batch_sampler`` that can begin anywhere.

    A photograph that comes again in the same epoch, as balanced sampling makes it, has ``len(grades)`` added to its
    index for each time before; the data set then varies it anew. All is a function of (seed, epoch), so a run that
    goes on in the middle leaves out the first steps and has the same others. A last batch of fewer photographs than
    processes is joined to the one before. ``neighbor``: each of several processes is given the photograph before its
    own, too, which comes first; that before the first of a batch is the last.
    """

    def __init__(
        self,
        grades: np.ndarray,
        *,
        batch_size: int,
        kind: Kind,
        decay: float,
        seed: int,
        process: int,
        processes: int,
        neighbor: bool = False,
    ):
        self._grades, self._kind, self._decay, self._seed = np.asarray(grades), kind, decay, seed
        self._process, self._processes, self._neighbor = process, processes, neighbor and processes > 1
        edges = [*range(0, len(self._grades), batch_size), len(self._grades)]
        if len(edges) > 2 and edges[-1] - edges[-2] < processes:
            del edges[-2]
        self._slices = list(pairwise(edges))
        self.begin(1)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return len(self._slices)

    def begin(self, epoch: int, first_step: int = 0) -> None:
        """Make the next pass that of ``epoch`` (counted from 1), from ``first_step`` (counted from 0)."""
        order = epoch_order(self._grades, kind=self._kind, seed=self._seed, epoch=epoch, decay=self._decay)
        self._indices = order + len(order) * repeats(order)
        self._first = first_step

    def photographs(self, step: int) -> int:
        """Return how many photographs ``step`` of an epoch (counted from 0) trains on, in all processes."""
        start, stop = self._slices[step]
        return stop - start

    def __len__(self) -> int:
        return self.steps - self._first

    def __iter__(self) -> Iterator[list[int]]:
        for start, stop in self._slices[self._first :]:
            batch = self._indices[start:stop]
            own = np.array_split(np.arange(len(batch)), self._processes)[self._process]
            yield batch[np.append(own[0] - 1, own) if self._neighbor else own].tolist()
