"""The audit of a data folder: labels alone where photographs are missing, one decoding of each where they are there."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from PIL import Image

from dr_lib.config import RunConfig
from dr_lib.data.audit import audit_labels, audit_photographs, fingerprint
from dr_lib.data.cache_folder import cache_folder
from dr_lib.data.inspection import INTACT, UNREADABLE
from dr_lib.data.isolated_decoding import IsolatedDecoder
from dr_lib.data.manifest import reconcile
from dr_lib.data.matching import find_photographs
from dr_lib.data.photographs import MedmnistPhotographs, Photographs
from dr_lib.data.prepare import read_splits, required_crops
from dr_lib.data.repair_policy import Decision, decide
from dr_lib.data.scan import Scanner
from dr_lib.data.scan_image import ImageInfo
from dr_lib.data.splits import limit_splits
from dr_lib.report.audit_findings import findings, findings_table
from dr_lib.report.audit_text import file_problems, overview
from dr_lib.report.audit_thumbnails import Thumbnails, marked, relative_address
from dr_lib.report.formatting import counted
from dr_lib.storage.checksums import write_sealed_json
from dr_lib.storage.files import write_text
from dr_lib.storage.folders import ExperimentFolder

if TYPE_CHECKING:  # imported where something is drawn
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Audit:
    """What is in a data set, and what is wrong with it.

    ``found``: the contents of ``audit.json``. ``files``: the photographs that the labels name and that are there.
    ``photographs``: one row each: ``image, path, grade, patient, split``, then what decoding told: ``status``
    (``intact``, or what is wrong), ``lost`` (share of rows, 0..1), ``action`` (what training would do with it: empty,
    ``repaired``, ``kept`` or ``dropped``), ``detail``, ``width``, ``height`` (px), ``format``, ``mode``, ``camera``,
    ``quality`` (how likely it can be graded, 0..1), ``disc_side`` (where the optic disc is: ``left``, ``right``, or
    empty where that is not clear), ``brightness`` and ``contrast`` (0..1), ``has_retina`` (whether a round retina was
    found). Only the first five columns where the photographs could not be looked at.

    >>> found = dr_lib.audit(demo)
    >>> found.photographs["status"].value_counts().to_dict()
    {'intact': 46, 'end marker missing': 2, 'truncated': 2}
    """

    found: dict[str, Any]
    files: Photographs
    photographs: pd.DataFrame = field(repr=False)

    @property
    def findings(self) -> pd.DataFrame:
        """What is worth a look, what makes figures wrong first, one row each.

        ``section`` of the page that shows it, ``finding`` in a sentence, ``name`` of the check, ``severity`` (``fail``
        or ``look``), ``photographs`` (a list of names), ``advice``.
        """
        return findings_table(self.found)

    @property
    def grades(self) -> pd.DataFrame:
        """How many photographs each split has of each grade: index 0-4, a column a split."""
        splits = self.found["splits"]
        return pd.DataFrame({name: split["counts"] for name, split in splits.items()}).rename_axis("grade")

    @property
    def patients(self) -> pd.DataFrame:
        """Photographs, known patients, and photographs of unknown ones in each split."""
        columns = {"photographs": "photographs", "patients": "patients", "unknown_patients": "of unknown patients"}
        return pd.DataFrame(self.found["splits"]).T[[*columns]].rename(columns=columns).rename_axis("split")

    @property
    def on_both_sides(self) -> pd.DataFrame:
        """The photographs of testing patients who are also in training or validation, patient by patient."""
        both = self.found["patients_on_both_sides"]
        leaked = self.photographs["patient"].isin([*both["patients"], *both["in_validation"]])
        rows = self.photographs.loc[leaked, ["patient", "image", "grade", "split"]]
        return rows.sort_values(["patient", "split"], kind="stable").reset_index(drop=True)

    @property
    def patients_apart(self) -> pd.DataFrame:
        """Photographs of patients whose grades lie two or more apart: ``patient, difference, image, grade, split``."""
        apart = self.found["patients_apart"]["apart"]
        rows = [
            {key: one[key] for key in ("patient", "difference")} | row for one in apart for row in one["photographs"]
        ]
        return pd.DataFrame(rows, columns=["patient", "difference", "image", "grade", "split"])

    @property
    def file_problems(self) -> pd.DataFrame:
        """Names that fit no file, and files that fit no name: ``problem, name``."""
        rows = [(problem, name) for problem, names in file_problems(self.found).items() for name in names]
        return pd.DataFrame(rows, columns=["problem", "name"])

    @property
    def reconciliation(self) -> pd.DataFrame:
        """What became of each file on disk and each row of the labels: ``of`` (files, rows), ``what``, ``count``."""
        account = self.found["reconciliation"]
        rows = [(of, what, count) for of, counts in account.items() for what, count in counts.items()]
        return pd.DataFrame(rows, columns=["of", "what", "count"])

    @property
    def damaged(self) -> pd.DataFrame:
        """What is known of the photographs that are not intact, those that lost most first."""
        columns = ["image", "grade", "split", "status", "lost", "action", "detail"]
        known = self.photographs.reindex(columns=columns)
        damaged = known[known["status"].notna() & (known["status"] != INTACT)]
        return damaged.sort_values("lost", ascending=False, kind="stable").reset_index(drop=True)

    @property
    def file_kinds(self) -> pd.DataFrame:
        """How many photographs there are of each ``format, mode, width, height`` (px), the commonest first."""
        kinds = self.photographs.reindex(columns=["format", "mode", "width", "height"])
        return kinds.value_counts().to_frame("photographs").reset_index()

    @property
    def duplicates(self) -> pd.DataFrame:
        """Photographs that are there more than once, one row each.

        ``group`` (counted from 1), ``kind`` (``exact``: the same bytes, ``near``: much the same picture), ``image,
        grade, patient, split``, and of the group ``distance`` (bits), ``across_splits`` and ``grades_differ``.
        """
        groups = [
            {"kind": kind, **group} for kind, groups in self.found.get("duplicates", {}).items() for group in groups
        ]
        rows = [
            {"group": number, **{key: value for key, value in group.items() if key != "photographs"}, **photograph}
            for number, group in enumerate(groups, start=1)
            for photograph in group["photographs"]
        ]
        columns = [
            "group", "kind", "image", "grade", "patient", "split", "distance", "across_splits", "grades_differ",
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=columns)

    @property
    def unusual(self) -> pd.DataFrame:
        """Unusual photographs: ``kind, image, grade, split``, and what was measured.

        ``kind``: ``dark``, ``bright``, ``no_retina`` (with ``brightness``), ``odd_size`` (``aspect``), ``surround``
        (``surround``: its brightness), ``marks`` (``marks``: share of the surround), ``colors`` (``redness``).
        """
        kinds = ("dark", "bright", "no_retina", "odd_size", "surround", "marks", "colors")
        rows = [{"kind": kind, **row} for kind in kinds for row in self.found.get(kind, [])]
        measures = ["brightness", "aspect", "surround", "marks", "redness"]
        return pd.DataFrame(rows, columns=["kind", "image", "grade", "split", *measures])

    @property
    def low_quality(self) -> pd.DataFrame:
        """Photographs that can probably not be graded, the worst first: ``image, grade, split, quality``."""
        return pd.DataFrame(self.found.get("low_quality", []), columns=["image", "grade", "split", "quality"])

    @property
    def wrong_side(self) -> pd.DataFrame:
        """Photographs with the optic disc on the other eye's side: ``image, patient, split, disc_side, both_eyes``."""
        columns = ["image", "patient", "split", "disc_side", "both_eyes"]
        return pd.DataFrame(self.found.get("wrong_side", []), columns=columns)

    @property
    def shortcuts(self) -> pd.DataFrame:
        """How well size, aspect, camera, file format and brightness alone tell grade and split, without the retina.

        ``target, trait, auc, low, high, shortcut``; see :func:`dr_lib.evaluation.shortcuts.find_shortcuts`. Empty where
        there are too few patients.
        """
        columns = ["target", "trait", "auc", "low", "high", "shortcut"]
        return pd.DataFrame(self.found.get("shortcuts", []), columns=columns)

    @property
    def samples(self) -> pd.DataFrame:
        """A few training photographs of each grade, of different patients."""
        names = [image for images in self.found["samples"] for image in images]
        return self.photographs.set_index("image").reindex(names).dropna(subset="grade").reset_index()

    def plot_grades(self, *, ax: "Axes | None" = None) -> "Axes":
        """Draw the share of each grade in training and in testing, which has to be like it."""
        from dr_lib.plots import new_axes, plot_grade_shares

        splits = self.found["splits"]
        shares = {name: splits[name]["shares"] for name in ("train", "test") if splits[name]["photographs"]}
        return plot_grade_shares(shares, ax=new_axes(ax))

    def plot_photographs(self, rows: pd.DataFrame, most: int = 10) -> "Figure":
        """Show photographs of a table with the column ``image``, as far as they can be decoded: the first ``most``.

        A red line stands where the rows of a truncated one end.
        """
        from dr_lib.plots import plot_photographs

        known = self.photographs.set_index("image")
        shown: list[tuple[str, Any]] = []
        for image in rows["image"]:
            if len(shown) < most and (picture := self.thumbnail(image)) is not None:
                row = known.loc[image]
                shown.append((f"{image}\ngrade {row.grade}, {row.split}", marked(picture, row.lost)))
        return plot_photographs(shown)

    def save(self, path: str | Path) -> Path:
        """Write the audit as one HTML page, and return its path."""
        from dr_lib.report.audit_page import audit_page  # matplotlib, which it draws with, takes a second to import

        page = Path(path).absolute()
        all_in_one = isinstance(self.files, MedmnistPhotographs)
        named = [] if all_in_one else zip(self.photographs["image"], self.photographs["path"], strict=True)
        files: dict[str, str] = dict(named)
        thumbnails = Thumbnails(
            self.thumbnail, lambda image: relative_address(files[image], page) if image in files else ""
        )
        write_text(page, audit_page(self.found, thumbnails))
        return Path(path)

    def thumbnail(self, image: str) -> Image.Image | None:
        """Return a photograph, repaired where need be, at most 480 px; None where there is nothing to see."""
        if image not in self._decoded:
            return None
        try:
            pixels = self._decoder.thumbnail(self.files, image, 480)
        except OSError:
            return None
        return None if pixels is None else Image.fromarray(pixels)

    @cached_property
    def _decoder(self) -> IsolatedDecoder:
        return IsolatedDecoder()

    @cached_property
    def _decoded(self) -> frozenset[str]:
        """The photographs that were decoded; no other is opened again."""
        table = self.photographs
        return frozenset(table["image"][table["status"] != UNREADABLE]) if "status" in table else frozenset()

    def __repr__(self) -> str:
        looked = "" if "status" in self.photographs else ", not looked at"
        return (
            f"Audit({self.found['data_dir']}: {counted(len(self.photographs), 'photograph')}{looked}, "
            f"{counted(len(self.findings), 'finding')})"
        )

    def _repr_html_(self) -> str:
        title = f"<h2>Audit of {escape(str(self.found['data_dir']))}</h2>"
        return (
            f"{title}<p>{escape(overview(self.found))}</p>{self.grades.to_html()}{self.findings.to_html(index=False)}"
        )


def audit(data: str | Path | RunConfig, **parameters: Any) -> Audit:
    """Look at every photograph of a data set and at its labels, and return what there is and what is wrong.

    ``data``: the folder, or a configuration; ``parameters``: those of :class:`dr_lib.RunConfig` that say how the data
    are labeled and split. Shows a progress bar while photographs are decoded, once each. Raises
    :class:`dr_lib.errors.InputError` only where the labels cannot be read; all else is a finding.

    >>> dr_lib.audit(demo).findings["section"].unique().tolist()
    ['grades', 'eyes', 'patients', 'damage', 'quality']
    """
    given = data.model_dump() if isinstance(data, RunConfig) else {"data_dir": str(data)}
    return audit_data(RunConfig.from_mapping(given | parameters))


def audit_data(config: RunConfig, progress: bool = True) -> Audit:
    """Return what is in the data of ``config``, whatever state it is in.

    Missing photographs, unreadable ones, files of other kinds and two of one name are findings here, not errors; so are
    those that cannot be read now, of which nothing is known. Only labels that cannot be read raise :class:`InputError`.
    Each photograph is decoded once, in the pass that fills the pixel cache.
    """
    labels = read_splits(config.model_copy(update={"limit": 0}), progress, to_train=False)
    data_dir = Path(config.data_dir)
    search = find_photographs(data_dir, labels, config.images_dir, config.labels_file)
    found = {"data_dir": str(data_dir), **audit_labels(labels), "files": search.as_json()}
    present = _rows_with_files(labels.table, [*search.missing, *search.several], config)
    present_rows = len(labels.table) - len(search.missing) - len(search.several)
    limited = present_rows - len(present)
    if present.empty:
        found["reconciliation"] = reconcile(labels, search)
        return _finished(found, search.photographs, _photographs(present, search.photographs))
    from dr_lib.evaluation.shortcuts import find_shortcuts  # SciPy, which labels alone do without

    cache_dir, crops = cache_folder(config.cache_dir), required_crops(config, present)
    # The scanner has no name: what it has read of its journal goes with it.
    infos, failures = Scanner(search.photographs, data_dir, cache_dir, progress).try_scan(present["image"], crops)
    present = present[~present["image"].isin(failures)]
    statuses = {image: info.status for image, info in infos.items()}
    rule = "repair" if config.on_damage == "fail" else config.on_damage
    decisions = decide(statuses, on_damage=rule, max_lost_share=config.max_lost_share)
    found |= audit_photographs(present, infos, decisions)
    found["files"]["not_read"] = {image: failure.reason for image, failure in failures.items()}
    dropped = [decision.image for decision in decisions if decision.action == "dropped"]
    found["reconciliation"] = reconcile(labels, search, len(dropped), not_read_now=len(failures), beyond_limit=limited)
    usable = present[~present["image"].isin(dropped)]
    table = _photographs(present, search.photographs).join(_decoded(present["image"], infos, decisions))
    found["shortcuts"] = find_shortcuts(table[~table["image"].isin(dropped)])
    return _finished(found | {"fingerprint": fingerprint(usable, infos)}, search.photographs, table)


def _finished(found: dict[str, Any], files: Photographs, table: pd.DataFrame) -> Audit:
    return Audit(found | {"findings": [finding._asdict() for finding in findings(found)]}, files, table)


def write_audit(config: RunConfig, progress: bool = True) -> Audit:
    """Audit the data of ``config`` and write ``audit.json`` and ``audit.html`` into its experiment folder."""
    experiment = ExperimentFolder(Path(config.out_dir))
    found = audit_data(config, progress)
    write_sealed_json(experiment.audit, found.found)
    found.save(experiment.audit_page)
    return found


def _photographs(table: pd.DataFrame, files: Photographs) -> pd.DataFrame:
    """Return what the labels tell of each photograph, and its file."""
    paths = [str(files.path(image)) for image in table["image"]]
    columns = {name: table[name].tolist() for name in ("image", "grade", "patient", "split")}
    return pd.DataFrame({"image": columns.pop("image"), "path": paths, **columns})


def _decoded(images: Iterable[str], infos: Mapping[str, ImageInfo], decisions: Iterable[Decision]) -> pd.DataFrame:
    """Return what decoding told of each photograph, in the order of ``images``."""
    actions = {decision.image: decision.action for decision in decisions}
    rows = []
    for image in images:
        info = infos[image]
        file = info.status
        rows.append(
            {
                "status": file.kind, "lost": file.lost, "action": actions[image], "detail": file.detail,
                "width": file.width, "height": file.height, "format": info.format, "mode": info.mode,
                "camera": info.camera,
                "quality": info.quality if file.kind != UNREADABLE else float("nan"), "disc_side": info.disc_side,
                "brightness": info.brightness, "contrast": info.contrast, "has_retina": info.retina is not None,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _rows_with_files(table: pd.DataFrame, without: list[str], config: RunConfig) -> pd.DataFrame:
    present = table[~table["image"].isin(without)].reset_index(drop=True)
    return limit_splits(present, config.limit, config.split_seed)
