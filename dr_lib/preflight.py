"""All that can be known to go wrong before a run starts: network, device, data, weights."""

import json
from pathlib import Path

from dr_lib.config import DATA_PARAMETERS, SQUARE_PARAMETERS, RunConfig
from dr_lib.data.balance import class_counts, class_weights
from dr_lib.data.prepare import PreparedData, prepare_data
from dr_lib.models import check_model
from dr_lib.runs import Experiment
from dr_lib.training.device import check_machine
from dr_lib.training.loaders import refuse_what_cannot_train
from dr_lib.training.run import differences, has_begun, refuse_another_run
from dr_lib.training.weights import check_starting_weights


def check_runs(configs: list[RunConfig]) -> dict[str, PreparedData]:
    """Return the data of each run by its name, having checked everything, the quick and local things first.

    Runs on the same photographs share them. Raises :class:`InputError` for the first thing that is wrong.
    """
    for config in configs:
        check_model(config.model, config.resnet_version, config.residual)
        check_machine(config)
    prepared, by_name = {}, {}
    for config in configs:
        key = json.dumps(config.model_dump(include={*DATA_PARAMETERS, *SQUARE_PARAMETERS}))
        if key not in prepared:
            prepared[key] = prepare_data(config)
        by_name[config.run_name] = prepared[key]
        class_weights(config.class_weights, class_counts(prepared[key].split("train").grade))
        refuse_what_cannot_train(config, prepared[key])
    for config in configs:
        check_starting_weights(config)
    return by_name


def make_way(configs: list[RunConfig], data: dict[str, PreparedData], fresh: bool) -> list[str]:
    """See to it that no run meets the results of another one in its folder; return what was done, a line each.

    Runs that were begun with other parameters or data are set aside where ``fresh``; else :class:`InputError` is
    raised with the difference, before anything is touched.
    """
    lines = []
    for config in configs:
        folder, mark = Experiment(Path(config.out_dir)).run(config.run_name), data[config.run_name].fingerprint
        if not fresh:
            refuse_another_run(folder, config, mark)
        elif has_begun(folder) and (changed := differences(folder, config, mark)):
            lines.append(
                f"{config.run_name}: begun anew, since {'; '.join(changed)}; before: {folder.set_results_aside()}"
            )
    return lines
