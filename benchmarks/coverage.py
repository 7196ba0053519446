"""Count how often the 95% interval of each figure holds its true value.

    python benchmarks/coverage.py --trials 400

A made-up network sees the severity of every photograph with an error of its own, half of it shared by both eyes of a
patient, whose severities correlate by 0.85; grades have EyePACS' shares. The true value of a figure is that of 200,000
patients. Prints for each figure in how many of 100 experiments its interval held it; "recall, rare" is that of grades 3
and 4 together, and so for others. An experiment in which a figure is undefined, or has no interval, does not count.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from equal_networks import network, photographs

from dr_lib import PROBABILITIES
from dr_lib.evaluation import matrix_metrics as metrics
from dr_lib.evaluation.ranking import grade_areas, rank_referable
from dr_lib.evaluation.summary import estimates, summarize

TRUTH = 200_000
SKILLS = {0.06: 0.1, 0.8: 0.905}
"""How well the network's score correlates with the severity, by the quadratic weighted kappa that this makes."""
FIXED = {
    "referable_at_90_sensitivity_threshold", "referable_at_90_sensitivity_sensitivity",
    "referable_at_95_specificity_threshold", "referable_at_95_specificity_specificity",
}  # fmt: skip
"""What an operating point is asked to be, and the scale on which it is found: no figures of a network."""
PARTS = ("threshold", "sensitivity", "specificity")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--trials", type=int, default=400, help="experiments of each kind")
    arguments.add_argument("--patients", type=int, nargs="+", default=[100, 250, 400], help="two photographs each")
    arguments.add_argument("--skills", type=float, nargs="+", default=list(SKILLS.values()))
    arguments.add_argument("--truth", type=int, default=TRUTH, help="patients of the true values")
    options = arguments.parse_args()
    columns, heads = [], []
    for skill in options.skills:
        truth = true_values(skill, options.truth)
        for patients in options.patients:
            columns.append(coverage(truth, patients, skill, options.trials))
            heads.append(f"{patients} patients, kappa {truth['kappa']:.2f}")
    print("| figure | " + " | ".join(heads) + " |\n| --- |" + " ---: |" * len(columns))
    for name in columns[0]:
        cells = " | ".join(f"{100 * column[name]:.1f}" if name in column else "–" for column in columns)
        print(f"| {name} | {cells} |")


def true_values(skill: float, patients: int) -> dict[str, float]:
    """Return the figures of the network on many patients."""
    rng = np.random.default_rng(1)
    table = network(photographs(patients, rng), rng, skill)
    matrix, shares = metrics.confusion_matrix(table["grade"], table["predicted"]), table[PROBABILITIES].to_numpy()
    once = np.zeros(len(table), dtype=np.int64), np.ones((1, 1), dtype=np.uint8)
    areas, referable = (rank(table["grade"].to_numpy(), shares, *once) for rank in (grade_areas, rank_referable))
    of_matrix = ("accuracy", "balanced_accuracy", "macro_f1", "referable_sensitivity", "referable_specificity")
    truth = {name: getattr(metrics, name)(matrix) for name in of_matrix}
    by_grade = {"recall": metrics.recall(matrix), "precision": metrics.precision(matrix), "auc": areas[0]}
    truth |= {f"{name}_{grade}": value for name, values in by_grade.items() for grade, value in enumerate(values)}
    points = {"at_90_sensitivity": referable.at_sensitivity, "at_95_specificity": referable.at_specificity}
    for name, (values,) in points.items():
        truth |= {f"referable_{name}_{part}": value for part, value in zip(PARTS, values, strict=True)}
    return truth | {
        "kappa": metrics.quadratic_weighted_kappa(matrix),
        "macro_auc": areas[0].mean(),
        "referable_auc": referable.auc[0],
        "referable_average_precision": referable.average_precision[0],
    }


def coverage(truth: dict[str, float], patients: int, skill: float, trials: int) -> dict[str, float]:
    """Return by figure the share of experiments whose interval holds the truth."""
    rng = np.random.default_rng(patients)
    held: dict[str, list[bool]] = defaultdict(list)
    for _ in range(trials):
        for name, found in estimates(summarize(network(photographs(patients, rng), rng, skill))).items():
            if found.low is not None and name not in FIXED:
                stem, _, grade = name.rpartition("_")
                rare = {"3": ", grades 3 and 4", "4": ", grades 3 and 4"}.get(grade, ", grades 0 to 2")
                label = stem + rare if grade in "01234" and grade else name
                held[label.replace("_", " ")].append(found.low <= truth[name] <= found.high)
    return {name: float(np.mean(values)) for name, values in held.items()}


if __name__ == "__main__":
    main()
