"""A run's folder: the one place that knows the names of its files; what they hold is believed only as it was left."""

import csv
import math
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dr_lib import PROBABILITIES
from dr_lib.errors import InputError
from dr_lib.storage.checksums import read_sealed_json, sha256, write_sealed_json
from dr_lib.storage.files import as_cell, from_cell, read_json, write_csv, write_text

if TYPE_CHECKING:  # imported where a table is read or written: it takes longer than looking at a thousand runs
    import pandas as pd

HISTORY_COLUMNS = (
    "epoch", "phase", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_kappa", "val_auc",
    "test_loss", "test_accuracy", "test_kappa", "test_auc", "seconds", "images_per_second",
)  # fmt: skip
"""One row an epoch. ``phase`` is ``feature extraction`` or ``fine-tuning``; accuracies are shares 0..1.

``train_loss`` is a mean as the other losses are, with the weights of grades; ``train_accuracy`` is empty under MixUp.
``auc`` is the macro one: the mean over grades of each one's area under the ROC curve against the others.
"""

PREDICTION_COLUMNS = ("image", "patient", "grade", "predicted", *PROBABILITIES)
"""One row a testing photograph, at the chosen epoch; ``p0``..``p4`` are probabilities."""

SUPERSEDED = "superseded"
"""The folder beside ``runs`` of results that were set aside."""

STATES = ("queued", "running", "done", "failed", "interrupted")


class NamedFile:
    """The path of a file in a folder that has a ``path``; a name may have other fields of the folder in it."""

    def __init__(self, name: str):
        self._name = name

    def __get__(self, folder: Any, owner: type) -> Path:
        return folder.path / self._name.format(**vars(folder))


@dataclass(frozen=True)
class NotebookFiles:
    """The files that executing one notebook leaves in ``path``, all called ``stem``."""

    path: Path
    stem: str

    notebook = NamedFile("{stem}.ipynb")
    """The executed notebook."""
    page = NamedFile("{stem}.html")
    """The executed notebook as HTML."""
    parameters = NamedFile("{stem}.yaml")
    """What papermill was given."""
    log = NamedFile("{stem}.log")
    """What the process printed."""
    heartbeat = NamedFile("{stem}.heartbeat")
    """When the kernel last sent something; there while the notebook is executed."""

    def write_heartbeat(self) -> None:
        """Record that the kernel is alive now, or leave it where the disk does not allow."""
        with suppress(OSError):
            write_text(self.heartbeat, f"{time.time():.3f}\n")

    def signs_of_life(self) -> tuple[object, ...]:
        """Return what changes as long as the kernel sends something or its process prints."""
        try:
            size = self.log.stat().st_size
        except OSError:
            size = 0
        try:
            return size, self.heartbeat.read_text(encoding="utf-8")
        except OSError:
            return size, ""


@dataclass(frozen=True)
class RunFolder(NotebookFiles):
    """The files of one run."""

    stem: str = "run"

    config = NamedFile("config.json")
    """Resolved parameters, versions, device, commit, data fingerprint."""
    status = NamedFile("status.json")
    history = NamedFile("history.csv")
    predictions = NamedFile("predictions.csv")
    label_errors = NamedFile("label_errors.csv")
    """All photographs, those first whose label the network contradicts most, for a grader to fill in."""
    label_errors_page = NamedFile("label_errors.html")
    validation = NamedFile("validation.csv")
    """The same of validation photographs, where a run has any."""
    metrics = NamedFile("metrics.json")
    gradients = NamedFile("gradients.csv")
    """Gradient norm of each layer in each epoch, where the run records it."""
    lock = NamedFile("lock")
    """Held by the process that writes into the folder."""
    last_checkpoint = NamedFile("checkpoints/last.pt")
    previous_checkpoint = NamedFile("checkpoints/last-before.pt")
    """The state before the last one."""
    best_checkpoint = NamedFile("checkpoints/best.pt")
    model_card = NamedFile("checkpoints/best.md")
    """Beside the exported network, where it was exported."""

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def results(self) -> list[Path]:
        """The files that a run is to leave for others to rely on."""
        return [
            self.config, self.history, self.gradients, self.predictions, self.validation, self.metrics,
            self.best_checkpoint,
            self.best_checkpoint.with_suffix(".safetensors"),
        ]  # fmt: skip

    def damaged(self, *paths: Path) -> list[str]:
        """Return the names of those of ``paths``, or of all results, that are not as the finished run has left them.

        Of a run that has not finished nothing is recorded, and nothing can be told.
        """
        recorded = self.read_status().get("sha256")
        if recorded is None:
            return []
        names = [self._name_of(path) for path in paths or self.results]
        return [name for name in names if recorded.get(name) != self._checksum(name)]

    def _name_of(self, path: Path) -> str:
        return str(path.relative_to(self.path))

    def _checksum(self, name: str) -> str | None:
        try:
            return sha256(self.path / name)
        except OSError:
            return None

    def _sound(self, path: Path) -> Path:
        """Return ``path``; raises :class:`InputError` where it is not as the finished run has left it."""
        if self.damaged(path):
            raise InputError(f"{path}: is not as its run has left it; dr-lab run makes it again")
        return path

    def write_status(self, state: str, **details: Any) -> None:
        """Record the run's state with the time and the writing process; ``details`` such as ``epoch`` or ``reason``.

        ``done`` records the checksums of the results, too: from then on they are believed, and no others.
        """
        if state not in STATES:
            raise ValueError(f"state {state!r} is none of {STATES}")
        if state == "done":
            details["sha256"] = {self._name_of(path): sha256(path) for path in self.results if path.exists()}
        write_sealed_json(self.status, {"state": state, "heartbeat": time.time(), "pid": os.getpid(), **details})

    def signs_of_life(self) -> tuple[object, ...]:
        """Return what changes as long as the kernel sends something, its process prints, or its training goes on."""
        return *super().signs_of_life(), self.read_status().get("heartbeat")

    def read_status(self) -> dict[str, Any]:
        """Return the last status; a folder without one was queued and never started.

        One that cannot be read, as after a loss of power, counts as that of a run that failed: it is begun again.
        """
        try:
            return read_sealed_json(self.status)
        except FileNotFoundError:
            return {"state": "queued"}
        except InputError:
            return {"state": "failed", "reason": f"{self.status.name} is damaged; the same command goes on"}

    def last_epoch(self, chosen: int = 0) -> dict[str, str]:
        """Return the last row of the history as text, by column; empty where no epoch is done, or it is damaged.

        ``chosen``: the number of an epoch whose row is wanted instead. A thousand of them are read in a fraction of
        the time that a data frame takes.
        """
        try:
            heading, *rows = csv.reader(self.history.read_text(encoding="utf-8").splitlines())
            row = dict(zip(heading, rows[chosen - 1], strict=False)) if rows else {}
            for name, value in row.items():
                {"epoch": int, "phase": str}.get(name, float)(value or 0)
        except (FileNotFoundError, ValueError, IndexError, csv.Error):
            return {}
        return row

    @property
    def done(self) -> bool:
        """Whether the run has finished and its network is there."""
        return self.read_status()["state"] == "done" and self.best_checkpoint.exists()

    @property
    def complete(self) -> bool:
        """Whether the run has finished and everything that it was to leave is there; :meth:`damaged` tells of more."""
        return self.done and self.history.exists() and self.predictions.exists() and self.metrics.exists()

    def set_results_aside(self) -> Path | None:
        """Move all that an earlier run has left beside ``runs``; return where, None if there are no results.

        One renaming, of the folder: a kill at whatever moment leaves no half of a run to go on from.
        """
        if not any(path.exists() for path in [*self.results, self.last_checkpoint.parent]):
            return None
        stamp = time.strftime("%Y%m%d-%H%M%S")
        aside = self.path.parent.parent / SUPERSEDED / f"{self.name}-{stamp}-{os.getpid()}"
        aside.parent.mkdir(parents=True, exist_ok=True)
        self.path.rename(aside)
        return aside

    def write_history(self, rows: list[dict[str, Any]]) -> None:
        """Write one row an epoch, in the order of :data:`HISTORY_COLUMNS`."""
        import pandas as pd

        write_csv(self.history, pd.DataFrame(rows, columns=list(HISTORY_COLUMNS)))

    def write_gradients(self, rows: list[dict[str, Any]]) -> None:
        """Write one row a layer and epoch: ``epoch, depth, layer, norm``."""
        import pandas as pd

        write_csv(self.gradients, pd.DataFrame(rows))

    def read_history(self) -> "pd.DataFrame":
        import pandas as pd

        return pd.read_csv(self._sound(self.history))

    def read_gradients(self) -> "pd.DataFrame | None":
        """Return what :meth:`write_gradients` wrote, None where the run recorded none."""
        import pandas as pd

        return pd.read_csv(self._sound(self.gradients)) if self.gradients.exists() else None

    def read_config(self) -> dict[str, Any]:
        return read_json(self._sound(self.config))

    def read_metrics(self) -> dict[str, Any]:
        return read_json(self._sound(self.metrics))

    def write_predictions(self, frame: "pd.DataFrame", split: str = "test") -> None:
        """Write one row a photograph of ``split``, test or validation, in the order of :data:`PREDICTION_COLUMNS`.

        A name that a spreadsheet would take for a formula gets an apostrophe, which :meth:`read_predictions` takes off.
        """
        names = {column: frame[column].map(as_cell, na_action="ignore") for column in ("image", "patient")}
        write_csv(self._table(split), frame.assign(**names)[list(PREDICTION_COLUMNS)])

    def _table(self, split: str) -> Path:
        return self.validation if split == "validation" else self.predictions

    def read_predictions(self, split: str = "test") -> "pd.DataFrame":
        import pandas as pd

        table = self._sound(self._table(split))
        rows = pd.read_csv(table, dtype={"image": str, "patient": str}, keep_default_na=False)
        return rows.assign(image=rows["image"].map(from_cell), patient=rows["patient"].map(from_cell))


def chosen_epoch(history: list[dict[str, Any]], select_by: str) -> int:
    """Return the epoch with the highest ``select_by``; among equals the one with the lower loss, then the earlier.

    ``last``: the last one, whatever its figures. An AUC is NaN where the photographs are of one grade; any number is
    better.
    """
    if select_by == "last":
        return history[-1]["epoch"]
    loss = select_by.partition("_")[0] + "_loss"
    figure = lambda row: -math.inf if math.isnan(row[select_by]) else row[select_by]  # noqa: E731
    return max(history, key=lambda row: (figure(row), -row[loss], -row["epoch"]))["epoch"]


def recorded_network(path: Path) -> str | None:
    """Return the SHA-256 of the network that a finished run has left as ``path``, or beside it for an export of it.

    None where ``path`` is no run's ``checkpoints/best`` with whatever ending, or its run has not finished. Raises
    :class:`InputError` where the run's status is damaged, since it alone tells.
    """
    best = path.absolute().with_suffix(".pt")
    folder = RunFolder(best.parent.parent)
    if best != folder.best_checkpoint or not folder.status.exists():
        return None
    return read_sealed_json(folder.status).get("sha256", {}).get(folder._name_of(best))


def run_of(checkpoint: Path) -> RunFolder | None:
    """Return the finished run whose chosen network ``checkpoint`` is; None where it lies anywhere else."""
    path = checkpoint.absolute()
    folder = RunFolder(path.parent.parent)
    return folder if folder.best_checkpoint == path and folder.done else None
