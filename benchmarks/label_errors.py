"""Flip labels of generated photographs, train the demo's network, and count how many of them it names first.

    python benchmarks/label_errors.py /tmp/flipped

Prints a table: of the first k photographs by each score, k being the number of flipped labels, the
share that is flipped, and how many times chance that is; for all photographs, for those that the network was trained on
and for the others. Beside ours (expected distance in grades, answers by folds of the patients) stand cleanlab's two
scores of the same answers (self-confidence and normalized margin), and the run's own answers without folds. FOLDER is
used as it is where it holds the photographs and the run already.
"""

import argparse
import csv
import os
from pathlib import Path

import numpy as np
import pandas as pd

import dr_lib
from dr_lib import GRADES, PROBABILITIES
from dr_lib.config import combine
from dr_lib.evaluation.contradiction import contradiction, out_of_fold
from dr_lib.explore.loaded_run import LoadedRun
from dr_lib.explore.neighbor_index import kept_features
from dr_lib.storage.folders import SHIPPED
from dr_lib.storage.run_folder import RunFolder

SHARE, SEED = 0.05, 0
PARAMS = [SHIPPED / "params" / kind / "demo.yaml" for kind in ("data", "recipes")]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--pretrained", default="generated", help="weights to begin with")
    options = arguments.parse_args()
    drawn, flipped = options.folder / "drawn", options.folder / "flipped"
    if not drawn.exists():
        dr_lib.make_data(drawn, train=900, test=300, size=160, seed=3, grade_shares=combine(PARAMS).generated_shares)
    if not flipped.exists():
        flip(drawn, flipped)
    here = {
        "data_dir": str(flipped), "cache_dir": str(options.folder / "cache"), "out_dir": str(options.folder / "exp"),
        "name": "pretrained", "model": "resnet18", "pretrained": True, "pretrained_weights": options.pretrained,
    }  # fmt: skip
    run = dr_lib.train(combine(PARAMS, fixed=here))
    print(table(run.path, pd.read_csv(flipped / "flipped.csv")["image"]))


def flip(source: Path, target: Path) -> None:
    """Write the labels of ``source`` to ``target``, of a share of them another grade, and which in flipped.csv."""
    target.mkdir(parents=True)
    os.symlink((source / "images").resolve(), target / "images")
    random, flipped = np.random.default_rng(SEED), []
    for split in ("train", "test"):
        names, grades = (
            [row[0] for row in csv.reader((source / f"{split}_{kind}.csv").open())] for kind in ("img", "label")
        )
        for place in random.permutation(len(names))[: round(SHARE * len(names))]:
            grades[place] = str(random.choice([grade for grade in GRADES if grade != int(grades[place])]))
            flipped.append(names[place])
        for kind, values in (("img", names), ("label", grades)):
            (target / f"{split}_{kind}.csv").write_text("\n".join(values) + "\n")
    (target / "flipped.csv").write_text("\n".join(["image", *flipped]) + "\n")


def table(run: Path, flipped: pd.Series) -> str:
    """Return precision among the first k by each score, as a table."""
    opened = LoadedRun.open(RunFolder(Path(run)))
    photographs = opened.data.table[["image", "split", "patient", "grade"]].reset_index(drop=True)
    features = kept_features(opened, photographs)
    grades = photographs["grade"].to_numpy()
    wrong = photographs["image"].isin(flipped).to_numpy()
    answers = out_of_fold(features, grades, photographs["patient"])
    own = photographs[["image"]].merge(opened.predictions, how="left", on="image")[PROBABILITIES].to_numpy()
    given = np.arange(len(grades)), grades
    others = np.where(np.arange(len(GRADES)) == grades[:, None], -1, answers).max(axis=1)
    scores = {
        "distance in grades, by folds (ours)": contradiction(answers, grades),
        "self-confidence, by folds": -answers[given],
        "normalized margin, by folds": others - answers[given],
        "distance in grades, the run's own answers": contradiction(np.nan_to_num(own), grades),
    }
    trained_on = (photographs["split"] == "train").to_numpy()
    tested = (photographs["split"] == "test").to_numpy()
    parts = {"all": np.ones(len(grades), bool), "trained on": trained_on, "testing": tested}
    lines = ["| score | photographs | flipped | precision | times chance |", "|---|---|---|---|---|"]
    for score, values in scores.items():
        for part, rows in parts.items():
            if score.endswith("own answers") and np.isnan(own[rows]).any():
                continue  # predictions.csv has testing photographs alone
            k, chance = int(wrong[rows].sum()), wrong[rows].mean()
            first = np.argsort(-values[rows], kind="stable")[:k]
            precision = wrong[rows][first].mean()
            lines.append(f"| {score} | {part} ({rows.sum():,}) | {k} | {precision:.0%} | {precision / chance:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
