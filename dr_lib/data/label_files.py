"""Tables of labels: which column is what, and the line of each row, so that an error can name it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dr_lib.data.label_text import first_row, read_rows
from dr_lib.data.label_values import grades_of
from dr_lib.errors import InputError, closest
from dr_lib.system.terminal import counted

COLUMN_NAMES: dict[str, tuple[str, ...]] = {
    "image": (
        "image", "id_code", "img", "image_id", "image_name", "img_name", "image_path", "filename", "file", "name",
        "file_name", "imageid", "imagename", "image_file", "img_id", "photo", "photograph", "path", "filepath",
        "file_path", "img_path",
    ),
    "path": ("path", "image_path", "filepath", "file_path", "img_path"),
    "grade": (
        "grade", "level", "diagnosis", "label", "dr_grade", "retinopathy_grade", "class", "adjudicated_dr_grade",
        "dr_level", "dr_levels", "icdr", "dr_icdr", "icdr_grade", "icdr_level", "categories",
    ),
    "patient": ("patient", "patient_id", "patientid", "subject", "subject_id", "participant_id"),
    "eye": ("eye", "laterality", "side"),
    "split": ("split",),
    "quality": ("quality", "overall_quality", "image_quality", "adjudicated_gradable", "gradable"),
    "left_grade": ("left_grade", "left_eye_dr_level", "left_level", "grade_left"),
    "right_grade": ("right_grade", "right_eye_dr_level", "right_level", "grade_right"),
}  # fmt: skip
"""What a column may be called, best first; case does not matter, and spaces and hyphens count as ``_``."""

NUMBER = re.compile(r"^[-+]?[0-9.]+$")
_INDEX = re.compile(r"(unnamed.*|index)?")


@dataclass(frozen=True)
class Table:
    """A label file: ``cells`` by column name as written there, and the ``lines`` that its rows end in.

    ``roles``: the column of each part that is there, a key of :data:`COLUMN_NAMES`. ``encoding``: where not UTF-8.
    """

    path: Path
    lines: Sequence[int] = field(repr=False)
    cells: Mapping[str, Sequence[str]] = field(repr=False)
    roles: Mapping[str, str]
    encoding: str = ""
    header: bool = True
    grade_file: tuple[Path, Sequence[int]] | None = field(default=None, repr=False)

    def place(self, row: int, role: str = "") -> str:
        """Return ``FILE line N`` of a row, counted from 0; grades may stand in a file of their own."""
        path, lines = self.grade_file if self.grade_file and role == "grade" else (self.path, self.lines)
        return f"{path} line {lines[row]}"

    def column(self, role: str) -> Sequence[str] | None:
        """Return the cells of the column that plays ``role``; None where there is none."""
        return self.cells[self.roles[role]] if role in self.roles else None

    @property
    def others(self) -> dict[str, Sequence[str]]:
        """The columns that are neither one of :data:`COLUMN_NAMES` nor numbers of rows nor empty."""
        used = set(self.roles.values())
        return {
            name: cells
            for name, cells in self.cells.items()
            if name not in used and not _INDEX.fullmatch(name.lower()) and any(cells)
        }


def read_table(path: Path, columns: Mapping[str, str] | None = None, sheet: str = "") -> Table:
    """Return a label file whose first line names its columns; one of two columns may have names and grades at once.

    ``columns``: which column is what, such as ``{"image": "photo"}``, over :data:`COLUMN_NAMES`. Raises
    :class:`InputError` where there is no column of images or of grades, where a line is short, and where two columns
    with different grades may be meant.
    """
    columns = columns or {}
    rows, encoding = read_rows(path, sheet)
    first_line, first = rows[0]
    if not columns and _is_row(first):
        cells = {"image": [row[0] for _, row in rows], "grade": [_cell(path, line, row, 1, 2) for line, row in rows]}
        return Table(path, [line for line, _ in rows], cells, {"image": "image", "grade": "grade"}, encoding, False)
    positions = {name: first.index(name) for name in first}  # of two of one name the first
    roles = _roles(f"{path} line {first_line}", first, columns)
    if twice := next((name for name in roles.values() if first.count(name) > 1), None):
        raise InputError(f"{path} line {first_line}: two columns are called {twice!r}; rename one")
    needed = max(positions[name] for name in roles.values())
    for line, row in rows[1:]:
        if len(row) <= needed:
            _cell(path, line, row, needed, len(first))
    body = [row for _, row in rows[1:]]
    if not body:
        raise InputError(f"{path}: a header and no photographs; needs one line a photograph")
    contents = {name: [row[at] if at < len(row) else "" for row in body] for name, at in positions.items()}
    if "path" in roles and roles["path"] == roles.get("image"):
        del roles["path"]
    table = Table(path, [line for line, _ in rows[1:]], contents, roles, encoding)
    _check_one_grade(table, columns)
    return table


def has_labels(path: Path, columns: Mapping[str, str]) -> tuple[bool, bool]:
    """Return whether a file is a table with a column of images, and whether it has one of grades."""
    first = first_row(path)
    if _is_row(first):
        return True, True
    names = _spelled(first)
    image = "image" in columns or any(name in names for name in COLUMN_NAMES["image"])
    grade = any(role in columns or set(COLUMN_NAMES[role]) & names.keys() for role in ("grade", "left_grade"))
    return image, grade


def _is_row(cells: Sequence[str]) -> bool:
    """Return whether a first line of two cells is a photograph and its grade rather than two headings."""
    return len(cells) == 2 and NUMBER.match(cells[1]) is not None and cells[0].lower() not in COLUMN_NAMES["image"]


def _spelled(header: Sequence[str]) -> dict[str, str]:
    """Return the columns by their names as :data:`COLUMN_NAMES` spells them."""
    return {re.sub(r"[\s\-]+", "_", name.lower()): name for name in reversed(header)}


def _roles(place: str, header: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    names = _spelled(header)
    roles: dict[str, str] = {}
    for role, column in columns.items():
        if role not in COLUMN_NAMES:
            raise InputError(f"columns: {role!r} is none of {', '.join(COLUMN_NAMES)}")
        known = names.get(re.sub(r"[\s\-]+", "_", column.lower()))
        if known is None:
            listed = ", ".join(filter(None, header))
            raise InputError(
                f"{place}: columns: no column {column!r} for {role}{closest(column, header)}; has {listed}"
            )
        roles[role] = known
    taken = set(roles.values())
    for role, known_names in COLUMN_NAMES.items():
        if role in roles:
            continue
        found = next((names[name] for name in known_names if name in names and names[name] not in taken), None)
        if found is not None:
            roles[role] = found
            if role not in ("image", "path"):
                taken.add(found)
    if {"left_grade", "right_grade"} <= roles.keys() and "grade" not in columns:
        roles.pop("grade", None)
    for role in ("image", "grade"):
        if role not in roles and not (role == "grade" and {"left_grade", "right_grade"} <= roles.keys()):
            raise InputError(
                f"{place}: no {role} column among {', '.join(header[:8])!r}; "
                f"call it one of {', '.join(COLUMN_NAMES[role])}, or name it with columns: {{{role}: ...}}"
            )
    return roles


def _check_one_grade(table: Table, columns: Mapping[str, str]) -> None:
    """Raise :class:`InputError` where two columns may be meant for the grade, and do not say the same."""
    if "grade" in columns or "grade" not in table.roles:
        return
    chosen = table.roles["grade"]
    names = _spelled(list(table.cells))
    for name in COLUMN_NAMES["grade"]:
        other = names.get(name)
        if other is None or other == chosen or other in table.roles.values():
            continue
        first, second = table.cells[chosen], table.cells[other]
        of_first, of_second = grades_of(first, {}, ()), grades_of(second, {}, ())
        pairs = set(zip(first, second, strict=True))
        if of_second and any(of_first.get(one) != of_second.get(two) for one, two in pairs):
            raise InputError(
                f"{table.path}: the grade may be in column {chosen!r} or {other!r}, which differ; "
                f"say columns: {{grade: {chosen}}} or columns: {{grade: {other}}}"
            )


def _cell(path: Path, line: int, row: Sequence[str], at: int, named: int) -> str:
    if len(row) <= at:
        raise InputError(f"{path} line {line}: {counted(len(row), 'value')}, the header names {named}; mend the line")
    return row[at]


def read_course_pair(image_path: Path, grade_path: Path) -> Table:
    """Return the course's pair of files, one of names and one of grades, as one table.

    The published files have no header, and reading them as if they had loses the first photograph; so the first line
    is taken for a header only where it reads like one. Lines are those of the names.
    """
    (image_lines, images, encoding), (grade_lines, grades, _) = _single_column(image_path), _single_column(grade_path)
    image_header = _is_image_header(images, grades)
    grade_header = (
        grades[0].lower() in COLUMN_NAMES["grade"]
        or (image_header and len(grades) == len(images) and grades[0] == images[0])
        or (image_header and not NUMBER.match(grades[0]))
    )
    images, grades = images[image_header:], grades[grade_header:]
    if len(images) != len(grades):
        raise InputError(
            f"{image_path.name} has {counted(len(images), 'name')} and {grade_path.name} "
            f"{counted(len(grades), 'grade')} (in {image_path.parent}); each name needs the grade of the same line"
        )
    if not images:
        raise InputError(f"{image_path}: no photographs in it; needs one name a line")
    cells = {"image": images, "grade": grades}
    return Table(
        image_path, image_lines[image_header:], cells, {"image": "image", "grade": "grade"}, encoding,
        image_header or grade_header, (grade_path, grade_lines[grade_header:]),
    )  # fmt: skip


def _is_image_header(images: Sequence[str], grades: Sequence[str]) -> bool:
    first, others = images[0], images[1:]
    if first.lower() in COLUMN_NAMES["image"]:
        return True
    if first == grades[0] == "0":
        # pandas writes the number of an unnamed column as its header.
        return bool(others) and not any(name.isdigit() for name in others)
    if len(images) == len(grades) and NUMBER.match(grades[0]):
        return False  # it has a grade: a photograph with an odd name
    return not re.search(r"\d", first) and bool(others) and all(re.search(r"\d", name) for name in others)


def _single_column(path: Path) -> tuple[list[int], list[str], str]:
    rows, encoding = read_rows(path)
    for line, row in rows:
        if len(row) != 1:
            raise InputError(
                f"{path} line {line}: {counted(len(row), 'value')}, needs one; a course file has one value a line"
            )
    return [line for line, _ in rows], [row[0] for _, row in rows], encoding
