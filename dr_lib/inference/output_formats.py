"""Graded photographs as text: a table to read, CSV, and JSON."""

import csv
import json
from collections.abc import Sequence
from io import StringIO
from typing import Literal

from dr_lib import GRADE_NAMES, PROBABILITIES
from dr_lib.inference.model import GradedPhotograph
from dr_lib.storage.files import as_cell
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
    for photograph in photographs:
        if photograph.grade is None or photograph.probabilities is None:
            detail = f" ({photograph.status.detail})" if photograph.status.detail else ""
            rows.append((printable(photograph.path), f"not graded: {photograph.status.kind}{printable(detail)}"))
        else:
            shares = (f"{share:.3f}" for share in photograph.probabilities)
            rows.append((printable(photograph.path), f"{photograph.grade} {GRADE_NAMES[photograph.grade]}", *shares))
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
    for photograph in photographs:
        grade = "" if photograph.grade is None else photograph.grade
        shares = photograph.probabilities or [""] * len(PROBABILITIES)
        writer.writerow(
            [as_cell(_text(photograph.path)), photograph.status.kind, as_cell(photograph.status.detail), grade, *shares]
        )
    return stream.getvalue()


def _json(photographs: Sequence[GradedPhotograph]) -> str:
    rows = [
        {
            "image": _text(photograph.path),
            "status": photograph.status.kind,
            "detail": photograph.status.detail,
            "grade": photograph.grade,
            "probabilities": photograph.probabilities,
        }
        for photograph in photographs
    ]
    return json.dumps(rows, indent=2, allow_nan=False) + "\n"


def _text(name: object) -> str:
    return str(name).encode("utf-8", "backslashreplace").decode()
