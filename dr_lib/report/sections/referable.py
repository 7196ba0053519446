"""Referable retinopathy, grade 2 or worse: how well each network tells it, as curves and as points on them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from IPython.display import HTML

from dr_lib import REFERABLE_GRADE
from dr_lib.evaluation.metrics import Curve, precision_recall_curve, referable, roc_curve
from dr_lib.evaluation.ranking import SENSITIVITY, SPECIFICITY
from dr_lib.plots import OperatingPoint, plot_precision_recall, plot_roc
from dr_lib.report import formatting, markup
from dr_lib.report.drawing import curve_styles, inline_svg
from dr_lib.report.experiment_results import ExperimentResults
from dr_lib.report.run_group import RunGroup
from dr_lib.report.run_results import RunResults
from dr_lib.report.sections.metrics_table import cell, name_cell, over_what, rest_in_words

_POINTS = ("referable_at_90_sensitivity", "referable_at_95_specificity")


def referable_figures(experiment: ExperimentResults) -> HTML:
    """Return ROC and precision-recall curves of the lab's configurations, and the figures of all."""
    if not experiment.configurations:
        return markup.shown(markup.paragraphs("No run has finished, so there is nothing to tell."))
    shown = [one for one in experiment.main if not one.weighted] or list(experiment.main)
    return markup.shown(_curves(experiment, shown) + _table(experiment) + _patients_referred(experiment))


def _curves(experiment: ExperimentResults, shown: Sequence[RunGroup]) -> str:
    styles = curve_styles(experiment.models, shown)
    tables = {one.short_label: referable(one.first.done_predictions) for one in shown}
    roc = _defined({name: roc_curve(*table) for name, table in tables.items()})
    precisions = _defined({name: precision_recall_curve(*table) for name, table in tables.items()})
    if not roc or not precisions:
        return markup.paragraphs(
            "The testing photographs are all referable or all not: there are no curves.", css="note"
        )
    firsts = {one.short_label: one.first for one in shown}
    prevalence = _prevalence(shown[0].first)
    panels = [
        (
            "ROC curve",
            inline_svg(
                plot_roc(
                    roc, styles=styles, points={name: _points(firsts[name]) for name in roc},
                    **_areas(firsts, "referable_auc"),
                ),
                "ROC curves of referable retinopathy; area: " + _in_words(firsts, "referable_auc"),
            ),
        ),
        (
            "Precision and recall",
            inline_svg(
                plot_precision_recall(
                    precisions, styles=styles, prevalence=prevalence, **_areas(firsts, "referable_average_precision")
                ),
                f"Precision against recall of referable retinopathy, chance at {formatting.percent(prevalence)}; "
                "average precision: " + _in_words(firsts, "referable_average_precision"),
            ),
        ),
    ]  # fmt: skip
    kind = "with" if shown[0].weighted else "without"
    seeds = ", each of its lowest seed" * any(one.several for one in shown)
    caption = (
        f"The runs {kind} class weights{seeds}, best first. Left, the further a curve bends to the upper left, the "
        "better; the diagonal is chance. Marks are the two operating points with their 95% intervals over patients. "
        "Right, how many of those called referable are so, against how many of the referable are found; the dotted "
        "line is the share of referable photographs. In brackets, 95% intervals. Always giving the commonest answer"
        + (f", right for {formatting.percent(experiment.majority)}," if experiment.majority is not None else "")
        + " finds no referable photograph."
    )
    return markup.figure(panels, "Referable retinopathy, grade 2 or worse.", caption)


def _table(experiment: ExperimentResults) -> str:
    head = [
        "Run",
        "AUC",
        "Average precision",
        f"Specificity at sensitivity {formatting.percent(SENSITIVITY, 0)}",
        f"Sensitivity at specificity {formatting.percent(SPECIFICITY, 0)}",
    ]
    three = lambda value: f"{value:.3f}"  # noqa: E731
    rows = [
        [
            name_cell(one, experiment),
            cell(one, "referable_auc", three),
            cell(one, "referable_average_precision", three),
            cell(one, ("referable_at_90_sensitivity", "specificity"), formatting.percent),
            cell(one, ("referable_at_95_specificity", "sensitivity"), formatting.percent),
        ]
        for one in experiment.top
    ]
    caption = (
        f"Referable retinopathy, {formatting.percent(_prevalence(experiment.configurations[0].first))} of the testing "
        "photographs, by the sum of the probabilities of grades 2 to 4, with 95% intervals over "
        f"{over_what(experiment)}. The last two columns move the threshold until the one is reached and give the "
        f"other; the testing photographs themselves place it. {rest_in_words(experiment)}"
    )
    return markup.table(head, rows, caption, numeric=range(1, len(head)), css="cards")


def _patients_referred(experiment: ExperimentResults) -> str:
    """Return what referring patients by the worse eye does, from the threshold of high sensitivity of each run."""
    rows: list[list[str]] = []
    placed: set[str] = set()
    prevalence = ""
    for one in experiment.top:
        found = one.first.done_metrics.get("referral")  # none of a run of an earlier version
        if not found or not (point := found["patients"]["at_90_sensitivity"]):
            continue
        placed.add(found["set_on"])
        prevalence = formatting.percent(point["prevalence"])
        shares = []
        for name in ("sensitivity", "specificity", "ppv", "npv"):
            value, limits = point.get(name), point["intervals"].get(name)
            ends = f"{formatting.percent(limits[0])} to {formatting.percent(limits[1])}" if limits else ""
            shares.append("–" if value is None else f'{formatting.percent(value)}<span class="sub">{ends}</span>')
        rows.append([name_cell(one, experiment), formatting.percent(point["referred"]), *shares])
    if not rows:
        return ""
    on = "testing patients themselves, which flatters it" if "test" in placed else "validation patients, and kept"
    head = ["Run", "Referred", "Sensitivity", "Specificity", "Positive predictive value", "Negative predictive value"]
    caption = (
        "Patients referred by the worse eye, first seed of each run. The threshold, of sensitivity "
        f"{formatting.percent(SENSITIVITY, 0)}, was set on {on}. Predictive values are those where {prevalence} of "
        "patients are referable, as here; run.referral(prevalence=0.1) gives them for other practices. "
        "95% intervals over patients."
    )
    return markup.table(head, rows, caption, numeric=range(1, len(head)), css="cards")


def _defined(curves: dict[str, Curve | None]) -> dict[str, Curve]:
    return {name: curve for name, curve in curves.items() if curve is not None}


def _areas(runs: dict[str, RunResults], figure: str) -> dict[str, Any]:
    known = {name: run for name, run in runs.items() if run.test.get(figure) is not None}
    return {
        "areas": {name: run.test[figure] for name, run in known.items()},
        "intervals": {name: run.test["intervals"].get(figure) for name, run in known.items()},
    }


def _points(run: RunResults) -> list[OperatingPoint]:
    """Return the operating points that a run has."""
    found = []
    for name in _POINTS:
        point, limits = run.test.get(name), run.test["intervals"].get(name)
        if point and point["sensitivity"] is not None and point["specificity"] is not None:
            sides = [
                tuple(limits[side]) if limits and limits[side] else None for side in ("sensitivity", "specificity")
            ]
            found.append(OperatingPoint(point["sensitivity"], point["specificity"], *sides))
    return found


def _in_words(runs: dict[str, RunResults], figure: str) -> str:
    return ", ".join(f"{name} {run.test[figure]:.3f}" for name, run in runs.items() if run.test.get(figure) is not None)


def _prevalence(run: RunResults) -> float:
    return float(np.mean(run.done_predictions["grade"] >= REFERABLE_GRADE))
