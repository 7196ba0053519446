"""Graded photographs as text: a table to read, CSV, and JSON."""

import csv
import json
from collections.abc import Sequence
from io import StringIO
from typing import Literal

from dr_lib import GRADE_NAMES, PROBABILITIES
from dr_lib.inference.grading import GradedPhotograph
from dr_lib.storage.spreadsheet import as_cell
from dr_lib.system.terminal import printable

Form = Literal["table", "csv", "json"]


def as_text(photographs: Sequence[GradedPhotograph], form: Form) -> str:
    """Return ``photographs`` in the given form, with a line end at the end.

    CSV and JSON have ``image, status, detail, grade`` and the probabilities (``p0``..``p4``, or a list), as exact as
    they were computed; those of a damaged file are empty, or null. In CSV a name that a spreadsheet would take for a
    formula has an apostrophe before it.
    """
    return {"table": _table, "csv": _csv, "json": _json}[form](photographs)


def _table(photographs: Sequence[GradedPhotograph]) -> str:
    rows = [("image", "grade", *PROBABILITIES)]
    for found in photographs:
        if found.grade is None or found.probabilities is None:
            detail = f" ({found.status.detail})" if found.status.detail else ""
            rows.append((printable(found.path), f"not graded: {found.status.kind}{printable(detail)}"))
        else:
            shares = (f"{share:.3f}" for share in found.probabilities)
            rows.append((printable(found.path), f"{found.grade} {GRADE_NAMES[found.grade]}", *shares))
    image = max(len(row[0]) for row in rows)
    grade = max(len(row[1]) for row in rows if len(row) > 2)
    lines = (
        "  ".join([row[0].ljust(image), row[1].ljust(grade), *(share.ljust(5) for share in row[2:])]) for row in rows
    )
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _csv(photographs: Sequence[GradedPhotograph]) -> str:
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["image", "status", "detail", "grade", *PROBABILITIES])
    for found in photographs:
        grade = "" if found.grade is None else found.grade
        shares = found.probabilities or [""] * len(PROBABILITIES)
        writer.writerow([as_cell(_text(found.path)), found.status.kind, as_cell(found.status.detail), grade, *shares])
    return stream.getvalue()


def _json(photographs: Sequence[GradedPhotograph]) -> str:
    rows = [
        {
            "image": _text(found.path),
            "status": found.status.kind,
            "detail": found.status.detail,
            "grade": found.grade,
            "probabilities": found.probabilities,
        }
        for found in photographs
    ]
    return json.dumps(rows, indent=2, allow_nan=False) + "\n"


def _text(name: object) -> str:
    return str(name).encode("utf-8", "backslashreplace").decode()
