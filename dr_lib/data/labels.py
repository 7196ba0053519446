"""Labels of every layout, read into one table: image, grade, patient, eye, split, and what else they tell."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pandas as pd

from dr_lib.config import RunConfig
from dr_lib.data import medmnist
from dr_lib.data.folder import Folder, folded, list_folder
from dr_lib.data.label_files import Table, read_course_pair, read_table
from dr_lib.data.label_text import read_rows
from dr_lib.data.label_values import SPLIT_NAMES, eye_of, grades_of, number_text, split_of
from dr_lib.data.layouts import (
    Layout,
    Source,
    layout_named,
    layout_of_file,
    read_grade_folders,
    recognize,
    sources_of,
    tables_with_labels,
)
from dr_lib.data.patients import PATTERN_EXAMPLE, names_that_look_paired, patients_and_eyes
from dr_lib.data.signatures import PICTURE_SUFFIXES, SUFFIXES
from dr_lib.errors import InputError
from dr_lib.system.terminal import logger

log = logger("data")

UNGRADABLE = ("image", "label", "split", "suffix", "file")
"""The columns of what is known of a photograph that has no grade."""

COLUMNS = ("image", "grade", "patient", "eye", "split", "suffix", "file")

GIVEN, MADE_HERE = "given", "made here by patient"
DRAWN_ANEW = "given, but for the validation photographs, which were drawn anew"
TEST_DRAWN = "given, but for the testing photographs, which were held out here by patient"
_ENDINGS = frozenset({*SUFFIXES, *PICTURE_SUFFIXES})


@dataclass(frozen=True)
class Labels:
    """The labels of a data set, and what is known of their files.

    ``table``: one row a photograph that has a grade: ``image`` and ``patient`` (text), ``grade`` (0-4), ``eye``
    (``left``, ``right`` or empty), ``split``, ``suffix``, ``file``, then the other columns of the label files as text.
    ``suffix`` is the ending that the labels give to ``image``, such as ``.png``; empty where they give none. ``file``:
    the path below the data folder that they give, without its ending. ``split`` is ``train``, ``validation``, ``test``,
    or empty in all rows where the labels bring none.
    ``form``: how they are written, never ``auto``. ``header``: whether the first line was one; None where a form has no
    lines. ``header_loss``: the photographs that are lost to who reads the course's files with pandas' default,
    ``header=0``, one a pair of files: ``image_file``, ``grade_file``, and the ``image`` and ``grade`` of their first
    line. ``split_origin``: who has made the splits.
    ``recognized``: one line: the layout, what there is, what is left out. ``rows``: how many rows were read.
    ``ungradable``: the photographs whose label means that there is no grade, with that ``label``. ``repeated``: a name
    for each row that says again what another does. ``files``: the label files in ``folder``, which are read.
    ``look_paired``: names that look like several photographs of one patient, which is not understood.
    """

    table: pd.DataFrame
    form: str = "table"
    header: bool | None = None
    header_loss: tuple[dict[str, Any], ...] = ()
    split_origin: str = GIVEN
    recognized: str = ""
    rows: int = 0
    ungradable: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(UNGRADABLE)), repr=False)
    repeated: tuple[str, ...] = field(default=(), repr=False)
    files: tuple[str, ...] = ()
    look_paired: tuple[str, ...] = field(default=(), repr=False)
    folder: Folder | None = field(default=None, repr=False)


def labels_of(config: RunConfig) -> Labels:
    """Return the labels of a configuration's data, as :func:`read_labels` does."""
    return read_labels(
        Path(config.data_dir), config.labels, config.labels_file, labels_files=config.labels_files,
        columns=config.columns, grade_map=config.grade_map, ungradable=config.ungradable,
        patient_pattern=config.patient_pattern,
    )  # fmt: skip


def read_labels(
    data_dir: Path,
    form: str = "auto",
    labels_file: str = "",
    *,
    labels_files: Mapping[str, str] | None = None,
    columns: Mapping[str, str] | None = None,
    grade_map: Mapping[str, int] | None = None,
    ungradable: Sequence[Any] = (),
    patient_pattern: str = "",
) -> Labels:
    """Return the labels in ``data_dir``, as they are written there.

    ``form``: the name of one of :data:`dr_lib.data.layouts.LAYOUTS`, or ``auto``, by the files that are there.
    ``labels_file``: the label file, where its name does not tell, ``NAME.xlsx#SHEET`` for a sheet of a workbook.
    ``labels_files``: one a split. ``columns``: which column is what. ``grade_map``: grades of other words and numbers.
    ``ungradable``: what stands where there is no grade; such rows are left out, counted and listed.
    ``patient_pattern``: see :func:`dr_lib.data.patients.patients_and_eyes`.
    Raises :class:`InputError` naming file and line.
    """
    data_dir = Path(data_dir)
    if not data_dir.is_dir():
        own = "set data_dir to the folder of labels and photographs, or draw one with dr-lab make-data"
        raise InputError(f"data_dir {data_dir}: no such folder; {medmnist.REMEDY if form == 'medmnist' else own}")
    folder, columns, grade_map = list_folder(data_dir), columns or {}, grade_map or {}
    layout, sources = _layout(folder, form, labels_file, labels_files or {}, columns)
    reading = _Reading(folder, layout, grade_map, (*layout.ungradable, *ungradable), patient_pattern)
    if layout.name == "course":
        return _read_course(reading, labels_file)
    if layout.name == "medmnist":
        path = medmnist.find(data_dir, labels_file)
        reading.add(medmnist.read_table(path), "")
        return reading.labels(header=None, files=(path.name,))
    if layout.name == "folders":
        known = {number_text(value) for value in (*grade_map, *reading.ungradable_values)}
        reading.add(read_grade_folders(folder, known), "")
        return reading.labels(header=None, files=())
    tables = [(source, table) for source in sources if (table := _read_source(reading, source, columns)) is not None]
    for source, table in tables:
        # A single file of training photographs, as EyePACS' and APTOS', brings no split.
        reading.add(table, source.split if len(tables) > 1 or labels_files else "")
    return reading.labels(header=tables[0][1].header, files=tuple(source.name for source, _ in tables))


def _layout(
    folder: Folder, form: str, labels_file: str, labels_files: Mapping[str, str], columns: Mapping[str, str]
) -> tuple[Layout, tuple[Source, ...]]:
    """Return the layout that is asked for, or is there, and its label files."""
    if labels_files:
        if labels_file:
            raise InputError(f"labels_file {labels_file!r} and labels_files: say one of them")
        for split, name in labels_files.items():
            check_inside(name, "labels_files")
            if split not in ("train", "validation", "test"):
                raise InputError(f"labels_files: {split!r} is none of train, validation, test")
        chosen = tuple(_source(name, split) for split, name in labels_files.items())
    else:
        check_inside(labels_file, "labels_file")
        chosen = (_source(labels_file),) if labels_file else ()
    if form == "auto" and labels_file.lower().endswith(".npz"):
        form = "medmnist"
    if form == "auto" and not chosen:
        return recognize(folder, columns)
    layout = layout_named(form) if form != "auto" else layout_of_file(chosen[0].name)
    if layout.name in ("course", "medmnist", "folders"):
        return layout, ()
    if chosen:
        for source in chosen:
            if not (folder.path / source.name).is_file():
                parameter = "labels_files" if labels_files else "labels_file"
                raise InputError(
                    f"{folder.path / source.name}: no such file; put the labels there or name them with {parameter}"
                )
        return layout, chosen
    if layout.name == "table":  # a single one that is none says itself what is wrong with it
        found = tables_with_labels(folder, columns)
        found = found or tuple(Source(name) for name in folder.tables if len(folder.tables) == 1)
    else:
        found = sources_of(folder, layout.name)
    if not found:
        usual = next(iter(layout.files), "labels.csv")
        raise InputError(f"{folder.path / usual}: no such file; put the labels there or name them with labels_file")
    return layout, found


def _source(name: str, split: str = "") -> Source:
    file, _, sheet = name.partition("#") if ".xlsx#" in name.lower() else (name, "", "")
    return Source(file, split, sheet)


def _read_source(reading: "_Reading", source: Source, columns: Mapping[str, str]) -> Table | None:
    """Return a label file; None for one of testing photographs that has no grades, as APTOS' and DDR's."""
    path = reading.folder.path / source.name
    try:
        return read_table(path, columns, source.sheet)
    except InputError as error:
        if source.split in ("", "train") or "no grade column" not in str(error):
            raise
        names = len(read_rows(path)[0]) - 1
        reading.notes.append(f"{source.name} names {names:,} photographs without grades")
        return None


def _read_course(reading: "_Reading", labels_file: str) -> Labels:
    if labels_file:
        raise InputError(f"labels_file {labels_file!r}: labels of form course have fixed names; leave it empty")
    folder, lost, files = reading.folder, [], []
    tested = folder.named("test_img.csv") or folder.named("test_label.csv")
    for split in ("train", "test") if tested else ("train",):
        names = [folder.named(name) or name for name in (f"{split}_img.csv", f"{split}_label.csv")]
        files += names
        table = read_course_pair(*(folder.path / name for name in names))
        reading.add(table, split if tested else "")
        if not table.header:
            image, _ = _without_ending(table.cells["image"][0])
            first = {"image": image, "grade": int(table.cells["grade"][0][0])}
            lost.append({"image_file": f"{split}_img.csv", "grade_file": f"{split}_label.csv", **first})
    return reading.labels(header=not lost, header_loss=tuple(lost), files=tuple(files))


class _Reading:
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
        self._rows = 0

    def add(self, table: Table, split: str) -> None:
        """Add the rows of a label file; ``split``: of all of them, where it is known."""
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
        self._rows += len(names)
        columns = dict(zip(COLUMNS, (names, grades, patients, eyes, splits, suffixes, files), strict=True))
        others = {_other_name(name): cells for name, cells in table.others.items()}
        if (quality := table.column("quality")) is not None:
            others = {"quality": quality, **others}
        before = len(self._places)
        for name, cells in columns.items():
            self._columns[name] += cells if len(kept) == len(names) else [cells[row] for row in kept]
        for name in {*self._others, *others}:
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
            left, right, *_ = [_without_ending(cell)[0] for cell in cells] + [""]
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
        meanings = grades_of(texts, self._grade_map, self.ungradable_values)
        grades: list[int | None] = []
        for row, text in enumerate(texts):
            if text not in meanings:
                raise InputError(
                    f"{table.place(row, 'grade')}: grade {text!r} of {names[row]} is no integer from 0 to 4; say what "
                    "it is with grade_map, or that there is none with ungradable"
                )
            grades.append(meanings[text])
        return texts, grades

    def _splits(self, table: Table, split: str) -> list[str]:
        cells = table.column("split")
        if cells is None or not any(cells):
            return [split] * len(table.lines)
        for row, cell in enumerate(cells):
            if cell.lower() not in SPLIT_NAMES:
                raise InputError(f"{table.place(row)}: split {cell!r} is none of train, validation, test")
        return [SPLIT_NAMES[cell.lower()] for cell in cells]

    def labels(
        self, *, header: bool | None, files: tuple[str, ...], header_loss: tuple[dict[str, Any], ...] = ()
    ) -> Labels:
        """Return the labels: each photograph once, names that mean several photographs told apart."""
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
        table = table.astype({"grade": "int64"})
        unknown = table.loc[table["patient"] == table["image"], "file"]
        paired = names_that_look_paired(unknown) if self.layout.name != "medmnist" else []
        if paired:
            log.warning(
                "%d names look like several photographs of one patient and are not understood, such as %s and %s; each "
                "counts as a patient of its own until you set %s", len(paired), *paired[:2], PATTERN_EXAMPLE,
            )  # fmt: skip
        form = self._form()
        about = _describe(self.layout, form, files, table)
        left_out = [f"{len(self._ungradable):,} ungradable"] * bool(self._ungradable)
        left_out += [f"{len(repeated):,} repeated"] * bool(repeated)
        recognized = (
            about
            + f"; left out: {', '.join(left_out)}" * bool(left_out)
            + "".join(f"; {note}" for note in self._all_notes())
        )
        ungradable = pd.DataFrame(self._ungradable, columns=list(UNGRADABLE))
        return Labels(
            table, form, header, header_loss, recognized=recognized, rows=self._rows, ungradable=ungradable,
            repeated=tuple(repeated), files=files, look_paired=tuple(paired), folder=self.folder,
        )  # fmt: skip

    def _all_notes(self) -> list[str]:
        encodings = {table.encoding for table, _ in self._places[:1] + self._places[-1:]} - {""}
        return self.notes + [f"read as {encoding}" for encoding in sorted(encodings)]

    def _form(self) -> str:
        """Return how the labels are written; a table may be like Kaggle's or APTOS', whatever it is called."""
        if self.layout.name not in ("table", "aptos") or not self._places:
            return self.layout.name
        roles = self._places[0][0].roles
        names = roles["image"].lower(), roles.get("grade", "").lower()
        return {("id_code", "diagnosis"): "aptos", ("image", "level"): "kaggle"}.get(names, "table")

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
                if (stem := folded(_without_ending(name)[0])) in twice:
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


def _describe(layout: Layout, form: str, files: Sequence[str], table: pd.DataFrame) -> str:
    """Return layout, photographs, grades, patients and splits in one line."""
    title = layout.title if form == layout.name else layout_named(form).title
    grades = " ".join(f"{grade}: {count:,}" for grade, count in sorted(Counter(table["grade"]).items()))
    known = table.loc[table["patient"] != table["image"], "patient"].nunique()
    unknown = int((table["patient"] == table["image"]).sum())
    patients = f"{known:,} patients" if known else "patients unknown"
    patients += f" and {unknown:,} photographs of unknown ones" if known and unknown else ""
    splits = Counter(table["split"])
    named = ", ".join(f"{splits[name]:,} {name}" for name in ("train", "validation", "test") if splits[name])
    where = f" ({', '.join(files[:4])}{', ...' if len(files) > 4 else ''})" if files else ""
    return f"{title}{where}: {len(table):,} photographs, grades {grades}, {patients}, {named or 'no split'}"


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
        name, suffix = _without_ending(text)
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


def _without_ending(name: str) -> tuple[str, str]:
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
