"""All that can be known to go wrong before a run starts: network, device, data, weights."""

import json
from collections.abc import Callable
from pathlib import Path

from dr_lib.config import CROP_PARAMETERS, DATA_PARAMETERS, RunConfig
from dr_lib.data.class_weights import class_counts, class_weights
from dr_lib.data.prepare import DataSplits, prepare_data
from dr_lib.errors import InputError
from dr_lib.experiment.job import find_running_process
from dr_lib.models.builders import check_model
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.training.device import check_machine
from dr_lib.training.loaders import check_trainable
from dr_lib.training.pretrain import PRETRAINING_PARAMETERS, uses_generated_weights
from dr_lib.training.resume import differences, format_values, has_begun, why_lost
from dr_lib.training.starting_weights import check_starting_weights

_OF_NO_WEIGHT = {"out_dir", "device", "num_workers", "cache_dir", "pixel_cache"}
"""Parameters of a pretraining that do not decide what comes of it."""


def check_runs(
    configs: list[RunConfig], check_device: Callable[[RunConfig], None] = check_machine
) -> dict[str, DataSplits]:
    """Return the data of each run by its name, having checked everything, the quick and local things first.

    Runs on the same photographs share them. ``check_device`` raises where there is no device for a run. Raises
    :class:`InputError` for the first thing that is wrong.
    """
    check_one_pretraining(configs)
    for config in configs:
        check_model(config.model, config.resnet_version, config.residual)
        check_device(config)
    prepared, by_name = {}, {}
    for config in configs:
        key = json.dumps(config.model_dump(include={*DATA_PARAMETERS, *CROP_PARAMETERS}))
        if key not in prepared:
            prepared[key] = prepare_data(config)
        by_name[config.run_name] = prepared[key]
        class_weights(config.class_weights, class_counts(prepared[key].split("train").grade))
        check_trainable(config, prepared[key])
    for config in configs:
        check_starting_weights(config)
    return by_name


def make_way(configs: list[RunConfig], data: dict[str, DataSplits], fresh: bool) -> dict[str, str]:
    """Set aside what runs of other parameters or data have left, and say by run name why it is begun anew.

    ``fresh``: also what the same parameters have left. So it is with a run that is damaged and cannot go on; one that
    is done and has damaged results is queued, to make these again. Nothing is lost: earlier results move to
    ``superseded``. Raises :class:`InputError` before anything is touched where somebody is at such a run.
    """
    why, again = {}, {}
    for config in configs:
        folder = ExperimentFolder(Path(config.out_dir)).run(config.run_name)
        if not has_begun(folder):
            continue
        fingerprint = data[config.run_name].fingerprint
        if changed := differences(folder, config, fingerprint):
            why[folder] = format_values(changed)
        elif fresh:
            why[folder] = "begun anew, as --fresh asks"
        elif not folder.complete or (damaged := folder.damaged()):
            if lost := why_lost(folder, config, fingerprint):
                why[folder] = lost
            elif folder.complete:
                again[folder] = f"{', '.join(damaged)}: not as the run has left it; made again from its checkpoint"
        if folder in why and (at_it := find_running_process(folder)):
            raise InputError(f"{folder.path}: {at_it}, and {why[folder]}; wait for it, or end it first")
    for folder, reason in why.items():
        why[folder] = f"{reason}; its earlier results are now in {folder.set_results_aside()}"
    for folder, reason in (why | again).items():
        folder.write_status("queued", reason=reason)
    return {folder.name: reason for folder, reason in (why | again).items()}


def check_one_pretraining(configs: list[RunConfig]) -> None:
    """Raise where runs of one network ask for generated weights of two kinds: an experiment keeps one a network."""
    kinds: dict[str, tuple[str, dict]] = {}
    for config in filter(uses_generated_weights, configs):
        kind = config.model_dump(include={*PRETRAINING_PARAMETERS} - _OF_NO_WEIGHT)
        name, other = kinds.setdefault(config.model, (config.run_name, kind))
        if apart := [key for key in kind if kind[key] != other[key]]:
            raise InputError(
                f"{name} and {config.run_name} start from generated weights of {config.model} that differ in "
                f"{', '.join(apart)}; an experiment keeps one pretraining a network: give them an --out each"
            )
