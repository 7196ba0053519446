"""Which photographs are there twice: the same bytes, or the same picture scaled, compressed anew, turned or processed.

Pictures are compared by hashes of 256 bits through an index, so that ten times as many photographs take ten times as
long, not a hundred times: in each of :data:`_TABLES` tables, those that agree in a few bits drawn for it are compared
in all (locality-sensitive hashing, Indyk and Motwani 1998).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

MAX_DISTANCE = 28
"""Bits of 256 in which the perceptual hashes of two copies differ at most.

Measured with :func:`dr_lib.data.appearance.perceptual_hash` on EyePACS: 599 of 600 copies of 150 photographs (JPEG
quality 30, half the size, squashed to a square, decoded at a quarter) differ in 26 at most, and 142 of 146 photographs
that are published in two sizes, 64 x 64 and larger, in 28 at most. Of the 460,000 pairs of 960 photographs, fellow
eyes among them, none differs in fewer than 46. Of 13 million pairs at 64 px none differs in fewer than 40; the closest
are dark and blurred.
"""

MAX_DISC_DISTANCE = 40
"""Bits of 256 in which the hashes of two copies' retinas differ at most, in the position in which they differ least.

Measured by ``benchmarks/duplicates.py``, see docs/data.md. Of the 460,000 pairs of 960 EyePACS photographs, in 24
positions and sizes each, none differs in fewer than 57.
"""

POSITIONS = {
    "": (False, False, False),
    "mirrored": (False, False, True),
    "upside down and mirrored": (False, True, False),
    "turned by 180°": (False, True, True),
    "mirrored and turned by 90°": (True, False, False),
    "turned by 90° to the right": (True, False, True),
    "turned by 90° to the left": (True, True, False),
    "mirrored and turned by 270°": (True, True, True),
}
"""How a copy may lie, and what that is: rows and columns exchanged, then upside down, then left and right exchanged."""

_LEFT, _RIGHT = "turned by 90° to the left", "turned by 90° to the right"
_OPPOSITE = {_LEFT: _RIGHT, _RIGHT: _LEFT}
_TABLES = 48
_MOST_KEY_BITS = 16
_AT_ONCE = 1 << 18
"""Pairs compared at a time; the intermediate results then fit into the processor's cache."""


class Pair(NamedTuple):
    """Two photographs whose hashes differ in ``distance`` bits; ``position``: how the second lies, of
    :data:`POSITIONS`.
    """

    first: str
    second: str
    distance: int
    position: str = ""


def exact_duplicates(digests: Mapping[str, str]) -> list[list[str]]:
    """Return the photographs of each digest that several have, in the given order; empty digests count for nothing."""
    return [images for digest, images in _by_value(digests).items() if digest and len(images) > 1]


def near_duplicates(phashes: Mapping[str, str], max_distance: int = MAX_DISTANCE) -> list[Pair]:
    """Return the pairs whose perceptual hashes differ in at most ``max_distance`` bits, the closest first.

    ``phashes``: hex by photograph, 256 bits each; an empty one, or one of zeros alone,
    resembles nothing. Where several have one and the same hash, each is paired with the first of them, and that one
    alone with others, so that a placeholder that is there a thousand times makes a thousand pairs. Of 35,000 hashes at
    the limit the index misses 1 pair in 5,000, of closer ones, and of fewer, less. Raises ``ValueError`` for hashes of
    another length.
    """
    groups = {phash: images for phash, images in _by_value(phashes).items() if phash.strip("0")}
    firsts = [images[0] for images in groups.values()]
    bits = _bits(list(groups))
    pairs = {
        (row, column): distance
        for _, rows, columns, distances in _close(bits, [_turn(*POSITIONS[""])], bits, max_distance)
        for row, column, distance in zip(rows.tolist(), columns.tolist(), distances.tolist(), strict=True)
        if row < column
    }
    found = [Pair(images[0], other, 0) for images in groups.values() for other in images[1:]]
    found += [Pair(firsts[row], firsts[column], distance) for (row, column), distance in pairs.items()]
    return sorted(found, key=lambda pair: pair.distance)


def turned_duplicates(hashes: Mapping[str, str], max_distance: int = MAX_DISC_DISTANCE) -> list[Pair]:
    """Return the pairs whose retinas have much the same hash in one of the :data:`POSITIONS`, the closest first.

    ``hashes``: those of :func:`dr_lib.data.appearance.disc_hashes` by photograph; the first of each is compared with
    all of the others'. Groups of one and the same hash, and what is missed: as for :func:`near_duplicates`.
    """
    groups = {value: images for value, images in _by_value(hashes).items() if value.strip("0")}
    firsts = [images[0] for images in groups.values()]
    squares = len(next(iter(groups))) // 64 if groups else 0
    base = [_bits([value[64 * square : 64 * (square + 1)] for value in groups]) for square in range(squares)]
    names, turns = list(POSITIONS), [_turn(*how) for how in POSITIONS.values()]
    best: dict[tuple[int, int], tuple[int, int]] = {}
    for square in base:
        for position, rows, columns, distances in _close(base[0], turns, square, max_distance):
            opposite = names.index(_OPPOSITE.get(names[position], names[position]))
            for row, column, distance in zip(rows.tolist(), columns.tolist(), distances.tolist(), strict=True):
                key = (min(row, column), max(row, column))
                if row != column:
                    found_here = distance, position if row < column else opposite
                    best[key] = min(best.get(key, found_here), found_here)
    found = [Pair(images[0], other, 0) for images in groups.values() for other in images[1:]]
    found += [Pair(firsts[row], firsts[column], far, names[at]) for (row, column), (far, at) in best.items()]
    return sorted(found, key=lambda pair: pair.distance)


_Turn = tuple[np.ndarray, np.ndarray]
"""Which bit of a hash takes the place of each, int (256,), and whether it changes, bool (256,)."""


def _turn(exchanged: bool, upside_down: bool, mirrored: bool) -> _Turn:
    """Return what becomes of a hash where its photograph is turned, see :data:`POSITIONS`.

    A mirror image has the same frequencies, the odd ones with the opposite sign.
    """
    order, odd = np.arange(256).reshape(16, 16), np.arange(16) % 2 == 1
    flips = (upside_down & odd)[:, None] ^ (mirrored & odd)
    return (order.T if exchanged else order).ravel(), flips.ravel()


def _close(
    queries: np.ndarray, turns: list[_Turn], base: np.ndarray, max_distance: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield the place of a turn, numbers of a query so turned and of a base hash, and how many bits they differ in, of
    those close enough. Hashes: bool (256, n).

    A pair may come several times. The index is drawn with one seed, so that an audit is the same each time.
    """
    count = base.shape[1]
    if not count:
        return
    random = np.random.default_rng(0)
    key_bits = int(np.clip(np.ceil(np.log2(count)), 4, _MOST_KEY_BITS))
    base_words, unchanged = _words(base), np.zeros(256, bool)
    query_words = [_words(queries[order] ^ flips[:, None]) for order, flips in turns]
    for _ in range(_TABLES):
        chosen = random.choice(256, key_bits, replace=False)
        base_keys = _keys(base, chosen, unchanged[chosen])
        order = np.argsort(base_keys, kind="stable")  # of 16 bits: no comparisons, a radix sort
        sizes = np.bincount(base_keys, minlength=1 << key_bits)
        firsts = sizes.cumsum() - sizes
        for place, (words, (turn, flips)) in enumerate(zip(query_words, turns, strict=True)):
            keys = _keys(queries, turn[chosen], flips[chosen])
            starts, counts = firsts[keys], sizes[keys]
            ends = counts.cumsum()
            first = 0
            while first < len(keys):
                done = ends[first - 1] if first else 0
                last = max(int(np.searchsorted(ends, done + _AT_ONCE)), first + 1)
                part = counts[first:last]
                rows = np.repeat(np.arange(first, min(last, len(keys))), part)
                within = np.arange(len(rows)) - np.repeat(part.cumsum() - part, part)
                columns = order[np.repeat(starts[first:last], part) + within]
                distances = np.bitwise_count(words[rows] ^ base_words[columns]).sum(axis=1, dtype=np.int64)
                close = distances <= max_distance
                yield place, rows[close], columns[close], distances[close]
                first = last


def _keys(hashes: np.ndarray, chosen: np.ndarray, flips: np.ndarray) -> np.ndarray:
    """Return the chosen bits of hashes, bool (256, n), those flipped that are to be, as numbers: uint16 (n,)."""
    keys = np.zeros(hashes.shape[1], np.uint16)
    for place, (bit, flip) in enumerate(zip(chosen, flips, strict=True)):
        keys |= (hashes[bit] ^ flip).astype(np.uint16) << np.uint16(place)
    return keys


def _words(hashes: np.ndarray) -> np.ndarray:
    """Return hashes, bool (256, n), as uint64 (n, 4)."""
    return np.ascontiguousarray(np.packbits(hashes, axis=0).T).view(np.uint64)


def _bits(hashes: list[str]) -> np.ndarray:
    """Return hashes of 256 bits in hex as bool (256, n)."""
    if not hashes:
        return np.zeros((256, 0), bool)
    if {len(one) for one in hashes} != {64}:
        raise ValueError("hashes of another length than 256 bits")
    packed = np.frombuffer(bytes.fromhex("".join(hashes)), np.uint8).reshape(-1, 32)
    return np.unpackbits(np.ascontiguousarray(packed.T), axis=0).view(bool)


def _by_value(values: Mapping[str, str]) -> dict[str, list[str]]:
    images = defaultdict(list)
    for image, value in values.items():
        images[value].append(image)
    return images
