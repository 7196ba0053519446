"""The marker structure of a JPEG: where it ends, and whether its scans bring every coefficient (ITU-T T.81, B.1)."""

import re
from dataclasses import dataclass

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
"""Start and end of image, the two markers of the lab report."""

MARKER = re.compile(rb"\xff[^\x00\xff]")
"""A marker; FF 00 is a data byte, and any number of FF may come before a marker to fill."""

START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
ARITHMETIC = frozenset(range(0xC9, 0xD0)) - {0xCC}
NEEDED = START_OF_FRAME | {0xC4, 0xCC, 0xDB, 0xDD, 0xEE}
"""Markers of segments that pixels depend on: frame, tables, restart interval, and Adobe's color transform."""
START_OF_SCAN, DEFINE_RESTART = 0xDA, 0xDD
RESTARTS = range(0xD0, 0xD8)
STANDALONE = frozenset({0x01, *RESTARTS})
"""Markers without a segment: TEM, RST0..RST7."""
OUT_OF_PLACE = frozenset({*range(0x02, 0xC0), SOI[1], 0xDE, 0xDF, *range(0xF0, 0xFE)})
"""Markers at which libjpeg gives up: reserved ones, and a second SOI. A flipped bit makes one of FE 3C, for example."""

ZERO_TAIL = 16
"""So many zero bytes at the end are space that was never written (a broken download), not data."""


@dataclass(frozen=True)
class Structure:
    """What the markers of a JPEG say.

    ``usable``: bytes that can be decoded, up to the end marker or to where one belongs. ``ended``: the end marker is
    there. ``bits``: bits a sample, 0 without a frame. ``arithmetic``: coded so, not by Huffman. ``block_rows``: rows
    of pixels that a row of coded blocks brings. ``scans``: scans begun. ``complete``: with those, every coefficient
    of every component has come in full precision, if the data of the last one is all there. ``pieces``: start and
    end of what is coded on its own, a scan or what lies between two restart markers. ``next_restart``: number (0-7)
    of the restart marker due next, None where the scan has none. ``litter``: something that is no segment lies
    before the first scan.
    """

    usable: int
    ended: bool
    bits: int
    arithmetic: bool
    block_rows: int
    scans: int
    complete: bool
    pieces: tuple[tuple[int, int], ...]
    next_restart: int | None
    litter: bool


def read_structure(data: bytes) -> Structure:
    """Return the structure of ``data``, which begins like a JPEG; garbage between segments is passed over."""
    end = len(data)
    precision: dict[int, list[int | None]] = {}
    pieces: list[tuple[int, int]] = []
    frame, piece_start = (0, b""), None
    interval, scans, restarts, at = 0, 0, 0, 2
    ended, stopped, litter = False, False, False
    while marker := MARKER.search(data, at):
        code, start = data[marker.start() + 1], marker.start()
        litter |= not scans and bool(data[at:start].strip(b"\xff"))
        at = marker.end()
        if piece_start is not None and (code == EOI[1] or code in RESTARTS or code not in STANDALONE):
            pieces.append((piece_start, start))
            piece_start = at if code in RESTARTS else None
        if code == EOI[1]:
            end, ended = start, True
            break
        if code in STANDALONE:
            restarts += code in RESTARTS
            continue
        length = max(int.from_bytes(data[at : at + 2]), 2)
        if code in OUT_OF_PLACE or at + length > len(data):
            end, stopped = start, True
            break
        segment = data[at + 2 : at + length]
        at += length
        if code in START_OF_FRAME and len(segment) >= 6:
            frame = code, segment
            precision = {component: [None] * 64 for component in segment[6::3][: segment[5]]}
        elif code == DEFINE_RESTART and len(segment) >= 2:
            interval = int.from_bytes(segment[:2])
        elif code == START_OF_SCAN:
            scans, restarts, piece_start = scans + 1, 0, at
            _note_scan(precision, segment, frame[0] in PROGRESSIVE)
    if not ended and not stopped:
        end = _end_of_data(data)
    # An FF left at the end fills up before a marker, or is half of a marker or of a data byte (FF 00).
    end = len(data[:end].rstrip(b"\xff"))
    if piece_start is not None:
        pieces.append((min(piece_start, end), end))
    code, segment = frame
    return Structure(
        usable=end,
        ended=ended,
        bits=segment[0] if segment else 0,
        arithmetic=code in ARITHMETIC,
        block_rows=_block_rows(segment),
        scans=scans,
        complete=bool(precision) and all(bits == 0 for component in precision.values() for bits in component),
        pieces=tuple(pieces),
        next_restart=restarts % 8 if interval else None,
        litter=litter,
    )


def without_metadata(data: bytes) -> bytes:
    """Return a JPEG without what lies before its first scan and no pixel needs, over which libjpeg may complain."""
    parts, at = [SOI], 2
    while marker := MARKER.search(data, at):
        code, start = data[marker.start() + 1], marker.start()
        at = marker.end() + max(int.from_bytes(data[marker.end() : marker.end() + 2]), 2)
        if code == START_OF_SCAN:
            sequential = not any(part[1] in PROGRESSIVE for part in parts)
            # A sequential scan brings all coefficients, whatever it says.
            end = data[at - 3 : at] if not sequential else bytes([0, 63, 0])
            return b"".join([*parts, data[start : at - 3], end, data[at:]])
        if code in NEEDED:
            parts.append(data[start:at])
    return data


def _block_rows(frame: bytes) -> int:
    vertical = [sampling & 15 for sampling in frame[7::3]]
    return 8 * max(vertical) if len(vertical) > 1 else 8  # the blocks of a single component are never grouped


def _note_scan(precision: dict[int, list[int | None]], segment: bytes, progressive: bool) -> None:
    """Write down how many low bits the scan leaves out (0: none) of the coefficients that it brings."""
    count = segment[0] if segment else 0
    if len(segment) < 4 + 2 * count:
        return
    first, last, bits = segment[1 + 2 * count], segment[2 + 2 * count], segment[3 + 2 * count] & 15
    if not progressive:
        first, last, bits = 0, 63, 0
    for component in segment[1 : 1 + 2 * count : 2]:
        if component in precision:
            for coefficient in range(first, min(last, 63) + 1):
                precision[component][coefficient] = bits


def _end_of_data(data: bytes) -> int:
    """Return where the data of a scan that was cut stops being data."""
    written = len(data.rstrip(b"\0"))
    if len(data) - written < ZERO_TAIL:
        return len(data)
    return written + data[:written].endswith(b"\xff")  # FF and the first zero are a data byte
