"""Discussion: imbalanced grades, what class weights trade, and batch sizes."""

from collections import defaultdict
from html import escape

import numpy as np
from IPython.display import HTML

from dr_lib import GRADE_NAMES
from dr_lib.data.class_weights import class_weights as weights_of
from dr_lib.evaluation import matrix_metrics as metrics
from dr_lib.plots import network_colors, plot_grade_shares, plot_recall_change
from dr_lib.report import data_sentences, formatting, markup, sentences
from dr_lib.report.comparisons import compare
from dr_lib.report.drawing import inline_svg
from dr_lib.report.experiment_results import ExperimentResults
from dr_lib.report.run_group import RunGroup
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
    """Return, for each pair that differs in class weights alone, both matrices side by side and what changed.

    ``normalize`` as for :func:`dr_lib.report.sections.confusion.confusion_figures`.
    """
    colors = network_colors(experiment.models)
    html = ""
    for before, after in sorted(
        experiment.pairs["weighted"], key=lambda pair: (not pair[0].pretrained, -pair[0].accuracy)
    ):
        html += _weights_figure(before, after, colors[before.model], experiment.majority, normalize)
    return markup.shown(html or markup.paragraphs("No two finished runs differ in class weights alone."))


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


def _weights_figure(before: RunGroup, after: RunGroup, color: str, majority: float | None, normalize: Normalize) -> str:
    change = compare(before, after)
    name = f"{before.network} {before.weights}"
    panels = [
        confusion_panel(before, majority, "Without class weights", normalize=normalize),
        confusion_panel(after, majority, "With class weights", normalize=normalize),
    ]
    start_recall, end_recall = (
        [None if share != share else float(share) for share in metrics.recall(one.confusion_matrix)]
        for one in (before, after)
    )
    spoken = "; ".join(
        f"grade {grade} {formatting.percent(start, 0)} to {formatting.percent(end, 0)}"
        for grade, (start, end) in enumerate(zip(start_recall, end_recall, strict=True))
        if start is not None and end is not None
    )
    panels.append(
        (
            "Recall without (ring) and with (dot)",
            inline_svg(
                plot_recall_change(start_recall, end_recall, color=color),
                f"Recall of {name} without and with weights: {spoken}",
            ),
        )
    )
    panels.append(("In words", markup.paragraphs(sentences.recall_changes(start_recall, end_recall, change.recall))))
    caption = matrix_caption([before, after], normalize)
    figure = markup.figure(panels, f"{name}, without and with class weights.", caption)
    said = sentences.effect(
        "weighting", name, "without class weights", "with", before.accuracy, after.accuracy,
        change.accuracy, change.kappa,
    )  # fmt: skip
    headline = sentences.trade(change.accuracy, change.recall)
    return f'<h3>{escape(name)}</h3><p class="says"><b>{escape(headline)}</b> {escape(said)}</p>{figure}'


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
