"""Figures of merit of every run, over all grades, for referable retinopathy, and by grade, with their intervals."""

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from dr_lib import GRADE_NAMES, GRADES
from dr_lib.evaluation.ranking import SENSITIVITY, SPECIFICITY
from dr_lib.plots import network_colours
from dr_lib.report import markup
from dr_lib.report import wording as words
from dr_lib.report.drawing import ink
from dr_lib.report.study import Run, Study

_OVER_GRADES = {
    "Balanced accuracy": ("balanced_accuracy", words.percent),
    "Kappa": ("kappa", lambda value: words.signed(value, 2)),
    "Macro F1": ("macro_f1", lambda value: f"{value:.2f}"),
    "Macro AUC": ("macro_auc", lambda value: f"{value:.3f}"),
}
_BY_GRADE = {"Recall": "recall", "Precision": "precision", "AUC": "auc"}


def figures_of_merit(study: Study) -> str:
    """Return two tables, one row a run: figures over all grades, and those for referable retinopathy."""
    if not study.done:
        return markup.paragraphs("No run has finished, so there are no figures.")
    rows = [
        [_name(run, study), _cell(run, "accuracy", words.percent), *(_cell(run, *of) for of in _OVER_GRADES.values())]
        for run in study.done
    ]
    caption = (
        "Figures over all grades at the chosen epoch, with 95% intervals over patients. Balanced accuracy is the mean "
        "recall of the grades, macro F1 the mean of their F1, macro AUC the mean of their areas under the ROC curve, "
        "each grade against the others."
    )
    head = ["Run", "Accuracy", *_OVER_GRADES]
    html = markup.table(head, rows, caption, numeric=range(1, len(head)), css="cards")
    return html + _referable(study)


def figures_by_grade(study: Study) -> str:
    """Return recall, precision and area under the ROC curve of each grade, a folded table each, one row a run."""
    if not study.done:
        return markup.paragraphs("No run has finished, so there are no figures.")
    head = ["Run", *(f"{grade} {name}" for grade, name in enumerate(GRADE_NAMES))]
    captions = {
        "Recall": "Recall: of the photographs of a grade, the share that is called so.",
        "Precision": "Precision: of the photographs that are called a grade, the share that is of it.",
        "AUC": "Area under the ROC curve of a grade against the others.",
    }
    html = ""
    for figure, name in _BY_GRADE.items():
        in_words = (lambda value: f"{value:.3f}") if figure == "AUC" else (lambda share: words.percent(share, 0))
        rows = [[_name(run, study), *(_cell(run, name, in_words, grade) for grade in GRADES)] for run in study.done]
        table = markup.table(head, rows, captions[figure], numeric=range(1, len(head)), css="cards")
        html += f'<details class="more"><summary>{figure} of each grade</summary>{table}</details>'
    note = (
        "With 95% intervals over patients. A dash: no photograph to ask. Where all photographs or none are right, no "
        "draw of patients can tell otherwise, and the interval is narrower than the doubt."
    )
    return html + markup.paragraphs(note, css="note")


def _referable(study: Study) -> str:
    head = [
        "Run",
        "AUC",
        "Average precision",
        f"Specificity at sensitivity {words.percent(SENSITIVITY, 0)}",
        f"Sensitivity at specificity {words.percent(SPECIFICITY, 0)}",
    ]
    rows = [
        [
            _name(run, study),
            _cell(run, "referable_auc", lambda value: f"{value:.3f}"),
            _cell(run, "referable_average_precision", lambda value: f"{value:.3f}"),
            _cell(run, "referable_at_90_sensitivity", words.percent, "specificity"),
            _cell(run, "referable_at_95_specificity", words.percent, "sensitivity"),
        ]
        for run in study.done
    ]
    counts = study.done[0].test["support"]
    caption = (
        f"Referable retinopathy, grade 2 or worse, {words.percent(sum(counts[2:]) / sum(counts))} of the testing "
        "photographs, by the sum of the probabilities of grades 2 to 4. The last two columns move the threshold until "
        "the one is reached and give the other; the testing photographs themselves place it."
    )
    return markup.table(head, rows, caption, numeric=range(1, len(head)), css="cards")


def _cell(run: Run, figure: str, in_words: Callable[[float], str], part: Any = None) -> str:
    """Return a figure, or its ``part``, above its interval; a dash where it is undefined or the run has none."""
    value, limits = run.test.get(figure), run.test["intervals"].get(figure)
    if part is not None:
        value, limits = (found[part] if found else None for found in (value, limits))
    if value is None:
        return "–"
    return in_words(value) + _between(limits, in_words)


def _between(limits: Sequence[float] | None, in_words: Callable[[float], str]) -> str:
    return f'<span class="sub">{in_words(limits[0])} to {in_words(limits[1])}</span>' if limits else ""


def _name(run: Run, study: Study) -> str:
    key = f'<span class="key" style="--key:{ink(network_colours(study.models)[run.model])}"></span>'
    facts = run.configuration + f", seed {run.seed}" * (run.seed != 0)
    return f'{key}{escape(run.network)}<span class="sub">{escape(facts)}</span>'
