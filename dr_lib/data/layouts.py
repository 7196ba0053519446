"""The layouts of public data sets, one entry each: which files it has, and what is special about them.

To add one, write an entry in :data:`LAYOUTS`; most need no more than the names of their label files.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from dr_lib.data.folder import TABLES, Folder, shallowest
from dr_lib.data.label_files import Table, has_labels
from dr_lib.data.label_text import first_row, other_kind
from dr_lib.data.label_values import grade_of, grade_of_words, number_text, split_of
from dr_lib.errors import InputError


@dataclass(frozen=True)
class Layout:
    """One way in which labels lie in a folder.

    ``name``: what the parameter ``labels`` calls it. ``title``: the data set. ``files``: the names of its label files,
    in any case and with ``*`` for anything, and the split of each; the first has to be there. TSV and xlsx stand for
    CSV. ``ungradable``: grades that mean that there is none. ``pairs``: a file that names both photographs of a
    patient, left and right. ``many``: whether there may be a file of each name for several data sets. ``same_names``:
    whether a name in two splits is two photographs.
    """

    name: str
    title: str
    files: Mapping[str, str] = field(default_factory=dict)
    ungradable: tuple[str, ...] = ()
    pairs: str = ""
    many: bool = False
    same_names: bool = False


LAYOUTS = (
    Layout("course", "the course's pairs of files"),
    Layout("kaggle", "EyePACS", {"trainLabels.csv": "train", "retinopathy_solution.csv": "test"}),
    Layout("kaggle", "EyePACS, repacked", {"trainLabels_cropped.csv": "train"}),
    Layout(
        "aptos", "APTOS 2019",
        {"train.csv": "train", "valid.csv": "validation", "val.csv": "validation", "test.csv": "test"},
    ),
    Layout(
        "aptos", "APTOS 2019, repacked", {"train_1.csv": "train", "valid.csv": "validation", "test.csv": "test"},
    ),
    Layout("ddr", "DDR", {"train.txt": "train", "valid.txt": "validation", "test.txt": "test"}, ungradable=("5",)),
    Layout("gdrbench", "GDRBench", {"*_train.txt": "train", "*_crossval.txt": "validation"}, many=True),
    Layout(
        "messidor2", "Messidor-2", {"messidor_data.csv": ""},
        ungradable=("",), pairs="messidor-2.csv",
    ),
    Layout(
        "idrid", "IDRiD",
        {
            "a. IDRiD_Disease Grading_Training Labels.csv": "train",
            "b. IDRiD_Disease Grading_Testing Labels.csv": "test",
        },
        same_names=True,
    ),
    Layout(
        "deepdrid", "DeepDRiD",
        {
            "regular-fundus-training.csv": "train",
            "regular-fundus-validation.csv": "validation",
            "Challenge1_labels.csv": "test",
        },
    ),
    Layout("eyeq", "EyeQ", {"Label_EyeQ_train.csv": "train", "Label_EyeQ_test.csv": "test"}),
    Layout("medmnist", "RetinaMNIST"),
    Layout("table", "a table"),
    Layout("folders", "folders named after grades"),
)  # fmt: skip
"""Every layout."""

MANIFEST = ("image", "path", "grade", "patient", "eye", "split")
"""The columns of the table that :func:`dr_lib.read_labels` returns, by which its file is known again."""

_SAME_TABLE = {".tsv": ".csv", ".xlsx": ".csv"}
_MOST_TABLES = 100


@dataclass(frozen=True)
class Source:
    """A label file by its name in the folder, the split of its rows (empty: none is told), and a workbook's sheet."""

    name: str
    split: str = ""
    sheet: str = ""


def layout_named(name: str) -> Layout:
    """Return the layout that the parameter ``labels`` means."""
    known = {layout.name: layout for layout in reversed(LAYOUTS)}
    if name not in known:
        raise InputError(f"labels: {name!r} is no known form; use {', '.join(reversed(known))} or auto")
    return known[name]


def layout_of_file(name: str) -> Layout:
    """Return the layout that has a label file of this name; a table for other names."""
    for layout in LAYOUTS:
        if any(_matches(PurePosixPath(name).name, pattern) for pattern in layout.files):
            return layout
    return layout_named("table")


def recognize(folder: Folder, columns: Mapping[str, str]) -> tuple[Layout, tuple[Source, ...]]:
    """Return the layout of ``folder`` by the files that are there, and its label files; the course's pair wins.

    What is at the top counts more than what is in folders. Raises :class:`InputError` where there are no labels, and
    with the parameter that decides where there may be two.
    """
    top = replace(folder, tables=_at_top(folder.tables), arrays=_at_top(folder.arrays))
    for part in (top, folder):
        if found := _recognize(part, columns):
            return found
    if grade_folders(folder.photographs):
        return layout_named("folders"), ()
    if tables := [name for name in top.tables if not name.lower().endswith(".txt")]:
        if len(tables) == 1:
            return layout_named("table"), (Source(tables[0]),)  # reading it says what is wrong with it
        names = ", ".join(tables[:5])
        raise InputError(
            f"data_dir {folder.path}: {len(tables)} CSV files ({names}), none with a column of images and one of "
            "grades; choose one with labels_file, and name its columns with columns: {image: ..., grade: ...}"
        )
    for name in folder.ignored[TABLES]:
        if kind := other_kind(folder.path / name):
            raise InputError(f"data_dir {folder.path}: no label files but {name}, which is {kind}")
    raise InputError(
        f"data_dir {folder.path}: no label files; needs train_img.csv with train_label.csv and test_*, "
        "trainLabels.csv, train.csv, retinamnist*.npz, a CSV with image and grade columns, or folders named after "
        "grades (docs/data.md lists all layouts)"
    )


def _recognize(folder: Folder, columns: Mapping[str, str]) -> tuple[Layout, tuple[Source, ...]] | None:
    if folder.named("train_img.csv") or folder.named("train_label.csv"):
        if not (folder.named("test_img.csv") or folder.named("test_label.csv")):
            raise InputError(
                f"{folder.path / 'test_img.csv'}: missing, while the training pair is there; add the test pair, "
                "or say labels: course to make a split by patient here"
            )
        return layout_named("course"), ()
    found: list[tuple[Layout, tuple[Source, ...]]] = []
    for layout in LAYOUTS:  # of those of one name, the first
        if all(layout.name != other.name for other, _ in found) and (sources := _sources(folder, layout)):
            found.append((layout, sources))
    manifest = next((name for name in shallowest(folder.tables) if found and _is_manifest(folder.path / name)), "")
    if len(found) + bool(manifest) > 1:
        choices = [f"labels: {layout.name} ({sources[0].name})" for layout, sources in found[:2]]
        choices += [f"labels_file: {manifest}"] * bool(manifest)
        raise InputError(f"data_dir {folder.path}: labels of two kinds; say {' or '.join(choices)}")
    if found:
        return found[0]
    if any(PurePosixPath(name).match("retinamnist*.npz") for name in _at_top(folder.arrays)):
        return layout_named("medmnist"), ()
    if sources := tables_with_labels(folder, columns):
        return layout_named("table"), sources
    return None


def _at_top(names: Iterable[str]) -> list[str]:
    return [name for name in names if "/" not in name]


def sources_of(folder: Folder, name: str) -> tuple[Source, ...]:
    """Return the label files of the layout of this name; none where there is another."""
    return next((found for layout in LAYOUTS if layout.name == name and (found := _sources(folder, layout))), ())


def _sources(folder: Folder, layout: Layout) -> tuple[Source, ...]:
    """Return the label files of ``layout`` in ``folder``, the nearest to the top of each; none where it is another."""
    found = []
    for number, (pattern, split) in enumerate(layout.files.items()):
        names = [name for name in folder.tables if _matches(PurePosixPath(name).name, pattern)]
        if pattern.endswith(".txt"):  # many a text is called so
            names = [name for name in names if all(has_labels(folder.path / name, {}))]
        found += [Source(name, split) for name in (names if layout.many else _nearest(folder, names, pattern))]
        if number == 0 and not found:
            return ()
    return tuple(found)


def tables_with_labels(folder: Folder, columns: Mapping[str, str]) -> tuple[Source, ...]:
    """Return the table of labels in ``folder``: ``labels.csv``, or the only one, or one a split by their names.

    Raises :class:`InputError` where there are several.
    """
    if usual := folder.named("labels.csv"):
        return (Source(usual),)
    found = [name for name in folder.tables[:_MOST_TABLES] if all(has_labels(folder.path / name, columns))]
    found = shallowest(found)
    splits = [split_of(PurePosixPath(name).stem) for name in found]
    if len(found) > 1 and "train" in splits and len({*splits} - {""}) == len(found):
        return tuple(Source(name, split) for name, split in zip(found, splits, strict=True))
    if len(found) > 1:
        names = ", ".join(found[:5])
        raise InputError(
            f"data_dir {folder.path}: {len(found)} CSV files ({names}); choose one with labels_file, such as "
            f"labels_file: {found[0]} or labels_file: {found[1]}, or give each its split with labels_files"
        )
    return tuple(map(Source, found))


def grade_folders(photographs: Iterable[str], given: Iterable[str] = ()) -> dict[str, str]:
    """Return the folders that are named after a grade, by the folder of photographs: ``train/0`` is ``0``.

    ``given``: names, as :func:`number_text` spells them, that the user says are grades or ungradable. Beside such
    folders each other one with photographs counts as one, too, and is its own name: what it means is to be asked for.
    Empty where folders name fewer than two grades.
    """
    known = set(given)
    folders = sorted({name.rpartition("/")[0] for name in photographs} - {""})
    grades: dict[str, str] = {}
    for folder in folders:
        for part in reversed(folder.split("/")):
            if number_text(part) in known or grade_of(part) is not None or grade_of_words(part) is not None:
                grades[folder] = part
                break
    # Of numbers, only grades: patients are numbered, too.
    numbers = {folder.rpartition("/")[2] for folder in folders if folder.rpartition("/")[2].isdigit()}
    if len(set(grades.values())) < 2 or len(numbers) > 7:
        return {}
    parents = {folder.rpartition("/")[0] for folder in grades}
    beside = [folder for folder in folders if folder not in grades and folder.rpartition("/")[0] in parents]
    return grades | {
        folder: name for folder in beside if not split_of(name := folder.rpartition("/")[2]) and name != "images"
    }


class FolderTable(Table):
    """Photographs in folders named after grades, as a table."""

    def place(self, row: int, role: str = "") -> str:
        return str(self.path / self.cells["image"][row])


def read_grade_folders(folder: Folder, given: Iterable[str]) -> FolderTable:
    """Return the photographs in folders named after grades, with the split that a folder above names."""
    grades = grade_folders(folder.photographs, given)
    rows = [(name, grades[above]) for name in folder.photographs if (above := name.rpartition("/")[0]) in grades]
    splits = {above: _split_above(above) for above in grades}
    cells = {
        "image": [name for name, _ in rows],
        "grade": [grade for _, grade in rows],
        "split": [splits[name.rpartition("/")[0]] for name, _ in rows],
    }
    return FolderTable(folder.path, range(len(rows)), cells, {role: role for role in cells}, header=False)


def _split_above(folder: str) -> str:
    return next((split for part in reversed(folder.split("/")[:-1]) if (split := split_of(part))), "")


def _matches(name: str, pattern: str) -> bool:
    stem, dot, suffix = name.lower().rpartition(".")
    return fnmatchcase(stem + _SAME_TABLE.get(dot + suffix, dot + suffix), pattern.lower())


def _nearest(folder: Folder, names: list[str], pattern: str) -> list[str]:
    """Return the one of ``names`` that is nearest to the top, spelled as ``pattern`` where several are."""
    names = shallowest(names)
    if len(names) > 1:
        names = [name for name in names if fnmatchcase(PurePosixPath(name).name, pattern)] or names
    if len(names) > 1:
        paths = " or ".join(str(folder.path / name) for name in names)
        raise InputError(f"{folder.path / pattern}: {paths}? Rename one, or choose it with labels_file")
    return names


def _is_manifest(path: Path) -> bool:
    return set(MANIFEST) <= set(first_row(path))
