"""From params files to the configurations of an experiment."""

import re
from pathlib import Path

from dr_lib.config import RunConfig, combine
from dr_lib.errors import InputError


def plan_runs(
    data_file: Path, run_files: list[Path], *, recipe: Path | None, assignments: list[str], out_dir: Path
) -> list[RunConfig]:
    """Return one configuration per run file: data file, recipe, run file, assignments, later ones winning.

    A run is named after its file. Raises :class:`InputError` for what is wrong in the files themselves, before
    anything slow is imported or touched.
    """
    if not run_files:
        raise InputError("params/runs: no run files here; name some, or work in the project's folder")
    configs = []
    for run_file in run_files:
        if not re.fullmatch(r"[\w.+=-]+", run_file.stem):
            raise InputError(f"{run_file}: run folders are named after their file; use letters, digits and .+=-_ only")
        files = [data_file, *([recipe] if recipe else []), run_file]
        configs.append(combine(files, assignments, fixed={"out_dir": str(out_dir), "name": run_file.stem}))
    names = [config.name for config in configs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InputError(f"{twice}: two run files have this name, and would share one run folder; rename one")
    return configs
