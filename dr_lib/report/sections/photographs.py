"""Photographs in the report: samples of each grade, and one photograph as training sees it."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import HTML

from dr_lib.data.labels import read_labels
from dr_lib.data.photographs import Photographs, open_photographs
from dr_lib.data.splits import assign_splits
from dr_lib.errors import InputError
from dr_lib.report import markup
from dr_lib.report.strips import grade_strips, prepared_strips
from dr_lib.report.study import Study


def sample_photographs(study: Study, per_grade: int = 5) -> HTML:
    """Return a row of training photographs for each grade, or a sentence where they are out of reach."""
    found = _photographs(study)
    if isinstance(found, str):
        return markup.shown(markup.paragraphs(found, css="note"))
    train, photographs = found
    rows = grade_strips(
        lambda grade: islice(_opened(train.loc[train["grade"] == grade, "image"], photographs), per_grade)
    )
    return markup.shown(
        f"<figure>{rows}<figcaption><b>Training photographs of each grade.</b> The first ones by name, cropped to "
        "the square that the network sees.</figcaption></figure>"
    )


def augmented_photographs(study: Study, draws: int = 5) -> HTML:
    """Return one training photograph as testing would see it and as several epochs of training see it."""
    found = _photographs(study)
    if isinstance(found, str):
        return markup.shown("")  # the samples above say why
    (train, photographs), config = found, study.config
    highest_first = train.sort_values("grade", kind="stable", ascending=False)["image"]  # a high grade shows more
    image, original = next(_opened(highest_first, photographs), ("", None))
    if config is None or original is None:
        return markup.shown(markup.paragraphs("There is no training photograph to show.", css="note"))
    return markup.shown(
        f"<figure>{prepared_strips(image, original, config, draws)}"
        "<figcaption><b>One photograph, prepared.</b> Testing always sees the same square; in training each epoch "
        "draws another crop, rotation and flips.</figcaption></figure>"
    )


def _opened(images: Iterable[str], photographs: Photographs) -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and pixels of the photographs that can be opened; the audit tells of those that cannot."""
    for image in images:
        try:
            yield image, photographs.pixels(image)
        except (OSError, ValueError):
            continue


def _photographs(study: Study) -> tuple[pd.DataFrame, Photographs] | str:
    """Return the intact training photographs of the first run's data set, or why they cannot be shown.

    Labels are read again and nothing is decoded: the damaged files are those of the audit.
    """
    config = study.config
    if config is None:
        return "No photographs are shown: no run has recorded where they are."
    gone = f"No photographs are shown: those of the runs ({config.data_dir}) are not on this machine."
    data_dir = Path(config.data_dir).expanduser()
    if not data_dir.exists():
        return gone
    try:
        labels = read_labels(data_dir, config.labels, config.labels_file)
        table = assign_splits(
            labels, validation_share=config.validation_share, test_share=config.test_share, seed=config.split_seed
        )
        photographs = open_photographs(data_dir, table, config.images_dir, config.labels_file)
    except InputError:
        return gone
    damaged = {entry["image"] for entry in study.audit["damage"]["files"]} if study.audit else set()
    train = table[(table["split"] == "train") & ~table["image"].isin(damaged)]
    return train.sort_values("image"), photographs
