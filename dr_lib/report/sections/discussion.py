"""Discussion: imbalanced grades, what class weights trade, and batch sizes."""

from collections import defaultdict
from collections.abc import Sequence
from html import escape

import numpy as np
from IPython.display import HTML

from dr_lib import GRADE_NAMES
from dr_lib.data.class_weights import class_weights as weights_of
from dr_lib.evaluation import matrix_metrics as metrics
from dr_lib.evaluation.bootstrap import Difference
from dr_lib.evaluation.effects import FEWEST, Comparison
from dr_lib.plots import plot_grade_shares, plot_recall_slopes
from dr_lib.report import data_sentences, formatting, markup
from dr_lib.report.comparisons import Effect
from dr_lib.report.drawing import curve_styles, ink, inline_svg
from dr_lib.report.experiment_results import ExperimentResults
from dr_lib.report.findings import Finding, amount, span
from dr_lib.report.run_results import RunResults
from dr_lib.report.sections.metrics_table import majority_in_words


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
    drawing = inline_svg(plot_grade_shares(shares), f"Share of each grade: {spoken}")
    figure = markup.figure(
        [("", drawing)], "Share of each grade.", f"Upper bars {' and lower bars '.join(shares)} photographs."
    )
    said = markup.paragraphs(data_sentences.imbalance(train["counts"]), css="says")
    return markup.shown(f'<div class="beside"><div>{table}{said}</div>{figure}</div>')


def class_weights(experiment: ExperimentResults) -> HTML:
    """Return, for each pair that differs in class weights alone, how accuracy and the recall of each grade move."""
    effects = experiment.effects["weighted"]
    if not effects:
        return markup.shown(markup.paragraphs("No two finished runs differ in class weights alone."))
    names = {effect.first.name: _pair_name(effect) for effect in effects}
    styles = curve_styles(experiment.models, [effect.first for effect in effects], list(names.values()))
    recalls = {names[effect.first.name]: _recalls(effect) for effect in effects}
    counts = effects[0].first.first.test["support"]
    panels = []
    for grade, grade_name in enumerate(GRADE_NAMES):
        slopes = {name: (before[grade], after[grade]) for name, (before, after) in recalls.items()}
        spoken = "; ".join(
            f"{name} {formatting.percent(start, 0)} to {formatting.percent(end, 0)}"
            for name, (start, end) in slopes.items()
            if start is not None and end is not None
        )
        ax = plot_recall_slopes(slopes, styles=styles)
        label = f"Recall of grade {grade} without and with class weights: {spoken}"
        panels.append((f"{grade} {grade_name}\nn = {counts[grade]:,}", inline_svg(ax, label)))
    key = "".join(
        f'<span><span class="key{" ring" * style.dashed}" style="--key:{ink(style.color)}"></span>{escape(name)}</span>'
        for name, style in styles.items()
    )
    caption = (
        "Of the photographs of a grade, the share that is found, without class weights (left) and with them (right). "
        f"n: testing photographs. {majority_in_words(experiment)}"
    )
    figure = markup.figure(
        panels, "What class weights do to the recall of each grade.", caption, across=5,
        key_html=f'<div class="keys">{key}</div>',
    )  # fmt: skip
    said: dict[str, list[str]] = {}
    for effect in effects:
        said.setdefault(trade_finding(effect.change).text, []).append(names[effect.first.name])
    trades = "".join(f"<li><b>{escape(formatting.listed(who))}:</b> {escape(text)}</li>" for text, who in said.items())
    return markup.shown(f"{figure}<ul>{trades}</ul>{_changes(experiment, effects)}")


def _pair_name(effect: Effect) -> str:
    distinction = f", {effect.first.distinction}" if effect.first.distinction else ""
    return f"{effect.first.network} {effect.first.weights}{distinction}"


def _changes(experiment: ExperimentResults, effects: Sequence[Effect]) -> str:
    """Return a folded table of what class weights change in accuracy and in the recall of each grade, in points."""
    rows = []
    for effect in effects:
        changes = (effect.change.accuracy, *effect.change.recall)
        rows.append([escape(_pair_name(effect)), *map(_in_points, changes)])
    caption = (
        "Points that class weights add, with 95% intervals that hold for all comparisons of the report together; bold "
        f"where one leaves out zero. A dash: fewer than {FEWEST} patients of the grade, too few for an interval."
    )
    head = ["Run", "Accuracy", *(f"Recall of {grade} {name}" for grade, name in enumerate(GRADE_NAMES))]
    table = markup.table(head, rows, caption, numeric=range(1, 7), css="cards")
    return markup.fold("By how many points class weights move accuracy and recall", table)


def _in_points(change: Difference | None) -> str:
    if change is None or change.direction == "unknown":
        return "–"
    number = amount(change, "accuracy", sign=True).removesuffix(" points").removesuffix(" point")
    return (f"<b>{number}</b>" if change.distinguishable else number) + markup.sub(span(change, "accuracy"))


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
    if len({key[1:] for key in groups}) == 1:
        ((_, batch_size, rate), *_) = groups
        text = f"All runs of this report have batches of {batch_size} and a learning rate of {rate:g}."
        return markup.shown(markup.paragraphs(text))
    head = ["Network", "Batch size", "Learning rate", "Rate / batch, millionths", "Photographs a second", "Unrest"]
    caption = (
        "Batch sizes, speed in training, and unrest: the mean step of testing accuracy from one epoch to the next. By "
        "the linear rule the learning rate over the batch size would be the same in every row."
    )
    return markup.shown(markup.table(head, rows, caption, numeric=range(1, 6), css="cards"))


def _recalls(effect: Effect) -> tuple[list[float | None], list[float | None]]:
    before, after = (
        [None if share != share else float(share) for share in metrics.recall(one.confusion_matrix)]
        for one in (effect.first, effect.second)
    )
    return before, after


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
