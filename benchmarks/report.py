"""Time the report of the lab's eight runs on 7,026 testing photographs, and measure it, on one core.

    python benchmarks/report.py

Prints what the statistics of all runs take (figures of merit with their intervals, 2,000 resamples of the patients),
what the comparisons of runs take, what the page takes, what the whole report takes with its notebook, and how large the
files are.
The runs are made up; the photographs that the report shows are drawn.
"""

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from large_experiment import PHOTOGRAPHS, write_large_experiment

from dr_lib.evaluation.summary import summarize
from dr_lib.report.build import build_report
from dr_lib.report.collect import collect
from dr_lib.report.report_page import report_page
from dr_lib.storage.folders import ExperimentFolder


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--photographs", type=int, default=PHOTOGRAPHS, help="testing photographs")
    options = arguments.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as scratch:
        # In a process of its own: what it computes is kept, and would be found again below.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as writer:
            experiment = ExperimentFolder(
                writer.submit(write_large_experiment, Path(scratch), options.photographs).result()
            )
        sweep = collect(experiment.path)
        wall, cpu = _timed(lambda: [summarize(run.predictions) for run in sweep.done])
        print(
            f"statistics of {len(sweep.done)} runs, {options.photographs:,} photographs: {wall:.1f} s, {cpu:.1f} s CPU"
        )
        wall, cpu = _timed(lambda: sweep.all_effects)
        print(f"comparisons of runs: {wall:.1f} s, {cpu:.1f} s CPU")
        wall, cpu = _timed(lambda: report_page(sweep))
        print(f"page: {wall:.1f} s, {cpu:.1f} s CPU")
        wall, _ = _timed(lambda: build_report(experiment.path))
        children = os.times()
        print(f"report: {wall:.1f} s, {children.children_user + children.children_system:.1f} s CPU in its kernel")
        for path in (experiment.report, experiment.report_notebook, experiment.results_table, experiment.results):
            print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")


def _timed(work) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
