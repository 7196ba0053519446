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
from dr_lib.report.run_group import RunGroup
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
    """Return confusion matrices, and figures by grade of every run.

    The matrices are those of the lab's configurations without class weights, or with where none is without.
    ``normalize``: what shares are of, as in scikit-learn's ``ConfusionMatrixDisplay``; ``None``: counts alone.
    """
    shown = [one for one in experiment.main if not one.weighted] or list(experiment.main)
    if not shown:
        return markup.shown(markup.paragraphs("No run has finished, so there are no matrices."))
    panels = [confusion_panel(one, experiment.majority, normalize=normalize) for one in shown]
    title = f"Confusion matrices {'with' if shown[0].weighted else 'without'} class weights."
    caption = f"{matrix_caption(shown, normalize)} A network that always gives the same answer fills one column."
    figure = markup.figure(panels, title, caption)
    said = markup.bullets(confusion_finding(one.label, one.confusion_matrix.tolist()).text for one in shown)
    return markup.shown(figure + said + figures_by_grade(experiment))


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
    one: RunGroup, majority: float | None, heading: str = "", *, normalize: Normalize = "true"
) -> tuple[str, str]:
    """Return heading and drawing of a configuration's confusion matrix on the testing photographs, over all seeds."""
    matrix = one.confusion_matrix
    recalls = ", ".join(
        f"grade {grade} {formatting.percent(recall, 0)}"
        for grade, recall in zip(GRADES, metrics.recall(matrix), strict=True)
        if recall == recall
    )
    label = f"Confusion matrix of {one.label}; recall: {recalls}"
    accuracy = f"accuracy {formatting.percent(one.accuracy)}" + (
        f", majority {formatting.percent(majority)}" if majority is not None else ""
    )
    return f"{heading or one.label}\n{accuracy}", inline_svg(plot_confusion(matrix, normalize=normalize), label)


def matrix_caption(shown: list[RunGroup], normalize: Normalize) -> str:
    """Return what the cells of the matrices are."""
    most = max(len(one.runs) for one in shown)
    together = f", of {most} seeds together" * (most > 1)
    return _SHARES[normalize] + "; smaller numbers are photographs" * (normalize is not None) + together + "."
