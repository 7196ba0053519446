"""The labels of a folder as one table, and the account of its files and rows: each is used, or listed with why not."""

from pathlib import Path
from typing import Any

import pandas as pd

from dr_lib.data.label_rows import COLUMNS
from dr_lib.data.labels import Labels
from dr_lib.data.labels import read_labels as read_label_files
from dr_lib.data.matching import Search, find_photographs
from dr_lib.data.photographs import MedmnistPhotographs
from dr_lib.system.terminal import logger

log = logger("data")


def reconcile(labels: Labels, search: Search, damaged: int = 0, **others: int) -> dict[str, dict[str, int]]:
    """Return what became of all ``files`` on disk and of all ``rows`` of the labels; parts sum up to ``all``.

    Files are ``used``, ``unlabeled``, ``damaged`` (left out for that), or of a kind that is ignored. Rows are ``used``,
    ``missing`` (no file, or several of which none is chosen), ``ungradable``, ``damaged``, ``repeated``, or left out
    for ``others``.
    """
    others = {why.replace("_", " "): count for why, count in others.items() if count}
    left_out = damaged + sum(others.values())
    of_files = 0 if isinstance(search.photographs, MedmnistPhotographs) else left_out  # all are in one file
    named = labels.rows - len(labels.ungradable) - len(labels.repeated)
    missing = len(search.missing) + len(search.several)
    ignored = {kind: len(names) for kind, names in sorted(search.ignored.items()) if names}
    return {
        "files": {
            "all": search.entries, "used": search.used - of_files, "unlabeled": len(search.unlabeled),
            **({"damaged": damaged, **others} if of_files else {}), **ignored,
        },
        "rows": {
            "all": labels.rows, "used": named - missing - left_out, "missing": missing,
            "ungradable": len(labels.ungradable), "damaged": damaged, "repeated": len(labels.repeated), **others,
        },
    }  # fmt: skip


def read_labels(
    data_dir: str | Path, *, labels: str = "auto", labels_file: str = "", images_dir: str = "", **parameters: Any
) -> pd.DataFrame:
    """Return one row a photograph that ``data_dir`` labels: ``image, path, grade, patient, eye, split``, and more.

    ``image``: its name in the labels. ``path``: its file; missing (``NaN``) where there is none, or more than one.
    ``grade``: 0-4 (ICDR scale). ``patient``: known from the name (``10`` for ``10_left``) or a column; else the image's
    own name. ``eye``: ``left``, ``right``, or empty where the name does not tell. ``split``: ``train``, ``validation``
    or ``test``; empty where the labels bring no split. Then ``quality``, where the labels have it, and every other
    column of the label files, as text. :func:`account` says what was recognized and left out.

    ``labels``, ``labels_file``, ``images_dir`` and the other ``parameters`` (``labels_files``, ``columns``,
    ``grade_map``, ``ungradable``, ``patient_pattern``) are those of :class:`dr_lib.RunConfig`. Written with
    ``to_csv("labels.csv", index=False)`` the table is read again as it is. Raises
    :class:`dr_lib.errors.InputError` that names file and line where labels cannot be read, and the parameter that
    decides where they can be read in two ways.

    >>> labels = read_labels(demo)
    >>> labels["split"].value_counts().to_dict()
    {'train': 40, 'test': 10}
    """
    known, search = _read(data_dir, labels, labels_file, images_dir, parameters)
    table = known.table
    absent = {*search.missing, *search.several}
    paths = [None if image in absent else str(search.photographs.path(image)) for image in table["image"]]
    others = [name for name in table if name not in COLUMNS]
    manifest = table[["image", "grade", "patient", "eye", "split", *others]].copy()
    manifest.insert(1, "path", paths)
    log.info("%s", known.recognized)
    return manifest


def account(
    data_dir: str | Path, *, labels: str = "auto", labels_file: str = "", images_dir: str = "", **parameters: Any
) -> dict[str, Any]:
    """Return what became of everything in a folder of labels: ``recognized``, ``files`` and ``rows``.

    ``recognized``: in one line, which layout it is, how much there is of what, and what was left out. ``files`` and
    ``rows``: how many of each are used, missing and so on, as :func:`reconcile` counts them. Arguments and errors are
    those of :func:`read_labels`.

    >>> account(demo)["rows"]["used"]
    50
    """
    known, search = _read(data_dir, labels, labels_file, images_dir, parameters)
    return {"recognized": known.recognized, **reconcile(known, search)}


def _read(
    data_dir: str | Path, labels: str, labels_file: str, images_dir: str, parameters: dict[str, Any]
) -> tuple[Labels, Search]:
    known = read_label_files(Path(data_dir), labels, labels_file, **parameters)
    return known, find_photographs(Path(data_dir), known, images_dir, labels_file)
