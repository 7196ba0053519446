"""All that one decoding of a photograph's file tells: damage, info for the audit, and its crops."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dr_lib.data.appearance import appearance
from dr_lib.data.crops import ResizeSpec, largest
from dr_lib.data.inspection import UNREADABLE, FileStatus, inspect
from dr_lib.data.retina import find_retina


@dataclass(frozen=True)
class ImageInfo:
    """What is known of one file.

    ``format`` and ``mode``: Pillow's names, empty where unreadable. ``orientation``: EXIF's 1-8, 0 where there is
    none. ``camera``: EXIF make and model. ``digest``: BLAKE2b (16 bytes, hex) of the file. ``phash``, ``brightness``
    and ``contrast``: see :mod:`dr_lib.data.appearance`. ``retina``: center x, center y and radius of the lit circle
    as shares of width, height and width; None where there is no such circle.
    """

    status: FileStatus
    format: str = ""
    mode: str = ""
    orientation: int = 0
    camera: str = ""
    digest: str = ""
    phash: str = ""
    brightness: float = 0.0
    contrast: float = 0.0
    retina: tuple[float, float, float] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return plain values, for a journal."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "ImageInfo":
        """Return what :meth:`as_json` wrote."""
        circle = values["retina"]
        return cls(**values | {"status": FileStatus(**values["status"]), "retina": tuple(circle) if circle else None})

    @classmethod
    def unreadable(cls, detail: str) -> "ImageInfo":
        """Return the info of a file that could not even be looked at."""
        return cls(FileStatus(UNREADABLE, 1.0, detail, 0, 0))


@dataclass(frozen=True)
class ReadFailure:
    """What stands in place of the info where the machine is at fault: nothing is known of the file's contents.

    ``reason``: in a few words. Another time all may go well, so that it is never remembered.
    """

    reason: str


def digest_of(data: bytes) -> str:
    """Return the :attr:`ImageInfo.digest` of a file's bytes."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def scan_image(data: bytes, recipes: Sequence[ResizeSpec] = ()) -> tuple[ImageInfo, list[np.ndarray]]:
    """Return the info of a file's bytes and its crop by each recipe; no crops where it is unreadable.

    A file without its end marker, or with rows missing, is examined as it is repaired; whether it is used is decided
    later. With recipes that are all fast the file is decoded at a fraction of its size.
    """
    inspection = inspect(data, at_least=largest(recipes))
    file = (inspection.status, inspection.format, inspection.mode, inspection.orientation, inspection.camera)
    digest = digest_of(data)
    if inspection.pixels is None:
        return ImageInfo(*file, digest), []
    height, width = inspection.pixels.shape[:2]
    look, circle = appearance(inspection.pixels), find_retina(inspection.pixels)
    info = ImageInfo(
        *file,
        digest,
        look.phash,
        look.brightness,
        look.contrast,
        (circle.x / width, circle.y / height, circle.radius / width) if circle else None,
    )
    return info, [recipe.make(inspection.pixels) for recipe in recipes]
