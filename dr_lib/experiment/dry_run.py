"""A dry run: what ``dr-lab run`` would do, how long it would take and the room it needs. Nothing is written."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.console import Group
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from dr_lib.config import DATA_PARAMETERS, DEMO_DIR, RunConfig
from dr_lib.data.cache_folder import cache_folder
from dr_lib.data.crops import ResizeSpec
from dr_lib.data.labels import Labels
from dr_lib.data.matching import open_photographs
from dr_lib.data.photographs import FolderPhotographs
from dr_lib.data.prepare import read_splits, required_crops
from dr_lib.data.scan import Scanner
from dr_lib.experiment.time_estimate import TimeEstimate, time_of_all
from dr_lib.models.builders import check_model, parameter_count, without_values
from dr_lib.models.trained import new_network
from dr_lib.report.formatting import counted, duration
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.storage.run_folder import RunFolder
from dr_lib.system.terminal import printable
from dr_lib.training.device import check_machine, describe_device, resolve_device
from dr_lib.training.pretrain import uses_generated_weights, weights_are_there
from dr_lib.training.resume import differences, format_values, has_begun, why_lost

_BYTES = 4
"""Of a parameter, float32."""

_PAGES, _ROW = 350_000, 130
"""Bytes of what a run leaves beside its networks: notebook, page and log, and a row of its predictions."""


@dataclass(frozen=True)
class PlannedRun:
    """One run: what would become of it, and ``seconds`` to its end, ``None`` where nothing like it was measured."""

    name: str
    state: str
    """``done``, ``to do``, ``goes on``, or ``anew``, earlier results being set aside."""
    detail: str
    speed: float | None
    """Photographs a second, as measured."""
    seconds: float | None
    state_bytes: int
    """Of one checkpoint to go on from."""
    checkpoint_bytes: int
    """Of all that it will add to ``checkpoints``."""
    result_bytes: int
    """Of all else in its folder."""


@dataclass(frozen=True)
class DryRun:
    """All runs of an experiment, and the bytes by which pixel caches will grow.

    ``pretrainings``: networks whose generated weights are made first, which is not counted.
    """

    runs: list[PlannedRun]
    store_bytes: int
    pretrainings: tuple[str, ...] = ()

    @property
    def waiting(self) -> list[PlannedRun]:
        """The runs that are not done."""
        return [run for run in self.runs if run.state != "done"]

    def seconds(self, parallel: int) -> float | None:
        """Return how long it takes with ``parallel`` runs at a time; ``None`` where that of any is not known."""
        lengths = [run.seconds for run in self.waiting if run.seconds is not None]
        return time_of_all(lengths, parallel) if len(lengths) == len(self.waiting) else None

    def checkpoint_bytes(self, parallel: int) -> int:
        """Return what checkpoints need; each is written beside the one before, so a few are there once more."""
        largest = sorted((run.state_bytes for run in self.waiting), reverse=True)[:parallel]
        return sum(run.checkpoint_bytes for run in self.waiting) + sum(largest)


def plan_dry_run(configs: Sequence[RunConfig], *, fresh: bool = False) -> DryRun:
    """Return what running ``configs`` comes to, from labels and folders; no photograph is opened or drawn.

    ``fresh``: what is done is begun anew as well.
    Whether photographs have changed since a run is not looked at. Raises :class:`InputError` for labels that cannot
    be used, and for networks and devices that do not exist.
    """
    for config in configs:
        check_model(config.model, config.resnet_version, config.residual, config.zero_init_residual)
        check_machine(config)
    experiment = ExperimentFolder(Path(configs[0].out_dir))
    here = str(describe_device(resolve_device(configs[0].device))["name"])
    forecast = TimeEstimate(experiment.runs(), experiment.other_runs(), here)
    data: dict[str, Labels] = {}
    surveys: dict[Path, Scanner] = {}
    crops: dict[Path, dict[ResizeSpec, set[str]]] = {}
    runs = []
    for config in configs:
        key = str(config.model_dump(include=set(DATA_PARAMETERS)))
        if key not in data:
            data[key] = _labels(config)
        scanner = _survey(config, data[key])
        surveys.setdefault(scanner.folder, scanner)
        runs.append(_planned(config, data[key].table, forecast, fresh))
        for recipe, images in required_crops(config, data[key].table).items():
            crops.setdefault(scanner.folder, {}).setdefault(recipe, set()).update(images)
    todo = [config for config, run in zip(configs, runs, strict=True) if run.state != "done"]
    awaited = [config.model for config in todo if uses_generated_weights(config) and not weights_are_there(config)]
    store_bytes = sum(surveys[folder].bytes_missing(wanted) for folder, wanted in crops.items())
    return DryRun(runs, store_bytes, tuple(dict.fromkeys(awaited)))


def format_dry_run(rehearsal: DryRun, configs: Sequence[RunConfig], parallel: int) -> Group:
    """Return the rehearsal as a table and a few lines."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("run", "state", "photographs a second", "time"):
        table.add_column(heading, justify="left" if heading in ("run", "state") else "right")
    for run in rehearsal.runs:
        speed = f"{run.speed:.0f}" if run.speed else "unknown"
        time = "" if run.state == "done" else duration(run.seconds) if run.seconds is not None else "unknown"
        table.add_row(printable(run.name), printable(f"{run.state}{run.detail}"), speed, time)
    waiting, seconds = rehearsal.waiting, rehearsal.seconds(parallel)
    total = f"about {duration(seconds)} with {parallel} at a time" if seconds is not None else "time unknown"
    checkpoints, out, cache = rehearsal.checkpoint_bytes(parallel), configs[0].out_dir, configs[0].cache_dir
    results = sum(run.result_bytes for run in waiting)
    first = f", after the pretraining of {', '.join(rehearsal.pretrainings)}" if rehearsal.pretrainings else ""
    lines = [
        f"{counted(len(rehearsal.runs), 'run')}, {len(waiting)} of them to do: {total}{first}",
        f"disk: checkpoints {decimal(checkpoints)} and results {decimal(results)} in {out} "
        f"({_free(Path(out))} free), "
        f"pixel cache {decimal(rehearsal.store_bytes)} in {cache} ({_free(cache_folder(cache, make=False))} free)",
    ]
    return Group(table, *map(Text, map(printable, lines)))


def _planned(config: RunConfig, table: pd.DataFrame, forecast: TimeEstimate, fresh: bool) -> PlannedRun:
    folder = ExperimentFolder(Path(config.out_dir)).run(config.run_name)
    state, detail, epochs_done = _state(config, folder, fresh)
    training = int((table["split"] == "train").sum())
    seconds = forecast.seconds(config, training, len(table) - training, epochs_done=epochs_done)
    network = _BYTES * parameter_count(without_values(lambda: new_network(config)))
    resumed = network * (1 + {"sgd": 1, "adamw": 2}[config.optimizer] + (config.ema_decay > 0))
    checkpoints = 2 * network + 2 * resumed  # best.pt and best.safetensors, last.pt and the one before
    kept = folder.last_checkpoint.parent.glob("*") if state != "anew" else ()
    existing = sum(file.stat().st_size for file in kept)
    speed = forecast.photographs_a_second(config)
    results = _PAGES + _ROW * int((table["split"] == "test").sum())
    return PlannedRun(config.run_name, state, detail, speed, seconds, resumed, max(0, checkpoints - existing), results)


def _state(config: RunConfig, folder: RunFolder, fresh: bool) -> tuple[str, str, int]:
    """Return a run's state, what there is to add to it, and the epochs that need not be done again."""
    if not has_begun(folder):
        return "to do", "", 0
    if fresh:
        return "anew", ", as --fresh asks", 0
    if changed := differences(folder, config, None):
        return "anew", f", since {format_values(changed)}", 0
    if folder.complete and not folder.damaged():
        return "done", "", config.epochs
    if lost := why_lost(folder, config, None):
        return "anew", f", since {lost}", 0
    epochs = int(folder.last_epoch().get("epoch") or 0)
    return "goes on", f" after epoch {epochs} of {config.epochs}", epochs


def _to_be_drawn(config: RunConfig) -> bool:
    data_dir = Path(config.data_dir)
    return config.data_dir == DEMO_DIR and not (data_dir.is_dir() and any(data_dir.iterdir()))


def _labels(config: RunConfig) -> Labels:
    """Return the labels; of photographs that are still to be drawn as many rows as there will be."""
    if not _to_be_drawn(config):
        return read_splits(config, progress=False)
    held_out = round(config.validation_share * config.generated_train)
    counts = {"train": config.generated_train - held_out, "validation": held_out, "test": config.generated_test}
    splits = [split for split, count in counts.items() for _ in range(count)]
    return Labels(pd.DataFrame({"image": [f"{number}" for number in range(len(splits))], "split": splits}))


def _survey(config: RunConfig, labels: Labels) -> Scanner:
    """Return what knows where the crops of a run's photographs are kept, or will be."""
    data_dir, cache_dir = Path(config.data_dir), cache_folder(config.cache_dir, make=False)
    if _to_be_drawn(config):
        drawn = FolderPhotographs({image: data_dir / f"{image}.jpeg" for image in labels.table["image"]})
        return Scanner(drawn, data_dir, cache_dir, progress=False)
    photographs = open_photographs(data_dir, labels, config.images_dir, config.labels_file)
    return Scanner(photographs, data_dir, cache_dir, progress=False)


def _free(folder: Path) -> str:
    """Return the room on the disk that ``folder`` is on, or will be."""
    folder = folder.resolve()
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    return decimal(shutil.disk_usage(existing).free)
