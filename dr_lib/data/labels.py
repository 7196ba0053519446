"""Labels of every layout, read into one table: image, grade, patient, eye, split, and what else they tell."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from dr_lib.config import RunConfig
from dr_lib.data import medmnist
from dr_lib.data.folder import Folder, list_folder
from dr_lib.data.label_files import Table, has_labels, read_course_pair, read_table
from dr_lib.data.label_rows import UNGRADABLE, Rows, check_inside, without_ending
from dr_lib.data.label_text import read_rows
from dr_lib.data.label_values import number_text
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
from dr_lib.data.patients import PATTERN_EXAMPLE, names_that_look_paired
from dr_lib.errors import InputError, closest_path
from dr_lib.system.terminal import counted, logger

log = logger("data")


GIVEN, MADE_HERE = "given", "made here by patient"
DRAWN_ANEW = "given, but for the validation photographs, which were drawn anew"
TEST_DRAWN = "given, but for the testing photographs, which were held out here by patient"


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
    labels_files: Mapping[Any, str] | None = None,
    columns: Mapping[Any, str] | None = None,
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
        remedy = medmnist.REMEDY if form == "medmnist" else own
        raise InputError(f"data_dir {data_dir}: no such folder{closest_path(data_dir)}; {remedy}")
    folder, columns, grade_map = list_folder(data_dir), columns or {}, grade_map or {}
    layout, sources = _layout(folder, form, labels_file, labels_files or {}, columns)
    rows = Rows(folder, layout, grade_map, (*layout.ungradable, *ungradable), patient_pattern)
    if layout.name == "course":
        return _read_course(rows, labels_file)
    if layout.name == "medmnist":
        path = medmnist.find(data_dir, labels_file)
        rows.add(medmnist.read_table(path), "")
        return _labels(rows, header=None, files=(path.name,))
    if layout.name == "folders":
        known = {number_text(value) for value in (*grade_map, *rows.ungradable_values)}
        rows.add(read_grade_folders(folder, known), "")
        return _labels(rows, header=None, files=())
    tables = []
    for source in sources:
        path = data_dir / source.name
        if source.split not in ("", "train") and not labels_files and has_labels(path, columns) == (True, False):
            # Testing photographs without grades, as APTOS' and DDR's.
            rows.notes.append(
                f"{source.name} names {counted(len(read_rows(path)[0]) - 1, 'photograph')} without grades"
            )
        else:
            tables.append((source, read_table(path, columns, source.sheet)))
    for source, table in tables:
        # A single file of training photographs, as EyePACS' and APTOS', brings no split.
        rows.add(table, source.split if len(tables) > 1 or labels_files else "")
    return _labels(rows, header=tables[0][1].header, files=tuple(source.name for source, _ in tables))


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
                parameter, path = "labels_files" if labels_files else "labels_file", folder.path / source.name
                raise InputError(
                    f"{path}: no such file{closest_path(path)}; put the labels there or name them with {parameter}"
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


def _read_course(rows: Rows, labels_file: str) -> Labels:
    if labels_file:
        raise InputError(f"labels_file {labels_file!r}: labels of form course have fixed names; leave it empty")
    folder, lost, files, header = rows.folder, [], [], True
    tested = folder.named("test_img.csv") or folder.named("test_label.csv")
    for split in ("train", "test") if tested else ("train",):
        names = [folder.named(name) or name for name in (f"{split}_img.csv", f"{split}_label.csv")]
        files += names
        table = read_course_pair(*(folder.path / name for name in names))
        rows.add(table, split if tested else "")
        header = header and table.header
        grade = rows.meanings([table.cells["grade"][0]]).get(table.cells["grade"][0])
        if not table.header and grade is not None:
            first = {"image": without_ending(table.cells["image"][0])[0], "grade": grade}
            lost.append({"image_file": f"{split}_img.csv", "grade_file": f"{split}_label.csv", **first})
    return _labels(rows, header=header, header_loss=tuple(lost), files=tuple(files))


def _labels(
    rows: Rows, *, header: bool | None, files: tuple[str, ...], header_loss: tuple[dict[str, Any], ...] = ()
) -> Labels:
    """Return what all rows of ``files`` came to."""
    table, repeated = rows.finish()
    unknown = table.loc[table["patient"] == table["image"], "file"]
    paired = names_that_look_paired(unknown) if rows.layout.name != "medmnist" else []
    if paired:
        log.warning(
            "%d names look like several photographs of one patient and are not understood, such as %s and %s; each "
            "counts as a patient of its own until you set %s", len(paired), *paired[:2], PATTERN_EXAMPLE,
        )  # fmt: skip
    form = _form(rows.layout, rows.first)
    about = _describe(rows.layout, form, files, table)
    left_out = [f"{len(rows.ungradable):,} ungradable"] * bool(len(rows.ungradable))
    left_out += [f"{len(repeated):,} repeated"] * bool(repeated)
    recognized = (
        about + f"; left out: {', '.join(left_out)}" * bool(left_out) + "".join(f"; {note}" for note in rows.notes)
    )
    return Labels(
        table, form, header, header_loss, recognized=recognized, rows=rows.count, ungradable=rows.ungradable,
        repeated=tuple(repeated), files=files, look_paired=tuple(paired), folder=rows.folder,
    )  # fmt: skip


def _form(layout: Layout, table: Table | None) -> str:
    """Return how the labels are written; a table may be like Kaggle's or APTOS', whatever it is called."""
    if layout.name not in ("table", "aptos") or table is None:
        return layout.name
    names = table.roles["image"].lower(), table.roles.get("grade", "").lower()
    return {("id_code", "diagnosis"): "aptos", ("image", "level"): "kaggle"}.get(names, "table")


def _describe(layout: Layout, form: str, files: Sequence[str], table: pd.DataFrame) -> str:
    """Return layout, photographs, grades, patients and splits in one line."""
    title = layout.title if form == layout.name else layout_named(form).title
    grades = ", ".join(f"{grade}: {count:,}" for grade, count in sorted(Counter(table["grade"]).items()))
    known = table.loc[table["patient"] != table["image"], "patient"].nunique()
    unknown = int((table["patient"] == table["image"]).sum())
    patients = f"{known:,} patient{'s' * (known > 1)}" if known else "patients unknown"
    patients += f" and {counted(unknown, 'photograph')} of unknown ones" if known and unknown else ""
    splits = Counter(table["split"])
    named = ", ".join(f"{splits[name]:,} {name}" for name in ("train", "validation", "test") if splits[name])
    where = f" ({', '.join(files[:4])}{', ...' if len(files) > 4 else ''})" if files else ""
    photographs = f"{len(table):,} photograph{'s' * (len(table) != 1)}"
    return f"{title}{where}: {photographs}, grades {grades or 'none'}, {patients}, {named or 'no split'}"
