"""A finished run opened to be looked at: its network, its photographs, and what it answered."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from dr_lib import PROBABILITIES
from dr_lib.config import RunConfig
from dr_lib.data.isolated_decoding import IsolatedDecoder
from dr_lib.data.prepare import DataSplits, prepare_data
from dr_lib.errors import InputError
from dr_lib.evaluation.predictions import worst_first
from dr_lib.models.trained import TrainedNetwork, load_trained
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.storage.run_folder import RunFolder


@dataclass(frozen=True)
class Case:
    """A testing photograph and the run's answer, as ``predictions.csv`` has it; probabilities of the grades 0..1."""

    image: str
    patient: str
    grade: int
    predicted: int
    probabilities: tuple[float, ...]

    @property
    def right(self) -> bool:
        return self.grade == self.predicted


@dataclass(frozen=True)
class LoadedRun:
    """A run's network with its photographs and ``predictions``, one row a testing photograph."""

    folder: RunFolder
    network: TrainedNetwork
    data: DataSplits
    predictions: pd.DataFrame
    decoder: IsolatedDecoder = field(default_factory=IsolatedDecoder, init=False, repr=False, compare=False)

    @classmethod
    def open(cls, folder: RunFolder, progress: bool = True) -> "LoadedRun":
        """Return the run in ``folder``; raises :class:`InputError` where its photographs are gone."""
        network = load_trained(folder.best_checkpoint)
        return cls(folder, network, prepare_data(network.config, progress), folder.read_predictions())

    @property
    def config(self) -> RunConfig:
        return self.network.config

    @property
    def experiment(self) -> Path:
        return self.folder.path.parent.parent

    def pixels(self, image: str) -> np.ndarray:
        """Return a photograph of any split, uint8 (H, W, 3)."""
        return self.decoder.pixels(self.data.photographs, image)

    def case(self, image: str = "") -> Case:
        """Return a testing photograph by its name; with ``image`` empty the worst mistake, or the first of them all."""
        mistakes = self.worst_mistakes()
        image = image or (mistakes if len(mistakes) else self.predictions).iloc[0].image
        rows = self.predictions[self.predictions.image == image]
        if rows.empty:
            raise InputError(f"image {image!r} is no testing photograph of this run; its predictions.csv has the names")
        row = rows.iloc[0]
        return Case(image, row.patient, int(row.grade), int(row.predicted), tuple(map(float, row[PROBABILITIES])))

    def worst_mistakes(self) -> pd.DataFrame:
        """Return the wrong answers: furthest from the true grade first, then most certain of the wrong answer."""
        return worst_first(self.predictions[self.predictions["grade"] != self.predictions["predicted"]])

    def by_name(self) -> pd.DataFrame:
        """Return the predictions in order of the names, numbers in them by their size."""
        return self.predictions.sort_values("image", key=lambda images: images.map(_numbers_by_size), kind="stable")

    def fellow_eyes(self, case: Case) -> pd.DataFrame:
        """Return the other photographs of the same patient, in whatever split they are.

        Columns ``image, grade, patient, split, predicted``; the last is missing (NA) of those that were not tested.
        """
        table = self.data.table
        rows = table[(table["patient"] == case.patient) & (table["image"] != case.image)]
        answers = self.predictions.set_index("image")["predicted"]
        return rows.assign(predicted=rows["image"].map(answers).astype("Int64")).reset_index(drop=True)


def finished_runs(experiment: Path) -> list[RunFolder]:
    """Return the runs of an experiment that are done, in order of their names."""
    return [folder for folder in ExperimentFolder(experiment).runs() if folder.done]


def finished_run(experiment: Path, run: str = "") -> RunFolder:
    """Return the named run of an experiment, or its first that is done; raises :class:`InputError` without one."""
    done = finished_runs(experiment)
    names = [folder.name for folder in done]
    if not done or (run and run not in names):
        choices = f"done are: {', '.join(names)}" if names else "no run is done; dr-lab run trains some"
        raise InputError(f"{experiment}: no finished run {run!r}; {choices}")
    return done[names.index(run) if run else 0]


def _numbers_by_size(name: str) -> list[str | int]:
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]
