"""What Ray adds to a grid: many short stubs, and a real grid of eight against the local engine.

    python benchmarks/grid_ray.py stubs [--runs 1000] [--seconds 0.05]
    python benchmarks/grid_ray.py grid [--rounds 3] [--epochs 5] [--address auto] DATA.yaml [RUN.yaml ...] [--seeds 0,1]

``stubs``: processes that sleep, with a run folder each; the ideal is their sleep alone, spread over the processors.
Time of the driver's processor is told beside the clock's, since other programs disturb it less. ``grid``: the lab's
eight runs, or those that are named, by both engines in turn, two at a time, from nothing but a full pixel cache; start
and end of Ray included unless there is a cluster at the address.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

HERE = Path(__file__).parent
SLEEP = "DR_LAB_BENCHMARK_SLEEP"


def start_stub(kind, files, parameters, *, threads, gpus=(), again=False):
    """Start a process that sleeps, in the place of a notebook; its folder says at once that it is done."""
    files.parameters.write_text("{}")
    files.log.touch()
    files.write_status("done", epoch=1, epochs=1)
    return subprocess.Popen(["sleep", os.environ[SLEEP]], stdin=subprocess.DEVNULL, start_new_session=True)


def use_stubs():
    """Have this process start stubs; called by Ray in each of its workers."""
    from dr_lib.experiment import job

    job.start_notebook = start_stub


def stubs(runs: int, seconds: float) -> None:
    from dr_lib.experiment.job import Job
    from dr_lib.experiment.jobs import run_jobs
    from dr_lib.experiment.ray_backend import RayBackend
    from dr_lib.experiment.ray_cluster import connect
    from dr_lib.storage.files import scratch_folder
    from dr_lib.storage.folders import ExperimentFolder

    os.environ[SLEEP] = str(seconds)
    me, cores = psutil.Process(), len(os.sched_getaffinity(0))
    variables = {"PYTHONPATH": str(HERE), SLEEP: str(seconds)}
    hook = {"worker_process_setup_hook": "grid_ray.use_stubs", "env_vars": variables}
    with connect(runtime_env=hook, num_cpus=cores), tempfile.TemporaryDirectory() as folder:
        for count in (cores, runs // 10, runs):  # the first of them start the workers
            experiment = Path(folder) / str(count)
            parameters = {"out_dir": str(experiment), "epochs": 1, "device": "cpu"}
            jobs = [
                Job(f"stub{number}", "stub", parameters, ExperimentFolder(experiment).run(f"stub{number}"))
                for number in range(count)
            ]
            began, used = time.monotonic(), sum(me.cpu_times()[:2])
            experiment.mkdir()
            with scratch_folder(experiment) as marker:
                run_jobs(jobs, RayBackend(marker, 1, threads=1), lambda jobs: None)
            took, used = time.monotonic() - began, sum(me.cpu_times()[:2]) - used
            assert all(job.state == "done" for job in jobs)
            ideal = count * seconds / cores
            print(
                f"{count} stubs of {1000 * seconds:.0f} ms: {took:.1f} s (ideal {ideal:.1f} s), "
                f"{1000 * (took * cores - count * seconds) / count:.1f} ms more a run; driver: "
                f"{1000 * used / count:.2f} ms of processor a run, {me.memory_info().rss / 1e6:.0f} MB"
            )


def grid(data: Path, rounds: int, epochs: int, address: str | None, more: list[str]) -> None:
    taken: dict[str, list[float]] = {"local": [], "ray": []}
    for number in range(rounds + 1):  # the first round fills the pixel cache and the system's caches
        for engine in taken if number % 2 else reversed(taken):
            with tempfile.TemporaryDirectory() as folder:
                command = [
                    sys.executable, "-m", "dr_lib.cli", "run", "--data", str(data), "--set", f"epochs={epochs}",
                    "--set", "device=cpu", "--out", folder, "--jobs", "2", "--engine", engine, *more,
                ]  # fmt: skip
                if address and engine == "ray":
                    command += ["--address", address]
                began = time.monotonic()
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                if number:
                    taken[engine].append(time.monotonic() - began)
    for engine, times in taken.items():
        print(f"{engine}: {', '.join(f'{seconds:.1f}' for seconds in times)} s")
    ratios = [ours / theirs for ours, theirs in zip(taken["ray"], taken["local"], strict=True)]
    print(f"ray / local: {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}), {rounds} rounds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    of_stubs = commands.add_parser("stubs")
    of_stubs.add_argument("--runs", type=int, default=1000)
    of_stubs.add_argument("--seconds", type=float, default=0.05)
    of_grid = commands.add_parser("grid")
    of_grid.add_argument("data", type=Path)
    of_grid.add_argument("--rounds", type=int, default=3)
    of_grid.add_argument("--epochs", type=int, default=5)
    of_grid.add_argument("--address", help="of a cluster that is there; else Ray is started and ended each time")
    of_grid.add_argument("more", nargs=argparse.REMAINDER, help="more that dr-lab run is told, such as run files")
    options = parser.parse_args()
    if options.command == "stubs":
        stubs(options.runs, options.seconds)
    else:
        grid(options.data, options.rounds, options.epochs, options.address, options.more)


if __name__ == "__main__":
    main()
