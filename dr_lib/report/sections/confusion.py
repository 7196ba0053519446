"""Which grades are confused: matrices with shares and counts, and figures of each grade."""

from collections.abc import Sequence
from typing import Any, Literal

from IPython.display import HTML

from dr_lib import GRADE_NAMES, GRADES
from dr_lib.evaluation import matrix_metrics as metrics
from dr_lib.plots import plot_confusion
from dr_lib.report import formatting, markup
from dr_lib.report.drawing import inline_svg
from dr_lib.report.experiment_results import ExperimentResults
from dr_lib.report.findings import Finding
from dr_lib.report.run_group import RunGroup, by_kappa
from dr_lib.report.sections.metrics_table import figures_by_grade

Normalize = Literal["true", "pred", "all"] | None

_SHARES = {
    "true": "Rows are true grades, columns answers. Shares are those of the true grade, so that rows sum to 1 and the "
    "diagonal, in bold, is the recall of each grade",
    "pred": "Rows are true grades, columns answers. Shares are those of the answer, so that columns sum to 1 and the "
    "diagonal, in bold, is the precision of each answer",
    "all": "Rows are true grades, columns answers. Shares are those of all photographs, so that the diagonal, in bold, "
    "sums to the accuracy",
    None: "Rows are true grades, columns answers, numbers photographs",
}


def confusion_figures(experiment: ExperimentResults, normalize: Normalize = "true") -> HTML:
    """Return confusion matrices, best network first, those with class weights below, and figures by grade of every run.

    ``normalize``: what shares are of, as in scikit-learn's ``ConfusionMatrixDisplay``; ``None``: counts alone.
    """
    if not experiment.main:
        return markup.shown(markup.paragraphs("No run has finished, so there are no matrices."))
    first = {one.kind[:2]: number for number, one in enumerate(sorted(experiment.main, key=lambda one: -by_kappa(one)))}
    html = ""
    for kind, weighted in (("without", False), ("with", True)):
        shown = [one for one in experiment.main if one.weighted == weighted]
        # Below each network the same one with class weights, as far as there is room for both rows.
        shown.sort(key=lambda one: first[one.kind[:2]])
        if shown:
            panels = [confusion_panel(one, experiment.majority, normalize=normalize, small=True) for one in shown]
            title = f"Confusion matrices {kind} class weights, best network first."
            html += markup.figure(panels, title, matrix_caption(shown, normalize), across=4)
    finding = confusion_finding(experiment.best.label, experiment.best.confusion_matrix.tolist()).text
    return markup.shown(html + markup.paragraphs(finding, css="says") + figures_by_grade(experiment))


def confusion_finding(label: str, matrix: Sequence[Sequence[int]]) -> Finding:
    """Return which grades a network recognizes best and worst, and what the worst is taken for."""
    recalls = {grade: row[grade] / sum(row) for grade, row in enumerate(matrix) if sum(row)}
    answers = [grade for grade in GRADES if any(row[grade] for row in matrix)]
    values: dict[str, Any] = {"label": label, "only": "", "best": None, "worst": None, "mistaken": None}
    if len(answers) == 1:
        values["only"] = GRADE_NAMES[answers[0]]
    if recalls:
        best, worst = max(recalls, key=recalls.__getitem__), min(recalls, key=recalls.__getitem__)
        values["best"] = best, recalls[best]
        if recalls[best] != recalls[worst]:
            row = matrix[worst]
            taken_for = max((grade for grade in GRADES if grade != worst), key=row.__getitem__)
            values["worst"] = worst, recalls[worst]
            values["mistaken"] = (taken_for, row[taken_for] / sum(row)) if row[taken_for] else None
    return Finding("confusion", values)


def confusion_panel(
    one: RunGroup, majority: float | None, heading: str = "", *, normalize: Normalize = "true", small: bool = False
) -> tuple[str, str]:
    """Return heading and drawing of a configuration's confusion matrix on the testing photographs, over all seeds.

    The heading leads to the page of its first run, where that has one.
    """
    matrix = one.confusion_matrix
    recalls = ", ".join(
        f"grade {grade} {formatting.percent(recall, 0)}"
        for grade, recall in zip(GRADES, metrics.recall(matrix), strict=True)
        if recall == recall
    )
    label = f"Confusion matrix of {one.label}; recall: {recalls}"
    figures = f"kappa {formatting.signed(by_kappa(one), 2)}, accuracy {formatting.percent(one.accuracy)}" + (
        f", majority {formatting.percent(majority)}" if majority is not None else ""
    )
    drawing = inline_svg(plot_confusion(matrix, normalize=normalize, small=small), label)
    return f"{heading or one.label}\n{figures}", markup.linked(one.first.page, drawing)


def matrix_caption(shown: list[RunGroup], normalize: Normalize) -> str:
    """Return what the cells of the matrices are."""
    most = max(len(one.runs) for one in shown)
    together = f", of {most} seeds together" * (most > 1)
    return _SHARES[normalize] + "; smaller numbers are photographs" * (normalize is not None) + together + "."
