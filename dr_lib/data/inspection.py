"""What is the matter with a photograph's file, and its pixels: the lab report's end-marker check, and beyond.

The lab report appends FF D9 to a file that does not end with it, so that Pillow reads it. That is lossless where only
the marker is missing; where data is missing, the decoder paints the rest gray and Pillow says nothing. So the file is
decoded with libjpeg's complaints taken seriously. A sound file takes that one decoding. Where there is a complaint, the
file is decoded again with other bytes where the missing or corrupt ones are: rows that change are lost.
"""

import re
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from dr_lib.data.decoding import JPEG_FORMATS, Header, decode_noted, decode_rgb, decode_strictly, read_header
from dr_lib.data.jpeg_rows import lost_after_the_end, lost_from_byte, lost_from_piece
from dr_lib.data.jpeg_structure import EOI, SOI, Structure, read_structure, without_metadata
from dr_lib.data.png import is_sound, rescue
from dr_lib.data.signatures import PNG, is_begun_image, kind_of
from dr_lib.errors import InputError

INTACT, NO_END_MARKER, TRUNCATED, CORRUPT, UNREADABLE = (
    "intact", "end marker missing", "truncated", "corrupt", "unreadable",
)  # fmt: skip
STATUS_MEANINGS = {
    INTACT: "all pixels are there",
    NO_END_MARKER: "all pixels are there, the two bytes at the end are not; repaired without loss",
    TRUNCATED: "the data ends early: the rows from there on are lost",
    CORRUPT: "the data is there but wrong somewhere: the rows that this may have touched count as lost",
    UNREADABLE: "no pixel can be decoded",
}
STATUSES = tuple(STATUS_MEANINGS)

NO_IMAGE = "no image: its first bytes are those of another kind of file"
"""Detail of an unreadable file that never was a photograph begins so; the kind follows where it is known."""

MAX_SCANS = 500
"""Scans of a progressive JPEG that are decoded; encoders make ten or so, and libjpeg's own tools stop here, too."""

HOLE = bytes(512)
"""A block of the disk that was never written. Sound data may hold as many zeros, but very seldom does."""

NEXT_IS_MISSING = re.compile("found marker 0xd9 instead of RST")
DATA_ENDS = re.compile(f"[Pp]remature end|{NEXT_IS_MISSING.pattern}")
EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker (0x\w\w)")
HARMLESS = re.compile("bad ICC marker|JFIF revision|Adobe color transform|Invalid SOS parameters for sequential")
"""What libjpeg complains of. The harmless ones are of metadata, and of parameters that it does not use."""
NOT_TAKEN = re.compile("Could not determine subsampling|Unsupported color conversion")
"""What TurboJPEG says of kinds of JPEG that Pillow reads and it does not: lossless ones, and those with rare sampling
factors. What Pillow passes over in silence is not seen in these, but for rows that are missing."""
BIT_BUFFER = 8
"""So many bytes libjpeg may have read ahead; if no pixel needs them, it complains at some later marker only."""


@dataclass(frozen=True)
class FileStatus:
    """What is the matter with one file.

    ``kind``: one of :data:`STATUSES`. ``lost``: share of rows, counted from the bottom, that do not come from the
    file, or may not, 0..1. ``width`` and ``height`` in px, 0 if unknown.
    """

    kind: str
    lost: float
    detail: str
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class Inspection:
    """The status of a file, what its header says (see :class:`Header`; empty where it cannot be read), and its pixels.

    ``pixels``: uint8 (H, W, 3) of the file as it is used, repaired where need be; None where it is unreadable.
    """

    status: FileStatus
    format: str = ""
    mode: str = ""
    orientation: int = 0
    camera: str = ""
    pixels: np.ndarray | None = None


def repair(data: bytes) -> bytes:
    """Return ``data`` with its end marker, which Pillow then reads without complaint.

    Half a segment or unwritten space at the end is cut off first. Data with an end marker comes back as it is. Of a
    damaged PNG the rows that can be had come, the others black.
    """
    if data.startswith(PNG):
        rescued = rescue(data)
        return rescued[0] if rescued else data
    structure = read_structure(data)
    return data if structure.ended else data[: structure.usable] + EOI


def inspect(data: bytes, at_least: int = 0) -> Inspection:
    """Return the status of the bytes of one photograph, and its pixels; ``at_least`` is that of :func:`decode_rgb`.

    Intact and merely without end marker means that libjpeg found every bit that it asked for. That is no proof: a
    flipped bit that leaves valid codes changes pixels without a trace, as two in three do in EyePACS' photographs.
    Most others show at the end of the data only, where it is a few blocks short or some bytes are left over; the bit
    itself may be anywhere, so all rows count as lost, or, with restart markers, those from the last one before.
    Data that ends earlier than that is taken for cut short, whether or not an end marker was put behind it.

    Bytes after the end marker do no harm. Of a PNG the rows that come are counted; other formats are intact or
    unreadable. Raises :class:`MemoryError`, which says nothing of the file.
    """
    try:
        header = read_header(data)
    except MemoryError:
        raise
    except Exception as error:
        return Inspection(FileStatus(UNREADABLE, 1.0, _why_not_opened(data, error), 0, 0))
    pixels = None
    if Image.MAX_IMAGE_PIXELS and header.width * header.height > Image.MAX_IMAGE_PIXELS:
        size = f"{header.width} x {header.height} px"
        found = UNREADABLE, 1.0, f"{size} is beyond Pillow's limit of {Image.MAX_IMAGE_PIXELS} px"
    else:
        try:
            if header.format in JPEG_FORMATS:
                found, pixels = _inspect_jpeg(data, header, at_least)
            elif header.format == "PNG" and data.startswith(PNG):
                found, pixels = _inspect_png(data, at_least)
            else:
                pixels, note = decode_noted(data, at_least)
                found = INTACT, 0.0, note
        except MemoryError:
            raise
        except Exception as error:
            found = UNREADABLE, 1.0, _reason(error)
    status = FileStatus(*found, header.width, header.height)
    return Inspection(status, header.format, header.mode, header.orientation, header.camera, pixels)


_Found = tuple[str, float, str]
"""Verdict, share lost, detail."""


def _inspect_jpeg(data: bytes, header: Header, at_least: int) -> tuple[_Found, np.ndarray | None]:
    structure = read_structure(data)
    marker = _marker_is_there(structure)
    if not structure.scans:
        return (UNREADABLE, 1.0, f"{marker}, no image data before it"), None
    if structure.scans > MAX_SCANS:
        return (UNREADABLE, 1.0, f"{structure.scans} scans, each of which takes as long as a photograph"), None
    whole = data if structure.ended else data[: structure.usable] + EOI
    if not structure.complete:
        detail = f"{marker}; the file ends in scan {structure.scans}, so no row is whole"
        return (TRUNCATED, 1.0, detail), decode_rgb(whole, at_least)
    try:
        pixels, complaint = decode_strictly(whole, header, at_least), ""
    except ValueError as error:
        pixels, complaint = None, str(error)  # decoded after measuring, which needs the memory
    if structure.arithmetic:
        found = _measure_arithmetic(whole, structure, header, complaint)
    else:
        found = _measure(whole, structure, header, complaint) if complaint else _nothing_lost(structure)
    if found[0] == NO_END_MARKER and not _may_have_been_marker(data[structure.usable :]):
        lost = lost_from_piece(whole, structure, header, len(structure.pieces) - 1) or 1.0
        found = CORRUPT, lost, "end marker is missing; what stands in its place is no part of a sound file"
    return found, decode_rgb(whole, at_least) if pixels is None else pixels


def _may_have_been_marker(rest: bytes) -> bool:
    """Return whether what follows the data is padding, or an end marker with one flipped bit, half of it perhaps."""
    differing = sum((ours ^ theirs).bit_count() for ours, theirs in zip(rest, EOI, strict=False))
    return set(rest) <= {0x00, 0xFF} or (len(rest) <= len(EOI) and differing <= 1)


def _inspect_png(data: bytes, at_least: int) -> tuple[_Found, np.ndarray]:
    sound, reason = is_sound(data), "a checksum is wrong or missing"
    if sound:
        try:
            pixels, note = decode_noted(data, at_least)
            return (INTACT, 0.0, note), pixels
        except OSError as error:
            reason = _reason(error)
    rescued = rescue(data)
    if rescued is None:
        raise OSError(f"no row of this PNG can be had: {reason}")
    whole, lost = rescued
    pixels, note = decode_noted(whole, at_least)
    if lost == 0:
        return (INTACT, 0.0, note), pixels
    status = CORRUPT if data.rstrip(b"\0").endswith(b"IEND\xaeB`\x82") else TRUNCATED
    return (status, lost, "; ".join(filter(None, (reason, f"{100 * lost:.1f} % of the rows are lost", note)))), pixels


def _measure_arithmetic(whole: bytes, structure: Structure, header: Header, complaint: str) -> _Found:
    """Return what can be told of an arithmetic-coded JPEG, where libjpeg makes up missing data without a complaint.

    Such data may leave out zeros at its end (T.81, D.1.8), so that the last rows depend on what follows in any case.
    """
    if complaint and not (NOT_TAKEN.search(complaint) or HARMLESS.search(complaint)):
        return CORRUPT, 1.0, f"arithmetic coding; libjpeg: {complaint}"
    lost = lost_after_the_end(whole, structure, header)
    bottom = (header.height - 1) % structure.block_rows + 1
    if structure.ended and round(lost * header.height) <= bottom:
        return INTACT, 0.0, "arithmetic coding: whether the last rows are missing does not show"
    return TRUNCATED, max(lost, bottom / header.height), f"{_marker_is_there(structure)}; arithmetic coding"


def _measure(whole: bytes, structure: Structure, header: Header, complaint: str) -> _Found:
    """Return what libjpeg's first complaint about ``whole``, a file with its end marker, comes to."""
    lost = lost_after_the_end(whole, structure, header)
    number = _first_faulty_piece(whole, structure, header, complaint)
    if number is None:
        hidden = _complaint_besides_metadata(whole, header)
        if not lost and _first_faulty_piece(whole, replace(structure, litter=False), header, hidden) is not None:
            return CORRUPT, 1.0, f"{_marker_is_there(structure)}; libjpeg: {hidden}"
        if lost or not NOT_TAKEN.search(complaint):
            return _truncated(structure, lost) if lost else _nothing_lost(structure)
        if structure.ended:
            return INTACT, 0.0, "a rare kind of JPEG: whether its data is corrupt does not show"
        return _truncated(structure, ((header.height - 1) % structure.block_rows + 1) / header.height)
    if number == len(structure.pieces) - 1 and DATA_ENDS.search(complaint):
        # A flipped bit makes codes longer than they were, so that the data ends a few blocks early (in the last of
        # several scans a code may stand for thousands). A file cut short seldom ends there, and seldomer with a marker.
        bottom = (header.height - 1) % structure.block_rows + 1
        few = bottom + 1 if structure.scans == 1 else max(bottom + 1, header.height // 8)
        if not structure.ended or round(lost * header.height) > few:
            hole = whole.find(HOLE, structure.pieces[0][0], structure.usable)
            if hole < 0:
                return _truncated(structure, max(lost, bottom / header.height))
            lost = max(lost, lost_from_byte(whole, structure, header, hole))
            return CORRUPT, lost, f"{_marker_is_there(structure)}; {len(HOLE)} zero bytes or more in the data"
    lost = max(lost, lost_from_piece(whole, structure, header, number))
    # No row depends on what restart markers bring beyond the bottom.
    return (CORRUPT, lost, f"{_marker_is_there(structure)}; libjpeg: {complaint}") if lost else _nothing_lost(structure)


def _first_faulty_piece(whole: bytes, structure: Structure, header: Header, complaint: str) -> int | None:
    """Return the number of the first piece that libjpeg finds fault with; None where the fault does no harm."""
    if (
        not complaint
        or NOT_TAKEN.search(complaint)
        or HARMLESS.search(complaint)
        or _is_extra(whole, structure, complaint)
    ):
        return None
    extraneous = EXTRANEOUS.search(complaint)
    if extraneous and int(extraneous[1]) <= BIT_BUFFER:
        return 0
    low, high = 0, len(structure.pieces) - 1
    while low < high:
        middle = (low + high) // 2
        if _is_sound_so_far(whole[: structure.pieces[middle][1]] + EOI, header):
            low = middle + 1
        else:
            high = middle
    return high


def _complaint_besides_metadata(whole: bytes, header: Header) -> str:
    """Return libjpeg's first complaint about the pixels themselves, which one about metadata may have come before."""
    try:
        decode_strictly(without_metadata(whole), header)
    except ValueError as error:
        return str(error)
    return ""


def _is_sound_so_far(data: bytes, header: Header) -> bool:
    try:
        decode_strictly(data, header)
    except ValueError as error:
        return bool(NEXT_IS_MISSING.search(str(error)))
    return True


def _is_extra(whole: bytes, structure: Structure, complaint: str) -> bool:
    """Return whether the complaint is of bytes that no pixel needs, and that are not the sign of flipped bits."""
    match = EXTRANEOUS.search(complaint)
    if not match:
        return False
    count, marker = int(match[1]), int(match[2], 16)
    rest = whole[structure.usable - count : structure.usable]
    is_padding, was_marker = set(rest) <= {0x00, 0xFF}, not structure.ended and count <= len(EOI)
    return structure.litter or (marker == EOI[1] and (is_padding or was_marker))


def _nothing_lost(structure: Structure) -> _Found:
    return (INTACT, 0.0, "") if structure.ended else (NO_END_MARKER, 0.0, "all rows are there")


def _truncated(structure: Structure, lost: float) -> _Found:
    return TRUNCATED, lost, f"{_marker_is_there(structure)}; {100 * lost:.1f} % of the rows are lost"


def _marker_is_there(structure: Structure) -> str:
    return "end marker is there" if structure.ended else "end marker is missing"


def _why_not_opened(data: bytes, error: Exception) -> str:
    if not data:
        return "empty file"
    if not is_begun_image(data):
        kind = kind_of(data)
        return f"{NO_IMAGE} ({kind})" if kind else NO_IMAGE
    if data.startswith(SOI):
        structure = read_structure(data)
        if structure.bits not in (0, 8):
            return f"{structure.bits} bits a sample: Pillow reads JPEGs of 8"
        if not structure.scans:
            return "the file ends before its image data"
    return _reason(error)


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        # Pillow's own message names a memory address.
        return (
            "its header is broken, or its samples are of a kind that Pillow does not read (such as 64-bit or 16-bit "
            "floating-point numbers in a TIFF); save it with 8 or 16 bits a sample"
        )
    if isinstance(error, InputError):
        return str(error)
    return f"{type(error).__name__}: {error}".partition("\n")[0]
