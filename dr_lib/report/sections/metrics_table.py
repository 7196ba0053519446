"""Figures of merit of every configuration, over all grades and by grade, with their intervals."""

from html import escape

import numpy as np
from IPython.display import HTML

from dr_lib import GRADE_NAMES, GRADES
from dr_lib.evaluation.seed_groups import Name
from dr_lib.plots import network_colors
from dr_lib.report import formatting, markup
from dr_lib.report.drawing import ink
from dr_lib.report.experiment_results import ExperimentResults
from dr_lib.report.run_group import RunGroup

_OVER_GRADES = {
    "Balanced accuracy": ("balanced_accuracy", formatting.percent),
    "Macro F1": ("macro_f1", lambda value: f"{value:.2f}"),
    "Macro AUC": ("macro_auc", lambda value: f"{value:.3f}"),
}
_BY_GRADE = {
    "Recall": ("recall", "Recall: of the photographs of a grade, the share that is called so."),
    "Precision": ("precision", "Precision: of the photographs that are called a grade, the share that is of it."),
    "AUC": ("auc", "Area under the ROC curve of a grade against the others."),
}


def figures_of_merit(experiment: ExperimentResults) -> HTML:
    """Return a folded table of figures over all grades beside accuracy and kappa, one row a configuration."""
    if not experiment.configurations:
        return markup.shown("")
    rows = [[name_cell(one, experiment), *(cell(one, *of) for of in _OVER_GRADES.values())] for one in experiment.top]
    caption = (
        f"Figures over all grades at the chosen epoch, with 95% intervals over {over_what(experiment)}. Balanced "
        "accuracy is the mean recall of the grades, macro F1 the mean of their F1, macro AUC the mean of their areas "
        "under the ROC curve, each grade against the others. Where grades are rare, intervals of balanced accuracy and "
        f"macro F1 are too narrow. {majority_in_words(experiment)} {rest_in_words(experiment)}"
    )
    head = ["Run", *_OVER_GRADES]
    table = markup.table(head, rows, caption, numeric=range(1, len(head)), css="cards")
    return markup.shown(markup.fold("Balanced accuracy, F1 and area under the curve of every run", table))


def figures_by_grade(experiment: ExperimentResults) -> str:
    """Return recall, precision and area under the ROC curve of each grade, folded."""
    if not experiment.configurations:
        return markup.paragraphs("No run has finished, so there are no figures.")
    head = ["Run", *(f"{grade} {name}" for grade, name in enumerate(GRADE_NAMES))]
    html = ""
    for figure, (name, caption) in _BY_GRADE.items():
        in_words = (lambda value: f"{value:.3f}") if figure == "AUC" else (lambda share: formatting.percent(share, 0))
        rows = [
            [name_cell(one, experiment), *(cell(one, (name, grade), in_words) for grade in GRADES)]
            for one in experiment.top
        ]
        table = markup.table(head, rows, caption, numeric=range(1, len(head)), css="cards")
        html += f"<p><b>{figure} of each grade</b></p>{table}"
    note = (
        f"With 95% intervals over {over_what(experiment)}. A dash: no photograph to ask. "
        "Intervals of recall and precision are Wilson's, with as many observations as there are patients of the grade."
    )
    note = markup.paragraphs(f"{note} {rest_in_words(experiment)}".strip(), css="note")
    return markup.fold("Recall, precision and area under the curve of each grade, of every run", html + note)


def cell(one: RunGroup, name: Name, in_words: markup.InWords) -> str:
    """Return a figure above its interval; a dash where it is undefined or no run has it.

    ``name``: as for :meth:`dr_lib.report.run_group.RunGroup.figure`.
    """
    found = one.figure(name)
    if np.isnan(found.mean):
        return "–"
    limits = f'<span class="sub">{in_words(found.low)} to {in_words(found.high)}</span>' if found.known else ""
    return in_words(found.mean) + limits


def name_cell(one: RunGroup, experiment: ExperimentResults) -> str:
    """Return network and configuration with the network's color."""
    key = f'<span class="key" style="--key:{ink(network_colors(experiment.models)[one.model])}"></span>'
    description = one.description + f", {len(one.runs)} seeds" * one.several
    return f'{key}{escape(one.network)}<span class="sub">{escape(description)}</span>'


def over_what(experiment: ExperimentResults) -> str:
    """Return what the intervals are over."""
    several = any(one.several for one in experiment.configurations)
    return "patients" + ", and seeds where there are several" * several


def majority_in_words(experiment: ExperimentResults) -> str:
    """Return the accuracy of always giving the commonest answer in a sentence; nothing where it is not known."""
    if experiment.majority is None:
        return ""
    return f"Always giving the commonest answer is right for {formatting.percent(experiment.majority)} and has kappa 0."


def rest_in_words(experiment: ExperimentResults) -> str:
    """Return how many configurations a table of the foremost leaves out, in a sentence; nothing where it holds all."""
    rest = len(experiment.configurations) - len(experiment.top)
    return f"The {len(experiment.top)} most accurate; {rest:,} more are in results.csv." if rest else ""
