"""The audit of a data folder: labels alone where photographs are missing, one decoding of each where they are there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from dr_lib.config import RunConfig
from dr_lib.data.apart import thumbnail_apart
from dr_lib.data.audit import audit_labels, audit_photographs, fingerprint
from dr_lib.data.cache_folder import cache_folder
from dr_lib.data.damage_rule import decide
from dr_lib.data.jpeg import UNREADABLE
from dr_lib.data.photographs import Photographs, find_photographs
from dr_lib.data.prepare import read_table, wanted_squares
from dr_lib.data.splits import limit_splits
from dr_lib.data.survey import Decode, Survey
from dr_lib.files import write_text
from dr_lib.runs import Experiment
from dr_lib.seals import write_sealed_json


@dataclass(frozen=True)
class Audit:
    """``found``: the contents of ``audit.json``. ``photographs``: those that the labels name and that are there.

    ``readable``: those of them that were decoded; no other is opened again.
    """

    found: dict[str, Any]
    photographs: Photographs
    readable: frozenset[str] = frozenset()

    def thumbnail(self, image: str) -> Image.Image | None:
        """Return a photograph, repaired where need be, at most 480 px; None where there is nothing to see."""
        if image not in self.readable:
            return None
        try:
            pixels = thumbnail_apart(self.photographs, image, 480)
        except OSError:
            return None
        return None if pixels is None else Image.fromarray(pixels)


def audit_data(config: RunConfig, progress: bool = True, decode: Decode | None = None) -> Audit:
    """Return what is in the data of ``config``, whatever state it is in.

    Missing photographs, unreadable ones, files of other kinds and two of one name are findings here, not errors; so are
    those that cannot be read now, of which nothing is known. Only labels that cannot be read raise :class:`InputError`.
    Each photograph is decoded once, in the pass that fills the pixel store.
    """
    table = read_table(config.model_copy(update={"limit": 0}), progress, to_train=False)
    data_dir = Path(config.data_dir)
    search = find_photographs(data_dir, table, config.images_dir, config.labels_file)
    found = {"data_dir": str(data_dir), **audit_labels(table), "files": search.as_json()}
    there = _rows_with_files(table, [*search.missing, *search.several], config)
    if there.empty:
        return Audit(found, search.photographs)
    survey = Survey(search.photographs, data_dir, cache_folder(config.cache_dir), progress, decode)
    facts, failures = survey.find(there["image"], wanted_squares(config, there))
    there = there[~there["image"].isin(failures)]
    verdicts = {image: fact.verdict for image, fact in facts.items()}
    rule = "repair" if config.on_damage == "fail" else config.on_damage
    decisions = decide(verdicts, on_damage=rule, max_lost_share=config.max_lost_share)
    found |= audit_photographs(there, facts, decisions)
    found["files"]["not_read"] = {image: failure.reason for image, failure in failures.items()}
    dropped = [decision.image for decision in decisions if decision.action == "dropped"]
    usable = there[~there["image"].isin(dropped)]
    readable = frozenset(image for image, fact in facts.items() if fact.verdict.verdict != UNREADABLE)
    return Audit(found | {"fingerprint": fingerprint(usable, facts)}, search.photographs, readable)


def write_audit(config: RunConfig, progress: bool = True, decode: Decode | None = None) -> Audit:
    """Audit the data of ``config`` and write ``audit.json`` and ``audit.html`` into its experiment folder."""
    from dr_lib.report.audit_page import audit_page

    experiment = Experiment(Path(config.out_dir))
    audit = audit_data(config, progress, decode)
    write_sealed_json(experiment.audit, audit.found)
    write_text(experiment.audit_page, audit_page(audit.found, audit.thumbnail))
    return audit


def _rows_with_files(table: pd.DataFrame, without: list[str], config: RunConfig) -> pd.DataFrame:
    there = table[~table["image"].isin(without)].reset_index(drop=True)
    return limit_splits(there, config.limit, config.split_seed)
