"""What the notebooks of a run and of a pretraining show of it."""

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML

from dr_lib import GRADE_NAMES, GRADES, plots
from dr_lib.config import RunConfig
from dr_lib.data.audit import audit_labels
from dr_lib.data.crops import ResizeSpec
from dr_lib.data.photographs import open_photographs
from dr_lib.data.prepare import DataSplits
from dr_lib.report import markup
from dr_lib.report.drawing import inline_svg
from dr_lib.report.image_rows import prepared_strips
from dr_lib.report.sentences import chosen_by
from dr_lib.report.text import patients
from dr_lib.storage.checksums import read_sealed_json
from dr_lib.storage.folders import ExperimentFolder, RunFolder
from dr_lib.training.pretrain import photographs_folder
from dr_lib.training.trained_run import Run

_LESION_WORDS = {
    "microaneurysms": "microaneurysms",
    "hemorrhages": "hemorrhages",
    "exudates": "hard exudates",
    "cotton_wool_spots": "cotton-wool spots",
    "new_vessels": "new vessels",
}


def class_table(data: DataSplits) -> pd.DataFrame:
    """Return photographs and percent of each grade in each split, as in the lab report's table."""
    columns = {"grade": [*map(str, GRADES), "all"], "name": [*GRADE_NAMES, ""]}
    for split, found in audit_labels(data.table)["splits"].items():
        columns[split] = [*found["counts"], found["photographs"]]
        shares = [*found["shares"], sum(found["shares"])]
        columns[f"{split} %"] = [f"{100 * share:.2f}" for share in shares]
    return pd.DataFrame(columns).set_index("grade").rename_axis(None)


def augmentation(data: DataSplits, config: RunConfig) -> HTML:
    """Return a training photograph of a high grade as testing sees it and as training might."""
    row = data.split("train").sort_values("grade", kind="stable").iloc[-1]
    return markup.shown(prepared_figure(row.image, row.grade, data.photographs.pixels(row.image), config))


def prepared_figure(image: str, grade: int, original: np.ndarray, config: RunConfig) -> str:
    """Return the HTML of a photograph as the network sees it, with its name and grade."""
    title = f"<b>{escape(image)}, grade {grade}.</b>"
    caption = "As the network sees it: always the same in testing, varied anew in each epoch of training."
    return f"<figure>{prepared_strips(image, original, config)}<figcaption>{title} {caption}</figcaption></figure>"


def history(run: RunFolder) -> HTML:
    """Return the training and testing accuracy of each epoch, the majority, and the epochs in numbers."""
    metrics = run.read_metrics()
    majority = metrics["test"]["majority_accuracy"]
    axes = Run(run.path).plot_history(ax=plots.panel())
    highest = metrics["highest_testing_accuracy"]
    caption = (
        f"Dashed red: the majority, {100 * majority:.2f} %. The dot is epoch {metrics['chosen_epoch']}, "
        f"{chosen_by(metrics['select_by'])}; the highest testing accuracy of all epochs is "
        f"{100 * highest['accuracy']:.2f} % in epoch {highest['epoch']}."
    )
    last = run.read_history().iloc[-1]
    spoken = (
        f"Accuracy per epoch: testing ends at {100 * last.test_accuracy:.1f} %, training at "
        f"{100 * last.train_accuracy:.1f} %, the majority is {100 * majority:.1f} %"
    )
    return markup.shown(markup.figure([("", inline_svg(axes, spoken))], "Accuracy per epoch.", caption))


def confusion(run: RunFolder) -> HTML:
    """Return the row-normalized confusion matrix of the testing photographs, with accuracy and kappa in words."""
    test = run.read_metrics()["test"]
    (low, high), kappa = test["intervals"]["accuracy"], test["kappa"]
    caption = (
        f"{test['photographs']:,} photographs of {patients(test['patients'], test.get('unknown_patients', 0))}. "
        f"Accuracy {100 * test['accuracy']:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f}; "
        f"majority {100 * test['majority_accuracy']:.1f} %), quadratic weighted kappa {kappa:.3f}."
    )
    recall = ", ".join("none" if share is None else f"{100 * share:.0f} %" for share in test["recall"])
    svg = inline_svg(
        plots.plot_confusion(test["confusion_matrix"]), f"Confusion matrix; recall of grades 0 to 4: {recall}"
    )
    return markup.shown(markup.figure([("", svg)], "Confusion matrix.", caption))


def lesion_counts(config: RunConfig, photographs: int = 6) -> HTML:
    """Return some photographs drawn for pretraining with the numbers that the network learns to tell."""
    folder = photographs_folder(config)
    lesions = pd.read_csv(folder / "lesions.csv", dtype={"image": str})
    rows = lesions.iloc[:: max(1, len(lesions) // photographs)].head(photographs)
    pictures = open_photographs(folder, rows)
    square = ResizeSpec(220).make
    photographs_drawn: Iterable[Any] = rows.itertuples()
    panels = [
        (
            "",
            markup.photograph(square(pictures.pixels(row.image)), f"Generated photograph: {_counts(row)}", 150)
            + _counts(row),
        )
        for row in photographs_drawn
    ]
    return markup.shown(markup.figure(panels, "Photographs drawn to pretrain on,", "with the lesions in them."))


def counting(config: RunConfig) -> HTML:
    """Return how well the pretrained network counts lesions on photographs it has not seen."""
    facts = read_sealed_json(ExperimentFolder(Path(config.out_dir)).pretraining(config.model).facts)
    rows = [
        [_LESION_WORDS[kind], "undefined" if share is None else f"{share:.2f}"]
        for kind, share in facts["final_r2"].items()
    ]
    caption = f"{config.model} after {facts['epochs']} epochs on {facts['photographs']:,} generated photographs."
    return markup.shown(markup.table(["Lesion", "Variance explained (R²)"], rows, caption, numeric=(1,)))


def _counts(row) -> str:
    return ", ".join(
        f"{getattr(row, kind)} {words}" for kind, words in _LESION_WORDS.items() if getattr(row, kind)
    ) or ("no lesions")
