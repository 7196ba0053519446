"""JPEG end-marker check and repair, as in the lab report, with the rows that are lost measured.

The lab report appends FF D9 to a file that does not end with it, so that Pillow reads it. That is lossless where only
the marker is missing; where data is missing, the decoder paints the rest grey and says nothing. Which of the two it is
shows when the file is decoded with different bytes where the missing ones would be: rows that change are lost.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

from dr_lib.data.jpeg_structure import EOI, Structure, read_structure

INTACT, NO_END_MARKER, TRUNCATED, UNREADABLE = "intact", "end marker missing", "truncated", "unreadable"
JPEG_FORMATS = ("JPEG", "MPO")
SIGNATURES = (b"\xff\xd8", b"\x89PNG", b"II*\0", b"MM\0*")
"""First bytes of JPEG, PNG and TIFF files."""
NO_IMAGE = "no image: its first bytes are those of another kind of file"
"""Detail of an unreadable file that never was a photograph."""
SMALL = 2**18
"""Pixels up to which decoding is cheap enough to be exact."""


def _filler(start: int) -> bytes:
    # Without FF, which would be a marker.
    noise = random.Random(start).randbytes(4096).replace(b"\xff", b"\x7f")
    return bytes([start << 6 | noise[0] & 62]) + noise[1:]


FILLERS = tuple(_filler(start) for start in range(4))
"""Stand-ins for data that is missing; the first two bits are 00, 01, 10 and 11."""


@dataclass(frozen=True)
class Verdict:
    """What is the matter with one file.

    ``verdict``: intact, end marker missing (all rows are there), truncated, or unreadable. ``lost``: share of rows,
    counted from the bottom, that do not come from the file, 0..1. ``width`` and ``height`` in px, 0 if unknown.
    """

    verdict: str
    lost: float
    detail: str
    width: int
    height: int


def ends_with_marker(data: bytes) -> bool:
    """Return whether the last two bytes are FF D9: the lab report's check."""
    return data.endswith(EOI)


def is_begun_image(data: bytes) -> bool:
    """Return whether ``data`` is, as far as it goes, the beginning of a photograph; nothing at all counts as one."""
    return any(data[: len(signature)] == signature[: len(data)] for signature in SIGNATURES)


def repair(data: bytes) -> bytes:
    """Return ``data`` with its end marker, which Pillow then reads without complaint.

    Half a segment or unwritten space at the end is cut off first. Data with an end marker comes back as it is.
    """
    structure = read_structure(data)
    return data if structure.ended else data[: structure.usable] + EOI


def check(data: bytes) -> Verdict:
    """Return the verdict on the bytes of one photograph, found by decoding.

    Bytes after an end marker do no harm. Formats other than JPEG are intact or unreadable. Pillow may warn on odd
    metadata; callers that check many files silence it once.
    """
    try:
        with Image.open(BytesIO(data)) as image:
            (width, height), kind = image.size, image.format
    except Exception as error:
        return Verdict(UNREADABLE, 1.0, _reason(error) if is_begun_image(data) else NO_IMAGE, 0, 0)
    if Image.MAX_IMAGE_PIXELS and width * height > Image.MAX_IMAGE_PIXELS:
        detail = f"{width} x {height} px is beyond Pillow's limit of {Image.MAX_IMAGE_PIXELS} px"
        return Verdict(UNREADABLE, 1.0, detail, width, height)
    try:
        verdict, lost, detail = _check_jpeg(data, width * height) if kind in JPEG_FORMATS else _check_other(data)
    except Exception as error:
        verdict, lost, detail = UNREADABLE, 1.0, _reason(error)
    return Verdict(verdict, lost, detail, width, height)


def _check_other(data: bytes) -> tuple[str, float, str]:
    _pixels(data)
    return INTACT, 0.0, ""


def _check_jpeg(data: bytes, area: int) -> tuple[str, float, str]:
    structure = read_structure(data)
    # The late scans of a progressive JPEG bring nothing but detail, which shows at full size only.
    quick = area > SMALL and structure.ended and structure.complete and not structure.progressive
    if quick and _looks_whole(data, structure):
        return INTACT, 0.0, ""
    there = "is there" if structure.ended else "is missing"
    if not structure.scans:
        return UNREADABLE, 1.0, f"end marker {there}, no image data before it"
    if not structure.complete:
        _pixels(repair(data))
        return TRUNCATED, 1.0, f"end marker {there}; the file ends in scan {structure.scans}, so no row is whole"
    lost = _lost_rows(data, structure)
    if lost == 0:
        return (INTACT, 0.0, "") if structure.ended else (NO_END_MARKER, 0.0, "all rows are there")
    return TRUNCATED, lost, f"end marker {there}; {100 * lost:.1f} % of the rows are lost"


def _looks_whole(data: bytes, structure: Structure) -> bool:
    """Return whether a large image that has its end marker needs nothing beyond its data, by two small decodings.

    An eighth of the size takes a fifth of the time. It shows the mean of each block, so it tells when a block is
    missing, but not when the finest detail of the very last one is.
    """
    *_, other = _with_fillers(data, structure)  # begins with ones; libjpeg itself goes on with zeros
    try:
        return np.array_equal(_pixels(data, shrink=8), _pixels(other, shrink=8))
    except OSError:
        return False  # lossless JPEGs come in one size only


def _lost_rows(data: bytes, structure: Structure) -> float:
    """Return the share of rows, from the first that depends on what follows the data down to the bottom."""
    reference = _pixels(repair(data))
    first = len(reference)
    for variant in _with_fillers(data, structure):
        changed = np.flatnonzero(
            (_pixels(variant)[:first] != reference[:first]).any(axis=tuple(range(1, reference.ndim)))
        )
        first = changed[0] if changed.size else first
    return float(1 - first / len(reference))


def _with_fillers(data: bytes, structure: Structure) -> Iterator[bytes]:
    """Yield the data continued in four ways and ended.

    The first two bits take all four values, so a symbol of one or two bits that is missing is met by one of them;
    the rest is noise, so that pixels that depend on it agree by rare chance only. Where the scan has restart
    markers the filler has those due, else the decoder would skip it when the data stops right before one.
    """
    for filler in FILLERS:
        if structure.next_restart is not None:
            parts = [filler[at : at + 256] for at in range(0, len(filler), 256)]
            filler = b"".join(
                part + bytes([0xFF, 0xD0 + (structure.next_restart + number) % 8]) for number, part in enumerate(parts)
            )
        yield data[: structure.usable] + filler + EOI


def _pixels(data: bytes, shrink: int = 1) -> np.ndarray:
    with Image.open(BytesIO(data)) as image:
        if shrink > 1:
            image.draft(image.mode, (max(image.width // shrink, 1), max(image.height // shrink, 1)))
        image.load()
        return np.asarray(image)


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "no image format that Pillow knows"  # its own message names a memory address
    return f"{type(error).__name__}: {error}".partition("\n")[0]
