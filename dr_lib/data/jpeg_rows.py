"""Which rows of a JPEG depend on which of its bytes, found by decoding it with other bytes in their place."""

import random
from zlib import crc32

import numpy as np

from dr_lib.data.decoding import Header, decode_as_stored
from dr_lib.data.jpeg_structure import EOI, RESTARTS, Structure


def _filler(start: int) -> bytes:
    # Without FF, which would be a marker.
    noise = random.Random(start).randbytes(4096).replace(b"\xff", b"\x7f")
    return bytes([start << 6 | noise[0] & 62]) + noise[1:]


FILLERS = tuple(_filler(start) for start in range(4))
"""Stand-ins for data. The first two bits are 00, 01, 10 and 11, so a symbol of one or two bits that is missing is met
by one of them; the rest is noise, so that pixels that depend on it agree by rare chance only."""


def lost_after_the_end(whole: bytes, structure: Structure, header: Header) -> float:
    """Return the share of rows, from the first that depends on what follows the data down to the bottom, 0..1.

    ``whole``: a JPEG with its end marker, of this ``structure`` and ``header``.
    """
    return _lost_share(whole, whole[: structure.usable], structure.next_restart, header)


def lost_from_piece(whole: bytes, structure: Structure, header: Header, number: int) -> float:
    """Return the share of rows, from the first that depends on a piece of the data or on what follows, 0..1.

    Without restart markers, and where there are several scans, a piece may touch any row, so that is 1.
    """
    if structure.next_restart is None or structure.scans > 1 or number == 0:
        return 1.0
    # The marker before the piece may be what is wrong.
    before = whole[: structure.pieces[number - 1][1]] + bytes([0xFF, RESTARTS[(number - 1) % len(RESTARTS)]])
    return _lost_share(whole, before, number % len(RESTARTS), header)


def lost_from_byte(whole: bytes, structure: Structure, header: Header, start: int) -> float:
    """Return the share of rows, from the first that depends on the data from ``start`` on, 0..1; of several scans 1."""
    if structure.scans > 1:
        return 1.0
    number = sum(begin <= start for begin, _ in structure.pieces) - 1
    start += whole[:start].endswith(b"\xff")  # FF and the zero after it are a data byte
    return _lost_share(whole, whole[:start], None if structure.next_restart is None else number % len(RESTARTS), header)


def _lost_share(whole: bytes, start: bytes, next_restart: int | None, header: Header) -> float:
    """Return the share of rows from the first in which ``start``, continued at random, differs from ``whole``."""
    reference = _row_marks(whole, header)
    changed = np.zeros(len(reference), bool)
    for filler in FILLERS:
        changed |= _row_marks(start + _with_restarts(filler, next_restart) + EOI, header) != reference
    return float(1 - changed.argmax() / len(reference)) if changed.any() else 0.0


def _row_marks(data: bytes, header: Header) -> np.ndarray:
    """Return a checksum of each row, since two large images would not be held at once for a comparison."""
    return np.array([crc32(row) for row in decode_as_stored(data, header)])


def _with_restarts(filler: bytes, number: int | None) -> bytes:
    """Return ``filler`` with the restart markers due in it, from ``number`` on.

    Without them the decoder would pass over all of it where the data stops right before one.
    """
    if number is None:
        return filler
    parts = [filler[at : at + 256] for at in range(0, len(filler), 256)]
    return b"".join(
        part + bytes([0xFF, RESTARTS[(number + count) % len(RESTARTS)]]) for count, part in enumerate(parts)
    )
