"""Count how often experiments without any difference are said to have one.

    python benchmarks/claims.py --trials 200

Made-up networks are equally good: each sees the severity of every photograph with an error of its own, half of it
shared by both eyes of a patient; grades have EyePACS' shares. Of so many experiments, prints the percentage in which
something is told apart: any figure in twelve comparisons of eight networks, any network from the best of 2, 4, 8 and
16, any of eight networks that answer at random by kappa from chance. 5% is what the intervals promise.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from equal_networks import network, photographs

from dr_lib.evaluation.effects import OVERALL, against_best, compare_all, together
from dr_lib.evaluation.seed_groups import over_seeds

SETTINGS = (2, 4, 8, 16)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--trials", type=int, default=200, help="experiments of each kind")
    arguments.add_argument("--patients", type=int, nargs="+", default=[100, 250, 400], help="two photographs each")
    arguments.add_argument("--skills", type=float, nargs="+", default=[0.25, 0.8], help="correlation with the truth")
    options = arguments.parse_args()
    best = " | ".join(f"best of {number}" for number in SETTINGS)
    print(f"| patients | mean kappa | twelve comparisons | {best} | chance |\n|" + " ---: |" * (4 + len(SETTINGS)))
    for patients in options.patients:
        for skill in options.skills:
            print(_row(patients, skill, options.trials), flush=True)


def _row(patients: int, skill: float, trials: int) -> str:
    rng = np.random.default_rng(patients)
    kappas, told = [], np.zeros(2 + len(SETTINGS))
    for _ in range(trials):
        seen = photographs(patients, rng)
        runs = [[network(seen, rng, skill)] for _ in range(max(SETTINGS))]
        pairs = [(runs[i], runs[i ^ bit]) for bit in (1, 2, 4) for i in range(8) if not i & bit]
        told[0] += any(
            change.distinguishable
            for found in compare_all(pairs)
            for change in (*(getattr(found, name) for name in OVERALL), *found.recall)
            if change
        )
        for column, number in enumerate(SETTINGS, 1):
            told[column] += any(change.distinguishable for change in against_best(runs[:number])[1] if change)
        guessing = [[network(seen, rng, 0.0)] for _ in range(8)]
        figures = together(guessing, "kappa", [over_seeds(run)["kappa"] for run in guessing])
        told[-1] += any(figure.low > 0 for figure in figures)
        kappas.append(over_seeds(runs[0])["kappa"].mean)
    shares = " | ".join(f"{100 * share:.1f} %" for share in told / trials)
    return f"| {patients} | {np.mean(kappas):.2f} | {shares} |"


if __name__ == "__main__":
    main()
