"""Cells of label files with the line each was read from, so that an error can name it."""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from dr_lib.data.label_text import read_text
from dr_lib.errors import InputError

COLUMN_NAMES = {
    "image": (
        "image",
        "id_code",
        "img",
        "image_id",
        "image_name",
        "img_name",
        "image_path",
        "filename",
        "file",
        "name",
    ),
    "grade": ("grade", "level", "diagnosis", "label", "dr_grade", "retinopathy_grade", "class"),
    "patient": ("patient", "patient_id"),
    "split": ("split",),
}
"""What a column may be called, best first; case and spaces do not matter."""

NUMBER = re.compile(r"^[-+]?[0-9.]+$")


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of a label file; ``place`` is ``FILE line N``."""

    text: str
    path: Path
    line: int

    @property
    def place(self) -> str:
        return f"{self.path} line {self.line}"


@dataclass(frozen=True)
class Column:
    """A column of a label file: its name as spelled in :data:`COLUMN_NAMES` and its cells."""

    name: str
    cells: list[Cell]


def read_rows(path: Path) -> list[list[Cell]]:
    """Return the rows of a CSV that are not blank, cells without the space around them.

    Columns may be parted by comma, semicolon or tab. Raises :class:`InputError` where the file is missing, empty or
    no text.
    """
    text = read_text(path)
    first = text.lstrip().partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count))
    rows = []
    try:
        for row in reader:
            if any(value.strip() for value in row):
                rows.append([Cell(value.strip(), path, reader.line_num) for value in row])
    except csv.Error as error:
        raise InputError(f"{path} line {reader.line_num}: not CSV ({error}); save it as CSV again") from None
    if not rows:
        raise InputError(f"{path}: empty; needs one line a photograph")
    return rows


def read_columns(path: Path) -> dict[str, Column]:
    """Return the columns ``image`` and ``grade``, and ``patient`` and ``split`` where there are any.

    The first line names them. Raises :class:`InputError` where it does not, or where a line is short.
    """
    header, *rows = read_rows(path)
    spelled = [cell.text.lower().replace(" ", "_") for cell in header]
    columns = {}
    for kind, names in COLUMN_NAMES.items():
        name = next((name for name in names if name in spelled), None)
        if name is None:
            if kind in ("image", "grade"):
                raise InputError(
                    f"{header[0].place}: no {kind} column among {', '.join(cell.text for cell in header[:8])!r}; "
                    f"call it one of {', '.join(names)}"
                )
            continue
        at = spelled.index(name)
        for row in rows:
            if len(row) <= at:
                raise InputError(f"{row[0].place}: {len(row)} values, the header names {len(header)}; mend the line")
        columns[kind] = Column(name, [row[at] for row in rows])
    return columns


def read_course_column(image_path: Path, grade_path: Path) -> tuple[list[Cell], list[Cell], bool]:
    """Return names and grades of the course's pair of files, and whether the pair had a header.

    The published files have none, and reading them as if they had loses the first photograph; so the first line is
    taken for a header only where it reads like one.
    """
    images, grades = _single_column(image_path), _single_column(grade_path)
    image_header = _is_image_header(images, grades)
    grade_header = (
        grades[0].text.lower() in COLUMN_NAMES["grade"]
        or (image_header and len(grades) == len(images) and grades[0].text == images[0].text)
        or (image_header and not NUMBER.match(grades[0].text))
    )
    return images[image_header:], grades[grade_header:], image_header or grade_header


def _is_image_header(images: list[Cell], grades: list[Cell]) -> bool:
    first, others = images[0].text, [cell.text for cell in images[1:]]
    if first.lower() in COLUMN_NAMES["image"]:
        return True
    if first == grades[0].text == "0":
        # pandas writes the number of an unnamed column as its header.
        return bool(others) and not any(name.isdigit() for name in others)
    if len(images) == len(grades) and NUMBER.match(grades[0].text):
        return False  # it has a grade: a photograph with an odd name
    return not re.search(r"\d", first) and bool(others) and all(re.search(r"\d", name) for name in others)


def _single_column(path: Path) -> list[Cell]:
    rows = read_rows(path)
    for row in rows:
        if len(row) != 1:
            raise InputError(f"{row[0].place}: {len(row)} values, needs one; a course file has one value a line")
    return [row[0] for row in rows]
