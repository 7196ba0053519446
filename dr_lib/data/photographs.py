"""Where photographs are, and their pixels: a folder of files, or RetinaMNIST's arrays."""

import os
import unicodedata
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import repeat
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from dr_lib.data import medmnist
from dr_lib.data.decoding import decode_rgb
from dr_lib.data.inspection import repair
from dr_lib.data.labels import Labels, check_inside
from dr_lib.data.signatures import SUFFIXES, is_photograph, kind_of_other_picture
from dr_lib.errors import InputError
from dr_lib.storage.bounded_read import read_bounded
from dr_lib.system.terminal import logger

log = logger("data")

USUAL_FOLDERS = (".", "images", "train", "test", "train_images", "test_images")
"""Where photographs are looked for inside ``data_dir``."""

HOW_TO_FETCH = "fetch their files, such as with datalad get or git annex get"


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


@dataclass(frozen=True)
class Search:
    """What looking for the photographs of a table came to.

    ``photographs``: those that are there. ``missing``: names without a file. ``several``: the files of each name that
    has more than one, none of which is used. ``respelled``: names that differ from their file's in case or ending,
    and that file. ``unlabeled``: files, by path, without a name in the table. ``dangling``: links that lead to no
    file. ``other_pictures``: files in these folders that are pictures and do not end as photographs do, by path, and
    what they are. ``folders``: where they were looked for.
    """

    photographs: Photographs
    missing: list[str]
    folders: list[Path]
    several: dict[str, list[Path]] = field(default_factory=dict)
    respelled: dict[str, Path] = field(default_factory=dict)
    unlabeled: list[str] = field(default_factory=list)
    dangling: list[str] = field(default_factory=list)
    other_pictures: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return what the audit says of the files themselves."""
        return {
            "missing": self.missing,
            "several": {image: [str(path) for path in files] for image, files in self.several.items()},
            "respelled": {name: str(path) for name, path in self.respelled.items()},
            "unlabeled": self.unlabeled,
            "dangling": self.dangling,
            "other_pictures": self.other_pictures,
            "folders": [str(folder) for folder in self.folders],
        }


def find_photographs(data_dir: Path, labels: Labels, images_dir: str = "", labels_file: str = "") -> Search:
    """Look for the photographs of ``labels`` in ``data_dir``, all or none of which may be there.

    With ``images_dir`` empty, ``data_dir`` itself and its usual subfolders are searched. A name is that of a file with
    the same ending (column ``suffix``, where the labels give one), else with the same in another case, else with
    another ending; it never chooses between two of these. Raises :class:`InputError` where two names mean one file.
    """
    data_dir = Path(data_dir)
    table = labels.table
    if labels.form == "medmnist":
        return Search(MedmnistPhotographs(medmnist.find(data_dir, labels_file)), [], [data_dir])
    check_inside(images_dir, "images_dir")
    candidates = [data_dir / images_dir] if images_dir else [data_dir / name for name in USUAL_FOLDERS]
    folders = [folder for folder in candidates if folder.is_dir()]
    if not folders:
        raise InputError(f"images_dir {candidates[0]}: no such folder; name the folder of the photographs in data_dir")
    index = _Index(folders)
    suffixes = dict(zip(table["image"], table.get("suffix", repeat("")), strict=False))
    found = {image: index.find(image, suffix) for image, suffix in suffixes.items()}
    paths = {image: files[0] for image, files in found.items() if len(files) == 1}
    names: dict[Path, str] = {}
    for image, path in paths.items():
        if (other := names.setdefault(path, image)) != image:
            raise InputError(f"labels: {other!r} and {image!r} are one photograph, {path}; take one of the lines out")
    respelled = {
        image + suffixes[image]: path
        for image, path in paths.items()
        if _composed(path.name if suffixes[image] else path.stem) != image.rpartition("/")[2] + suffixes[image]
    }
    if respelled:
        are = "photograph is" if len(respelled) == 1 else "photographs are"
        name, path = next(iter(respelled.items()))
        log.warning("%d %s spelled otherwise in the labels: %s is %s", len(respelled), are, name, path)
    used = {path for files in found.values() for path in files}
    return Search(
        FolderPhotographs(paths),
        missing=[image for image, files in found.items() if not files],
        folders=folders,
        several={image: files for image, files in found.items() if len(files) > 1},
        respelled=respelled,
        unlabeled=sorted(str(path.relative_to(data_dir)) for path in index.files() - used),
        dangling=sorted(str(path.relative_to(data_dir)) for path in index.dangling),
        other_pictures={str(path.relative_to(data_dir)): kind for path, kind in sorted(index.other_pictures.items())},
    )


def open_photographs(data_dir: Path, labels: Labels, images_dir: str = "", labels_file: str = "") -> Photographs:
    """Return the photographs of ``labels``, found in ``data_dir`` as :func:`find_photographs` does.

    Raises :class:`InputError` that says how many are missing, which, and where they were looked for, or which of them
    have several files.
    """
    search = find_photographs(data_dir, labels, images_dir, labels_file)
    if search.missing:
        some = ", ".join(search.missing[:5]) + (", ..." if len(search.missing) > 5 else "")
        why = f"; {len(search.dangling)} links lead to no file: {HOW_TO_FETCH}" if search.dangling else ""
        if search.other_pictures:
            name, kind = next(iter(search.other_pictures.items()))
            more = f", and {len(search.other_pictures) - 1} more" if len(search.other_pictures) > 1 else ""
            why += f"; {name} is a picture of another kind, {kind}{more}"
        raise InputError(
            f"{len(search.missing)} of {len(labels.table)} photographs are missing ({some}); looked in "
            f"{', '.join(map(str, search.folders))} for files ending in {', '.join(SUFFIXES)}{why}; "
            "set images_dir, or take the missing ones out of the labels"
        )
    if search.several:
        image, files = next(iter(search.several.items()))
        raise InputError(
            f"{len(search.several)} of {len(labels.table)} photographs have several files ({image}: "
            f"{' or '.join(map(str, files))}); set images_dir, or write folder and ending of the names in the labels"
        )
    return search.photographs


class _Index:
    """Files by name without ending; each folder is listed once, which is quick where looking up each file is not."""

    def __init__(self, folders: list[Path]):
        self._folders = folders
        self._listed: dict[Path, dict[str, list[Path]]] = {}
        self.dangling: set[Path] = set()
        self.other_pictures: dict[Path, str] = {}

    def find(self, image: str, suffix: str) -> list[Path]:
        """Return the files that ``image`` may mean, as alike to its spelling as there are; more than one is no answer.

        ``suffix``: the ending that the labels give, empty where they give none.
        """
        parent, _, name = image.rpartition("/")
        files = [path for folder in self._folders for path in self._list(folder / parent).get(_folded(name), ())]
        for as_given in (
            lambda path: _composed(path.stem) == name and path.suffix == (suffix or path.suffix),
            lambda path: path.suffix.lower() == (suffix or path.suffix).lower(),
            lambda path: _composed(path.stem) == name,
        ):
            if alike := [path for path in files if as_given(path)]:
                files = alike
                break
        # One folder may be a link to another.
        return files if len(files) < 2 else list({path.resolve(): path for path in reversed(files)}.values())[::-1]

    def files(self) -> set[Path]:
        """Return the photographs in the folders looked into."""
        return {path for listed in self._listed.values() for files in listed.values() for path in files}

    def _list(self, folder: Path) -> dict[str, list[Path]]:
        if folder not in self._listed:
            files = self._listed[folder] = {}
            for entry in _entries(folder):
                path = folder / entry.name
                if not is_photograph(entry.name):
                    if kind := kind_of_other_picture(path):
                        self.other_pictures[path] = kind
                    continue
                # Asking the entry costs no call to the system, which os.path.isfile needs to follow a link.
                if entry.is_file(follow_symlinks=False) or os.path.isfile(path):
                    files.setdefault(_folded(path.stem), []).append(path)
                elif entry.is_symlink() and not path.is_dir():
                    self.dangling.add(path)
        return self._listed[folder]


def _entries(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed ({error.strerror}); see to it that you may read it") from None


def _composed(name: str) -> str:
    """Return ``name`` in the form of Unicode that labels are read in; macOS writes names in another."""
    return unicodedata.normalize("NFC", name)


def _folded(name: str) -> str:
    """Return what names that differ in case or form of Unicode alone have in common."""
    return _composed(_composed(name).casefold())
