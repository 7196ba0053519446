"""Where photographs are, and their pixels: a folder of files, or RetinaMNIST's arrays."""

import warnings
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from PIL import Image

from dr_lib.data import medmnist
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

    def size(self, image: str) -> int:
        """Return the bytes that the photograph takes where it is."""

    def read(self, image: str) -> bytes:
        """Return an encoded image, repaired where the audit decided so."""

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

    def size(self, image: str) -> int:
        return self.paths[image].stat().st_size

    def read(self, image: str) -> bytes:
        data = self.paths[image].read_bytes()
        return repair(data) if image in self.repaired else data

    def open(self, image: str) -> Image.Image:
        return decode(self.read(image))


class MedmnistPhotographs:
    """Photographs in RetinaMNIST's file; a split is unpacked when the first of its photographs is asked for."""

    def __init__(self, file: Path):
        self.file = file
        self._arrays: dict[str, np.ndarray] = {}

    def __getstate__(self) -> dict:
        return {"file": self.file, "_arrays": {}}  # another process reads the file, instead of being sent 240 MB

    def path(self, image: str) -> Path:
        return self.file

    def size(self, image: str) -> int:
        return self._pixels(image).nbytes

    def read(self, image: str) -> bytes:
        stream = BytesIO()
        self.open(image).save(stream, "png")
        return stream.getvalue()

    def open(self, image: str) -> Image.Image:
        return Image.fromarray(self._pixels(image))

    def _pixels(self, image: str) -> np.ndarray:
        split, _, index = image.rpartition("_")
        if split not in self._arrays:
            self._arrays[split] = medmnist.read_images(self.file, split)
        return self._arrays[split][int(index)]


def open_photographs(data_dir: Path, table: pd.DataFrame, images_dir: str = "", labels_file: str = "") -> Photographs:
    """Return the photographs of ``table``, found in ``data_dir``.

    With ``images_dir`` empty, ``data_dir`` itself and its usual subfolders are searched. Raises :class:`InputError`
    that says how many are missing, which, and where they were looked for.
    """
    data_dir = Path(data_dir)
    if table.attrs.get("form") == "medmnist":
        return MedmnistPhotographs(medmnist.find(data_dir, labels_file))
    candidates = [data_dir / images_dir] if images_dir else [data_dir / name for name in USUAL_FOLDERS]
    folders = [folder for folder in candidates if folder.is_dir()]
    if not folders:
        raise InputError(f"images_dir {candidates[0]}: no such folder; name the folder of the photographs in data_dir")
    index = _Index(folders)
    paths = {image: index.find(image) for image in table["image"]}
    missing = [image for image, path in paths.items() if path is None]
    if missing:
        some = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        looked = ", ".join(str(folder) for folder in folders)
        raise InputError(
            f"{len(missing)} of {len(paths)} photographs are missing ({some}); looked in {looked} for files ending in "
            f"{', '.join(SUFFIXES)}; set images_dir, or take the missing ones out of the labels"
        )
    return FolderPhotographs(paths)


def decode(data: bytes) -> Image.Image:
    """Return the RGB image in ``data``; what Pillow remarks on metadata is not shown, pixels do not hang on it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with Image.open(BytesIO(data)) as image:
            return image.convert("RGB")


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

    def _list(self, folder: Path) -> dict[str, Path]:
        if folder not in self._listed:
            files = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES] if folder.is_dir() else []
            # The best ending comes last and stays.
            files.sort(key=lambda path: (SUFFIXES.index(path.suffix.lower()), path.name), reverse=True)
            self._listed[folder] = {path.stem: path for path in files}
        return self._listed[folder]
