"""Where photographs are, and their pixels: a folder of files, or RetinaMNIST's arrays."""

from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from PIL import Image

from dr_lib.data import medmnist
from dr_lib.data.decoding import decode_rgb
from dr_lib.data.jpeg import repair
from dr_lib.errors import InputError

SUFFIXES = (".jpeg", ".jpg", ".png", ".tif", ".tiff")
"""What a photograph may end with, best first; case does not matter."""

USUAL_FOLDERS = (".", "images", "train", "test", "train_images", "test_images")
"""Where photographs are looked for inside ``data_dir``, in this order."""


class Photographs(Protocol):
    """The photographs of a table, by name."""

    def path(self, image: str) -> Path:
        """Return the file that holds the photograph."""

    def key(self, image: str) -> str:
        """Return a name that no photograph of another place has."""

    def stamp(self, image: str) -> list[int]:
        """Return size in bytes and time of change in ns of the file: what tells that it is still the same."""

    def size(self, image: str) -> int:
        """Return the bytes that the photograph takes where it is."""

    def read_as_is(self, image: str) -> bytes:
        """Return an encoded image, as it is in the file."""

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
        facts = self.paths[image].stat()
        return [facts.st_size, facts.st_mtime_ns]

    def size(self, image: str) -> int:
        return self.paths[image].stat().st_size

    def read_as_is(self, image: str) -> bytes:
        return self.paths[image].read_bytes()

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
        facts = self.file.stat()
        return [facts.st_size, facts.st_mtime_ns]

    def size(self, image: str) -> int:
        return self.pixels(image).nbytes

    def read_as_is(self, image: str) -> bytes:
        stream = BytesIO()
        self.open(image).save(stream, "png")
        return stream.getvalue()

    def open(self, image: str) -> Image.Image:
        return Image.fromarray(self.pixels(image))

    def pixels(self, image: str, at_least: int = 0) -> np.ndarray:
        split, _, index = image.rpartition("_")
        if split not in self._arrays:
            self._arrays[split] = medmnist.read_images(self.file, split)
        return self._arrays[split][int(index)]


@dataclass(frozen=True)
class Search:
    """What looking for the photographs of a table came to.

    ``photographs``: those that are there. ``missing``: names without a file. ``unlabelled``: files, by path, without
    a name in the table. ``folders``: where they were looked for.
    """

    photographs: Photographs
    missing: list[str]
    unlabelled: list[str]
    folders: list[Path]


def find_photographs(data_dir: Path, table: pd.DataFrame, images_dir: str = "", labels_file: str = "") -> Search:
    """Look for the photographs of ``table`` in ``data_dir``, all or none of which may be there.

    With ``images_dir`` empty, ``data_dir`` itself and its usual subfolders are searched.
    """
    data_dir = Path(data_dir)
    if table.attrs.get("form") == "medmnist":
        return Search(MedmnistPhotographs(medmnist.find(data_dir, labels_file)), [], [], [data_dir])
    candidates = [data_dir / images_dir] if images_dir else [data_dir / name for name in USUAL_FOLDERS]
    folders = [folder for folder in candidates if folder.is_dir()]
    if not folders:
        raise InputError(f"images_dir {candidates[0]}: no such folder; name the folder of the photographs in data_dir")
    index = _Index(folders)
    found = {image: index.find(image) for image in table["image"]}
    paths = {image: path for image, path in found.items() if path is not None}
    missing = [image for image in found if image not in paths]
    return Search(FolderPhotographs(paths), missing, index.files_besides(set(paths.values()), data_dir), folders)


def open_photographs(data_dir: Path, table: pd.DataFrame, images_dir: str = "", labels_file: str = "") -> Photographs:
    """Return the photographs of ``table``, found in ``data_dir`` as :func:`find_photographs` does.

    Raises :class:`InputError` that says how many are missing, which, and where they were looked for.
    """
    search = find_photographs(data_dir, table, images_dir, labels_file)
    if search.missing:
        some = ", ".join(search.missing[:5]) + (", ..." if len(search.missing) > 5 else "")
        looked = ", ".join(str(folder) for folder in search.folders)
        raise InputError(
            f"{len(search.missing)} of {len(table)} photographs are missing ({some}); looked in {looked} for files "
            f"ending in {', '.join(SUFFIXES)}; set images_dir, or take the missing ones out of the labels"
        )
    return search.photographs


class _Index:
    """Files by name without ending; each folder is listed once, which is quick where looking up each file is not."""

    def __init__(self, folders: list[Path]):
        self._folders = folders
        self._listed: dict[Path, dict[str, Path]] = {}

    def find(self, image: str) -> Path | None:
        parent, _, name = image.rpartition("/")
        for folder in self._folders:
            if (path := self._list(folder / parent).get(name)) is not None:
                return path
        return None

    def files_besides(self, used: set[Path], home: Path) -> list[str]:
        """Return the photographs in the folders looked into that are not ``used``, by path from ``home``."""
        listed = {path for files in self._listed.values() for path in files.values()}
        return sorted(str(path.relative_to(home)) for path in listed - used)

    def _list(self, folder: Path) -> dict[str, Path]:
        if folder not in self._listed:
            files = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES] if folder.is_dir() else []
            # The best ending comes last and stays.
            files.sort(key=lambda path: (SUFFIXES.index(path.suffix.lower()), path.name), reverse=True)
            self._listed[folder] = {path.stem: path for path in files}
        return self._listed[folder]
