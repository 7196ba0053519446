"""Discussion: imbalanced grades, what class weights trade, and batch sizes."""

from collections import defaultdict
from collections.abc import Sequence
from html import escape

import numpy as np
from IPython.display import HTML

from dr_lib import GRADE_NAMES
from dr_lib.data.class_weights import class_weights as weights_of
from dr_lib.evaluation import matrix_metrics as metrics
from dr_lib.evaluation.effects import Comparison
from dr_lib.plots import network_colors, plot_grade_shares, plot_recall_change
from dr_lib.report import data_sentences, formatting, markup
from dr_lib.report.comparisons import Effect
from dr_lib.report.drawing import inline_svg
from dr_lib.report.experiment_results import ExperimentResults
from dr_lib.report.findings import Finding
from dr_lib.report.run_results import RunResults
from dr_lib.report.sections.confusion import Normalize, confusion_panel, matrix_caption


def imbalance(experiment: ExperimentResults) -> HTML:
    """Return label counts and shares of the training photographs with their class weights, as in the lab's table."""
    train = experiment.splits.get("train")
    if not train:
        return markup.shown(markup.paragraphs("Nothing is recorded about the grades of the training photographs."))
    weights = _loss_weights(experiment)
    rows = [
        [f"Label {grade}: {GRADE_NAMES[grade]}", f"{n:,}", formatting.percent(share, 2), weights[grade]]
        for grade, (n, share) in enumerate(zip(train["counts"], train["shares"], strict=True))
    ]
    head = ["Grade", "Training photographs", "Share", "Class weight"]
    table = markup.table(head, rows, "The training photographs by grade.", numeric=(1, 2, 3), css="cards")
    shares = {
        name: experiment.splits[split]["shares"]
        for split, name in (("train", "training"), ("test", "testing"))
        if split in experiment.splits
    }
    spoken = "; ".join(
        f"grade {grade}: " + ", ".join(f"{name} {formatting.percent(values[grade])}" for name, values in shares.items())
        for grade in range(5)
    )
    figure = markup.figure(
        [("", inline_svg(plot_grade_shares(shares), f"Share of each grade: {spoken}"))],
        "Share of each grade.", f"Upper bars {' and lower bars '.join(shares)} photographs.",
    )  # fmt: skip
    return markup.shown(table + markup.paragraphs(data_sentences.imbalance(train["counts"]), css="says") + figure)


def class_weights(experiment: ExperimentResults, normalize: Normalize = "true") -> HTML:
    """Return, for each pair that differs in class weights alone, how recall moves, and the matrices with weights.

    ``normalize`` as for :func:`dr_lib.report.sections.confusion.confusion_figures`.
    """
    effects = sorted(
        experiment.effects["weighted"], key=lambda effect: (not effect.first.pretrained, -effect.first.accuracy)
    )
    if not effects:
        return markup.shown(markup.paragraphs("No two finished runs differ in class weights alone."))
    colors = network_colors(experiment.models)
    panels = [_recall_panel(effect, colors[effect.first.model], experiment.majority) for effect in effects]
    caption = "Recall without class weights (ring) and with them (dot): of the photographs of a grade, the share found."
    said = "".join(
        f"<li><b>{escape(name)}:</b> {escape(trade_finding(effect.change).text)} "
        f"{escape(recall_finding(effect, *_recalls(effect)).text)}</li>"
        for effect in effects
        for name in [f"{effect.first.network} {effect.first.weights}"]
    )
    weighted = [effect.second for effect in effects]
    matrices = markup.figure(
        [confusion_panel(one, experiment.majority, normalize=normalize) for one in weighted],
        "Confusion matrices with class weights.",
        matrix_caption(weighted, normalize),
    )
    folded = f'<details class="more"><summary>Confusion matrices with class weights</summary>{matrices}</details>'
    figure = markup.figure(panels, "What class weights do to the recall of each grade.", caption)
    return markup.shown(f"{figure}<ul>{said}</ul>{folded}")


def batch_sizes(experiment: ExperimentResults) -> HTML:
    """Return which batch sizes and learning rates were used, how fast the runs went and how much their curves shake."""
    groups: dict[tuple, list[RunResults]] = defaultdict(list)
    for run in sorted(experiment.done, key=lambda run: experiment.models.index(run.model)):
        groups[run.network, run.parameters["batch_size"], run.parameters["learning_rate"]].append(run)
    rows = []
    for (network, batch_size, rate), runs in groups.items():
        histories = [run.history for run in runs if run.history is not None]
        speed = np.median(np.concatenate([history["images_per_second"] for history in histories]))
        steps = np.concatenate([history["test_accuracy"].diff().abs().dropna() for history in histories])
        rows.append(
            [
                f'<b>{escape(network)}</b><span class="sub">{formatting.counted(len(runs), "run")}</span>',
                str(batch_size),
                f"{rate:g}",
                f"{1e6 * rate / batch_size:.1f}",
                f"{speed:,.0f}",
                f"{100 * steps.mean():.1f} points" if len(steps) else "–",
            ]
        )
    if not rows:
        return markup.shown(markup.paragraphs("No run has finished."))
    head = ["Network", "Batch size", "Learning rate", "Rate / batch, millionths", "Photographs a second", "Unrest"]
    caption = (
        "Batch sizes, speed in training, and unrest: the mean step of testing accuracy from one epoch to the next. By "
        "the linear rule the learning rate over the batch size would be the same in every row."
    )
    return markup.shown(markup.table(head, rows, caption, numeric=range(1, 6), css="cards"))


def _recall_panel(effect: Effect, color: str, majority: float | None) -> tuple[str, str]:
    before, after = _recalls(effect)
    name = f"{effect.first.network} {effect.first.weights}"
    spoken = "; ".join(
        f"grade {grade} {formatting.percent(start, 0)} to {formatting.percent(end, 0)}"
        for grade, (start, end) in enumerate(zip(before, after, strict=True))
        if start is not None and end is not None
    )
    ax = plot_recall_change(before, after, color=color)
    accuracy = f"accuracy {formatting.percent(effect.first.accuracy)} → {formatting.percent(effect.second.accuracy)}"
    accuracy += f", majority {formatting.percent(majority)}" if majority is not None else ""
    return f"{name}\n{accuracy}", inline_svg(ax, f"Recall of {name} without and with weights: {spoken}")


def _recalls(effect: Effect) -> tuple[list[float | None], list[float | None]]:
    before, after = (
        [None if share != share else float(share) for share in metrics.recall(one.confusion_matrix)]
        for one in (effect.first, effect.second)
    )
    return before, after


def recall_finding(effect: Effect, before: Sequence[float | None], after: Sequence[float | None]) -> Finding:
    """Return for which grades recall rises, falls or stays, by the interval of each grade's difference."""
    ways = {"up": "rises", "down": "falls", "unclear": "does not change measurably"}
    groups: dict[str, list] = {way: [] for way in ways.values()}
    undefined = []
    for grade, (start, end, change) in enumerate(zip(before, after, effect.change.recall, strict=True)):
        if start is None or end is None or change is None or change.direction == "unknown":
            undefined.append(f"grade {grade}")
            continue
        digits = next(n for n in range(7) if round(100 * start, n) != round(100 * end, n) or start == end or n == 6)
        groups[ways[change.direction]].append((grade, start, end, digits))
    return Finding("recalls", {"groups": {way: some for way, some in groups.items() if some}, "undefined": undefined})


def trade_finding(change: Comparison) -> Finding:
    """Return what class weights trade: accuracy against the recall of the grades with disease."""
    moves = {found.direction for found in change.recall[1:] if found} & {"up", "down"}
    recall = moves.pop() if len(moves) == 1 else "mixed" if moves else "unclear"
    return Finding("trade", {"recall": recall, "accuracy": change.accuracy.direction if change.accuracy else "unknown"})


def _loss_weights(experiment: ExperimentResults) -> list[str]:
    """Return the class weights that the weighted runs used, or what n_0/n_c would be."""
    used = next(
        (run.config["class_weights"] for run in experiment.runs if run.weighted and run.config.get("class_weights")),
        None,
    )
    if used is None:
        counts = np.asarray(experiment.splits["train"]["counts"])
        if (counts == 0).any():
            return ["–"] * len(counts)
        used = weights_of("majority_ratio", counts)
    return [f"{weight:.4f}" for weight in used]
