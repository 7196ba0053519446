"""What the notebooks of a run and of a pretraining show of their data: tables and figures."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from dr_lib import GRADE_NAMES, GRADES
from dr_lib.config import RunConfig
from dr_lib.data.audit import audit_labels
from dr_lib.data.crops import ResizeSpec
from dr_lib.data.isolated_decoding import IsolatedDecoder
from dr_lib.data.labels import Labels
from dr_lib.data.matching import open_photographs
from dr_lib.data.prepare import DataSplits
from dr_lib.plots import plot_photographs
from dr_lib.report.image_rows import as_tested, as_trained
from dr_lib.storage.checksums import read_sealed_json
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.synthetic import LESION_KINDS
from dr_lib.training.pretrain import photographs_folder


def class_table(data: DataSplits) -> pd.DataFrame:
    """Return photographs and percent of each grade in each split, as in the lab report's table."""
    columns: dict[str, Any] = {"grade": [*map(str, GRADES), "all"], "name": [*GRADE_NAMES, ""]}
    for split, found in audit_labels(data.labels)["splits"].items():
        columns[split] = [*found["counts"], found["photographs"]]
        columns[f"{split} %"] = [100 * share for share in [*found["shares"], sum(found["shares"])]]
    return pd.DataFrame(columns).set_index("grade").rename_axis(None)


def prepared_photograph(data: DataSplits, config: RunConfig, draws: int = 5) -> Figure:
    """Show a training photograph of a high grade as testing sees it, and as ``draws`` epochs of training might."""
    row = data.split("train").sort_values("grade", kind="stable").iloc[-1]
    original = IsolatedDecoder().pixels(data.photographs, row.image)
    tested = [(f"{row.image}, grade {row.grade}: tested", seen) for seen in as_tested(original, config)]
    trained = [("as training might see it", seen) for seen in as_trained(original, config, draws)]
    return plot_photographs([*tested, *trained], columns=3, side=190)


def lesion_photographs(config: RunConfig, photographs: int = 6) -> Figure:
    """Show some photographs drawn for pretraining with the numbers that the network learns to tell."""
    folder = photographs_folder(config)
    lesions = pd.read_csv(folder / "lesions.csv", dtype={"image": str})
    rows: Iterable[Any] = lesions.iloc[:: max(1, len(lesions) // photographs)].head(photographs).itertuples()
    pictures, decoder = open_photographs(folder, Labels(lesions)), IsolatedDecoder()
    square = ResizeSpec(220).make
    return plot_photographs(
        [(_counts(row), square(decoder.pixels(pictures, row.image))) for row in rows], columns=3, side=220
    )


def lesion_scores(config: RunConfig) -> pd.DataFrame:
    """Return the share of the variance of each lesion's count that the pretrained network explains; NaN: undefined."""
    record = read_sealed_json(ExperimentFolder(Path(config.out_dir)).pretraining(config.model).record)
    scores = pd.Series(record["final_r2"], dtype=float).rename(_words)
    return scores.rename_axis("lesion").to_frame("variance explained (R²)")


def _words(kind: str) -> str:
    return {"exudates": "hard exudates", "cotton_wool_spots": "cotton-wool spots"}.get(kind, kind.replace("_", " "))


def _counts(row: Any) -> str:
    kinds = [kind for kind in LESION_KINDS if getattr(row, kind)]
    return "\n".join(f"{getattr(row, kind)} {_words(kind)}" for kind in kinds) or "no lesions"
