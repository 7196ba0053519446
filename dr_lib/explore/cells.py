"""Looking at what a trained network does with photographs, from a notebook: what its cells call."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import HTML
from PIL import Image

from dr_lib import GRADES
from dr_lib.data.crops import ResizeSpec, resize_for_training
from dr_lib.errors import InputError
from dr_lib.evaluation.grad_cam import STRONGEST, explain_many
from dr_lib.explore import figures as pictures
from dr_lib.explore.loaded_run import LoadedRun, finished_run
from dr_lib.explore.neighbor_index import NeighborIndex
from dr_lib.explore.panel import Panel
from dr_lib.report import markup
from dr_lib.report.audit_thumbnails import SIDE, beside, thumbnail_html
from dr_lib.report.augmentation_gallery import gallery
from dr_lib.report.text import counted, percent
from dr_lib.storage.find_experiments import finished_experiments, latest_experiment
from dr_lib.system.progress import Progress

FITTED_TO = 300
"""Training photographs at most that the gallery fits its normalizations to."""


@dataclass(frozen=True)
class ExploredRun:
    """A finished run, and the training photographs as its network sees them.

    Every method returns what a cell shows. ``image`` is a testing photograph by its name; empty: the worst mistake, or
    the first photograph where there is none.
    """

    run: LoadedRun
    cases: NeighborIndex

    @classmethod
    def open(cls, experiment_dir: str = "", run: str = "") -> "ExploredRun":
        """Return a run of an experiment: the named one, or the first that is done.

        With ``experiment_dir`` empty it is the latest experiment in ``reports/``. Raises :class:`InputError` for a run
        or an experiment that is not there.
        """
        opened = LoadedRun.open(finished_run(Path(experiment_dir) if experiment_dir else latest_experiment(), run))
        with Progress() as progress:
            cases = NeighborIndex.of(
                opened, lambda done, total: progress.bar("features of the training photographs", done, total)
            )
        return cls(opened, cases)

    def describe(self) -> HTML:
        """Return what is looked at, in a few sentences."""
        run, test = self.run, self.run.folder.read_metrics()["test"]
        photographs = counted(len(run.predictions), "testing photograph")
        said = (
            f"Run {run.folder.name} in {run.experiment}: a {run.config.model} that sees {run.config.image_size} × "
            f"{run.config.image_size} px, trained on {counted(len(self.cases.table), 'photograph')}. Of {photographs} "
            f"it answered {percent(test['accuracy'])} right; always the commonest grade would be right for "
            f"{percent(test['majority_accuracy'])}."
        )
        return pictures.framed(markup.paragraphs(said, css="says"))

    def choose(self, image: str = "") -> Panel:
        """Return controls to go through experiments, runs and photographs."""
        return Panel(self.run, self.cases, finished_experiments(), image)

    def show_samples(self, per_grade: int = 5) -> HTML:
        """Return testing photographs of each grade with the network's answers."""
        rows = self.run.by_name()
        return pictures.framed(
            "".join(self._strip(grade, rows[rows.grade == grade].head(per_grade)) for grade in GRADES)
        )

    def show_mistakes(self, count: int = 12) -> HTML:
        """Return the worst mistakes: furthest from the true grade, then most certain of the wrong answer."""
        mistakes = self.run.worst_mistakes()
        if mistakes.empty:
            return pictures.framed(markup.paragraphs("There are none: every testing photograph was answered right."))
        said = f"{len(mistakes):,} of {counted(len(self.run.predictions), 'answer')} are wrong."
        return pictures.framed(markup.paragraphs(said) + self._shots(mistakes.head(count)))

    def show_photograph(self, image: str = "") -> HTML:
        """Return the answer, the probability of each grade, and what speaks for the answered and the true grade."""
        case = self.run.case(image)
        pixels = self.run.pixels(case.image)
        grades = list(dict.fromkeys([case.predicted, case.grade]))
        try:
            explained, note = explain_many(self.run.network, [pixels] * len(grades), grades), ""
        except InputError as error:
            explained, note = [], markup.paragraphs(str(error), css="note")
        html = pictures.verdict(case) + pictures.looked_at(case, pixels, explained, STRONGEST)
        return pictures.framed(html + note)

    def show_draws(self, image: str = "", epochs: int = 10) -> HTML:
        """Return what training draws of the photograph in the first epochs."""
        case, config = self.run.case(image), self.run.config
        shown = range(1, min(epochs, config.epochs) + 1)
        return pictures.framed(pictures.draws(case.image, self.run.pixels(case.image), config, shown))

    def show_neighbors(self, image: str = "", count: int = 10) -> HTML:
        """Return the training photographs that the network takes for most alike, with grades and distances."""
        case = self.run.case(image)
        rows = self.cases.nearest(self.run.pixels(case.image), count)
        said = markup.paragraphs(pictures.summary(case, rows))
        return pictures.framed(said + pictures.neighbors(case, rows, self.run.pixels))

    def show_fellow_eye(self, image: str = "") -> HTML:
        """Return the other photographs of the patient, with their grades, and the answers where they were tested."""
        case = self.run.case(image)
        return pictures.framed(pictures.fellow_eyes(case, self.run.fellow_eyes(case), self.run.pixels))

    def show_gallery(self, image: str = "") -> HTML:
        """Return every augmentation and preprocessing step that there is, on the photograph."""
        case, config = self.run.case(image), self.run.config
        every = self.cases.table["image"]
        images = every[:: math.ceil(len(every) / FITTED_TO)].tolist()
        crops = self.run.data.crops(resize_for_training(config), images)
        original = self.run.pixels(case.image)
        return pictures.framed(gallery(case.image, original, config, [crops.read(one) for one in images]))

    def _strip(self, grade: int, rows: pd.DataFrame) -> str:
        shots = self._shots(rows) or markup.paragraphs("no testing photograph")
        label = f"<b>{grade}</b> {escape(pictures.graded(grade)[2:])}"
        return f'<div class="strip"><div>{label}</div>{shots}</div>'

    def _shots(self, rows: pd.DataFrame) -> str:
        crop = ResizeSpec(2 * SIDE).make
        photographs: Iterable[Any] = rows.itertuples()
        return beside(
            thumbnail_html(
                row.image,
                [f"grade {row.grade}", f"answered {row.predicted}{', wrong' * (row.grade != row.predicted)}"],
                Image.fromarray(crop(self.run.pixels(row.image))),
                f"grade {row.grade}, answered {row.predicted}",
            )
            for row in photographs
        )
