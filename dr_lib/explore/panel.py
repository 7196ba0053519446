"""The panel of ``explore.ipynb``: an experiment, a run, a photograph, and sliders on what is shown of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from dr_lib import GRADES
from dr_lib.errors import InputError
from dr_lib.evaluation.grad_cam import STRONGEST, Explanation, explain
from dr_lib.explore import figures as pictures
from dr_lib.explore.loaded_run import LoadedRun, finished_run, finished_runs
from dr_lib.explore.neighbor_index import NeighborIndex
from dr_lib.report import markup
from dr_lib.report.formatting import counted

try:
    import ipywidgets
except ImportError:
    raise InputError("ipywidgets is not installed; pip install 'dr-lab[notebooks]'") from None

MOST_LISTED = 500
"""Names in the list; a browser takes seconds for tens of thousands."""
EVERY = -1
"""The value of the list of grades that stands for all of them."""
EPOCHS_SHOWN = 5
MOST_NEIGHBORS = 20

_NARROW = ipywidgets.Layout(width="19rem")
_WORDS = {"description_width": "6.5rem"}


class Panel(ipywidgets.VBox):
    """Controls and what they show, for a notebook whose kernel runs.

    All that is shown is plain HTML in widgets, so that the last state is also in a saved notebook. The controls can be
    set from code as well: ``panel.photographs.value = "10_left"``.
    """

    def __init__(self, run: LoadedRun, cases: NeighborIndex, experiments: list[Path], image: str = ""):
        self._run, self._cases, self._quiet = run, cases, False
        self._explain = lru_cache(maxsize=16)(self._explained)
        self._make_controls()
        self._make_views()
        here = run.experiment
        others = [path for path in experiments if path.resolve() != here.resolve()]
        with self._quietly():
            self.experiment.options = [(str(path), path) for path in [here, *others]]
            self.experiment.value = here
            self._list_runs()
            self.run.value = run.folder.name
            self._list_photographs(run.case(image).image)
        self._watch()
        self._show()
        super().__init__([self._choices, self._views])
        self.layout = ipywidgets.Layout(display="flex", flex_flow="row wrap", align_items="flex-start")

    def __repr__(self) -> str:
        """Return what is read where no kernel runs: the parts' own texts are pictures in base64."""
        return "Panel to choose photographs: run this cell in JupyterLab."

    def _make_controls(self) -> None:
        choice = {"layout": _NARROW, "style": _WORDS}
        self.experiment = ipywidgets.Dropdown(description="Experiment", **choice)
        self.run = ipywidgets.Dropdown(description="Run", **choice)
        grades = [("all grades", EVERY), *((pictures.graded(grade), grade) for grade in GRADES)]
        self.grade = ipywidgets.Dropdown(description="True grade", options=grades, **choice)
        self.answers = ipywidgets.Dropdown(description="Answers", options=["all", "right", "wrong"], **choice)
        self.order = ipywidgets.Dropdown(description="Order", options=["by name", "worst first"], **choice)
        self.search = ipywidgets.Text(description="Name has", placeholder="part of a name", **choice)
        self.photographs = ipywidgets.Select(rows=18, layout=_NARROW, description="Photograph", style=_WORDS)
        self._listed = ipywidgets.HTML()
        self._choices = ipywidgets.VBox(
            [
                self.experiment, self.run, self.grade, self.answers, self.order, self.search, self.photographs,
                self._listed,
            ],
            layout=ipywidgets.Layout(margin="0 1rem 1rem 0"),
        )  # fmt: skip

    def _make_views(self) -> None:
        grades = [(f"grade {grade}", grade) for grade in GRADES]
        self.explained = _slider(ipywidgets.SelectionSlider, "Explain", options=grades)
        self.strength = _slider(
            ipywidgets.FloatSlider, "Heat", value=STRONGEST, min=0, max=1, step=0.05, readout_format=".0%"
        )
        self.epoch = _slider(ipywidgets.IntSlider, "From epoch", value=1, min=1, max=1)
        self.count = _slider(ipywidgets.IntSlider, "How many", value=5, min=1, max=MOST_NEIGHBORS)
        self._answer, self._seen, self._drawn, self._near, self._fellow, self._status = (
            ipywidgets.HTML() for _ in range(6)
        )
        self._of_photograph = ipywidgets.VBox(
            [
                self._answer, self._seen, ipywidgets.HBox([self.explained, self.strength], layout=_wrapped()),
                _title("As training draws it"), self._drawn, self.epoch,
                _title("Nearest training photographs"), self._near, self.count,
                _title("The other eye"), self._fellow,
            ]
        )  # fmt: skip
        self._views = ipywidgets.VBox([self._status, self._of_photograph], layout=ipywidgets.Layout(flex="1 1 30rem"))

    def _watch(self) -> None:
        for control, changed in (
            (self.experiment, self._change_experiment),
            (self.run, self._change_run),
            (self.grade, self._narrow),
            (self.answers, self._narrow),
            (self.order, self._narrow),
            (self.search, self._narrow),
            (self.photographs, self._show),
            (self.explained, self._show_seen),
            (self.strength, self._show_seen),
            (self.epoch, self._show_draws),
            (self.count, self._show_neighbors),
        ):
            control.observe(lambda change, changed=changed: None if self._quiet else changed(), names="value")

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        """Set controls without being told that they have changed."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    def _list_runs(self) -> None:
        self.run.options = [folder.name for folder in finished_runs(self.experiment.value)]
        self.run.index = 0 if self.run.options else None

    def _change_experiment(self) -> None:
        with self._quietly():
            self._list_runs()
        self._change_run()

    def _change_run(self) -> None:
        image = self.photographs.value
        self._say("Opening the run, its photographs and its network.")
        try:
            run = LoadedRun.open(finished_run(self.experiment.value, self.run.value or ""), progress=False)
            cases = NeighborIndex.of(run, self._say_features)
        except InputError as error:
            self._say(str(error), wrong=True)
            self._of_photograph.layout.display = "none"
            return
        self._run, self._cases = run, cases
        self._explain.cache_clear()
        self._narrow(image)

    def _narrow(self, image: str | None = None) -> None:
        """List the photographs that are asked for; ``image`` stays chosen, or what is, where it is among them."""
        with self._quietly():
            self._list_photographs(image or self.photographs.value)
        self._show()

    def _list_photographs(self, image: str | None) -> None:
        rows = self._asked_for()
        shown = rows.head(MOST_LISTED)
        self.photographs.options = [
            (f"{row.image}  ({row.grade}, answered {row.predicted})", row.image) for row in shown.itertuples()
        ]
        if image in set(shown["image"]):
            self.photographs.value = image
        elif not shown.empty:
            self.photographs.index = 0
        more = f"; the first {MOST_LISTED} are listed" if len(rows) > MOST_LISTED else ""
        summary = counted(len(rows), "testing photograph") + more
        self._listed.value = pictures.framed(markup.paragraphs(summary, css="note")).data

    def _asked_for(self) -> pd.DataFrame:
        rows = self._run.by_name()
        if self.order.value == "worst first":
            worst = self._run.worst_mistakes()
            rows = pd.concat([worst, rows[~rows.image.isin(worst.image)]])
        if self.grade.value != EVERY:
            rows = rows[rows.grade == self.grade.value]
        if self.answers.value != "all":
            rows = rows[(rows.grade == rows.predicted) == (self.answers.value == "right")]
        return rows[rows.image.str.contains(self.search.value.strip(), case=False, regex=False)]

    def _show(self) -> None:
        image = self.photographs.value
        self._of_photograph.layout.display = "none" if image is None else ""
        if image is None:
            self._say("No testing photograph is of this kind.")
            return
        self._say("")
        case = self._case = self._run.case(image)
        self._pixels = self._run.pixels(image)
        with self._quietly():
            self.explained.value = case.predicted
            self.epoch.max = max(1, self._run.config.epochs - EPOCHS_SHOWN + 1)
            self.epoch.layout.display = "" if self.epoch.max > 1 else "none"
            self.count.max = min(MOST_NEIGHBORS, len(self._cases.table))
        self._answer.value = pictures.framed(pictures.answer(case)).data
        self._show_seen()
        self._show_draws()
        self._show_neighbors()
        fellows = self._run.fellow_eyes(case)
        self._fellow.value = pictures.framed(pictures.fellow_eyes(case, fellows, self._run.pixels)).data

    def _show_seen(self) -> None:
        try:
            explained = [self._explain(self._case.image, self.explained.value)]
            note = ""
        except InputError as error:
            explained, note = [], markup.paragraphs(str(error), css="note")
        html = pictures.looked_at(self._case, self._pixels, explained, self.strength.value)
        self._seen.value = pictures.framed(html + note).data

    def _explained(self, image: str, grade: int) -> Explanation:
        return explain(self._run.network, self._pixels, grade)

    def _show_draws(self) -> None:
        first, config = self.epoch.value, self._run.config
        epochs = range(first, min(first + EPOCHS_SHOWN, config.epochs + 1))
        self._drawn.value = pictures.framed(pictures.draws(self._case.image, self._pixels, config, epochs)).data

    def _show_neighbors(self) -> None:
        rows = self._cases.nearest(self._pixels, self.count.value)
        summary = markup.paragraphs(pictures.summary(self._case, rows))
        self._near.value = pictures.framed(summary + pictures.neighbors(self._case, rows, self._run.pixels)).data

    def _say(self, text: str, wrong: bool = False) -> None:
        self._status.value = pictures.framed(markup.paragraphs(text, css="alert" if wrong else "note")).data

    def _say_features(self, done: int, total: int) -> None:
        self._say(f"Features of the training photographs: {done:,} of {total:,}.")


def _title(text: str) -> ipywidgets.HTML:
    return ipywidgets.HTML(pictures.framed(f'<p style="margin:.8rem 0 0"><b>{text}</b></p>').data)


def _slider(kind: type[ipywidgets.Widget], description: str, **options: Any) -> ipywidgets.Widget:
    """Return a slider that says its value when it is let go: each one has pictures made anew."""
    layout = ipywidgets.Layout(width="21rem")
    return kind(description=description, continuous_update=False, layout=layout, style=_WORDS, **options)


def _wrapped() -> ipywidgets.Layout:
    return ipywidgets.Layout(flex_flow="row wrap")
