"""What the grid itself costs: a thousand runs that last 50 ms each, through the code that drives real ones.

    python benchmarks/grid.py [--runs 1000] [--jobs 8] [--milliseconds 50]

In the place of a notebook's process stands one that sleeps and says in ``status.json`` that it is done; all else is
the grid's own: folders, parameters, locks, processes, their ends, the table.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from dr_lib.config import RunConfig
from dr_lib.experiment import job
from dr_lib.experiment import jobs as grid
from dr_lib.experiment.job import Job
from dr_lib.experiment.jobs import Backend, LocalBackend
from dr_lib.experiment.status import Monitor
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.storage.run_folder import RunFolder

SHORT_RUN = """
sleep "$1"
mv "$2/status.part" "$2/status.json"
"""
"""A run as a script for ``sh``: its seconds, its folder."""


@dataclass(frozen=True)
class Cost:
    """What driving ``runs`` short runs came to."""

    engine: str
    runs: int
    wall_seconds: float
    driver_seconds: float
    """Processor time of the driver."""
    overhead_seconds: float
    """Of one run: what its place is taken for longer than the run lasts."""
    memory: tuple[int, int]
    """Bytes that the driver holds after a tenth of the runs, and after all of them."""
    done: int

    def told(self) -> str:
        """Return the figures as one line."""
        first, last = (size / 1e6 for size in self.memory)
        return (
            f"{self.engine}: {self.done} of {self.runs} runs done in {self.wall_seconds:.1f} s; a run costs its place "
            f"{1000 * self.overhead_seconds:.0f} ms beyond its own time, and the driver "
            f"{1000 * self.driver_seconds / self.runs:.1f} ms of processor time; the driver's memory is "
            f"{first:.0f} MB after a tenth of them, {last:.0f} MB after all"
        )


def short_jobs(out_dir: Path, count: int) -> list[Job]:
    """Return ``count`` jobs of an experiment in ``out_dir``."""
    experiment = ExperimentFolder(out_dir)
    configs = (RunConfig(out_dir=str(out_dir), name=f"run{number:04}", epochs=1) for number in range(count))
    return [Job(config.run_name, "train", config.model_dump(), experiment.run(config.run_name)) for config in configs]


def measure(engine: str, jobs: list[Job], seconds: float, parallel: int, backend: Backend) -> Cost:
    """Return what it costs to have ``backend`` execute jobs of so many ``seconds``, ``parallel`` at a time."""
    driver, memory = psutil.Process(), []
    with Monitor(Console(file=io.StringIO(), force_terminal=True, width=120, height=50)) as watch:

        def look(jobs: list[Job]) -> None:
            watch(jobs)
            if sum(item.state == "done" for item in jobs) >= (len(jobs) // 10 if not memory else len(jobs)):
                memory.append(driver.memory_info().rss)

        wall, processor = time.perf_counter(), time.process_time()
        grid.run_jobs(jobs, backend, look)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return Cost(
        engine, len(jobs), wall, processor, wall * parallel / len(jobs) - seconds, (memory[0], memory[-1]),
        sum(item.state == "done" for item in jobs),
    )  # fmt: skip


def measure_local(out_dir: Path, runs: int, seconds: float, parallel: int) -> Cost:
    """Return what ``runs`` runs of so many ``seconds``, ``parallel`` at a time, cost through the local engine."""

    def start(name: str, files: RunFolder, parameters: dict[str, Any], **_: Any) -> subprocess.Popen:
        files.parameters.write_text(json.dumps(parameters))
        files.write_status("done", epoch=1, epochs=1)
        files.status.rename(files.path / "status.part")
        with files.log.open("wb") as stream:
            return subprocess.Popen(
                ["sh", "-c", SHORT_RUN, "sh", str(seconds), str(files.path)],
                stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    before, job.start_notebook = job.start_notebook, start
    try:
        return measure("local", short_jobs(out_dir, runs), seconds, parallel, LocalBackend(parallel))
    finally:
        job.start_notebook = before


def measure_status(out_dir: Path) -> float:
    """Return the seconds that ``dr-lab status`` takes, from the shell; the best of five."""
    command = [sys.executable, "-m", "dr_lib.cli", "status", str(out_dir)]
    times = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return min(times)


def main() -> None:
    """Measure what the arguments ask for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--milliseconds", type=float, default=50)
    asked = parser.parse_args()
    print(f"{os.cpu_count()} processor cores, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory() as scratch:
        out_dir = Path(scratch, "local")
        print(measure_local(out_dir, asked.runs, asked.milliseconds / 1000, asked.jobs).told())
        print(f"dr-lab status of {asked.runs} runs: {measure_status(out_dir):.2f} s")


if __name__ == "__main__":
    main()
