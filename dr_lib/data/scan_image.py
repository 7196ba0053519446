"""All that one decoding of a photograph's file tells, and what a worker process does with it: write the crops."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dr_lib.data.appearance import appearance, disc_hashes
from dr_lib.data.crops import ResizeSpec, largest
from dr_lib.data.inspection import UNREADABLE, FileStatus, inspect
from dr_lib.data.laterality import LEAST_QUALITY, RADIUS, disc_side
from dr_lib.data.photographs import Photographs
from dr_lib.data.pixel_cache import write_row
from dr_lib.data.quality import quality
from dr_lib.data.retina import find_retina, retina_disc, surroundings
from dr_lib.storage.bounded_read import TooLarge


@dataclass(frozen=True)
class ImageInfo:
    """What is known of one file.

    ``format`` and ``mode``: Pillow's names, empty where unreadable. ``orientation``: EXIF's 1-8, 0 where there is
    none. ``camera``: EXIF make and model. ``digest``: BLAKE2b (16 bytes, hex) of the file. ``phash``, ``brightness``
    and ``contrast``: see :mod:`dr_lib.data.appearance`. ``quality``: how likely it can be graded, 0..1, see
    :mod:`dr_lib.data.quality`. ``disc_side``: ``left`` or ``right``, where the optic disc is; empty where that is not
    clear. ``disc_hashes``: see :func:`dr_lib.data.appearance.disc_hashes`. ``retina``: center x, center y and radius of
    the lit circle as shares of width, height and width; None where there is no such circle. ``surround`` and
    ``marks``: see :func:`dr_lib.data.retina.surroundings`. ``redness``: mean red less mean blue of the retina, -1..1;
    all three are 0 without a circle.
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
    quality: float = 0.0
    disc_side: str = ""
    disc_hashes: str = ""
    retina: tuple[float, float, float] | None = None
    surround: float = 0.0
    marks: float = 0.0
    redness: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return plain values, for a journal."""
        return vars(self) | {"status": vars(self.status)}  # asdict copies each value, which takes as long as a hash

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
    radius = circle.radius if circle else max(height, width) / 2
    disc, mask = retina_disc(inspection.pixels, circle)
    gradable = quality(disc, mask, radius)
    large = radius > 0.9 * RADIUS  # in smaller ones retinas are too much alike
    side_is_clear = circle is not None and gradable >= LEAST_QUALITY and large
    info = ImageInfo(
        *file,
        digest,
        look.phash,
        look.brightness,
        look.contrast,
        gradable,
        disc_side(disc, mask) if side_is_clear else "",
        disc_hashes(disc, mask) if large else "",
        (circle.x / width, circle.y / height, circle.radius / width) if circle else None,
        *(surroundings(inspection.pixels, circle) if circle else (0.0, 0.0)),
        round(float(disc[0][mask].mean() - disc[2][mask].mean()), 4) if circle and mask.any() else 0.0,
    )
    return info, [recipe.make(inspection.pixels) for recipe in recipes]


Place = tuple[ResizeSpec, Path, int]
Item = tuple[str, tuple[Place, ...]]
"""A photograph, and where its crops belong: recipe, ``pixels.npy``, number of the row."""


def _scan_file(
    photographs: Photographs, image: str, recipes: Sequence[ResizeSpec]
) -> tuple[ImageInfo, list[np.ndarray]] | ReadFailure:
    """Return what is known of one photograph in a worker and its crop by each recipe, none where it is unreadable."""
    try:
        data = photographs.read_as_is(image)
    except TooLarge as error:
        return ImageInfo.unreadable(error.strerror or str(error)), []
    except OSError as error:
        return ReadFailure(error.strerror or str(error))
    return scan_image(data, recipes)


def digest_now(photographs: Photographs, image: str) -> str | None:
    """Return the digest of a photograph's file in a worker, None where that cannot be read."""
    try:
        return digest_of(photographs.read_as_is(image))
    except OSError:
        return None


def examine_one(photographs: Photographs, item: Item) -> tuple[ImageInfo, list[int]] | ReadFailure:
    """Examine one photograph in a worker, write its crops, and return its info and the crops' checksums."""
    image, places = item
    answer = _scan_file(photographs, image, [recipe for recipe, _, _ in places])
    if isinstance(answer, ReadFailure):
        return answer
    info, crops = answer
    return info, [write_row(path, number, crop) for (_, path, number), crop in zip(places, crops, strict=False)]
