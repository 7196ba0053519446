"""Referable retinopathy, grade 2 or worse: how well each network tells it, as curves and as points on them."""

from collections.abc import Sequence

import numpy as np
from IPython.display import HTML

from dr_lib import REFERABLE_GRADE
from dr_lib.evaluation.bootstrap import roc_band
from dr_lib.evaluation.metrics import Curve, precision_recall_curve, referable, roc_curve
from dr_lib.evaluation.ranking import SENSITIVITY, SPECIFICITY
from dr_lib.plots import OperatingPoint, plot_precision_recall, plot_roc
from dr_lib.report import formatting, markup
from dr_lib.report.drawing import curve_styles, inline_svg
from dr_lib.report.experiment_results import ExperimentResults
from dr_lib.report.run_group import RunGroup
from dr_lib.report.run_results import RunResults
from dr_lib.report.sections.metrics_table import cell, name_cell, over_what, rest_in_words


def referable_figures(experiment: ExperimentResults) -> HTML:
    """Return ROC and precision-recall curves, the best network set off, and the figures of all, folded."""
    if not experiment.configurations:
        return markup.shown(markup.paragraphs("No run has finished, so there is nothing to tell."))
    others = [one for one in experiment.main if not one.weighted] or list(experiment.main)
    shown = [experiment.best, *(one for one in others if one is not experiment.best)]
    table = markup.fold("Area under the curve and operating points of every run", _table(experiment))
    return markup.shown(_curves(experiment, shown) + table + _patients_referred(experiment))


def _curves(experiment: ExperimentResults, shown: Sequence[RunGroup]) -> str:
    names = [one.curve_label for one in shown]
    styles = curve_styles(experiment.models, shown, names)
    firsts = dict(zip(names, (one.first for one in shown), strict=True))
    tables = {name: referable(run.done_predictions) for name, run in firsts.items()}
    roc = _defined({name: roc_curve(*table) for name, table in tables.items()})
    precisions = _defined({name: precision_recall_curve(*table) for name, table in tables.items()})
    if not roc or not precisions:
        return markup.paragraphs(
            "The testing photographs are all referable or all not: there are no curves.", css="note"
        )
    best, prevalence = names[0], _prevalence(shown[0].first)
    band = roc_band(*tables[best], firsts[best].done_predictions["patient"])
    panels = [
        (
            "ROC curve",
            inline_svg(
                plot_roc(
                    roc, styles=styles, points={best: _own_answers(firsts[best])}, targets=None,
                    band=(best, *band) if band else None, areas=_areas(firsts, "referable_auc"),
                ),
                "ROC curves of referable retinopathy; area: " + _in_words(firsts, "referable_auc"),
            ),
        ),
        (
            "Precision and recall",
            inline_svg(
                plot_precision_recall(
                    precisions, styles=styles, prevalence=prevalence, foremost=best,
                    areas=_areas(firsts, "referable_average_precision"),
                ),
                f"Precision against recall of referable retinopathy, chance at {formatting.percent(prevalence)}; "
                "average precision: " + _in_words(firsts, "referable_average_precision"),
            ),
        ),
    ]  # fmt: skip
    seeds = ", each of its lowest seed" * any(one.several for one in shown)
    caption = (
        f"The network of the highest kappa with its 95% band over patients, behind it those without class "
        f"weights{seeds}. Left, the mark is its own answers with their 95% intervals; the diagonal is chance. Right, "
        "how many of those called referable are so, against how many of the referable are found; the dotted line is "
        "the share of referable photographs. In the key, areas under the curves and average precisions. Always giving "
        "the commonest answer"
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


def _areas(runs: dict[str, RunResults], figure: str) -> dict[str, float]:
    return {name: run.test[figure] for name, run in runs.items() if run.test.get(figure) is not None}


def _own_answers(run: RunResults) -> list[OperatingPoint]:
    """Return sensitivity and specificity of the run's own answers, where they are known."""
    names = ("referable_sensitivity", "referable_specificity")
    sensitivity, specificity = (run.test.get(name) for name in names)
    if sensitivity is None or specificity is None:
        return []
    limits = [tuple(found) if (found := run.test["intervals"].get(name)) else None for name in names]
    return [OperatingPoint(sensitivity, specificity, *limits)]


def _in_words(runs: dict[str, RunResults], figure: str) -> str:
    return ", ".join(f"{name} {run.test[figure]:.3f}" for name, run in runs.items() if run.test.get(figure) is not None)


def _prevalence(run: RunResults) -> float:
    return float(np.mean(run.done_predictions["grade"] >= REFERABLE_GRADE))
