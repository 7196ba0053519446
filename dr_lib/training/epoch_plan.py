"""Which photographs each step of an epoch trains on, and which of them fall to which process."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from dr_lib.training.sampler import Kind, epoch_order, repeats


class EpochPlan:
    """The batches of an epoch, as indices, for one of ``processes``: a ``batch_sampler`` that can begin anywhere.

    A photograph that comes again in the same epoch, as balanced sampling makes it, has ``len(grades)`` added to its
    index for each time before; the data set then varies it anew. All is a function of (seed, epoch), so a run that
    goes on in the middle leaves out the first steps and has the same others. A last batch of fewer photographs than
    processes is joined to the one before.
    """

    def __init__(
        self, grades: np.ndarray, *, batch_size: int, kind: Kind, decay: float, seed: int, process: int, processes: int
    ):
        self._grades, self._kind, self._decay, self._seed = np.asarray(grades), kind, decay, seed
        self._process, self._processes = process, processes
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
            yield self._indices[start:stop][self._process :: self._processes].tolist()
