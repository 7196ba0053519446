"""The photographs whose labels a run's network contradicts most, as a table, a list for a grader, and a gallery."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from dr_lib import GRADE_NAMES, PROBABILITIES
from dr_lib.data.photographs import MedmnistPhotographs
from dr_lib.errors import InputError
from dr_lib.evaluation.contradiction import FOLDS, rank_labels
from dr_lib.explore.loaded_run import LoadedRun
from dr_lib.explore.neighbor_index import kept_features
from dr_lib.report import markup
from dr_lib.report.audit_thumbnails import beside, label, relative_address, thumbnail_html
from dr_lib.report.formatting import counted
from dr_lib.report.html_page import html_page
from dr_lib.storage.files import as_cell, write_csv, write_text
from dr_lib.storage.run_folder import RunFolder
from dr_lib.system.progress import Progress

SHOWN = 100
"""Photographs that the gallery shows."""
FOR_THE_GRADER = "regraded"
"""The empty column of the list, in which a grader writes the grade."""


def label_errors(run: str | Path, *, folds: int = FOLDS) -> pd.DataFrame:
    """Return all photographs of a finished run, those first whose grade its network contradicts most.

    ``run``: its folder. Columns ``image, path, split, patient, grade, suggested`` (the grade that the network would
    give), ``contradiction`` (0-4: how many grades the label is off by its answer), ``p0..p4``. The answers are of an
    ordinal regression on the network's features, fitted to the other patients in ``folds`` folds; a photograph that the
    network was trained on has left some trace in the features, so mistakes among these may be found less often. Needs
    the run's photographs. Raises :class:`InputError` without a finished run there, or with too few patients.

    >>> dr_lib.label_errors(run.path).columns.tolist()[:7]
    ['image', 'path', 'split', 'patient', 'grade', 'suggested', 'contradiction']
    """
    return _ranked(_opened(run), folds)


def write_label_errors(run: str | Path, folds: int = FOLDS, most: int = SHOWN) -> tuple[Path, Path]:
    """Write ``label_errors.csv`` and ``label_errors.html`` into a run's folder, and return their paths.

    The list has all photographs, with an empty column ``regraded`` for a grader; the page shows the first ``most``.
    """
    opened = _opened(run)
    table, folder = _ranked(opened, folds), opened.folder
    cells = {name: table[name].map(as_cell) for name in ("image", "path", "patient")}
    write_csv(folder.label_errors, table.assign(**cells, **{FOR_THE_GRADER: ""}))
    write_text(folder.label_errors_page, label_errors_page(opened, table, most))
    return folder.label_errors, folder.label_errors_page


def label_errors_page(run: LoadedRun, table: pd.DataFrame, most: int = SHOWN) -> str:
    """Return the gallery: the ``most`` first photographs of the table with their label and what the network says."""
    shown = table.head(most)
    rows: Sequence[Any] = list(shown.itertuples())
    shots = []
    for row in rows:
        pixels = run.decoder.thumbnail(run.data.photographs, row.image, 480)
        picture = None if pixels is None else Image.fromarray(pixels)
        entry = {"grade": row.grade, "split": row.split}
        lines = [label(entry), f"network: grade {row.suggested}", f"{row.contradiction:.1f} grades off"]
        all_in_one = isinstance(run.data.photographs, MedmnistPhotographs)
        address = "" if all_in_one else relative_address(row.path, run.folder.label_errors_page)
        shots.append(thumbnail_html(row.image, lines, picture, f"{lines[0]}, {lines[1]}", address))
    pairs = shown.value_counts(["grade", "suggested"]).reset_index(name="count")
    said = markup.paragraphs(
        f"{counted(len(shown), 'photograph')} of {len(table):,} whose label the photographs of other patients "
        "contradict most, as the run's network sees them. Such a label is wrong more often than others, not always: "
        "the rare and the unusual are here, too. Grade them again without looking at the old grade; the list for it, "
        f"{run.folder.label_errors.name}, has all photographs and an empty column {FOR_THE_GRADER!r}."
    )
    rows_html = [
        [f"<b>{grade}</b> {GRADE_NAMES[grade]}", f"{suggested} {GRADE_NAMES[suggested]}", f"{count:,}"]
        for grade, suggested, count in pairs.itertuples(index=False)
    ]
    head = ["Label", "Network", "Photographs"]
    body = markup.table(head, rows_html, "Of those shown, by label and answer.", numeric=(2,))
    title = f"Labels that {run.folder.name} contradicts"
    return html_page(f"{said}{body}{beside(shots)}", title=title)


def _opened(run: str | Path) -> LoadedRun:
    folder = RunFolder(Path(run))
    if not folder.done:
        raise InputError(f"{run}: no finished run; give its folder, as reports/demo/runs/resnet18")
    return LoadedRun.open(folder)


def _ranked(run: LoadedRun, folds: int) -> pd.DataFrame:
    table = run.data.table[["image", "split", "patient", "grade"]].reset_index(drop=True)
    with Progress() as progress:
        features = kept_features(run, table, lambda done, total: progress.bar("features", done, total))
    ranked = rank_labels(table, features, folds)
    paths = [str(run.data.photographs.path(image)) for image in ranked["image"]]
    columns = ["image", "path", "split", "patient", "grade", "suggested", "contradiction", *PROBABILITIES]
    return ranked.assign(path=paths)[columns]
