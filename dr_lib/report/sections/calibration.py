"""Whether a network is right as often as it says, before and after a temperature is fitted on validation."""

import numpy as np
from IPython.display import HTML

from dr_lib.evaluation.calibration import BINS, equal_bins, temperature_failed
from dr_lib.plots import network_colors, plot_reliability
from dr_lib.report import formatting, markup
from dr_lib.report.drawing import inline_svg
from dr_lib.report.experiment_results import TOP, ExperimentResults
from dr_lib.report.findings import Finding, moved
from dr_lib.report.run_group import RunGroup, by_kappa
from dr_lib.report.run_results import RunResults
from dr_lib.report.sections.metrics_table import name_cell


def calibration(experiment: ExperimentResults) -> HTML:
    """Return reliability diagrams of the best of each network, and confidence and calibration error of all."""
    known = [one for one in experiment.configurations if all(run.test.get("calibration") for run in one.runs)]
    if not known:
        return markup.shown(markup.paragraphs("No finished run tells how sure it was.", css="note"))
    colors = network_colors(experiment.models)
    best = {one.model: one for one in sorted(known, key=by_kappa)}
    shown = [best[model] for model in experiment.models if model in best]
    panels = [
        (
            _heading(one, experiment.majority),
            _diagram(one.first, colors[one.model]),
        )
        for one in shown
    ]  # fmt: skip
    caption = (
        f"A dot is {_answers(shown)}, from the least sure to the surest: how sure the network is there, and how "
        "often it is right, with 95% intervals. Below the dotted diagonal it is surer than it may be. Dashed: its "
        "probabilities at the temperature that fits the validation photographs best, which changes no answer. The "
        f"calibration error is the mean distance from the diagonal over {BINS} bins of equal width."
    )
    figure = markup.figure(panels, "Reliability of the best of each network by kappa.", caption)
    table = markup.fold("How sure and how right every run is", _table(experiment, known))
    return markup.shown(figure + markup.paragraphs(_failed_temperatures(known), css="says") + table)


def _failed(run: RunResults) -> bool:
    """Tell whether a run has a temperature that is no use."""
    if not (scaled := run.done_metrics.get("temperature_scaling")):
        return False
    before, after = run.test["calibration"]["ece"] or 0.0, scaled["ece"] or 0.0
    return temperature_failed(scaled["temperature"], before, after)


def _failed_temperatures(known: list[RunGroup]) -> str:
    runs = [run for one in known for run in one.runs if run.done_metrics.get("temperature_scaling")]
    return Finding("failed_temperatures", {"n": len(runs), "failed": sum(map(_failed, runs))}).text


def _answers(shown: list[RunGroup]) -> str:
    """Return how many answers a dot of the diagrams holds."""
    sizes = [row["photographs"] for one in shown for row in equal_bins(one.first.done_predictions)]
    least, most = min(sizes), max(sizes)
    return formatting.counted(least, "answer") if least == most else f"{least} to {most} answers"


def _heading(one: RunGroup, majority: float | None) -> str:
    seed = f", seed {one.first.seed}" * one.several
    reference = f", majority {formatting.percent(majority)}" if majority is not None else ""
    return f"{one.label}{seed}\naccuracy {formatting.percent(one.first.test['accuracy'])}{reference}"


def _diagram(run: RunResults, color: str) -> str:
    before, after = run.test["calibration"], (run.metrics or {}).get("temperature_scaling")
    confidence, accuracy = mean_confidence(run), run.test["accuracy"]
    values = {"confidence": confidence, "accuracy": accuracy, "gap": _gap(confidence, accuracy), "ece": before["ece"]}
    said = [Finding("trust", {"label": run.label, **values}).text]
    if after:
        way = "failed" if _failed(run) else moved(before["ece"], after["ece"], 3)
        errors = {"before": before["ece"], "after": after["ece"], "way": way}
        said.append(Finding("cooled", {"label": run.label, "temperature": after["temperature"], **errors}).text)
    drawn = before | {"bins": equal_bins(run.done_predictions)}
    scaled = after | {"bins": equal_bins(run.done_predictions, after["temperature"])} if after else None
    return inline_svg(plot_reliability(drawn, scaled, color=color), "Reliability diagram. " + " ".join(said))


_CALIBRATED = 0.01
"""Mean confidence that misses accuracy by less than a point is about right."""


def _gap(confidence: float, accuracy: float) -> float:
    """Return by how much a network is surer than it is right; 0 where it is about as sure."""
    gap = confidence - accuracy
    return 0.0 if abs(gap) < _CALIBRATED else gap


def _table(experiment: ExperimentResults, known: list[RunGroup]) -> str:
    rows = []
    for one in known[:TOP]:
        confidence, accuracy = one.mean(mean_confidence), one.accuracy
        sureness = Finding("sureness", {"gap": _gap(confidence, accuracy)}).text
        scaled = [found for run in one.runs if (found := run.done_metrics.get("temperature_scaling"))]
        mean = lambda key, found=scaled: float(np.mean([entry[key] for entry in found]))  # noqa: E731
        rows.append(
            [
                name_cell(one, experiment),
                formatting.percent(confidence),
                formatting.percent(accuracy) + markup.sub(sureness),
                f"{100 * one.mean(lambda run: run.test['calibration']['ece']):.1f}",
                f"{100 * mean('ece'):.1f}"
                + markup.sub(f"temperature {mean('temperature'):.2f}{', failed' * any(map(_failed, one.runs))}")
                if scaled
                else "–",
            ]
        )
    head = ["Run", "Mean confidence", "Accuracy", "Calibration error, points", "After temperature scaling"]
    caption = (
        "How sure each network is of its answers and how often it is right"
        + (", means over seeds" if any(one.several for one in known) else "")
        + ". No interval goes with the calibration error: it sums absolute values, which resamples only make larger."
    )
    return markup.table(head, rows, caption, numeric=(1, 2, 3, 4), css="cards")


def mean_confidence(run: RunResults) -> float:
    """Return the mean probability that a run gives its own answers, 0..1."""
    bins = [row for row in run.test["calibration"]["bins"] if row["photographs"]]
    return sum(row["photographs"] * row["confidence"] for row in bins) / sum(row["photographs"] for row in bins)
