"""Time the statistics of a report: figures with intervals of eight runs, their comparisons, and several seeds.

    taskset -c 0 python benchmarks/figures_of_merit.py [--photographs 7026] [--runs 8] [--seeds 3]

Predictions are made up, two eyes a patient; 2,000 resamples of the patients go with every figure. Times are seconds of
one core (processor time of all threads together).
"""

import argparse
import os
import time
from collections.abc import Callable
from itertools import combinations, islice

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy reads it

import numpy as np
import pandas as pd

from dr_lib import GRADES, PROBABILITIES
from dr_lib.evaluation.effects import compare_all
from dr_lib.evaluation.seed_groups import over_seeds
from dr_lib.evaluation.summary import summarize

SHARES = (0.7351, 0.0696, 0.1498, 0.0248, 0.0207)


def made_up(photographs: int, seed: int) -> pd.DataFrame:
    """Return predictions for the same ``photographs`` each time, often right."""
    grades = np.random.default_rng(0).choice(GRADES, size=photographs, p=SHARES)
    rng = np.random.default_rng(seed + 1)
    logits = rng.normal(size=(photographs, len(GRADES))) + np.log(SHARES) + 1.5 * np.eye(len(GRADES))[grades]
    odds = np.exp(logits)
    table = pd.DataFrame(odds / odds.sum(axis=1, keepdims=True), columns=PROBABILITIES)
    names = [f"{eye // 2}_{('left', 'right')[eye % 2]}" for eye in range(photographs)]
    patients = [name.split("_")[0] for name in names]
    return table.assign(image=names, patient=patients, grade=grades, predicted=logits.argmax(axis=1))


def pairs_of(runs: list) -> list[tuple]:
    """Return as many pairs as eight runs have that differ in pretraining, depth or class weights alone."""
    return list(islice(combinations(runs, 2), 12))


def seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", type=int, default=7026)
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()

    summarize(made_up(100, 0))  # compiles
    runs = [made_up(given.photographs, seed) for seed in range(given.runs * given.seeds)]
    seeds = [runs[which :: given.runs] for which in range(given.runs)]
    first = [tables[0] for tables in seeds]
    parts: dict[str, Callable[[], object]] = {
        "figures of all runs with their intervals": lambda: [summarize(run) for run in first],
        "12 paired comparisons of these runs": lambda: compare_all(
            [([before], [after]) for before, after in pairs_of(first)]
        ),
        f"all figures over {given.seeds} seeds of each run": lambda: [over_seeds(tables) for tables in seeds],
        "12 comparisons over these seeds": lambda: compare_all(list(pairs_of(seeds))),
    }
    print(f"{given.photographs:,} photographs, {given.runs} runs, 2,000 resamples, seconds of one core")
    for name, work in parts.items():
        print(f"{name:45}{seconds(work):5.1f}", flush=True)


if __name__ == "__main__":
    main()
