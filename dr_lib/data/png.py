"""Which rows a damaged PNG still brings, and the PNG of these: Pillow refuses all of a file that is cut."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from dr_lib.data.signatures import PNG

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples a pixel by color type (PNG specification, 11.2.2)."""
_AT_ONCE = 64
"""Bytes that are unpacked at a time."""
_TEXT = (b"tEXt", b"zTXt", b"iTXt")


@dataclass(frozen=True)
class _Chunk:
    kind: bytes
    data: bytes
    whole: bool
    """Its checksum is there and right."""
    cut: bool = False
    """The file ends before it does."""


def without_text(data: bytes) -> bytes:
    """Return a PNG without its text chunks: Pillow refuses a picture whose texts are long; other data as it is."""
    if not data.startswith(PNG) or not any(kind in data for kind in _TEXT):
        return data
    parts, at = [PNG], len(PNG)
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] not in _TEXT:
            parts.append(data[at:end])
        at = end
    return b"".join(parts)


def is_sound(data: bytes) -> bool:
    """Return whether every chunk that pixels come from is whole and its checksum right, as Pillow does not ask."""
    return all(chunk.whole for chunk in _chunks(data) if chunk.kind in (b"IHDR", b"PLTE", b"IDAT"))


def rescue(data: bytes) -> tuple[bytes, float] | None:
    """Return a PNG of the rows that a damaged one brings, the others black, and the share of rows that is lost.

    Rows are lost from the first on for which a byte is missing, cannot be unpacked, or comes after the begin of a chunk
    with a wrong checksum. None where no row comes, and for an interlaced file, whose rows are spread over all its data.
    """
    chunks = list(_chunks(data))
    header = next((chunk.data for chunk in chunks if chunk.kind == b"IHDR" and chunk.whole), b"")
    if len(header) != 13 or header[9] not in _CHANNELS or header[12]:
        return None
    width, height = int.from_bytes(header[:4]), int.from_bytes(header[4:8])
    row_bytes = 1 + (width * _CHANNELS[header[9]] * header[8] + 7) // 8
    raw, verified = _unpacked(chunks, row_bytes * height)
    rows = len(raw) // row_bytes
    if rows == height and not verified:
        rows -= 1  # the checksum at the end is missing or wrong
    if rows == 0:
        return None
    pixels = raw[: rows * row_bytes] + bytes((height - rows) * row_bytes)
    kept = [chunk for chunk in chunks if chunk.whole and chunk.kind in (b"PLTE", b"tRNS", b"eXIf")]
    made = [_Chunk(b"IHDR", header, True), *kept, _Chunk(b"IDAT", zlib.compress(pixels, 1), True)]
    return PNG + b"".join(map(_written, [*made, _Chunk(b"IEND", b"", True)])), 1 - rows / height


def _chunks(data: bytes) -> Iterator[_Chunk]:
    at = len(PNG)
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        body, check = data[at + 8 : at + 8 + length], data[at + 8 + length : at + 12 + length]
        yield _Chunk(kind, body, check == zlib.crc32(kind + body).to_bytes(4), at + 12 + length > len(data))
        at += 12 + length


def _unpacked(chunks: list[_Chunk], most: int) -> tuple[bytes, bool]:
    """Return the bytes of the rows, filters included, as far as they come, and whether their checksum is right."""
    unpacking, raw = zlib.decompressobj(), bytearray()
    for chunk in chunks:
        if chunk.kind != b"IDAT":
            continue
        if not chunk.whole and not chunk.cut:
            break
        packed = chunk.data
        for start in range(0, len(packed), _AT_ONCE):  # of a piece that cannot be unpacked, all output is lost
            try:
                raw += unpacking.decompress(packed[start : start + _AT_ONCE], most + 1 - len(raw))
            except zlib.error:
                return bytes(raw[:most]), False
            if len(raw) > most:
                return bytes(raw[:most]), False
    return bytes(raw), unpacking.eof


def _written(chunk: _Chunk) -> bytes:
    check = zlib.crc32(chunk.kind + chunk.data).to_bytes(4)
    return len(chunk.data).to_bytes(4) + chunk.kind + chunk.data + check
