"""Labels of every known form, read into one table: image, grade, patient, split."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pandas as pd

from dr_lib.data import medmnist
from dr_lib.data.label_files import Cell, Column, read_columns, read_course_column
from dr_lib.data.label_text import OTHER_SUFFIXES, other_kind
from dr_lib.data.signatures import is_photograph
from dr_lib.errors import InputError
from dr_lib.system.terminal import logger

log = logger("data")

COLUMNS = ("image", "grade", "patient", "split", "suffix")
TABLE_SUFFIXES = (".csv", ".tsv")
"""What tables of labels may end with, in any case."""

USUAL_FILES = {"kaggle": "trainLabels.csv", "aptos": "train.csv", "table": "labels.csv"}
SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
EYE = re.compile(r"^(?P<patient>.+)_(left|right)$", re.IGNORECASE)
GRADE = re.compile(r"^[0-4](\.0*)?$")


GIVEN, MADE_HERE = "given", "made here by patient"
DRAWN_ANEW = "given, but for the validation photographs, which were drawn anew"


@dataclass(frozen=True)
class Labels:
    """The labels of a data set, and what is known of their files.

    ``table``: one row a photograph: ``image`` and ``patient`` (text), ``grade`` (0-4), ``split``, ``suffix``.
    ``suffix`` is the ending that the labels give to ``image``, such as ``.png``; empty where they give none. ``split``
    is ``train``, ``validation``, ``test``, or empty in all rows where the labels bring none.
    ``form``: how they are written, never ``auto``. ``header``: whether the first line was one; None where a form has no
    lines. ``header_loss``: the photographs that are lost to who reads the course's files with pandas' default,
    ``header=0``, one a pair of files: ``image_file``, ``grade_file``, and the ``image`` and ``grade`` of their first
    line. ``split_origin``: who has made the splits.
    """

    table: pd.DataFrame
    form: str = "table"
    header: bool | None = None
    header_loss: tuple[dict[str, Any], ...] = ()
    split_origin: str = GIVEN


def read_labels(data_dir: Path, form: str = "auto", labels_file: str = "") -> Labels:
    """Return the labels in ``data_dir``, as they are written there.

    ``form`` is ``course`` (``train_img.csv`` with ``train_label.csv``, and ``test_*``, with or without a header),
    ``kaggle`` (``trainLabels.csv``: image, level), ``aptos`` (``train.csv``: id_code, diagnosis), ``table`` (any CSV
    with image and grade columns), ``medmnist`` (``retinamnist*.npz``) or ``auto`` (by the files that are there).
    Raises :class:`InputError` naming file and line.
    """
    data_dir = Path(data_dir)
    if not data_dir.is_dir():
        own = "set data_dir to the folder of labels and photographs, or draw one with dr-lab make-data"
        raise InputError(f"data_dir {data_dir}: no such folder; {medmnist.REMEDY if form == 'medmnist' else own}")
    check_inside(labels_file, "labels_file")
    path = None
    if form == "auto":
        form, path = recognize(data_dir, labels_file)
    elif form in USUAL_FILES:
        path = _label_file(data_dir, form, labels_file)
    if path:
        columns = read_columns(path)
        return Labels(_read_table(path, columns), form or _form_of(columns), header=True)
    if form == "medmnist":
        rows = medmnist.read_labels(medmnist.find(data_dir, labels_file))
        return Labels(pd.DataFrame(rows, columns=list(COLUMNS[:-1])).assign(suffix=""), form)
    if form == "course":
        return _read_course(data_dir, labels_file)
    raise InputError(f"labels: {form!r} is no known form; use course, kaggle, aptos, table, medmnist or auto")


def recognize(data_dir: Path, labels_file: str = "") -> tuple[str, Path | None]:
    """Return the form of the labels in ``data_dir`` by the files that are there; the course's pair wins.

    Where they are a table, with its file; then the form is empty where the file's name does not tell it.
    """
    if labels_file:
        return (
            ("medmnist", None) if labels_file.lower().endswith(".npz") else ("", _label_file(data_dir, "", labels_file))
        )
    if _spelled(data_dir, "train_img.csv").exists() or _spelled(data_dir, "train_label.csv").exists():
        if not any(_spelled(data_dir, f"test_{part}.csv").exists() for part in ("img", "label")):
            raise InputError(
                f"{data_dir / 'test_img.csv'}: missing, while the training pair is there; add the test pair, "
                "or say labels: course to make a split by patient here"
            )
        return "course", None
    if (path := _spelled(data_dir, USUAL_FILES["kaggle"])).exists():
        return "kaggle", path
    if (path := _spelled(data_dir, USUAL_FILES["aptos"])).exists():
        return "", path
    if any(data_dir.glob("retinamnist*.npz")):
        return "medmnist", None
    if _tables(data_dir):
        return "", _label_file(data_dir, "table", "")
    for path in sorted(data_dir.iterdir()):
        if path.suffix.lower() in OTHER_SUFFIXES and path.is_file() and (kind := other_kind(path)):
            raise InputError(f"data_dir {data_dir}: no label files but {path.name}, which is {kind}")
    raise InputError(
        f"data_dir {data_dir}: no label files; needs train_img.csv with train_label.csv and test_*, trainLabels.csv, "
        "train.csv, retinamnist*.npz, or a CSV with image and grade columns"
    )


def patient_of(image: str) -> str:
    """Return the patient of a photograph: ``10`` for ``10_left`` and ``10_right``, else the name itself."""
    eye = EYE.match(image.rpartition("/")[2])
    return eye["patient"] if eye else image


def patient_known(table: pd.DataFrame) -> pd.Series:
    """Tell for each row whether its ``patient`` is known: whom neither labels nor name tell is called like the image.

    Such a photograph counts as a patient of its own where patients are drawn or kept together.
    """
    return table["patient"] != table["image"]


def _form_of(columns: Mapping[str, Column]) -> str:
    names = columns["image"].name, columns["grade"].name
    return {("id_code", "diagnosis"): "aptos", ("image", "level"): "kaggle"}.get(names, "table")


def _label_file(data_dir: Path, form: str, labels_file: str) -> Path:
    path = data_dir / labels_file if labels_file else _spelled(data_dir, USUAL_FILES[form])
    if form == "table" and not labels_file and not path.exists() and (found := _tables(data_dir)):
        if len(found) > 1:
            names = ", ".join(file.name for file in found[:5])
            raise InputError(f"data_dir {data_dir}: {len(found)} CSV files ({names}); choose one with labels_file")
        path = found[0]
    if not path.is_file():
        raise InputError(f"{path}: no such file; put the labels there or name them with labels_file")
    return path


def _tables(data_dir: Path) -> list[Path]:
    return sorted(path for path in data_dir.iterdir() if path.suffix.lower() in TABLE_SUFFIXES and path.is_file())


def _spelled(data_dir: Path, name: str) -> Path:
    """Return the file of this name, or the one that differs from it in case, or as TSV from CSV, alone."""
    path = data_dir / name
    if path.exists():
        return path
    alike = [other for other in _tables(data_dir) if other.stem.lower() == path.stem.lower()]
    if len(alike) > 1:
        raise InputError(f"{path}: {' or '.join(map(str, alike))}? Rename one, or choose it with labels_file")
    return alike[0] if alike else path


def _read_course(data_dir: Path, labels_file: str) -> Labels:
    if labels_file:
        raise InputError(f"labels_file {labels_file!r}: labels of form course have fixed names; leave it empty")
    pairs = {"train": "train"}
    if _spelled(data_dir, "test_img.csv").exists() or _spelled(data_dir, "test_label.csv").exists():
        pairs["test"] = "test"
    else:
        pairs["train"] = ""
    rows, lost = _Rows(), []
    for prefix, split in pairs.items():
        image_path, grade_path = (_spelled(data_dir, f"{prefix}_{part}.csv") for part in ("img", "label"))
        images, grades, header = read_course_column(image_path, grade_path)
        if len(images) != len(grades):
            raise InputError(
                f"{image_path.name} has {len(images)} names and {grade_path.name} {len(grades)} grades "
                f"(in {data_dir}); each name needs the grade of the same line"
            )
        if not images:
            raise InputError(f"{image_path}: no photographs in it; needs one name a line")
        for image, grade in zip(images, grades, strict=True):
            rows.add(image, grade, split=split)
        if not header:
            first = {"image": _image_name(images[0])[0], "grade": int(grades[0].text[0])}
            lost.append({"image_file": f"{prefix}_img.csv", "grade_file": f"{prefix}_label.csv", **first})
    return Labels(rows.table(), "course", header=not lost, header_loss=tuple(lost))


def _read_table(path: Path, columns: Mapping[str, Column]) -> pd.DataFrame:
    images, grades = columns["image"].cells, columns["grade"].cells
    if not images:
        raise InputError(f"{path}: a header and no photographs; needs one line a photograph")
    nothing: list[Cell | None] = [None] * len(images)
    patients: Sequence[Cell | None] = columns["patient"].cells if "patient" in columns else nothing
    splits: Sequence[Cell | None] = columns["split"].cells if "split" in columns else nothing
    some_split = any(cell is not None and cell.text for cell in splits)
    rows = _Rows()
    for image, grade, patient, split in zip(images, grades, patients, splits, strict=True):
        known = _split(split) if split and some_split else ""
        rows.add(image, grade, patient=patient.text if patient else "", split=known)
    return rows.table()


def _split(cell: Cell) -> str:
    try:
        return SPLIT_NAMES[cell.text.lower()]
    except KeyError:
        raise InputError(f"{cell.place}: split {cell.text!r} is none of train, validation, test") from None


class _Rows:
    """Rows of the table, each checked as it comes, with the places where names were met."""

    def __init__(self):
        self._rows: dict[str, tuple[int, str, str]] = {}
        self._suffixes: dict[str, str] = {}
        self._places: dict[str, str] = {}
        self._repeats = 0

    def add(self, image: Cell, grade: Cell, *, split: str, patient: str = "") -> None:
        name, suffix = _image_name(image)
        if not GRADE.match(grade.text):
            raise InputError(f"{grade.place}: grade {grade.text!r} of {name} is no integer from 0 to 4")
        row = int(grade.text[0]), patient or patient_of(name), split
        known = self._rows.setdefault(name, row)
        if suffix != self._suffixes.setdefault(name, suffix) and suffix:
            if self._suffixes[name]:
                raise InputError(
                    f"{image.place}: {name}{suffix} here and {name}{self._suffixes[name]} at {self._places[name]}; "
                    "photographs go by their name without its ending: rename one, or take its line out"
                )
            self._suffixes[name] = suffix
        if known == row:
            self._repeats += name in self._places
            self._places.setdefault(name, image.place)
            return
        what = ("grade", "patient", "split")[[one == other for one, other in zip(known, row, strict=True)].index(False)]
        at = ("grade", "patient", "split").index(what)
        raise InputError(
            f"{image.place}: {name} has {what} {row[at]!r} here and {known[at]!r} at {self._places[name]}; "
            "keep one of the two lines"
        )

    def table(self) -> pd.DataFrame:
        if self._repeats:
            log.warning("%d repeated lines of the labels say the same again and were left out", self._repeats)
        rows = [(image, *row, self._suffixes[image]) for image, row in self._rows.items()]
        return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"grade": "int64"})


def _image_name(cell: Cell) -> tuple[str, str]:
    """Return the name of a photograph without its ending, and the ending, empty where it has none of a photograph."""
    if not cell.text:
        raise InputError(f"{cell.place}: the name of the photograph is empty")
    check_inside(cell.text, cell.place)
    path = PurePosixPath(cell.text)
    suffix = path.suffix if is_photograph(path.name) else ""
    return str(path).removesuffix(suffix), suffix


def check_inside(name: str, place: str) -> None:
    """Raise :class:`InputError` for a name that leaves the data folder, also in the other system's spelling.

    Links inside the folder may lead anywhere.
    """
    windows = PureWindowsPath(name)
    if windows.root or windows.drive or ".." in windows.parts or "\0" in name:
        raise InputError(f"{place}: {name!r} leads out of the data folder; use names inside it")
