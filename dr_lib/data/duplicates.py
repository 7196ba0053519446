"""Which photographs are there twice: the same bytes, or the same picture scaled or compressed anew."""

from collections import defaultdict
from collections.abc import Mapping
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

_ROWS = 16
"""Hashes compared with all others at a time; the intermediate results then fit into the processor's cache."""


class Pair(NamedTuple):
    """Two photographs whose hashes differ in ``distance`` bits."""

    first: str
    second: str
    distance: int


def exact_duplicates(digests: Mapping[str, str]) -> list[list[str]]:
    """Return the photographs of each digest that several have, in the given order; empty digests count for nothing."""
    return [images for digest, images in _by_value(digests).items() if digest and len(images) > 1]


def near_duplicates(phashes: Mapping[str, str], max_distance: int = MAX_DISTANCE) -> list[Pair]:
    """Return the pairs whose perceptual hashes differ in at most ``max_distance`` bits, the closest first.

    ``phashes``: hex by photograph, all of one length, a multiple of 64 bits; an empty one, or one of zeros alone,
    resembles nothing. Where several have one and the same hash, each is paired with the first of them, and that one
    alone with others, so that a placeholder that is there a thousand times makes a thousand pairs. Every hash is
    compared with every other: 35,000 take 3 s and 60 MB (scikit-learn's ``NearestNeighbors`` with Hamming's distance
    takes 12 times as long).
    """
    groups = {phash: images for phash, images in _by_value(phashes).items() if phash.strip("0")}
    pairs = [Pair(images[0], other, 0) for images in groups.values() for other in images[1:]]
    firsts = [images[0] for images in groups.values()]
    words = np.array([np.frombuffer(bytes.fromhex(phash), dtype=np.uint64) for phash in groups]).T
    for start in range(0, len(firsts), _ROWS):
        distances = np.zeros((min(_ROWS, len(firsts) - start), len(firsts) - start), dtype=np.uint16)
        for word in words:
            distances += np.bitwise_count(word[start : start + _ROWS, None] ^ word[None, start:])
        for row, column in np.argwhere(distances <= max_distance):
            if row < column:
                pairs.append(Pair(firsts[start + row], firsts[start + column], int(distances[row, column])))
    return sorted(pairs, key=lambda pair: pair.distance)


def _by_value(values: Mapping[str, str]) -> dict[str, list[str]]:
    images = defaultdict(list)
    for image, value in values.items():
        images[value].append(image)
    return images
