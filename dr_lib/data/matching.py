"""Which file is which row of the labels: the photographs of a table, found in the folders below it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from dr_lib.data import medmnist
from dr_lib.data.folder import DANGLING, TABLES, Folder, composed, folded, list_folder
from dr_lib.data.label_rows import check_inside
from dr_lib.data.label_values import grades_of, split_of
from dr_lib.data.labels import Labels
from dr_lib.data.layouts import grade_folders
from dr_lib.data.photographs import FolderPhotographs, MedmnistPhotographs, Photographs
from dr_lib.data.signatures import SUFFIXES
from dr_lib.errors import InputError, closest_path
from dr_lib.system.terminal import counted, logger

log = logger("data")

USUAL_FOLDERS = ("", "images", "train", "test", "train_images", "test_images")
"""Folders of photographs inside ``data_dir`` that come before all others."""

HOW_TO_FETCH = "fetch their files, such as with datalad get or git annex get"
LABEL_FILES: str = "label files"
UNDECIDED: str = "of a name that several files have"
OUTSIDE: str = "outside images_dir"
UNGRADABLE = "of photographs that are ungradable"


@dataclass(frozen=True)
class Search:
    """What looking for the photographs of a table came to.

    ``photographs``: those that are there. ``missing``: names without a file. ``several``: the files of each name that
    has more than one, none of which is used. ``respelled``: names that differ from their file's in case, ending or
    folder, and that file. ``unlabeled``: files, by path, without a name in the table. ``other_grade``: photographs in a
    folder that is named after another grade than the labels give, and that folder. ``dangling``: links that lead to no
    file. ``other_pictures``: files that are pictures and do not end as photographs do, by path, and what they are.
    ``folders``: where they were looked for. ``ignored``: all other files, by kind. ``entries``: how many files there
    are, ``used`` of which are photographs of the table.
    """

    photographs: Photographs
    missing: list[str]
    folders: list[Path]
    several: dict[str, list[Path]] = field(default_factory=dict)
    respelled: dict[str, Path] = field(default_factory=dict)
    unlabeled: list[str] = field(default_factory=list)
    other_grade: dict[str, str] = field(default_factory=dict)
    dangling: list[str] = field(default_factory=list)
    other_pictures: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, list[str]] = field(default_factory=dict)
    entries: int = 0
    used: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return what the audit says of the files themselves."""
        return {
            "missing": self.missing,
            "several": {image: [str(path) for path in files] for image, files in self.several.items()},
            "respelled": {name: str(path) for name, path in self.respelled.items()},
            "unlabeled": self.unlabeled,
            "other_grade": self.other_grade,
            "dangling": self.dangling,
            "other_pictures": self.other_pictures,
            "ignored": self.ignored,
            "folders": [str(folder) for folder in self.folders],
        }


def find_photographs(data_dir: Path, labels: Labels, images_dir: str = "", labels_file: str = "") -> Search:
    """Look for the photographs of ``labels`` below ``data_dir``, all or none of which may be there.

    With ``images_dir``, below that folder alone. A name is that of a file in the folder that it gives, or else in one
    that shares the end of its path; of several, the usual folders come first, then the folder of the row's split. It
    is that of the file with the same ending (column ``suffix``, where the labels give one), else with the same in
    another case, else with another ending; it never chooses between two of these. Raises :class:`InputError` where two
    names mean one file.
    """
    data_dir = Path(data_dir)
    check_inside(images_dir, "images_dir")
    folder = labels.folder if labels.folder and labels.folder.path == data_dir else list_folder(data_dir)
    table = labels.table
    if labels.form == "medmnist":
        path = medmnist.find(data_dir, labels_file)
        others = folder.photographs + folder.tables + [name for name in folder.arrays if name != path.name]
        ignored = {kind: names for kind, names in folder.ignored.items() if names}
        if others:
            ignored["beside RetinaMNIST"] = others
        return Search(MedmnistPhotographs(path), [], [data_dir], ignored=ignored, entries=folder.entries, used=1)
    inside, outside = _inside(folder, images_dir)
    files = _Files(folder, inside, images_dir)
    found = files.find_all(table)
    paths = {image: data_dir / files[0] for image, files in found.items() if len(files) == 1}
    several = {image: names for image, names in found.items() if len(names) > 1}
    suffixes = _column(table, "suffix")
    respelled = {}
    for image, file, suffix in zip(table["image"], _files_column(table), suffixes, strict=True):
        if image in paths and not _is_spelled(file, suffix, paths[image].relative_to(data_dir).as_posix()):
            respelled[image + suffix * (not image.endswith(suffix))] = paths[image]
    if respelled:
        are = "photograph is" if len(respelled) == 1 else "photographs are"
        name, path = next(iter(respelled.items()))
        log.warning("%d %s spelled otherwise in the labels: %s is %s", len(respelled), are, name, path)
    used = {found[image][0] for image in paths}
    without_grade = set(files.find_each(labels.ungradable)) - used if len(labels.ungradable) else set()
    undecided = {name for names in several.values() for name in names} - used - without_grade
    ignored = _without_used(folder, labels.files, outside)
    ignored |= {kind: sorted(names) for kind, names in ((UNDECIDED, undecided), (UNGRADABLE, without_grade)) if names}
    taken = used.union(undecided, without_grade)
    return Search(
        FolderPhotographs(paths),
        missing=[image for image, files in found.items() if not files],
        folders=[data_dir / images_dir] if images_dir else _folders_of(data_dir, inside),
        several={image: [data_dir / name for name in names] for image, names in several.items()},
        respelled=respelled,
        other_grade=_other_grade(table, found, inside) if labels.form != "folders" and "grade" in table else {},
        unlabeled=[name for name in inside if name not in taken],
        dangling=folder.ignored[DANGLING],
        other_pictures=folder.other_pictures,
        ignored=ignored,
        entries=folder.entries,
        used=len(used),
    )


def _folders_of(data_dir: Path, photographs: Iterable[str]) -> list[Path]:
    """Return the folders that hold photographs, those near the top first, and ``data_dir`` itself."""
    names = {name.rpartition("/")[0] for name in photographs}
    names |= {name for name in USUAL_FOLDERS if (data_dir / name).is_dir()}
    return [data_dir / name for name in sorted(names, key=lambda name: (name.count("/") + bool(name), name))]


def _other_grade(table: pd.DataFrame, found: dict[str, list[str]], names: Iterable[str]) -> dict[str, str]:
    """Return photographs in a folder of another grade than the labels give, where folders are named after grades."""
    folders = grade_folders(names)
    grades = grades_of(folders.values(), {}, ())
    contradicted = {}
    for image, grade in zip(table["image"], table["grade"], strict=True) if folders else ():
        above = found[image][0].rpartition("/")[0] if len(found[image]) == 1 else ""
        if above in folders and grades.get(folders[above], grade) != grade:
            contradicted[image] = folders[above]
    return contradicted


def _inside(folder: Folder, images_dir: str) -> tuple[list[str], list[str]]:
    """Return the photographs in ``images_dir``, and those that are elsewhere."""
    if not images_dir:
        return folder.photographs, []
    if not (folder.path / images_dir).is_dir():
        path = folder.path / images_dir
        raise InputError(
            f"images_dir {path}: no such folder{closest_path(path)}; name the folder of the photographs in data_dir"
        )
    below = folder.real("" if PurePosixPath(images_dir) == PurePosixPath() else PurePosixPath(images_dir).as_posix())
    start = f"{below}/" if below else ""
    inside = [name for name in folder.photographs if name.startswith(start)]
    return inside, [name for name in folder.photographs if not name.startswith(start)]


def _without_used(folder: Folder, label_files: Sequence[str], outside: list[str]) -> dict[str, list[str]]:
    """Return what is no photograph by kind, label files among them, and photographs outside the folder asked for."""
    read = {name.partition("#")[0] for name in label_files}
    ignored = {kind: names for kind, names in folder.ignored.items() if names}
    if unread := [name for name in folder.tables if name not in read]:
        ignored[TABLES] = sorted([*ignored.get(TABLES, []), *unread])
    if tables := [name for name in folder.tables if name in read]:
        ignored[LABEL_FILES] = tables
    if folder.arrays:
        ignored["arrays"] = folder.arrays
    if outside:
        ignored[OUTSIDE] = outside
    return ignored


def _column(table: pd.DataFrame, name: str) -> list[str]:
    return table[name].tolist() if name in table else [""] * len(table)


def _files_column(table: pd.DataFrame) -> list[str]:
    return table["file" if "file" in table else "image"].tolist()


def _is_spelled(file: str, suffix: str, path: str) -> bool:
    """Return whether the labels spell a file as it is, as far as they do."""
    known = composed(path) if suffix else composed(path.rpartition(".")[0])
    return known == file + suffix or known.endswith("/" + file + suffix)


class _Files:
    """Photographs by name without ending."""

    def __init__(self, folder: Folder, names: Iterable[str], images_dir: str):
        self._folder = folder
        self._usual = {images_dir.strip("/")} if images_dir else {*USUAL_FOLDERS}
        self._by_stem: defaultdict[str, list[str]] = defaultdict(list)
        for name in names:
            self._by_stem[folded(name.rpartition("/")[2].rpartition(".")[0])].append(name)
        self._splits: dict[str, str] = {}

    def find_all(self, table: pd.DataFrame) -> dict[str, list[str]]:
        """Return the files that each photograph may be; more than one is no answer.

        A file that several photographs may be is that of those which give its folder, and not the other split.
        """
        found: dict[str, list[str]] = {}
        doubts: dict[str, tuple[bool, bool]] = {}
        owners: dict[str, str] = {}
        rows = zip(table["image"], _files_column(table), _column(table, "suffix"), _column(table, "split"), strict=True)
        for image, file, suffix, split in rows:
            files, doubt = self._find(file, suffix, split)
            found[image], doubts[image] = files, doubt
            if len(files) != 1:
                continue
            other = owners.setdefault(files[0], image)
            if other == image:
                continue
            if doubts[other] == doubt:
                path = self._folder.path / files[0]
                raise InputError(
                    f"labels: {other!r} and {image!r} are one photograph, {path}; take one of the lines out"
                )
            loser = max(other, image, key=doubts.__getitem__)
            found[loser] = []
            owners[files[0]] = image if loser == other else other
        return found

    def find_each(self, table: pd.DataFrame) -> Iterator[str]:
        """Give the file of each photograph that has one alone."""
        for file, suffix, split in zip(table["file"], table["suffix"], table["split"], strict=True):
            files, (elsewhere, other_split) = self._find(file, suffix, split)
            if len(files) == 1 and not elsewhere and not other_split:
                yield files[0]

    def _find(self, file: str, suffix: str, split: str) -> tuple[list[str], tuple[bool, bool]]:
        """Return the files that a name may mean, as alike to its spelling as there are, and what is doubtful.

        That is, whether they are in another folder than the name says, and in that of another split.
        """
        above, _, stem = file.rpartition("/")
        files = self._by_stem.get(folded(stem), [])
        parents = folded(self._folder.real(above)).split("/") if above else []
        if own := self._split_of(above):  # train/1.jpg is not test/1.jpg
            files = [name for name in files if self._split_of(name.rpartition("/")[0]) in ("", own)]
        if not files:
            return [], (False, False)
        ranked = [(self._rank(name, parents, stem, suffix), name) for name in files]
        best = min(rank for rank, _ in ranked)
        alike = [name for rank, name in ranked if rank == best]
        splits = [self._split_of(name.rpartition("/")[0]) for name in alike]
        if len(alike) > 1 and all(splits) and splits.count(split) == 1:  # train/1.jpg and test/1.jpg
            alike, splits = [alike[splits.index(split)]], [split]
        doubt = -best[0] < len(parents), bool(split) and splits[0] not in ("", split)
        return sorted(alike, key=_by_usual_folder), doubt

    def _split_of(self, above: str) -> str:
        if above not in self._splits:
            self._splits[above] = next((split for part in reversed(above.split("/")) if (split := split_of(part))), "")
        return self._splits[above]

    def _rank(self, name: str, parents: Sequence[str], stem: str, suffix: str) -> tuple[int, bool, int]:
        """Return how far a file is from what a row says, the smaller the closer."""
        above, _, own = name.rpartition("/")
        folders = folded(above).split("/") if above else []
        shared = 0
        while shared < min(len(folders), len(parents)) and folders[-1 - shared] == parents[-1 - shared]:
            shared += 1
        root = "/".join(above.split("/")[: len(folders) - shared])
        own_stem, _, own_suffix = own.rpartition(".")
        same_stem, own_suffix = composed(own_stem) == stem, "." + own_suffix
        spelling = (
            0 if same_stem and own_suffix == (suffix or own_suffix)
            else 1 if own_suffix.lower() == (suffix or own_suffix).lower()
            else 2 if same_stem
            else 3
        )  # fmt: skip
        return -shared, root not in self._usual, spelling


def _by_usual_folder(name: str) -> tuple[int, str]:
    above = name.rpartition("/")[0]
    return [*USUAL_FOLDERS, above].index(above), name


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
        folders = ", ".join(map(str, search.folders[:6])) + (", ..." if len(search.folders) > 6 else "")
        are = "is" if len(search.missing) == 1 else "are"
        raise InputError(
            f"{len(search.missing)} of {counted(len(labels.table), 'photograph')} {are} missing ({some}); looked in "
            f"{folders} for files ending in {', '.join(SUFFIXES)}{why}; "
            f"put them {'below images_dir' if images_dir else f'below {data_dir}'}, or take them out of the labels"
        )
    if search.several:
        image, files = next(iter(search.several.items()))
        have = "has" if len(search.several) == 1 else "have"
        raise InputError(
            f"{len(search.several)} of {counted(len(labels.table), 'photograph')} {have} several files ({image}: "
            f"{' or '.join(map(str, files))}); set images_dir, or write folder and ending of the names in the labels"
        )
    return search.photographs
