"""The marker structure of a JPEG: where it ends, and whether its scans bring every coefficient (ITU-T T.81, B.1)."""

import re
from dataclasses import dataclass

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
"""Start and end of image, the two markers of the lab report."""

MARKER = re.compile(rb"\xff[^\x00\xff]")
"""A marker; FF 00 is a data byte, and any number of FF may come before a marker to fill."""

START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
START_OF_SCAN, DEFINE_RESTART = 0xDA, 0xDD
STANDALONE = frozenset({0x01, 0xD8, *range(0xD0, 0xD8)})
"""Markers without a segment: TEM, SOI, RST0..RST7."""

ZERO_TAIL = 16
"""So many zero bytes at the end are space that was never written (a broken download), not data."""


@dataclass(frozen=True)
class Structure:
    """What the markers of a JPEG say.

    ``usable``: bytes that are sound, up to the end marker or to where one belongs. ``ended``: the end marker is
    there. ``progressive``: several scans bring each block, coarse to fine. ``scans``: scans begun. ``complete``: with
    those, every coefficient of every component has come in full precision, if the data of the last one is all there.
    ``next_restart``: number (0-7) of the restart marker due next, None where the scan has none.
    """

    usable: int
    ended: bool
    progressive: bool
    scans: int
    complete: bool
    next_restart: int | None


def read_structure(data: bytes) -> Structure:
    """Return the structure of ``data``, which begins like a JPEG; garbage between segments is passed over."""
    end = len(data)
    precision: dict[int, list[int | None]] = {}
    progressive, interval, scans, restarts, at = False, 0, 0, 0, 2
    ended, cut_segment = False, False
    while marker := MARKER.search(data, at):
        code, start, at = data[marker.start() + 1], marker.start(), marker.end()
        if code == EOI[1]:
            end, ended = start, True
            break
        if code in STANDALONE:
            restarts += 0xD0 <= code <= 0xD7
            continue
        length = int.from_bytes(data[at : at + 2])
        if at + max(length, 2) > len(data):
            end, cut_segment = start, True
            break
        segment = data[at + 2 : at + length]
        at += max(length, 2)
        if code in START_OF_FRAME and len(segment) >= 6:
            progressive = code in PROGRESSIVE
            precision = {component: [None] * 64 for component in segment[6::3][: segment[5]]}
        elif code == DEFINE_RESTART and len(segment) >= 2:
            interval = int.from_bytes(segment[:2])
        elif code == START_OF_SCAN:
            scans, restarts = scans + 1, 0
            _note_scan(precision, segment, progressive)
    if not ended and not cut_segment:
        end = _end_of_data(data)
    # An FF left at the end fills up before a marker, or is half of a marker or of a data byte (FF 00).
    end = len(data[:end].rstrip(b"\xff"))
    complete = bool(precision) and all(bits == 0 for component in precision.values() for bits in component)
    return Structure(end, ended, progressive, scans, complete, restarts % 8 if interval else None)


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
