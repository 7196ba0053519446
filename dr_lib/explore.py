"""Looking at what a trained network does with photographs, from a notebook."""

import math
from dataclasses import dataclass
from html import escape
from pathlib import Path

import ipywidgets
import numpy as np
import pandas as pd
from IPython.display import HTML, display

from dr_lib import GRADE_NAMES, GRADES, PROBABILITIES
from dr_lib.config import RunConfig
from dr_lib.data.prepare import PreparedData, prepare_data
from dr_lib.data.squares import SquareRecipe
from dr_lib.errors import InputError
from dr_lib.latest import latest_experiment
from dr_lib.report import markup
from dr_lib.report.augmentation_gallery import gallery
from dr_lib.report.run_page import prepared_figure
from dr_lib.runs import Experiment, RunFolder
from dr_lib.training.checkpoint import TrainedNetwork, load_trained

FITTED_TO = 300
"""Training photographs at most that the gallery fits its normalisations to."""


@dataclass(frozen=True)
class Exploration:
    """A finished run with its network, its testing photographs and its answers."""

    run: RunFolder
    config: RunConfig
    network: TrainedNetwork
    data: PreparedData
    predictions: pd.DataFrame

    @classmethod
    def open(cls, experiment_dir: str = "", run: str = "") -> "Exploration":
        """Return a run of an experiment: the named one, or the first that is done.

        With ``experiment_dir`` empty it is the latest experiment in ``reports/``; where there is none, a small network
        is trained first. Raises :class:`InputError` for a run or an experiment that is not there.
        """
        folder = _finished_run(Path(experiment_dir) if experiment_dir else latest_experiment(), run)
        network = load_trained(folder.best_checkpoint)
        return cls(folder, network.config, network, prepare_data(network.config), folder.read_predictions())

    def describe(self) -> HTML:
        """Return what is looked at, in a sentence."""
        right = (self.predictions.grade == self.predictions.predicted).mean()
        return markup.shown(
            markup.paragraphs(
                f"Run {self.run.name} in {self.run.path.parent.parent}: {self.config.model}, "
                f"{len(self.predictions):,} testing photographs, {100 * right:.1f} % answered right."
            )
        )

    def show_samples(self, per_grade: int = 5) -> HTML:
        """Return testing photographs of each grade with the network's answers."""
        rows = self.predictions.sort_values(["grade", "image"])
        strips = [(f"{grade} {GRADE_NAMES[grade]}", rows[rows.grade == grade].head(per_grade)) for grade in GRADES]
        return markup.shown("".join(self._strip(title, some) for title, some in strips if len(some)))

    def show_mistakes(self, count: int = 10) -> HTML:
        """Return the worst mistakes: furthest from the true grade, then most certain of the wrong answer."""
        mistakes = self.worst_mistakes().head(count)
        if mistakes.empty:
            return markup.shown(markup.paragraphs("There are none: every testing photograph was answered right."))
        return markup.shown(self._strip("worst first", mistakes))

    def worst_mistakes(self) -> pd.DataFrame:
        """Return the wrong answers, worst first."""
        rows = self.predictions
        certainty = rows[PROBABILITIES].max(axis=1)
        distance = (rows.grade - rows.predicted).abs()
        wrong = rows.assign(distance=distance, certainty=certainty)[distance > 0]
        return wrong.sort_values(["distance", "certainty"], ascending=False)

    def show_photograph(self, image: str = "") -> HTML:
        """Return one testing photograph with its augmentations and the probability of each grade.

        With ``image`` empty it is the worst mistake, or the first photograph where there is none.
        """
        image, grade, original = self._chosen(image)
        probabilities = self.network.probabilities(original)
        bars = "".join(
            f"<tr><th scope='row' style='text-align:left'>{number} {GRADE_NAMES[number]}</th>"
            "<td style='width:20em;text-align:left'>"
            f"<div style='background:#0072b2;height:0.9em;width:{100 * share:.1f}%'></div></td>"
            f"<td>{100 * share:.1f} %</td><td>{'true grade' * (number == grade)}</td></tr>"
            for number, share in enumerate(probabilities)
        )
        return markup.shown(f"{prepared_figure(image, grade, original, self.config)}<table>{bars}</table>")

    def show_gallery(self, image: str = "") -> HTML:
        """Return every augmentation and preprocessing step that there is, on one testing photograph.

        ``image`` as for :meth:`show_photograph`.
        """
        image, _, original = self._chosen(image)
        images = self.data.split("train")["image"]
        images = images[:: math.ceil(len(images) / FITTED_TO)]
        squares = self.data.squares(SquareRecipe(self.config.resize, fast=self.config.fast_decode), images)
        return markup.shown(gallery(image, original, self.config, [squares.read(one) for one in images]))

    def choose(self) -> ipywidgets.Widget:
        """Return controls to go through the testing photographs by grade."""
        grades = ipywidgets.Dropdown(options=[("all grades", None), *((f"grade {g}", g) for g in GRADES)])
        images = ipywidgets.Select(rows=8, options=sorted(self.predictions.image))
        shown = ipywidgets.Output()

        def narrow(change: dict) -> None:
            rows = self.predictions
            images.options = sorted(rows.image if change["new"] is None else rows[rows.grade == change["new"]].image)

        def show(change: dict) -> None:
            if change["new"]:
                shown.clear_output(wait=True)
                with shown:
                    display(self.show_photograph(change["new"]))

        grades.observe(narrow, names="value")
        images.observe(show, names="value")
        return ipywidgets.VBox([ipywidgets.HBox([grades, images]), shown])

    def _chosen(self, image: str) -> tuple[str, int, np.ndarray]:
        """Return name, grade and pixels, uint8 (H, W, 3), of a testing photograph; of the worst mistake for ``""``."""
        wrong = self.worst_mistakes()
        image = image or (wrong if len(wrong) else self.predictions).iloc[0].image
        row = self.predictions[self.predictions.image == image]
        if row.empty:
            raise InputError(f"image {image!r} is no testing photograph of this run; its predictions.csv has the names")
        return image, int(row.grade.iloc[0]), self.data.photographs.pixels(image)

    def _strip(self, title: str, rows: pd.DataFrame) -> str:
        square = SquareRecipe(220).make
        pictures = "".join(
            "<figure style='display:inline-block;margin:4px'>"
            + markup.photograph(square(self.data.photographs.pixels(row.image)), f"{row.image}, grade {row.grade}")
            + f"<figcaption>{escape(row.image)}<br>true {row.grade}, answered {row.predicted}</figcaption></figure>"
            for row in rows.itertuples()
        )
        return f"<p><b>{escape(title)}</b></p><div>{pictures}</div>"


def _finished_run(experiment: Path, run: str) -> RunFolder:
    """Return the named run of an experiment, or its first that is done."""
    done = [folder for folder in Experiment(experiment).runs() if folder.done]
    names = [folder.name for folder in done]
    if not done or (run and run not in names):
        there = f"done are: {', '.join(names)}" if names else "no run is done; dr-lab run trains some"
        raise InputError(f"{experiment}: no finished run {run!r}; {there}")
    return done[names.index(run) if run else 0]
