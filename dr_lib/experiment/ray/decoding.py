"""Photographs decoded on all machines of the cluster that see them, for the pixel cache that the driver writes.

Machines send squares, and the driver alone writes: a network file system keeps one writer's bytes, not those of
several whose rows meet in a page. Rows are numbered before anything is decoded, so that the store is the same, bit for
bit, whoever has decoded what.
"""

import os
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from dr_lib.data.crops import ResizeSpec
from dr_lib.data.photographs import Photographs
from dr_lib.data.scan import SECONDS_A_FILE, Answer, Item, decode_here, decoders, scan_file, with_rows
from dr_lib.data.scan_image import ReadFailure
from dr_lib.experiment.ray.connection import Cluster, Machine, while_it_lasts
from dr_lib.system.process_pool import WorkerDied, map_in_workers
from dr_lib.system.terminal import logger

log = logger("data")

_SHARES_A_PROCESSOR = 4
"""So that nobody waits long for the last one."""
_SMALLEST_SHARE, _LARGEST_SHARE = 16, 512
"""Photographs: a share begins with a process that takes a second to start, and is done again where its machine dies."""
_PIECE = 16
"""Photographs whose squares are sent together: 3 MB at 256 px."""
_PIECES_AHEAD = 4
"""How many may wait for the driver, so that memory stays flat where the disk is slower than the machines."""
_TRIES = 3

_Wanted = tuple[str, tuple[ResizeSpec, ...], list[int]]
"""A photograph, the squares to make of it, and size and time of change of the file as the driver sees it."""


@dataclass(eq=False)
class _Share:
    """Items that one task decodes; those of them that it has not answered are still ``open``."""

    open: dict[int, Item]
    tries: int = 0
    machine: Machine | None = None
    answers: Any = field(default=None, repr=False)


class SpreadDecoding:
    """Decodes where :func:`dr_lib.data.scan.decode_here` would, with all processors of the cluster.

    ``decoded`` counts photographs by the identity of the machine that has decoded them. A machine that sees other
    files than the driver, or has other versions of what decodes them, takes no part. What a machine was at when it
    died, others do.
    """

    def __init__(self, cluster: Cluster):
        self._cluster = cluster
        self.decoded: Counter[str] = Counter()

    def __call__(self, photographs: Photographs, items: Sequence[Item]) -> Generator[tuple[Item, Answer], None, None]:
        with while_it_lasts():
            yield from self._decoded(photographs, items)

    def _decoded(self, photographs: Photographs, items: Sequence[Item]) -> Generator[tuple[Item, Answer], None, None]:
        kept, folder = ray.put(photographs), os.getcwd()
        machines = self._able(photographs, items, kept, folder)
        if len(machines) < 2:
            yield from decode_here(photographs, items)
            return
        free = [machine for machine in machines for _ in range(machine.cpus)]
        waiting = deque(_shares(items, len(free)))
        under_way: list[_Share] = []
        left: dict[int, Item] = {}
        try:
            while waiting or under_way:
                while waiting and free:
                    share = waiting.popleft()
                    share.machine, share.tries = free.pop(0), share.tries + 1
                    share.answers = _begin(share, photographs, kept, folder)
                    under_way.append(share)
                if not under_way:  # all machines have died
                    break
                ready, _ = ray.wait([share.answers for share in under_way], num_returns=1, fetch_local=False)
                share = next(share for share in under_way if share.answers is ready[0])
                assert share.machine is not None
                piece = _next_piece(share)
                if piece is None:
                    under_way.remove(share)
                    alive = {machine.identity for machine in self._cluster.machines()}
                    if share.machine.identity in alive:
                        free.append(share.machine)
                    if share.open and share.tries < _TRIES:
                        waiting.append(_Share(share.open, share.tries))
                    else:
                        left |= share.open
                    continue
                for number, answer in piece:
                    item = share.open.pop(number)
                    if isinstance(answer, ReadFailure | WorkerDied):  # perhaps of that machine alone
                        left[number] = item
                        continue
                    self.decoded[share.machine.identity] += 1
                    yield item, with_rows(answer, item[1])
        finally:
            for share in under_way:
                ray.cancel(share.answers)
        left |= {number: item for share in waiting for number, item in share.open.items()}
        if left:
            self.decoded[self._cluster.here()] += len(left)
            yield from decode_here(photographs, list(left.values()))
        log.info("photographs decoded by machine: %s", dict(self.decoded))

    def _able(self, photographs: Photographs, items: Sequence[Item], kept: Any, folder: str) -> list[Machine]:
        """Return the machines with processors that see the driver's photographs and decode as it does."""
        machines = [machine for machine in self._cluster.machines() if machine.cpus]
        some = [items[0], items[len(items) // 2], items[-1]]
        stamps = {image: _stamp(photographs, image) for image, _ in some}
        asked = ray.remote(_sees)
        answers = [
            asked.options(num_cpus=0, max_retries=0, scheduling_strategy=_only(machine)).remote(
                kept, folder, stamps, decoders()
            )
            for machine in machines
        ]
        return [machine for machine, answer in zip(machines, answers, strict=True) if _answered(answer)]


def _shares(items: Sequence[Item], processors: int) -> Iterator[_Share]:
    size = min(max(len(items) // (_SHARES_A_PROCESSOR * processors), _SMALLEST_SHARE), _LARGEST_SHARE)
    for start in range(0, len(items), size):
        yield _Share(dict(enumerate(items[start : start + size], start)))


def _begin(share: _Share, photographs: Photographs, kept: Any, folder: str) -> Any:
    assert share.machine is not None
    wanted = {
        number: (image, tuple(recipe for recipe, _, _ in places), _stamp(photographs, image))
        for number, (image, places) in share.open.items()
    }
    task = ray.remote(_decode).options(
        num_cpus=1, num_returns="streaming", max_retries=0, scheduling_strategy=_only(share.machine),
        _generator_backpressure_num_objects=_PIECES_AHEAD,
    )  # fmt: skip
    return task.remote(kept, folder, wanted)


def _only(machine: Machine) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(machine.identity, soft=False)


def _next_piece(share: _Share) -> list[tuple[int, Any]] | None:
    """Return answers by the items' numbers; None where the task has ended, be it because its machine has died."""
    try:
        return ray.get(next(share.answers))
    except StopIteration:
        return None
    except ray.exceptions.RayTaskError:
        raise
    except ray.exceptions.RayError as error:
        log.warning("a machine is lost that decoded photographs (%s); others do its share", type(error).__name__)
        return None


def _answered(answer: Any) -> bool:
    try:
        return ray.get(answer)
    except ray.exceptions.RayError as error:
        log.warning("a machine takes no part in decoding (%s)", " ".join(str(error).split())[-200:])
        return False


def _sees(photographs: Photographs, folder: str, stamps: dict[str, list[int]], theirs: dict[str, str]) -> bool:
    """Tell whether this machine has the files with these stamps, and the decoders of the driver."""
    try:
        _enter(folder)
        return theirs == decoders() and all(_stamp(photographs, image) == stamp for image, stamp in stamps.items())
    except OSError:
        return False


def _decode(photographs: Photographs, folder: str, wanted: dict[int, _Wanted]) -> Iterator[list[tuple[int, Any]]]:
    """Yield scan results and decoded crops by the items' numbers, some at a time.

    What is not the driver's file here, though the machine has others of the driver's, is not answered.
    """
    _enter(folder)
    numbers = {image: number for number, (image, _, stamp) in wanted.items() if _same(photographs, image, stamp)}
    there = [(image, wanted[number][1]) for image, number in numbers.items()]
    found = map_in_workers(partial(scan_file, photographs), there, workers=1, timeout=SECONDS_A_FILE)
    piece = []
    for (image, _), answer in found:
        piece.append((numbers[image], answer))
        if len(piece) == _PIECE:
            yield piece
            piece = []
    if piece:
        yield piece


def _same(photographs: Photographs, image: str, stamp: list[int]) -> bool:
    try:
        return _stamp(photographs, image) == stamp
    except OSError:
        return False


def _stamp(photographs: Photographs, image: str) -> list[int]:
    """Return what a machine's own copy of the file has in common with the driver's: size and time of change."""
    return photographs.stamp(image)[:2]


def _enter(folder: str) -> None:
    """Go where the driver is, from where relative paths count."""
    os.chdir(folder)
