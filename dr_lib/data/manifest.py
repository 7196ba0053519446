"""The labels of a folder as one table: which photographs there are, where, of whom, and how they are graded."""

import re
from pathlib import Path

import pandas as pd

from dr_lib.data.labels import read_labels as read_label_files
from dr_lib.data.photographs import find_photographs

COLUMNS = ("image", "path", "grade", "patient", "eye", "split")
_EYE = re.compile(r"_(left|right)$", re.IGNORECASE)


def read_labels(
    data_dir: str | Path, *, labels: str = "auto", labels_file: str = "", images_dir: str = ""
) -> pd.DataFrame:
    """Return one row a photograph that ``data_dir`` labels: ``image, path, grade, patient, eye, split``.

    ``image``: its name in the labels. ``path``: its file; missing (``NaN``) where there is none, or more than one.
    ``grade``: 0-4 (ICDR scale). ``patient``: known from the name (``10`` for ``10_left``) or a column; else the image's
    own name. ``eye``: ``left``, ``right``, or empty where the name does not tell. ``split``: ``train``, ``validation``
    or ``test``; empty where the labels bring no split. ``labels``, ``labels_file`` and ``images_dir`` are those of
    :class:`dr_lib.RunConfig`. Raises :class:`dr_lib.errors.InputError` that names file and line where labels cannot be
    read.

    >>> labels = read_labels(demo)
    >>> labels["split"].value_counts().to_dict()
    {'train': 40, 'test': 10}
    """
    data_dir = Path(data_dir)
    known = read_label_files(data_dir, labels, labels_file)
    table, search = known.table, find_photographs(data_dir, known, images_dir, labels_file)
    absent = {*search.missing, *search.several}
    paths = [None if image in absent else str(search.photographs.path(image)) for image in table["image"]]
    eyes = [match[1].lower() if (match := _EYE.search(image)) else "" for image in table["image"]]
    columns = {"path": paths, "eye": eyes, **{name: table[name].to_numpy() for name in COLUMNS if name in table}}
    return pd.DataFrame({name: columns[name] for name in COLUMNS})
