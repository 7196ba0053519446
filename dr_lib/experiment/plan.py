"""From params files to the configurations of an experiment, and the same ones with several seeds."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dr_lib.config import MOST_RUNS, RUN_NAME, RunConfig, combine
from dr_lib.errors import InputError
from dr_lib.experiment.sweeps import expand, is_sweep, read_sweep
from dr_lib.storage.checksums import read_sealed_json
from dr_lib.storage.folders import ExperimentFolder, SweepGrid


@dataclass(frozen=True)
class Plan:
    """The runs of an experiment, and the sweep that asks for them where one does."""

    runs: list[RunConfig]
    sweep: SweepGrid | None


def plan_runs(
    data_file: Path, run_files: list[Path], *, recipe: Path | None, assignments: list[str], out_dir: Path
) -> Plan:
    """Return one configuration per run: data file, recipe, run file, assignments, later ones winning.

    A run is named after its file; a sweep makes a run for each combination of what it varies, named by that. Raises
    :class:`InputError` for what is wrong in the files themselves, before anything slow is imported or touched.
    """
    if not run_files:
        raise InputError("params/runs: no run files there; name some")
    below = [data_file, *([recipe] if recipe else [])]
    configs, sweep = [], None
    for run_file in run_files:
        if is_sweep(run_file):
            if sweep:
                raise InputError(f"{run_file}: an experiment holds one sweep; run this one with another --out")
            sweep, runs = expand(read_sweep(run_file), below, assignments, str(out_dir))
            configs += runs
            continue
        if not re.fullmatch(RUN_NAME, run_file.stem):
            raise InputError(
                f"{run_file}: run folders are named after their file; use letters, digits and .+=-_, not dots alone"
            )
        configs.append(combine([*below, run_file], assignments, fixed={"out_dir": str(out_dir), "name": run_file.stem}))
    if twice := repeated_name(configs):
        raise InputError(f"{twice}: two run files have this name, and would share one run folder; rename one")
    if sweep:
        _check_same_sweep(sweep, out_dir)
    return Plan(configs, sweep)


def experiment_name(data_file: Path, run_files: list[Path]) -> str:
    """Return what an experiment is called that is given no folder: after its data, and its sweep where it is one."""
    sweeps = [path.stem for path in run_files if is_sweep(path)]
    return "-".join([data_file.stem, *sweeps])


def _check_same_sweep(sweep: SweepGrid, out_dir: Path) -> None:
    """Raise where ``out_dir`` is the report of another sweep, which would lose its section."""
    file = ExperimentFolder(out_dir).sweep
    try:
        before = read_sealed_json(file)["sweep"]
    except (FileNotFoundError, InputError, KeyError):  # of a damaged file there is nothing more to lose
        return
    if before != sweep.sweep:
        raise InputError(f"{file}: this experiment is the sweep {before!r}; run {sweep.sweep!r} with another --out")


def parse_seeds(text: str) -> list[int]:
    """Return the seeds in ``0,1,2``; :class:`InputError` for what is none, or comes twice."""
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--seeds {text}: needs whole numbers with commas between, such as 0,1,2") from None
    twice = next((seed for seed, count in Counter(seeds).items() if count > 1), None)
    if twice is not None:
        raise InputError(f"--seeds {text}: {twice} is there twice; leave one out")
    return seeds


def repeated_name(configs: Iterable[RunConfig]) -> str | None:
    """Return the first name that two runs have, and so would share a folder; None where each has its own."""
    return next((name for name, count in Counter(config.name for config in configs).items() if count > 1), None)


def with_seeds(configs: Sequence[RunConfig], seeds: Sequence[int]) -> list[RunConfig]:
    """Return each configuration once a seed, all of one seed before those of the next.

    The run of a configuration's own seed keeps its name, so that it is the one that is there already; the others are
    called ``<name>-seed1``. The split of the photographs has a seed of its own and stays. Raises :class:`InputError`
    where two runs would share a name, and for a seed out of range.
    """
    if len(configs) * len(seeds) > MOST_RUNS:
        raise InputError(f"--seeds: {len(configs) * len(seeds):,} runs, more than {MOST_RUNS:,}; give fewer seeds")
    runs = []
    for seed in seeds:
        for config in configs:
            name = config.run_name if seed == config.seed else f"{config.run_name}-seed{seed}"
            values = config.model_dump() | {"seed": seed, "name": name}
            runs.append(RunConfig.from_mapping(values, {"seed": "--seeds"}))
    if twice := repeated_name(runs):
        raise InputError(f"--seeds: {twice} is the name of a run file and of another one's seed; rename the file")
    return runs
