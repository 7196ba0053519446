"""From a configuration to photographs that can be trained on: labels, splits, damage, crops, in this order."""

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dr_lib.config import DEMO_DIR, RunConfig
from dr_lib.config.transform_spec import PREPROCESSING
from dr_lib.data.audit import fingerprint
from dr_lib.data.cache_folder import cache_folder
from dr_lib.data.crops import Crops, DecodedCrops, ResizeSpec, resize_for_testing, resize_for_training
from dr_lib.data.inspection import NO_IMAGE
from dr_lib.data.labels import DRAWN_ANEW, GIVEN, MADE_HERE, TEST_DRAWN, Labels, labels_of
from dr_lib.data.matching import open_photographs
from dr_lib.data.photographs import FolderPhotographs, Photographs
from dr_lib.data.repair_policy import Decision, damage_table, decide
from dr_lib.data.scan import Scanner
from dr_lib.data.scan_image import ImageInfo
from dr_lib.data.splits import limit_splits, splits_of, unbalanced
from dr_lib.errors import InputError
from dr_lib.storage.files import read_json
from dr_lib.system.progress import Progress, show_table
from dr_lib.system.terminal import counted, logger

log = logger("data")


@dataclass(frozen=True)
class DataSplits:
    """What every run of an experiment shares.

    ``labels``: what the labels say; ``table``: one row a usable photograph, ``image, grade, patient, split``.
    ``photographs``: their pixels, repaired
    where decided so. ``decisions``: what became of each photograph that the labels name. ``fingerprint``: SHA-256 of
    the table and the files' contents. ``scanner``: where info and crops come from; without ``stored`` crops are
    decoded whenever they are asked for.
    """

    labels: Labels
    photographs: Photographs
    decisions: list[Decision]
    fingerprint: str
    scanner: Scanner
    stored: bool = True

    @property
    def table(self) -> pd.DataFrame:
        """One row a usable photograph."""
        return self.labels.table

    def split(self, name: str) -> pd.DataFrame:
        """Return the rows of one split, counted from 0: ``train``, ``validation`` or ``test``."""
        return self.table[self.table["split"] == name].reset_index(drop=True)

    @property
    def damaged(self) -> pd.DataFrame:
        """One row a damaged photograph and what is done with it, see :func:`damage_table`."""
        return damage_table(self.decisions)

    def crops(self, recipe: ResizeSpec, images: Iterable[str]) -> Crops:
        """Return the crops of photographs by ``recipe``, from the pixel cache or decoded each time."""
        if self.stored:
            return self.scanner.crops(recipe, images)
        return DecodedCrops(self.photographs, recipe)


def prepare_data(config: RunConfig, progress: bool = True, *, to_train: bool = True) -> DataSplits:
    """Return the data of ``config``, checked; with ``progress`` a bar shows while photographs are drawn or decoded.

    The photographs of ``data/demo`` are drawn first where they are missing. Damaged files are shown by name: as a
    table in a notebook, else logged to ``dr_lib.data``. Raises :class:`InputError` where labels or photographs cannot
    be used, a file that is no image among them unless ``on_damage`` is ``drop``. With ``to_train`` off, which is for
    testing a network, any split may be empty and all grades the same.
    """
    labels = read_splits(config, progress, to_train=to_train)
    if to_train and labels.split_origin != GIVEN:
        for sentence in unbalanced(labels.table):
            log.warning("splits: %s", sentence)
    table = labels.table
    data_dir = Path(config.data_dir)
    photographs = open_photographs(data_dir, labels, config.images_dir, config.labels_file)
    scanner = Scanner(photographs, data_dir, cache_folder(config.cache_dir), progress)
    infos = scanner.scan(table["image"], required_crops(config, table))
    if config.on_damage != "drop":
        _refuse_what_is_no_image(infos, photographs)
    statuses = {image: found.status for image, found in infos.items()}
    decisions = decide(statuses, on_damage=config.on_damage, max_lost_share=config.max_lost_share)
    table, photographs = _apply(decisions, table, photographs)
    table = _without_low_quality(table, infos, config.min_quality)
    _say_where_there_is_no_retina(config, table, infos)
    if to_train:
        _refuse_unusable(table, data_dir, decisions, config.min_quality)
    mark = fingerprint(table, infos)
    return DataSplits(replace(labels, table=table), photographs, decisions, mark, scanner, config.pixel_cache)


def read_splits(config: RunConfig, progress: bool = True, *, to_train: bool = True) -> Labels:
    """Return the labels with every photograph in a split; nothing is known of the files yet.

    ``to_train``: as for :func:`prepare_data`.
    """
    data_dir = Path(config.data_dir)
    if config.data_dir == DEMO_DIR:
        _draw_if_missing(config, data_dir, progress)
    labels = labels_of(config)
    table = limit_splits(splits_of(config, labels.table, to_train=to_train), config.limit, config.split_seed)
    return replace(labels, table=table, split_origin=_origin_of_splits(labels.table, config.given_validation))


def _origin_of_splits(table: pd.DataFrame, given_validation: bool) -> str:
    present = set(table["split"])
    if present == {""}:
        return MADE_HERE
    if "test" not in present:
        return TEST_DRAWN
    return GIVEN if given_validation or "validation" not in present else DRAWN_ANEW


def required_crops(config: RunConfig, table: pd.DataFrame) -> dict[ResizeSpec, list[str]]:
    """Return which crops a run of ``config`` reads; none where it decodes in every epoch."""
    if not config.pixel_cache:
        return {}
    wanted: dict[ResizeSpec, list[str]] = {}
    for split, images in table.groupby("split")["image"]:
        recipe = resize_for_training(config) if split == "train" else resize_for_testing(config)
        wanted.setdefault(recipe, []).extend(images)
    return wanted


def _draw_if_missing(config: RunConfig, data_dir: Path, progress: bool) -> None:
    wanted: dict[str, Any] = {
        "train": config.generated_train,
        "test": config.generated_test,
        "size": config.generated_size,
        "grade_shares": list(config.generated_shares),
        "seed": config.split_seed,
    }
    if data_dir.exists() and (not data_dir.is_dir() or any(data_dir.iterdir())):
        record = data_dir / "generated.json"
        kept = read_json(record) if record.exists() else wanted
        if any(kept.get(key) != wanted[key] for key in ("train", "test", "size", "grade_shares")):
            drawn_with = ", ".join(f"{key} {kept.get(key)}" for key in ("train", "test", "size", "grade_shares"))
            log.warning("%s: used as it is (%s); remove the folder to have it drawn again", data_dir, drawn_with)
        return
    # Late, since drawing needs modules that nobody with photographs of their own has to load.
    from dr_lib.synthetic import make_data

    try:
        with Progress() if progress else nullcontext() as show:
            bar = (lambda done, total: show.bar("drawing photographs", done, total)) if show else None
            make_data(data_dir, **wanted, progress=bar)
    except OSError as error:
        # Another process may have drawn the same folder meanwhile; it appears there only when it is whole.
        if not (data_dir / "generated.json").exists():
            raise InputError(f"data_dir {data_dir}: photographs cannot be drawn there ({error.strerror})") from None


def _refuse_what_is_no_image(infos: Mapping[str, ImageInfo], photographs: Photographs) -> None:
    """Raise :class:`InputError` for files of another kind: no damage to a photograph, but a mistake in the folder."""
    wrong = [image for image, found in infos.items() if found.status.detail.startswith(NO_IMAGE)]
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise InputError(
            f"{photographs.path(wrong[0])}: {infos[wrong[0]].status.detail}{more}; put the photograph there, "
            "take its line out of the labels, or leave such files out with on_damage=drop"
        )


def _apply(
    decisions: list[Decision], table: pd.DataFrame, photographs: Photographs
) -> tuple[pd.DataFrame, Photographs]:
    """Show every damaged file, take the dropped ones out of the table, and have the others repaired when read."""
    by_action: dict[str, set[str]] = {"": set(), "repaired": set(), "kept": set(), "dropped": set()}
    for decision in decisions:
        by_action[decision.action].add(decision.image)
    if len(damaged := damage_table(decisions)):
        are = "is" if len(damaged) == 1 else "are"
        show_table(f"{len(damaged)} of {counted(len(decisions), 'photograph')} {are} damaged", damaged, log)
    if isinstance(photographs, FolderPhotographs):
        photographs = photographs.with_repaired(by_action["repaired"] | by_action["kept"])
    return table[~table["image"].isin(by_action["dropped"])].reset_index(drop=True), photographs


def _without_low_quality(table: pd.DataFrame, infos: Mapping[str, ImageInfo], least: float) -> pd.DataFrame:
    """Return the photographs of at least that quality, and log how many are left out of each split, and which."""
    low = np.array([infos[image].quality < least for image in table["image"]], bool)
    if low.any():
        left_out = table[low]
        splits = ", ".join(f"{count} {split}" for split, count in left_out["split"].value_counts().items())
        some = ", ".join(left_out["image"][:5]) + (", ..." if len(left_out) > 5 else "")
        log.warning(
            "min_quality %g: %d of %d photographs are left out (%s): %s", least, len(left_out), len(table), splits, some
        )
    return table[~low].reset_index(drop=True)


def _say_where_there_is_no_retina(config: RunConfig, table: pd.DataFrame, infos: Mapping[str, ImageInfo]) -> None:
    if all(name != "CropToRetina" for name, _ in PREPROCESSING.read(config.preprocessing)):
        return
    without = [image for image in table["image"] if infos[image].retina is None]
    if without:
        some = ", ".join(without[:5]) + (", ..." if len(without) > 5 else "")
        log.warning("CropToRetina: no circle on %d of %d photographs, used whole: %s", len(without), len(table), some)


def _refuse_unusable(table: pd.DataFrame, data_dir: Path, decisions: list[Decision], min_quality: float) -> None:
    dropped = sum(decision.action == "dropped" for decision in decisions)
    because = f" after {dropped} damaged ones were dropped" if dropped else ""
    because += f" with min_quality {min_quality:g}" if min_quality else ""
    for split in ("train", "test"):
        if not (table["split"] == split).any():
            raise InputError(f"data_dir {data_dir}: no {split} photograph is left{because}; get whole files or more")
    grades = table.loc[table["split"] == "train", "grade"].unique()
    if len(grades) == 1:
        raise InputError(
            f"data_dir {data_dir}: every training photograph has grade {grades[0]}{because}; "
            "a classifier needs two grades at least: add photographs, or raise limit"
        )
