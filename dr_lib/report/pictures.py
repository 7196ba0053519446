"""The photographs that an experiment was made with, where this machine has them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from dr_lib.data.isolated_decoding import IsolatedDecoder
from dr_lib.data.labels import labels_of
from dr_lib.data.matching import open_photographs
from dr_lib.data.photographs import FolderPhotographs, Photographs
from dr_lib.data.splits import splits_of
from dr_lib.errors import InputError
from dr_lib.report.experiment_results import ExperimentResults


@dataclass(frozen=True)
class ExperimentPhotographs:
    """What the labels name, ``table`` with ``image, grade, patient, split``, and the photographs themselves.

    ``damaged``: names of those that the audit found damaged; what it had repaired is repaired here, too.
    """

    table: pd.DataFrame
    photographs: Photographs
    damaged: frozenset[str]
    decoder: IsolatedDecoder = field(default_factory=IsolatedDecoder, init=False, repr=False, compare=False)

    def intact(self, split: str) -> pd.DataFrame:
        """Return the rows of the undamaged photographs of a split, by name."""
        rows = self.table[(self.table["split"] == split) & ~self.table["image"].isin(self.damaged)]
        return rows.sort_values("image")

    def include(self, graded: pd.DataFrame) -> bool:
        """Tell whether all of ``graded`` (``image, grade``) are among these with the same grades.

        A folder of another data set may stand where that of the runs once stood.
        """
        known = dict(zip(self.table["image"], self.table["grade"], strict=True))
        return all(known.get(image) == grade for image, grade in zip(graded["image"], graded["grade"], strict=True))

    def opened(self, images: Iterable[str], at_least: int = 0) -> Iterator[tuple[str, np.ndarray]]:
        """Yield name and pixels, uint8 (H, W, 3), of those that can be opened; the audit tells of those that cannot.

        ``at_least``: shorter side in px that is enough; 0: all there is.
        """
        for image in images:
            try:
                yield image, self.decoder.pixels(self.photographs, image, at_least)
            except (OSError, ValueError):
                continue


def find_pictures(experiment: ExperimentResults) -> ExperimentPhotographs | str:
    """Return the photographs of the first run's data set, or why they cannot be shown, in a sentence.

    Labels are read again and nothing is decoded: the damaged files are those of the audit.
    """
    config = experiment.config
    if config is None:
        return "No photographs are shown: no run has recorded where they are."
    gone = not_here(experiment)
    data_dir = Path(config.data_dir)
    if not data_dir.exists():
        return gone
    try:
        labels = labels_of(config)
        table = splits_of(config, labels.table)
        photographs = open_photographs(data_dir, labels, config.images_dir, config.labels_file)
    except InputError:
        return gone
    damage = (experiment.audit or {}).get("damage", {}).get("files", [])
    if isinstance(photographs, FolderPhotographs):
        repaired = {entry["image"] for entry in damage if entry.get("action") == "repaired"}
        photographs = photographs.with_repaired(repaired)
    return ExperimentPhotographs(table, photographs, frozenset(entry["image"] for entry in damage))


def not_here(experiment: ExperimentResults) -> str:
    """Return the sentence that says that this machine has not the photographs of the runs."""
    folder = experiment.config.data_dir if experiment.config else ""
    return f"No photographs are shown: those of the runs ({folder}) are not on this machine."
