"""Looking at what a trained network does with photographs, from a notebook: what its cells call."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import HTML
from matplotlib.figure import Figure

from dr_lib import GRADES
from dr_lib.data.crops import ResizeSpec, resize_for_training
from dr_lib.errors import InputError
from dr_lib.evaluation.grad_cam import STRONGEST, explain_many, overlay
from dr_lib.explore import figures as pictures
from dr_lib.explore.loaded_run import LoadedRun, finished_run
from dr_lib.explore.neighbor_index import NeighborIndex
from dr_lib.explore.panel import Panel
from dr_lib.plots import plot_photographs
from dr_lib.report.audit_thumbnails import SIDE
from dr_lib.report.augmentation_gallery import gallery
from dr_lib.report.formatting import counted, percent
from dr_lib.report.image_rows import in_full
from dr_lib.storage.folders import finished_experiments, latest_experiment
from dr_lib.system.progress import Progress

FITTED_TO = 300
"""Training photographs at most that the gallery fits its normalizations to."""


@dataclass(frozen=True)
class ExploredRun:
    """A finished run, and the training photographs as its network sees them.

    ``image`` is a testing photograph by its name; empty: the worst mistake, or the first photograph where there is
    none.
    """

    run: LoadedRun
    cases: NeighborIndex

    @classmethod
    def open(cls, experiment_dir: str = "", run: str = "") -> "ExploredRun":
        """Return a run of an experiment: the named one, or the first that is done.

        With ``experiment_dir`` empty it is the latest experiment in ``reports/``. Raises :class:`InputError` for a run
        or an experiment that is not there, with what makes one.
        """
        opened = LoadedRun.open(finished_run(Path(experiment_dir) if experiment_dir else latest_experiment(), run))
        with Progress() as progress:
            cases = NeighborIndex.of(
                opened, lambda done, total: progress.bar("features of the training photographs", done, total)
            )
        return cls(opened, cases)

    def describe(self) -> str:
        """Return what is looked at, in a few sentences."""
        run, test = self.run, self.run.folder.read_metrics()["test"]
        photographs = counted(len(run.predictions), "testing photograph")
        return (
            f"Run {run.folder.name} in {run.experiment}: a {run.config.model} that sees {run.config.image_size} × "
            f"{run.config.image_size} px, trained on {counted(len(self.cases.table), 'photograph')}. Of {photographs} "
            f"it answered {percent(test['accuracy'])} right; always the commonest grade would be right for "
            f"{percent(test['majority_accuracy'])}."
        )

    def __repr__(self) -> str:
        return self.describe()

    def _repr_html_(self) -> str:
        title = f"Run {self.run.folder.name} in {self.run.experiment}"
        return f"<h2>{escape(title)}</h2><p>{escape(self.describe())}</p>"

    def choose(self, image: str = "") -> Panel:
        """Return controls to go through experiments, runs and photographs."""
        return Panel(self.run, self.cases, finished_experiments(), image)

    def answer(self, image: str = "") -> pd.DataFrame:
        """Return the probability of each grade, and which grade is the answer and which the true one."""
        case = self.run.case(image)
        words = {case.grade: "true grade", case.predicted: "answer"}
        words |= {case.grade: "true grade and answer"} if case.right else {}
        rows = [(pictures.graded(grade), case.probabilities[grade], words.get(grade, "")) for grade in GRADES]
        return pd.DataFrame(rows, columns=["grade", "probability", case.image]).set_index("grade")

    def plot_answer(self, image: str = "") -> Figure:
        """Show the photograph, what the network sees of it, and what speaks for the answered and the true grade."""
        case = self.run.case(image)
        pixels = self.run.pixels(case.image)
        shown: list[tuple[str, Any]] = [(f"{case.image}\ngrade {pictures.graded(case.grade)}", in_full(pixels))]
        grades = list(dict.fromkeys([case.predicted, case.grade]))
        try:
            explained, reason = explain_many(self.run.network, [pixels] * len(grades), grades), ""
        except InputError as error:  # a network of another kind; the photograph can be shown all the same
            explained, reason = [], str(error)
        for number, explanation in enumerate(explained):
            if not number:
                side = len(explanation.seen)
                shown.append((f"what the network sees\n{side} × {side} px", explanation.seen))
            what = "speaks" if explanation.heat.any() else "nothing speaks"
            named = "answer" if explanation.grade == case.predicted else "true grade"
            shown.append((f"{what} for grade {explanation.grade}\nthe {named}", overlay(explanation, STRONGEST)))
        figure = plot_photographs(shown, columns=4, side=170)
        figure.supxlabel(reason, fontsize="small", wrap=True)
        return figure

    def plot_draws(self, image: str = "", epochs: int = 10) -> Figure:
        """Show what training draws of the photograph in the first epochs."""
        case, config = self.run.case(image), self.run.config
        drawn = pictures.drawn(
            case.image, self.run.pixels(case.image), config, range(1, min(epochs, config.epochs) + 1)
        )
        return plot_photographs([(f"epoch {epoch}", picture) for epoch, picture in drawn.items()])

    def neighbors(self, image: str = "", count: int = 10) -> pd.DataFrame:
        """Return the training photographs most alike to the network: ``image, grade, patient, distance``."""
        return self.cases.nearest(self.run.pixels(self.run.case(image).image), count)

    def fellow_eyes(self, image: str = "") -> pd.DataFrame:
        """Return the other photographs of the patient: ``image, grade, patient, split, predicted`` (NA: not tested)."""
        rows = self.run.fellow_eyes(self.run.case(image))
        return rows[["image", "grade", "patient", "split", "predicted"]]

    def samples(self, per_grade: int = 5) -> pd.DataFrame:
        """Return testing photographs of each grade with the network's answers, the first by name."""
        return self.run.by_name().groupby("grade").head(per_grade).sort_values("grade", kind="stable")

    def mistakes(self) -> pd.DataFrame:
        """Return the wrong answers: furthest from the true grade, then most certain of the wrong answer."""
        return self.run.worst_mistakes()

    def plot_photographs(self, rows: pd.DataFrame, most: int = 25) -> Figure:
        """Show photographs of a table with the columns ``image`` and ``grade``, the first ``most``.

        Their titles have what else the table says of them: the answer, the split, the distance.
        """
        crop = ResizeSpec(2 * SIDE).make
        photographs: Iterable[Any] = rows.head(most).itertuples()
        return plot_photographs([(_title(row), crop(self.run.pixels(row.image))) for row in photographs])

    def gallery(self, image: str = "") -> HTML:
        """Return every augmentation and preprocessing step that there is, on the photograph, with its line of YAML."""
        case, config = self.run.case(image), self.run.config
        every = self.cases.table["image"]
        images = every[:: math.ceil(len(every) / FITTED_TO)].tolist()
        crops = self.run.data.crops(resize_for_training(config), images)
        original = self.run.pixels(case.image)
        return pictures.framed(gallery(case.image, original, config, [crops.read(image) for image in images]))


def _title(row: Any) -> str:
    """Return the title of a photograph, of two lines."""
    facts = [f"grade {row.grade}"]
    if hasattr(row, "distance") and not hasattr(row, "predicted"):
        facts.append(f"distance {row.distance:.4f}")
    if hasattr(row, "predicted"):
        facts.append("not tested" if pd.isna(row.predicted) else f"answered {row.predicted}")
    return f"{row.image}\n{', '.join(facts)}"
