"""Photographs by name, and their pixels: a folder of files, or RetinaMNIST's arrays."""

from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from dr_lib.data import medmnist
from dr_lib.data.decoding import decode_rgb
from dr_lib.data.inspection import repair
from dr_lib.storage.bounded_read import read_bounded


class Photographs(Protocol):
    """The photographs of a table, by name."""

    def path(self, image: str) -> Path:
        """Return the file that holds the photograph."""

    def key(self, image: str) -> str:
        """Return a name that no photograph of another place has."""

    def stamp(self, image: str) -> list[int]:
        """Return size in bytes, time of change in ns, and then what a copy has not: time of any change, and inode.

        While all four stay the file is the same: tools that copy set the first time back, and nobody can set the
        second. Empty where the system does not tell, as of a link that leads nowhere.
        """

    def read_as_is(self, image: str) -> bytes:
        """Return an encoded image, as it is in the file; see :func:`read_bounded` for what it raises."""

    def pixels(self, image: str, at_least: int = 0) -> np.ndarray:
        """Return uint8 (H, W, 3), repaired where the audit decided so; see :func:`decode_rgb` for ``at_least``."""

    def open(self, image: str) -> Image.Image:
        """Return the decoded RGB image, as ``Image.open(path).convert("RGB")`` does; EXIF does not turn it."""


@dataclass(frozen=True)
class FolderPhotographs:
    """Photographs that are files; those in ``repaired`` are repaired in memory, every time they are read."""

    paths: dict[str, Path] = field(repr=False)
    repaired: frozenset[str] = frozenset()

    def with_repaired(self, images: set[str]) -> "FolderPhotographs":
        """Return the same photographs, ``images`` among them repaired."""
        return replace(self, repaired=frozenset(images))

    def path(self, image: str) -> Path:
        return self.paths[image]

    def key(self, image: str) -> str:
        return str(self.paths[image].absolute())

    def stamp(self, image: str) -> list[int]:
        return _stamp(self.paths[image])

    def read_as_is(self, image: str) -> bytes:
        return read_bounded(self.paths[image])

    def pixels(self, image: str, at_least: int = 0) -> np.ndarray:
        data = self.read_as_is(image)
        return decode_rgb(repair(data) if image in self.repaired else data, at_least)

    def open(self, image: str) -> Image.Image:
        return Image.fromarray(self.pixels(image))


class MedmnistPhotographs:
    """Photographs in RetinaMNIST's file; a split is unpacked when the first of its photographs is asked for."""

    def __init__(self, file: Path):
        self.file = file
        self._arrays: dict[str, np.ndarray] = {}

    def __getstate__(self) -> dict:
        return {"file": self.file, "_arrays": {}}  # another process reads the file, instead of being sent 240 MB

    def path(self, image: str) -> Path:
        return self.file

    def key(self, image: str) -> str:
        return f"{self.file.absolute()}#{image}"

    def stamp(self, image: str) -> list[int]:
        return _stamp(self.file)

    def read_as_is(self, image: str) -> bytes:
        stream = BytesIO()
        self.open(image).save(stream, "bmp")  # the same bytes for the same pixels, whatever zlib packs a PNG
        return stream.getvalue()

    def open(self, image: str) -> Image.Image:
        return Image.fromarray(self.pixels(image))

    def pixels(self, image: str, at_least: int = 0) -> np.ndarray:
        split, _, index = image.rpartition("_")
        if split not in self._arrays:
            self._arrays[split] = medmnist.read_images(self.file, split)
        return self._arrays[split][int(index)]


def _stamp(path: Path) -> list[int]:
    try:
        file_stat = path.stat()
    except OSError:
        return []
    return [file_stat.st_size, file_stat.st_mtime_ns, file_stat.st_ctime_ns, file_stat.st_ino]
