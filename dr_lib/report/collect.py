"""What an experiment folder holds, read once, for the report to show."""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dr_lib.report.experiment_results import ExperimentResults
from dr_lib.report.run_results import RunResults
from dr_lib.report.settings import format_settings
from dr_lib.storage.checksums import read_sealed_json
from dr_lib.storage.files import read_json
from dr_lib.storage.folders import ExperimentFolder, SweepGrid
from dr_lib.storage.run_folder import RunFolder

_LONGEST_SETTING = 60
"""Characters of a setting in words that a table's cell still holds on two lines or three."""


def collect(experiment_dir: str | Path) -> ExperimentResults:
    """Return what the folder ``experiment_dir`` holds; raises :class:`InputError` where it holds no runs at all."""
    folders = ExperimentFolder(Path(experiment_dir)).existing_runs()
    experiment = ExperimentFolder(Path(experiment_dir))
    grid = _read_grid(experiment.sweep)
    settings = _settings(grid) if grid else {}
    runs = tuple(read_run(folder, experiment.path, settings.get(folder.name, "")) for folder in folders)
    models = sorted({run.model for run in runs})
    pretrainings = {model: _read_pretraining(experiment, model) for model in models}
    return ExperimentResults(
        experiment.path,
        runs,
        audit=_read_sealed(experiment.audit),
        audit_page=_address(experiment.audit_page, experiment.path),
        pretrainings={model: record for model, record in pretrainings.items() if record},
        grid=grid,
    )


def read_run(folder: RunFolder, home: Path, setting: str = "") -> RunResults:
    """Return the run in ``folder``; one that claims to be done and lacks a file counts as failed.

    ``setting``: what a sweep varied in it, in words.
    """
    status = folder.read_status()
    common: dict[str, Any] = {
        "name": folder.name,
        "setting": setting,
        "config": _read_if_there(folder.config) or {},
        "status": status,
        "page": _address(folder.page, home),
        "table": _address(folder.predictions, home),
    }
    if status["state"] != "done":
        return RunResults(state=status["state"], reason=status.get("reason") or _how_far(status), **common)
    for path in (folder.config, folder.metrics, folder.history, folder.predictions):
        if not path.exists():
            return RunResults(state="failed", reason=f"marked as done, but {path.name} is missing", **common)
    try:
        return RunResults(
            state="done",
            history=folder.read_history(),
            predictions=folder.read_predictions(),
            gradients=folder.read_gradients(),
            metrics=folder.read_metrics(),
            **common | {"config": folder.read_config()},
        )
    except ValueError as error:  # broken JSON or CSV, or not as the run has left it
        return RunResults(state="failed", reason=f"marked as done, but its files cannot be read: {error}", **common)


def _read_pretraining(experiment: ExperimentFolder, model: str) -> dict[str, Any]:
    folder = experiment.pretraining(model)
    record = _read_sealed(folder.record)
    return record | {"page": _address(folder.page, experiment.path)} if record else {}


def _read_grid(path: Path) -> SweepGrid | None:
    """Return the sweep that the experiment is; ``None`` where it is none, or another version of dr-lab's."""
    recorded = _read_sealed(path)
    if recorded is None:
        return None
    try:
        return SweepGrid.from_json(recorded)
    except (KeyError, TypeError):
        return None


def _settings(grid: SweepGrid) -> dict[str, str]:
    """Return by run what the sweep varied in it, in words, as far as its network, start and loss do not tell.

    Where that is long, since lists were varied, it is what the run is named after.
    """
    points = defaultdict(list)
    for point in grid.runs:
        points[point.name].append(point.values)
    settings = {}
    for name, (first, *same) in points.items():
        # What makes no difference to a run has several values in it.
        words = format_settings(
            {key: first[key] for key in grid.telling if all(values[key] == first[key] for values in same)}
        )
        settings[name] = words if len(words) <= _LONGEST_SETTING else _without_seed(name)
    return settings


def _without_seed(name: str) -> str:
    return re.sub(r"(^|-)seed\d+(?=-|$)", "", name).lstrip("-")


def _address(page: Path, home: Path) -> str:
    return quote(page.relative_to(home).as_posix()) if page.exists() else ""


def _read_if_there(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None


def _read_sealed(path: Path) -> dict[str, Any] | None:
    return read_sealed_json(path) if path.exists() else None


def _how_far(status: dict[str, Any]) -> str:
    if status["state"] == "running" and status.get("epochs"):
        return f"stopped or still at work: epoch {status.get('epoch', 0)} of {status['epochs']}"
    return ""
