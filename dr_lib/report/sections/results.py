"""Results: highest testing accuracies, curves per epoch, and what pretraining and depth change."""

from collections.abc import Callable, Mapping, Sequence
from html import escape

import pandas as pd
from IPython.display import HTML

from dr_lib.evaluation.bootstrap import Difference
from dr_lib.evaluation.seed_groups import optimism
from dr_lib.plots import accuracy_limits, network_colors, plot_accuracy
from dr_lib.report import formatting, markup, sentences
from dr_lib.report.comparisons import compare
from dr_lib.report.drawing import ink, inline_svg, interval_svg
from dr_lib.report.experiment_results import ExperimentResults, also_different
from dr_lib.report.run_group import RunGroup
from dr_lib.report.run_results import RunResults

SIDES = (("train_accuracy", "Training accuracy"), ("test_accuracy", "Testing accuracy"))


def highest_accuracies(experiment: ExperimentResults) -> HTML:
    """Return each network's highest testing accuracy beside the honest figure, and how kind the first one is."""
    rows, said = [], []
    for model in experiment.models:
        runs = [run for run in experiment.done if run.model == model]
        if not runs:
            continue
        best = max(runs, key=lambda run: run.highest["accuracy"])
        limits, chosen = best.test["intervals"]["accuracy"], best.chosen_epoch
        honest = f"{formatting.percent(limits[0])} to {formatting.percent(limits[1])}" if limits else "no interval"
        seed = f", seed {best.seed}" * (best.seed != 0)
        rows.append(
            [
                f'<b>{escape(best.network)}</b><span class="sub">{escape(best.description + seed)}</span>',
                f'{formatting.percent(best.highest["accuracy"])}<span class="sub">epoch {best.highest["epoch"]}</span>',
                f'{formatting.percent(best.test["accuracy"])}<span class="sub">epoch {chosen}, {honest}</span>',
                formatting.signed(best.test["kappa"], 2),
                formatting.percent(experiment.majority) if experiment.majority is not None else "–",
            ]
        )
        said.append(
            sentences.optimism(
                best.network,
                best.highest["accuracy"],
                best.highest["epoch"],
                best.at_chosen_epoch("test_accuracy"),
                chosen,
                best.done_metrics["select_by"],
            )
        )
    if not rows:
        return markup.shown(markup.paragraphs("No run has finished, so there are no accuracies."))
    gains = [run.highest["accuracy"] - run.at_chosen_epoch("test_accuracy") for run in experiment.done]
    said.append(sentences.mean_optimism(gains, experiment.chosen_on))
    if experiment.chosen_on != "testing":
        said += [
            sentences.optimism_of_seeds(one.label, optimism(one.figures(_highest), one.figures(_honest)))
            for one in experiment.main
            if one.several
        ]
    honest_column = "Last epoch" if experiment.chosen_on == "last" else f"Chosen on {experiment.chosen_on}"
    head = ["Network", "Highest testing accuracy", honest_column, "Kappa", "Majority"]
    caption = "The run of each network with the highest testing accuracy."
    table = markup.table(head, rows, caption, numeric=(1, 2, 3, 4), css="cards")
    return markup.shown(table + markup.bullets(said))


def accuracy_figures(experiment: ExperimentResults) -> HTML:
    """Return one figure a network: training and testing accuracy per epoch, pretrained and from scratch.

    Of the configurations without class weights; where a network has none, of those with.
    """
    colors = network_colors(experiment.models)
    html = ""
    for model in experiment.models:
        for weighted in (False, True):
            found = {
                name: experiment.find(model, pretrained=pretrained, weighted=weighted)
                for name, pretrained in (("pretrained", True), ("scratch", False))
            }
            shown = {name: one for name, one in found.items() if one}
            if shown:
                html += _accuracy_figure(experiment, shown, colors[model])
                break
    return markup.shown(html or markup.paragraphs("No finished run has curves to show here."))


def pretraining(experiment: ExperimentResults) -> HTML:
    """Return what pretraining changes, for each pair that differs in it alone, and how training went."""
    pairs = experiment.pairs["pretrained"]
    shown = [one for one in experiment.main if not one.weighted] or list(experiment.main)
    said = [
        sentences.phases(
            _of_seed(one), *_around_fine_tuning(one.first), one.first.test["accuracy"],
            tuned=_chosen_when_tuned(one.first),
        )
        for one in shown
        if one.pretrained
    ]  # fmt: skip
    said += [
        sentences.generalization(
            _of_seed(one), one.first.at_chosen_epoch("train_accuracy"), one.first.test["accuracy"],
            experiment.majority or 0,
        )
        for one in shown
    ]  # fmt: skip
    caption = "What pretraining changes: pretrained less from scratch."
    headline = sentences.headline("Pretraining", [compare(*pair).accuracy for pair in pairs])
    table = differences_table(pairs, "pretrained", caption, lambda one: one.weights, network_colors(experiment.models))
    return markup.shown(markup.bullets(said) + markup.paragraphs(headline, css="says") + table)


def depth(experiment: ExperimentResults) -> HTML:
    """Return what depth changes, for each pair that differs in the network alone."""
    pairs = experiment.pairs["model"]
    headline = sentences.headline("Depth", [compare(*pair).accuracy for pair in pairs])
    caption = "What depth changes: the deeper network less the shallower one."
    table = differences_table(pairs, "model", caption, lambda one: one.network, network_colors(experiment.models))
    return markup.shown(markup.paragraphs(headline, css="says") + table)


def differences_table(
    pairs: Sequence[tuple[RunGroup, RunGroup]],
    differing: str,
    caption: str,
    other: Callable[[RunGroup], str],
    colors: Mapping[str, str],
) -> str:
    """Return one row a pair: accuracies, their difference with its interval drawn about zero, and kappa's.

    ``other`` names what is different about the first of a pair; what else differs beside ``differing`` is said.
    """
    if not pairs:
        return markup.paragraphs("No two finished runs differ in this alone.", css="note")
    changes = [compare(*pair) for pair in pairs]
    reach = max((max(abs(c.accuracy.low), abs(c.accuracy.high)) for c in changes if c.accuracy), default=0) or 0.1
    rows = []
    for (before, after), change in zip(pairs, changes, strict=True):
        key = f'<span class="key" style="--key:{ink(colors[after.model])}"></span>'
        against = "; ".join([f"against {other(before)}", *also_different(before, after, differing)])
        name = f'{key}{escape(after.label)}<span class="sub">{escape(against)}</span>'
        moved = f"{formatting.percent(before.accuracy)} → {formatting.percent(after.accuracy)}"
        if change.accuracy is None:
            rows.append([name, moved, "not the same photographs", "–", "–"])
            continue
        spoken = sentences.change_in_accuracy("it", change.accuracy)
        drawing = interval_svg(
            change.accuracy.value, (change.accuracy.low, change.accuracy.high), 0.0, (-1.05 * reach, 1.05 * reach),
            f"{after.label} against {other(before)}: {spoken}", css="zero",
        )  # fmt: skip
        rows.append(
            [
                name,
                moved,
                f'<span style="--key:{ink(colors[after.model])}">{drawing}</span>',
                _with_limits(change.accuracy, 100, 1),
                _with_limits(change.kappa, 1, 2),
            ]
        )
    head = ["Runs", "Testing accuracy", "Fewer or more right", "Points", "Kappa"]
    return markup.table(head, rows, f"{caption} With 95% intervals.", numeric=(3, 4), css="cards")


def _accuracy_figure(experiment: ExperimentResults, shown: dict[str, RunGroup], color: str) -> str:
    majority, first = experiment.majority, next(iter(shown.values()))
    network = first.network + ", weighted" * first.weighted
    curves = {side: {name: _seeds(one, side) for name, one in shown.items()} for side, _ in SIDES}
    limits = accuracy_limits([curve for by_name in curves.values() for curve in by_name.values()], majority)
    head_only = 0
    if "pretrained" in shown:
        head_only = int((shown["pretrained"].first.done_history["phase"] == "feature extraction").sum())
    panels = []
    for side, heading in SIDES:
        ax = plot_accuracy(
            curves[side],
            color=color,
            majority=majority,
            head_only=head_only,
            chosen={name: [run.chosen_epoch for run in one.runs] for name, one in shown.items()},
            limits=limits,
        )
        spoken = _curves_in_words(network, heading, curves[side], majority)
        panels.append((f"{network}\n{heading}", inline_svg(ax, spoken)))
    styles = dict(zip(shown, ("Solid", "dashed"), strict=False))
    which = "; ".join(f"{styles[name]}: {one.description}" for name, one in shown.items())
    most = max(len(one.runs) for one in shown.values())
    bands = f", in a band from the lowest of {most} seeds to the highest" if most > 1 else ""
    caption = (
        f"{which}{bands}. A dot is {sentences.tested_epoch(experiment.chosen_on)}, the dashed red line the share of "
        "the commonest grade"
        + (", the shaded part the epochs that train only the head of the pretrained network." if head_only else ".")
    )
    return markup.figure(panels, f"{network}, accuracy per epoch.", caption)


def _seeds(one: RunGroup, column: str) -> pd.DataFrame:
    """Return a column of the history by epoch, one column a seed."""
    return pd.DataFrame({run.seed: run.done_history.set_index("epoch")[column] for run in one.runs})


def _curves_in_words(
    network: str, heading: str, curves: Mapping[str, pd.DataFrame], majority: float | None
) -> str:  # fmt: skip
    means = {name: curve.mean(axis=1) for name, curve in curves.items()}
    parts = [
        f"{name} from {formatting.percent(mean.iloc[0])} to {formatting.percent(mean.iloc[-1])}"
        for name, mean in means.items()
    ]
    majority_text = f"; majority {formatting.percent(majority)}" if majority is not None else ""
    epochs = formatting.counted(max(len(curve) for curve in curves.values()), "epoch")
    return f"{network}, {heading.lower()} over {epochs}: {', '.join(parts)}{majority_text}"


def _highest(run: RunResults) -> float:
    return run.highest["accuracy"]


def _honest(run: RunResults) -> float:
    return run.at_chosen_epoch("test_accuracy")


def _of_seed(one: RunGroup) -> str:
    return one.label + f", seed {one.first.seed}" * one.several


def _with_limits(change: Difference | None, scale: float, digits: int) -> str:
    """Return the difference, in bold where its interval excludes zero, above its interval."""
    if change is None:
        return "–"
    value, low, high = (formatting.signed(scale * number, digits) for number in (change.value, change.low, change.high))
    plus = "+" if change.value > 0 and float(value) else ""
    number = f"<b>{plus}{value}</b>" if change.distinguishable else f"{plus}{value}"
    return f'{number}<span class="sub">{low} to {high}</span>'


def _around_fine_tuning(run: RunResults) -> tuple[float | None, float | None]:
    """Return testing accuracy at the last epoch of feature extraction and at the first of fine-tuning."""
    assert run.history is not None
    frozen = run.history.loc[run.history["phase"] == "feature extraction", "test_accuracy"]
    tuned = run.history.loc[run.history["phase"] == "fine-tuning", "test_accuracy"]
    if frozen.empty or tuned.empty:
        return None, None
    return float(frozen.iloc[-1]), float(tuned.iloc[0])


def _chosen_when_tuned(run: RunResults) -> bool:
    return run.done_history.set_index("epoch")["phase"].loc[run.chosen_epoch] == "fine-tuning"
