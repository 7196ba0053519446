"""What a data set holds, what is wrong with it, and a fingerprint of it, in numbers for ``audit.json``."""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from dr_lib.data.balance import class_counts, class_shares
from dr_lib.data.damage_rule import Decision
from dr_lib.data.splits import SPLITS

GIVEN, MADE_HERE = "given", "made here by patient"


def audit_labels(
    table: pd.DataFrame, *, form: str = "", header: bool | None = None, split_origin: str = GIVEN
) -> dict[str, Any]:
    """Return what the labels alone tell; the photographs need not be there.

    ``splits``: photographs, patients, counts and shares of the grades in each. ``majority_accuracy``: share of the
    commonest training grade in the test split, which a network must beat (None without test photographs).
    ``patients_on_both_sides``: patients of the test split, and how many of them are in training or validation too;
    ``named``: whether the labels say which photographs are of the same patient.
    """
    parts = {split: table[table["split"] == split] for split in SPLITS}
    test_counts, train_counts = class_counts(parts["test"]["grade"]), class_counts(parts["train"]["grade"])
    test_patients = set(parts["test"]["patient"])
    training_patients = set(parts["train"]["patient"]) | set(parts["validation"]["patient"])
    return {
        "form": form or table.attrs.get("form", ""),
        "header": header,
        "splits": {split: _describe(part) for split, part in parts.items()},
        "split_origin": split_origin,
        "majority_accuracy": float(class_shares(test_counts)[train_counts.argmax()]) if test_counts.sum() else None,
        "patients_on_both_sides": {
            "test_patients": len(test_patients),
            "also_in_training": len(test_patients & training_patients),
            "named": bool((table["patient"] != table["image"]).any()),
        },
    }


def audit_photographs(decisions: Iterable[Decision], sizes: Iterable[tuple[int, int]]) -> dict[str, Any]:
    """Return what decoding told: files not intact by name, and smallest, median and largest ``width`` and ``height``.

    ``decisions``: one a photograph checked. ``sizes``: width and height in px of every photograph that is readable.
    """
    decisions = list(decisions)
    widths, heights = np.array(list(sizes), dtype=np.int64).reshape(-1, 2).T
    return {
        "damage": {
            "checked": len(decisions),
            "intact": sum(decision.action == "" for decision in decisions),
            "files": [decision.as_json() for decision in decisions if decision.action],
        },
        "width": _spread(widths),
        "height": _spread(heights),
    }


def fingerprint(table: pd.DataFrame, size_of: Callable[[str], int]) -> str:
    """Return the SHA-256 of the sorted rows (image, grade, patient, split) and the bytes of each photograph's file."""
    digest = hashlib.sha256()
    columns = (table[name].tolist() for name in ("image", "grade", "patient", "split"))
    for image, grade, patient, split in sorted(zip(*columns, strict=True)):
        digest.update(f"{image}\t{grade}\t{patient}\t{split}\t{size_of(image)}\n".encode())
    return digest.hexdigest()


def _describe(part: pd.DataFrame) -> dict[str, Any]:
    counts = class_counts(part["grade"])
    return {
        "photographs": len(part),
        "patients": int(part["patient"].nunique()),
        "counts": counts.tolist(),
        "shares": class_shares(counts).tolist(),
    }


def _spread(values: np.ndarray) -> list[int | float]:
    if not values.size:
        return [0, 0, 0]
    return [int(values.min()), float(np.median(values)), int(values.max())]
