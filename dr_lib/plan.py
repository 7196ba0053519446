"""From params files to configurations that are known to be sound before anything starts."""

import re
from pathlib import Path

from dr_lib.config import DATA_PARAMETERS, RunConfig, combine
from dr_lib.data.balance import class_counts, class_weights
from dr_lib.data.prepare import PreparedData, prepare_data
from dr_lib.errors import InputError
from dr_lib.models import check_model
from dr_lib.training.device import resolve_device
from dr_lib.training.run import refuse_what_cannot_train
from dr_lib.training.weights import check_starting_weights


def plan_runs(
    data_file: Path, run_files: list[Path], *, recipe: Path | None, assignments: list[str], out_dir: Path
) -> list[RunConfig]:
    """Return one configuration per run file: data file, recipe, run file, assignments, later ones winning.

    A run is named after its file. Raises :class:`InputError` for anything that is not sound.
    """
    if not run_files:
        raise InputError("params/runs: no run files here; name some, or work in the project's folder")
    configs = []
    for run_file in run_files:
        if not re.fullmatch(r"[\w.+=-]+", run_file.stem):
            raise InputError(f"{run_file}: run folders are named after their file; use letters, digits and .+=-_ only")
        files = [data_file, *([recipe] if recipe else []), run_file]
        config = combine(files, assignments, fixed={"out_dir": str(out_dir), "name": run_file.stem})
        check_model(config.model, config.resnet_version)
        configs.append(config)
    names = [config.name for config in configs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InputError(f"{twice}: two run files have this name, and would share one run folder; rename one")
    return configs


def check_runs(configs: list[RunConfig]) -> dict[str, PreparedData]:
    """Return the data of each run by its name, after checking device, weights and data of all."""
    for config in configs:
        resolve_device(config.device)
        check_starting_weights(config)
    prepared, by_name = {}, {}
    for config in configs:
        key = tuple(getattr(config, parameter) for parameter in DATA_PARAMETERS)
        if key not in prepared:
            prepared[key] = prepare_data(config)
        by_name[config.run_name] = prepared[key]
        class_weights(config.class_weights, class_counts(prepared[key].split("train").grade))
        refuse_what_cannot_train(config, prepared[key])
    return by_name
