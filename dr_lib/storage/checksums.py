"""Checksums: files that hold the SHA-256 of all else in them, so that damage shows wherever they are."""

import hashlib
import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from dr_lib.errors import InputError
from dr_lib.storage.files import read_json, write_json, write_with

_NAME, _DIGITS = b"dr_lab.sha256", 64
_ZIP = b"PK\x03\x04"

TORCH_SEAL = struct.pack("<H", len(_NAME) + 1 + _DIGITS) + _NAME + b" "
"""What comes before the digest in a file of ``torch.save``: both are the comment of a zip, after its length."""

_ENTRY = b"\x0a" + bytes([len(_NAME)]) + _NAME + b"\x12" + bytes([_DIGITS])
ONNX_SEAL = b"\x72" + bytes([len(_ENTRY) + _DIGITS]) + _ENTRY
"""What comes before it in an ONNX file: both are one more entry of ``metadata_props``, as protobuf writes it."""


def write_sealed(path: Path, write: Callable[[BinaryIO], object], seal: bytes, *, over: int = 0) -> None:
    """Write a file as :func:`dr_lib.storage.files.write_with` does, ``seal`` and digest at its end.

    ``over``: how many of the last bytes of ``write`` the seal replaces.
    """

    def write_both(stream: BinaryIO) -> None:
        write(stream)
        stream.seek(-over, os.SEEK_END)
        stream.write(seal)
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256")  # type: ignore[arg-type]  # typeshed's BinaryIO lacks readinto
        stream.write(digest.hexdigest().encode())

    write_with(path, write_both)


def write_sealed_json(path: Path, value: dict[str, Any]) -> None:
    """Write ``value`` as :func:`dr_lib.storage.files.write_json` does, its checksum under ``checksum``."""
    write_json(path, value | {"checksum": _of_json(value)})


def read_sealed_json(path: Path) -> dict[str, Any]:
    """Return what :func:`write_sealed_json` wrote; raises :class:`InputError` where that is not what is there."""
    try:
        value = read_json(path)
        sound = value.pop("checksum") == _of_json(value)
    except (ValueError, AttributeError, TypeError, KeyError):  # no JSON, or something else
        sound = False
    if not sound:
        raise InputError(f"{path}: is not as dr-lab has written it; dr-lab run makes it again")
    return value


def _of_json(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def damage(path: Path) -> str:
    """Return what is wrong with a file, to be said after its name; an empty string where it is as it was written.

    Without a seal, as other programs write their files, only a zip tells: by the checksums of its entries.
    """
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - _DIGITS - max(len(TORCH_SEAL), len(ONNX_SEAL))))
            end = stream.read()
            stream.seek(0)
            if end[:-_DIGITS].endswith((TORCH_SEAL, ONNX_SEAL)):
                sound = _sha256(stream, size - _DIGITS).encode() == end[-_DIGITS:]
            elif not size:
                return "is empty"
            else:
                sound = stream.read(len(_ZIP)) != _ZIP or _is_whole_zip(stream)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return "" if sound else "is damaged, its checksum differs from that of what was written"


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sha256(stream: BinaryIO, length: int) -> str:
    """Return the SHA-256 of the next ``length`` bytes, hex."""
    digest = hashlib.sha256()
    while piece := stream.read(min(length, 2**20)):
        digest.update(piece)
        length -= len(piece)
    return digest.hexdigest()


def _is_whole_zip(stream: BinaryIO) -> bool:
    try:
        with zipfile.ZipFile(stream) as file:
            checked = any(entry.CRC for entry in file.infolist())  # torch can be told to leave them out
            # torch writes no comment: what is there is a seal that is damaged itself.
            return not file.comment and not (checked and file.testzip())
    except Exception:  # zipfile raises whatever the damaged part of the file provokes
        return False
