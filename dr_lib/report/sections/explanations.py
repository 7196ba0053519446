"""What the networks look at: Grad-CAM of right and wrong answers of each grade."""

from __future__ import annotations

from collections import defaultdict
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from IPython.display import HTML

from dr_lib import GRADE_NAMES, GRADES
from dr_lib.errors import InputError
from dr_lib.report import formatting, markup
from dr_lib.report.examples import best_run, sureness, surest
from dr_lib.report.experiment_results import ExperimentResults, RunResults
from dr_lib.report.pictures import ExperimentPhotographs, find_pictures, not_here
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.system.terminal import printable

if TYPE_CHECKING:  # torch takes seconds to import, and a report without networks does without
    from dr_lib.evaluation.grad_cam import Explanation

INTRODUCTION = (
    "Grad-CAM asks which places of a network's map of features raised the answer that it gave, and paints them over "
    "the photograph: yellow where most speaks for the answer, then green and blue, no color where nothing does. Each "
    "picture has a scale of its own, so two of them do not compare in strength."
)
LIMITS = (
    "It shows where, not what and not why: a hot place may hold a lesion, a vessel, or the edge of the retina. Heat "
    "outside of the retina, or beside the lesions of a photograph that was graded right, is a reason to doubt the "
    "answer. Photographs that were chosen because the network was sure are examples, no measurement."
)
NO_HEAT = "no place speaks for it more than against it"
LINES, COLUMNS = ("upper ", "", "lower "), ("left", "middle", "right")


def looked_at(experiment: ExperimentResults) -> HTML:
    """Return Grad-CAM of the surest right and the surest wrong answer of each grade, for the best run of each network.

    Where the photographs or a network are not on this machine a sentence says so.
    """
    runs = [run for model in experiment.models if (run := best_run(experiment, model))]
    if not runs:
        return markup.shown(markup.paragraphs("No run has finished, so no network can be looked into.", css="note"))
    pictures = find_pictures(experiment)
    if not isinstance(pictures, str) and not all(pictures.include(run.done_predictions) for run in runs):
        pictures = not_here(experiment)
    if isinstance(pictures, str):
        return markup.shown(markup.paragraphs(pictures, css="note"))
    explained = _explained(experiment, runs, pictures)
    best, *others = sorted(runs, key=lambda run: -run.test["kappa"])
    figures = _looked_at(best, explained[best.name])
    figures += "".join(
        markup.fold(f"What {run.label} looks at", _looked_at(run, explained[run.name])) for run in others
    )
    any_shown = any(isinstance(one, dict) and one for one in explained.values())
    before, after = (markup.paragraphs(text) for text in (INTRODUCTION, LIMITS))
    return markup.shown(f"{before}{figures}{after}" if any_shown else figures)


def where_hottest(heat: np.ndarray) -> str:
    """Return in which ninth of the square, float (S, S), the heat has its center of gravity: ``upper left``.

    Of the heat above half of its maximum; an empty string where there is none.
    """
    hot = np.where(heat > heat.max() / 2, heat, 0)
    if not hot.any():
        return ""
    at = (np.arange(len(heat)) + 0.5) / len(heat)
    down, across = ((hot.sum(axis=axis) * at).sum() / hot.sum() for axis in (1, 0))
    line, column = (min(int(3 * place), 2) for place in (down, across))
    return "center" if line == column == 1 else f"{LINES[line]}{COLUMNS[column]}"


Case = tuple[int, bool]
"""A grade, and whether it is about a right answer."""


def _cases(run: RunResults) -> dict[Case, pd.Series | None]:
    table = run.done_predictions
    return {(grade, right): surest(table, grade, right=right) for grade in GRADES for right in (True, False)}


def _explained(
    experiment: ExperimentResults, runs: list[RunResults], pictures: ExperimentPhotographs
) -> dict[str, dict[Case, Explanation] | str]:
    """Return the explanations of each run's cases, or why there are none; each photograph is decoded once for all."""
    from dr_lib.evaluation.grad_cam import explain
    from dr_lib.models.trained import load_trained

    explained: dict[str, dict[Case, Explanation] | str] = {run.name: {} for run in runs}
    networks = {}
    wanted: dict[str, list[tuple[str, Case, int]]] = defaultdict(list)
    for run in runs:
        try:
            networks[run.name] = load_trained(ExperimentFolder(experiment.path).run(run.name).best_checkpoint)
        except InputError:  # not there, or of another version of dr-lab
            explained[run.name] = "its network is not on this machine, or cannot be read"
            continue
        for case, row in _cases(run).items():
            if row is not None:
                wanted[row["image"]].append((run.name, case, int(row["predicted"])))
    for image, pixels in pictures.opened(sorted(wanted)):
        for name, case, answer in wanted[image]:
            try:
                of_run = explained[name]
                assert isinstance(of_run, dict)  # a run that has failed wants nothing more
                of_run[case] = explain(networks[name], pixels, answer)
            except InputError as error:
                explained[name] = str(error)
                wanted = {one: [want for want in wants if want[0] != name] for one, wants in wanted.items()}
    return explained


def _looked_at(run: RunResults, explained: dict[Case, Explanation] | str) -> str:
    title = f"{run.label}: what it looks at"
    if isinstance(explained, str):
        return markup.paragraphs(f"{title}, cannot be shown: {explained}.", css="note")
    rows = [
        [words, *(_pair(run, case, row, explained.get(case)) for case, row in _cases(run).items() if case[1] == right)]
        for right, words in ((True, "The right answer it is surest of"), (False, "The wrong answer it is surest of"))
    ]
    head = ["True grade", *(f"{grade} {name}" for grade, name in enumerate(GRADE_NAMES))]
    caption = "Of each pair, left the photograph as the network sees it, right the heat of the answer that it gave."
    table = markup.table(head, rows, caption, css="cards pairs")
    heading = f"{title}\nrun {run.name}, kappa {formatting.signed(run.test['kappa'], 2)}"
    of_what = next((_detail(one) for one in explained.values()), "")
    return markup.figure([(heading, table)], "Grad-CAM of testing photographs of each grade.", of_what)


def _pair(run: RunResults, case: Case, row: pd.Series | None, explanation: Explanation | None) -> str:
    """Return a photograph beside its heat with its name and the answer below, or why there is none."""
    if row is None:
        return _why_none(run, *case)
    answer = int(row["predicted"])
    said = f"answered {answer}, {GRADE_NAMES[answer]}, {sureness(row['certainty'])} sure"
    below = f'{escape(printable(row["image"]))}<span class="sub">{escape(said)}</span>'
    if explanation is None:
        return f'<div class="pair">{below}<span class="sub">its file cannot be opened</span></div>'
    from dr_lib.evaluation.grad_cam import overlay

    grade, image = int(row["grade"]), printable(row["image"])
    where = where_hottest(explanation.heat)
    share = formatting.percent(float((explanation.heat > 0.5).mean()), 0)
    heat = f"hottest in the {where}, more than half as hot on {share} of the square" if where else NO_HEAT
    seen = f"Testing photograph {image} of grade {grade}, {GRADE_NAMES[grade]}, as {run.network} sees it"
    laid = f"Grad-CAM of the answer {answer} of {run.network} over {image}: {heat}"
    pictures = markup.photograph(explanation.seen, seen) + markup.photograph(overlay(explanation), laid)
    if not where:
        below += f'<span class="sub">{NO_HEAT}</span>'
    return f'<div class="pair"><div>{pictures}</div>{below}</div>'


def _why_none(run: RunResults, grade: int, right: bool) -> str:
    count = int((run.done_predictions["grade"] == grade).sum())
    if not count:
        return "no testing photograph of this grade"
    what = "the one testing photograph" if count == 1 else f"all {count:,} testing photographs"
    return f"none: {what} of this grade answered {'wrong' if right else 'right'}"


def _detail(explanation: Explanation) -> str:
    """Return how fine the heat is and whose map it is, in sentences."""
    side, (high, wide) = len(explanation.seen), explanation.places
    text = (
        f"The heat is no finer than {high} × {wide} places, one for every {side / high:.0f} × {side / wide:.0f} of the "
        f"{side} × {side} px that the network sees; it is the map of {explanation.layer}."
    )
    if explanation.last_places == explanation.places:
        return text
    last = " × ".join(map(str, explanation.last_places))
    return (
        f"{text} Grad-CAM is mostly taken of the last map. At {side} px that has {last} places and could say no more "
        "than which part of the picture, so here it is the last map with 7 × 7 places or more."
    )
