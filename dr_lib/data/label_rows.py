"""Rows of label files, each checked as it comes, and their table."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pandas as pd

from dr_lib.data.folder import Folder, folded
from dr_lib.data.label_files import Table
from dr_lib.data.label_text import read_rows
from dr_lib.data.label_values import SPLIT_NAMES, eye_of, grades_of, split_of
from dr_lib.data.layouts import Layout
from dr_lib.data.patients import PATTERN_EXAMPLE, patients_and_eyes
from dr_lib.data.signatures import PICTURE_SUFFIXES, SUFFIXES
from dr_lib.errors import InputError
from dr_lib.system.terminal import logger

log = logger("data")

UNGRADABLE = ("image", "label", "split", "suffix", "file")
"""The columns of what is known of a photograph that has no grade."""

COLUMNS = ("image", "grade", "patient", "eye", "split", "suffix", "file")
_ENDINGS = frozenset({*SUFFIXES, *PICTURE_SUFFIXES})


class Rows:
    """Rows as they come from one label file after the other, each checked; then their table."""

    def __init__(
        self, folder: Folder, layout: Layout, grade_map: Mapping[str, int], ungradable: Sequence[Any], pattern: str
    ):
        self.folder, self.layout, self.ungradable_values = folder, layout, ungradable
        self.notes: list[str] = []
        self._grade_map, self._pattern = grade_map, pattern
        self._columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        self._others: dict[str, list[str]] = {}
        self._places: list[tuple[Table, int]] = []
        self._ungradable: list[list[str]] = []
        self.count = 0

    def add(self, table: Table, split: str) -> None:
        """Add the rows of a label file; ``split``: of all of them, where it is known."""
        if table.encoding:
            self.notes.append(f"{table.path.name} read as {table.encoding}")
        names, suffixes = _names(table, table.column("image") or (), "image", self.folder.path)
        files = names
        if (paths := table.column("path")) is not None:
            given, endings = _names(table, paths, "path", self.folder.path)
            files = [path or name for path, name in zip(given, names, strict=True)]
            suffixes = [new or old for new, old in zip(endings, suffixes, strict=True)]
        patients, eyes = self._patients_and_eyes(table, names, files)
        texts, grades = self._grades(table, names, eyes)
        splits = self._splits(table, split)
        kept = [row for row, grade in enumerate(grades) if grade is not None]
        without = zip(names, texts, splits, suffixes, files, grades, strict=True)
        self._ungradable += [row for *row, grade in without if grade is None]
        self.count += len(names)
        columns: dict[str, Any] = dict(
            zip(COLUMNS, (names, grades, patients, eyes, splits, suffixes, files), strict=True)
        )
        others = {_other_name(name): cells for name, cells in table.others.items()}
        if (quality := table.column("quality")) is not None:
            others = {"quality": quality, **others}
        before = len(self._places)
        for name, cells in columns.items():
            self._columns[name] += cells if len(kept) == len(names) else [cells[row] for row in kept]
        for name in dict.fromkeys([*self._others, *others]):
            column = self._others.setdefault(name, [""] * before)
            column += [others[name][row] for row in kept] if name in others else [""] * len(kept)
        self._places += [(table, row) for row in kept]

    def _patients_and_eyes(
        self, table: Table, names: Sequence[str], files: Sequence[str]
    ) -> tuple[list[str], list[str]]:
        patients, eyes = patients_and_eyes(files, self._pattern)
        if files is not names:  # an unknown patient is called like the photograph
            patients = [
                name if patient == file else patient for name, file, patient in zip(names, files, patients, strict=True)
            ]
        pairs = self._pairs() if self.layout.pairs else {}
        for row, name in enumerate(names if pairs else ()):
            if name.lower() in pairs:
                patients[row], eyes[row] = pairs[name.lower()]
        if (given := table.column("patient")) is not None:
            patients = [cell or patient for cell, patient in zip(given, patients, strict=True)]
        if (given := table.column("eye")) is not None:
            eyes = [eye_of(cell) or eye for cell, eye in zip(given, eyes, strict=True)]
        return patients, eyes

    def _pairs(self) -> dict[str, tuple[str, str]]:
        """Return patient and eye by name in lower case, of a file with the two photographs of each patient."""
        name = self.folder.named(self.layout.pairs)
        if not name:
            self.notes.append(f"no {self.layout.pairs}, which tells the patients")
            return {}
        pairs = {}
        for _, cells in read_rows(self.folder.path / name)[0]:
            left, right, *_ = [without_ending(cell)[0] for cell in cells] + [""]
            for image, eye in ((left, "left"), (right, "right")):
                pairs[image.lower()] = (f"{left}+{right}", eye)
        return pairs

    def _grades(
        self, table: Table, names: Sequence[str], eyes: Sequence[str]
    ) -> tuple[Sequence[str], list[int | None]]:
        texts = table.column("grade")
        if texts is None:  # a column for each eye
            by_eye = {eye: table.column(f"{eye}_grade") or () for eye in ("left", "right")}
            for row, eye in enumerate(eyes):
                if not eye:
                    raise InputError(
                        f"{table.place(row)}: {names[row]} tells no eye, and there is a grade for each; name a column "
                        f"with columns: {{eye: ...}}, or set {PATTERN_EXAMPLE}"
                    )
            texts = [by_eye[eye][row] for row, eye in enumerate(eyes)]
        meanings = self.meanings(texts)
        grades: list[int | None] = []
        for row, text in enumerate(texts):
            if text not in meanings:
                raise InputError(
                    f"{table.place(row, 'grade')}: grade {text!r} of {names[row]} is no integer from 0 to 4; say what "
                    "it is with grade_map, or that there is none with ungradable"
                )
            grades.append(meanings[text])
        return texts, grades

    def meanings(self, texts: Iterable[str]) -> dict[str, int | None]:
        """Return the grade of each text that has one, and None for those that are ungradable."""
        return grades_of(texts, self._grade_map, self.ungradable_values)

    def _splits(self, table: Table, split: str) -> list[str]:
        cells = table.column("split")
        if cells is None or not any(cells):
            return [split] * len(table.lines)
        for row, cell in enumerate(cells):
            if cell.lower() not in SPLIT_NAMES:
                raise InputError(f"{table.place(row)}: split {cell!r} is none of train, validation, test")
        return [SPLIT_NAMES[cell.lower()] for cell in cells]

    def finish(self) -> tuple[pd.DataFrame, list[str]]:
        """Return the table, each photograph once, and the names of rows that say again what another does.

        Names that mean several photographs are told apart; rows that contradict each other raise :class:`InputError`.
        """
        columns = self._columns
        self._tell_splits_apart()
        self._tell_endings_apart()
        seen: dict[str, int] = {}
        keep, repeated = [], []
        for row, name in enumerate(columns["image"]):
            first = seen.setdefault(name, row)
            if first == row:
                keep.append(row)
                continue
            for what in ("grade", "patient", "split"):
                if columns[what][row] != columns[what][first]:
                    raise InputError(
                        f"{self._place(row)}: {name} has {what} {columns[what][row]!r} here and "
                        f"{columns[what][first]!r} at {self._place(first)}; keep one of the two lines"
                    )
            columns["suffix"][first] = columns["suffix"][first] or columns["suffix"][row]
            repeated.append(name)
        table = pd.DataFrame({**columns, **self._others})
        if repeated:
            log.warning("%d repeated lines of the labels say the same again and were left out", len(repeated))
            table = table.iloc[keep].reset_index(drop=True)
        return table.astype({"grade": "int64"}), repeated

    @property
    def ungradable(self) -> pd.DataFrame:
        """The rows without a grade."""
        return pd.DataFrame(self._ungradable, columns=list(UNGRADABLE))

    @property
    def first(self) -> Table | None:
        """The first label file that has a row with a grade."""
        return self._places[0][0] if self._places else None

    def _place(self, row: int) -> str:
        table, line = self._places[row]
        return table.place(line)

    def _tell_splits_apart(self) -> None:
        """Call photographs ``train/NAME`` and ``test/NAME`` where label files of two splits name two photographs so."""
        images, splits = self._columns["image"], self._columns["split"]
        tables = {id(table) for table, _ in self._places}
        if len(tables) < 2 or self.layout.name == "course":
            return
        of_name: defaultdict[str, set[str]] = defaultdict(set)
        for name, split in zip(images, splits, strict=True):
            of_name[name].add(split)
        twice = {folded(name.rpartition("/")[2]): found for name, found in of_name.items() if len(found) > 1}
        if not twice:
            return
        if not self.layout.same_names:
            there: defaultdict[str, set[str]] = defaultdict(set)
            for path in self.folder.photographs:
                above, _, name = path.rpartition("/")
                if (stem := folded(without_ending(name)[0])) in twice:
                    there[stem].update(filter(None, map(split_of, above.split("/"))))
            if any(not found <= there[stem] for stem, found in twice.items()):
                return
        patients = self._columns["patient"]
        for row, (name, split) in enumerate(zip(images, splits, strict=True)):
            images[row] = f"{split}/{name}"
            if patients[row] == name:
                patients[row] = images[row]

    def _tell_endings_apart(self) -> None:
        """Call photographs ``a.jpg`` and ``a.png`` where the labels name both."""
        images, suffixes, patients = (self._columns[name] for name in ("image", "suffix", "patient"))
        endings: dict[str, str] = {}
        several: defaultdict[str, set[str]] = defaultdict(set)
        for name, suffix in zip(images, suffixes, strict=True):
            if suffix and endings.setdefault(name, suffix) != suffix:
                several[name] |= {suffix, endings[name]}
        if not several:
            return
        for row, name in enumerate(images):
            if name in several:
                if not suffixes[row]:
                    either = " or ".join(name + suffix for suffix in sorted(several[name]))
                    raise InputError(f"{self._place(row)}: {name} may be {either}; write its ending")
                images[row] = name + suffixes[row]
                if patients[row] == name:
                    patients[row] = images[row]


def _names(table: Table, texts: Sequence[str], role: str, data_dir: Path) -> tuple[list[str], list[str]]:
    """Return names without their ending, as paths in the data folder, and the endings, empty where there is none.

    Where all names are absolute, of whatever system, the part below ``data_dir`` counts, else that below the folder
    which they have in common.
    """
    names, suffixes, absolute = [], [], []
    for row, text in enumerate(texts):
        if not text and role == "image":
            raise InputError(f"{table.place(row)}: the name of the photograph is empty")
        if "\0" in text or (".." in text and ".." in PureWindowsPath(text).parts):
            check_inside(text, table.place(row))
        if "\\" in text or text.startswith("/") or text[1:2] == ":":
            windows = PureWindowsPath(text)
            if windows.root or windows.drive:
                absolute.append(row)
            text = "/".join(part for part in windows.parts if part != windows.anchor)
        if "/" in text:
            text = str(PurePosixPath(text))
        name, suffix = without_ending(text)
        names.append(name)
        suffixes.append(suffix)
    if absolute:
        filled = sum(1 for text in texts if text)
        if len(absolute) < filled and role == "image":  # a mistake, or an attempt to read something else
            check_inside(texts[absolute[0]], table.place(absolute[0]))
        _cut(names, absolute, data_dir)
    return names, suffixes


def _cut(names: list[str], rows: Iterable[int], data_dir: Path) -> None:
    """Cut names of absolute paths, in place, to what is below the data folder or the folder they have in common."""
    root = str(data_dir.absolute()).strip("/") + "/"
    others = [row for row in rows if not names[row].startswith(root)]
    folders = [names[row].rpartition("/")[0] for row in others]
    common = os.path.commonpath(folders) + "/" if folders and all(folders) else ""
    if common and any(eye_of(names[row].removeprefix(common).partition("/")[0]) for row in others):
        common = common[:-1].rpartition("/")[0] + "/"  # the patient may be in the folder above that of an eye
    for row in rows:
        names[row] = names[row].removeprefix(root if names[row].startswith(root) else common)


def without_ending(name: str) -> tuple[str, str]:
    """Return a name without the ending of a picture, and that ending, empty where it has none."""
    stem, suffix = os.path.splitext(name)
    return (stem, suffix) if suffix.lower() in _ENDINGS else (name, "")


def _other_name(name: str) -> str:
    """Return what a column of the label file is called beside ours."""
    return f"{name}_" if name in (*COLUMNS, "path", "quality") else name or "column"


def check_inside(name: str, place: str) -> None:
    """Raise :class:`InputError` for a name that leaves the data folder, also in the other system's spelling.

    Links inside the folder may lead anywhere.
    """
    windows = PureWindowsPath(name)
    if windows.root or windows.drive or ".." in windows.parts or "\0" in name:
        raise InputError(f"{place}: {name!r} leads out of the data folder; use names inside it")
