"""Whether a network is right as often as it says, before and after a temperature is fitted on validation."""

from html import escape

import numpy as np
from IPython.display import HTML

from dr_lib.evaluation.calibration import BINS
from dr_lib.plots import network_colours, plot_reliability
from dr_lib.report import markup
from dr_lib.report import merit_sentences as say
from dr_lib.report import wording as words
from dr_lib.report.configuration import Configuration, by_kappa
from dr_lib.report.drawing import inline_svg
from dr_lib.report.run import Run
from dr_lib.report.sections.merit import name_cell
from dr_lib.report.study import FOREMOST, Study


def calibration(study: Study) -> HTML:
    """Return reliability diagrams of the best of each network, and confidence and calibration error of all."""
    known = [one for one in study.configurations if all(run.test.get("calibration") for run in one.runs)]
    if not known:
        return markup.shown(markup.paragraphs("No finished run tells how sure it was.", css="note"))
    colours = network_colours(study.models)
    best = {one.model: one for one in sorted(known, key=by_kappa)}
    shown = [best[model] for model in study.models if model in best]
    panels = [
        (
            _heading(one, study.majority),
            _diagram(one.first, colours[one.model]),
        )
        for one in shown
    ]  # fmt: skip
    caption = (
        "Photographs in bins by the probability that the network gives its own answer, and how often it is right "
        "there. Below the dotted diagonal it is surer than it may be. The calibration error is the mean distance from "
        f"the diagonal over {BINS} bins, each weighing as many photographs as it holds; bars below count them. Dashed: "
        "its probabilities at the temperature that fits the validation photographs best, which changes no answer."
    )
    figure = markup.figure(panels, "Reliability of the best of each network by kappa.", caption)
    return markup.shown(figure + _table(study, known))


def _heading(one: Configuration, majority: float | None) -> str:
    seed = f", seed {one.first.seed}" * one.several
    reference = f", majority {words.percent(majority)}" if majority is not None else ""
    return f"{one.label}{seed}\naccuracy {words.percent(one.first.test['accuracy'])}{reference}"


def _diagram(run: Run, colour: str) -> str:
    before, after = run.test["calibration"], (run.metrics or {}).get("temperature_scaling")
    said = [say.trust(run.label, mean_confidence(run), run.test["accuracy"], before["ece"])]
    if after:
        said.append(say.cooled(run.label, after["temperature"], before["ece"], after["ece"]))
    return inline_svg(plot_reliability(before, after, colour=colour), "Reliability diagram. " + " ".join(said))


def _table(study: Study, known: list[Configuration]) -> str:
    rows = []
    for one in known[:FOREMOST]:
        confidence, accuracy = one.mean(mean_confidence), one.accuracy
        scaled = [run.metrics["temperature_scaling"] for run in one.runs if run.metrics.get("temperature_scaling")]  # type: ignore
        mean = lambda key, found=scaled: float(np.mean([entry[key] for entry in found]))  # noqa: E731
        rows.append(
            [
                name_cell(one, study),
                words.percent(confidence),
                f'{words.percent(accuracy)}<span class="sub">{escape(say.sureness(confidence, accuracy))}</span>',
                f"{100 * one.mean(lambda run: run.test['calibration']['ece']):.1f}",
                f'{100 * mean("ece"):.1f}<span class="sub">temperature {mean("temperature"):.2f}</span>'
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


def mean_confidence(run: Run) -> float:
    """Return the mean probability that a run gives its own answers, 0..1."""
    bins = [row for row in run.test["calibration"]["bins"] if row["photographs"]]
    return sum(row["photographs"] * row["confidence"] for row in bins) / sum(row["photographs"] for row in bins)
