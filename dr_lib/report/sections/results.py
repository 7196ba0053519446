"""Results: highest testing accuracies, curves per epoch, confusion matrices, and what the comparisons say."""

from collections.abc import Callable, Mapping, Sequence
from html import escape

import pandas as pd
from IPython.display import HTML

from dr_lib.evaluation.intervals import Difference
from dr_lib.plots import accuracy_limits, network_colours, plot_accuracy, plot_confusion
from dr_lib.report import markup
from dr_lib.report import sentences as say
from dr_lib.report import wording as words
from dr_lib.report.comparisons import compare
from dr_lib.report.drawing import ink, inline_svg, interval_svg
from dr_lib.report.sections.doubts import calibration, corrected_differences, other_eyes
from dr_lib.report.sections.merit import figures_by_grade, figures_of_merit
from dr_lib.report.study import Run, Study, also_different

SIDES = (("train_accuracy", "Training accuracy"), ("test_accuracy", "Testing accuracy"))


def highest_accuracies(study: Study) -> HTML:
    """Return each network's highest testing accuracy beside the honest figure, and every run's other figures."""
    rows, said = [], []
    for model in study.models:
        runs = [run for run in study.done if run.model == model]
        if not runs:
            continue
        best = max(runs, key=lambda run: run.highest["accuracy"])
        limits, chosen = best.test["intervals"]["accuracy"], best.chosen_epoch
        honest = f"{words.percent(limits[0])} to {words.percent(limits[1])}" if limits else "no interval"
        rows.append(
            [
                f'<b>{escape(best.network)}</b><span class="sub">{escape(best.configuration)}</span>',
                f'{words.percent(best.highest["accuracy"])}<span class="sub">epoch {best.highest["epoch"]}</span>',
                f'{words.percent(best.test["accuracy"])}<span class="sub">epoch {chosen}, {honest}</span>',
                words.signed(best.test["kappa"], 2),
                words.percent(study.majority) if study.majority is not None else "–",
            ]
        )
        said.append(
            say.optimism(
                best.network,
                best.highest["accuracy"],
                best.highest["epoch"],
                best.test["accuracy"],
                chosen,
                best.metrics["select_by"],  # type: ignore[index]
            )
        )
    if not rows:
        return markup.shown(markup.paragraphs("No run has finished, so there are no accuracies."))
    head = ["Network", "Highest testing accuracy", f"Chosen on {study.chosen_on}", "Kappa", "Majority"]
    table = markup.table(head, rows, "The best configuration of each network.", numeric=(1, 2, 3, 4), css="cards")
    return markup.shown(table + markup.bullets(said) + figures_of_merit(study))


def accuracy_figures(study: Study) -> HTML:
    """Return one figure a network: training and testing accuracy per epoch, pretrained and from scratch.

    Of the runs without class weights; where a network has none, of those with.
    """
    colours = network_colours(study.models)
    html = ""
    for model in study.models:
        for weighted in (False, True):
            found = {
                name: study.find(model, pretrained=pretrained, weighted=weighted)
                for name, pretrained in (("pretrained", True), ("scratch", False))
            }
            runs = {name: run for name, run in found.items() if run}
            if runs:
                html += _accuracy_figure(study, runs, colours[model])
                break
    return markup.shown(html or markup.paragraphs("No finished run has curves to show here."))


def pretraining(study: Study) -> HTML:
    """Return what pretraining changes, for each pair of runs that differ in it alone, and how training went."""
    pairs = list(study.pairs("pretrained"))
    finished = [run for run in study.done if not run.weighted]
    said = [
        say.phases(run.label, *_around_fine_tuning(run), run.test["accuracy"], tuned=_chosen_when_tuned(run))
        for run in finished
        if run.pretrained
    ]
    said += [
        say.generalisation(
            run.label, _at_chosen_epoch(run, "train_accuracy"), run.test["accuracy"], study.majority or 0
        )
        for run in finished
    ]
    caption = "What pretraining changes: pretrained less from scratch."
    verdict = say.verdict("Pretraining", [compare(*pair).accuracy for pair in pairs])
    table = differences_table(pairs, "pretrained", caption, lambda run: run.weights, network_colours(study.models))
    return markup.shown(markup.bullets(said) + markup.paragraphs(verdict, css="says") + table)


def depth(study: Study) -> HTML:
    """Return what depth changes, for each pair of runs that differ in the network alone."""
    pairs = list(study.depth_pairs())
    verdict = say.verdict("Depth", [compare(*pair).accuracy for pair in pairs])
    caption = "What depth changes: the deeper network less the shallower one."
    table = differences_table(pairs, "model", caption, lambda run: run.network, network_colours(study.models))
    return markup.shown(markup.paragraphs(verdict, css="says") + table)


def differences_table(
    pairs: Sequence[tuple[Run, Run]],
    differing: str,
    caption: str,
    other: Callable[[Run], str],
    colours: Mapping[str, str],
) -> str:
    """Return one row a pair of runs: accuracies, their difference with its interval drawn about zero, and kappa's.

    ``other`` names what is different about the first run of a pair; what else differs beside ``differing`` is said.
    """
    if not pairs:
        return markup.paragraphs("No two finished runs differ in this alone.", css="note")
    changes = [compare(*pair) for pair in pairs]
    reach = max((max(abs(c.accuracy.low), abs(c.accuracy.high)) for c in changes if c.accuracy), default=0) or 0.1
    rows = []
    for (before, after), change in zip(pairs, changes, strict=True):
        key = f'<span class="key" style="--key:{ink(colours[after.model])}"></span>'
        against = "; ".join([f"against {other(before)}", *also_different(before, after, differing)])
        name = f'{key}{escape(after.label)}<span class="sub">{escape(against)}</span>'
        moved = f"{words.percent(before.test['accuracy'])} → {words.percent(after.test['accuracy'])}"
        if change.accuracy is None:
            rows.append([name, moved, "not the same photographs", "–", "–"])
            continue
        spoken = say.change_in_accuracy("it", change.accuracy)
        drawing = interval_svg(
            change.accuracy.value, (change.accuracy.low, change.accuracy.high), 0.0, (-1.05 * reach, 1.05 * reach),
            f"{after.label} against {other(before)}: {spoken}", css="zero",
        )  # fmt: skip
        rows.append(
            [
                name,
                moved,
                f'<span style="--key:{ink(colours[after.model])}">{drawing}</span>',
                _with_limits(change.accuracy, 100, 1),
                _with_limits(change.kappa, 1, 2),
            ]
        )
    head = ["Runs", "Testing accuracy", "Fewer or more right", "Points", "Kappa"]
    return markup.table(head, rows, f"{caption} With 95% intervals.", numeric=(3, 4), css="cards")


def confusion_figures(study: Study) -> HTML:
    """Return row-normalised confusion matrices, and figures by grade of every run.

    The matrices are those of the runs without class weights, or with where none is without.
    """
    runs = [run for run in study.done if not run.weighted] or list(study.done)
    if not runs:
        return markup.shown(markup.paragraphs("No run has finished, so there are no matrices."))
    panels = [confusion_panel(run, study.majority) for run in runs]
    title = f"Confusion matrices {'with' if runs[0].weighted else 'without'} class weights."
    caption = (
        "Rows are true grades and sum to 1; columns are answers. The diagonal, in bold, is the recall of each grade. "
        "A network that gives every photograph the same answer fills one column."
    )
    figure = markup.figure(panels, title, caption)
    said = markup.bullets(say.confusion(run.label, run.test["confusion_matrix"]) for run in runs)
    return markup.shown(figure + said + figures_by_grade(study))


def seeds(study: Study) -> HTML:
    """Return how far figures can be trusted: spread over seeds, tests of all differences, other eyes, calibration."""
    said = [say.spread(runs[0].label, [run.test["accuracy"] for run in runs]) for runs in study.repeated()]
    spread = markup.bullets(said) or markup.paragraphs(
        "Each configuration was run with one seed; how far another seed would move the figures is not known here.",
        css="note",
    )
    return markup.shown(spread + corrected_differences(study) + other_eyes(study) + calibration(study))


def confusion_panel(run: Run, majority: float | None, heading: str = "") -> tuple[str, str]:
    """Return heading and drawing of a run's confusion matrix on the testing photographs."""
    matrix = run.test["confusion_matrix"]
    recalls = ", ".join(
        f"grade {grade} {words.percent(recall, 0)}"
        for grade, recall in enumerate(run.test["recall"])
        if recall is not None
    )
    label = f"Confusion matrix of {run.label}; recall: {recalls}"
    accuracy = f"accuracy {words.percent(run.test['accuracy'])}" + (
        f", majority {words.percent(majority)}" if majority is not None else ""
    )
    return f"{heading or run.label}\n{accuracy}", inline_svg(plot_confusion(matrix), label)


def _accuracy_figure(study: Study, runs: dict[str, Run], colour: str) -> str:
    majority, first = study.majority, next(iter(runs.values()))
    network = first.network + " with class weights" * first.weighted
    histories = {name: run.history.set_index("epoch") for name, run in runs.items()}  # type: ignore[union-attr]
    limits = accuracy_limits([history[side] for history in histories.values() for side, _ in SIDES], majority)
    head_only = int((histories["pretrained"]["phase"] == "feature extraction").sum()) if "pretrained" in runs else 0
    panels = []
    for side, heading in SIDES:
        curves = {name: history[side] for name, history in histories.items()}
        ax = plot_accuracy(
            curves,
            colour=colour,
            majority=majority,
            head_only=head_only,
            chosen={name: run.chosen_epoch for name, run in runs.items()},  # type: ignore[index]
            limits=limits,
        )
        panels.append((f"{network}\n{heading}", inline_svg(ax, _curves_in_words(network, heading, curves, majority))))
    styles = dict(zip(runs, ("Solid", "dashed"), strict=False))
    weights = "; ".join(f"{styles[name]}: {run.weights}" for name, run in runs.items())
    caption = (
        f"{weights}. The dot is the epoch chosen on {study.chosen_on}, the dashed red line the share "
        "of the commonest grade"
        + (", the shaded part the epochs that train only the head of the pretrained network." if head_only else ".")
    )
    return markup.figure(panels, f"{network}, accuracy per epoch.", caption)


def _curves_in_words(network: str, heading: str, curves: dict[str, pd.Series], majority: float | None) -> str:
    parts = [
        f"{name} from {words.percent(curve.iloc[0])} to {words.percent(curve.iloc[-1])}"
        for name, curve in curves.items()
    ]
    majority_text = f"; majority {words.percent(majority)}" if majority is not None else ""
    epochs = words.counted(max(len(curve) for curve in curves.values()), "epoch")
    return f"{network}, {heading.lower()} over {epochs}: {', '.join(parts)}{majority_text}"


def _with_limits(change: Difference | None, scale: float, digits: int) -> str:
    """Return the difference, in bold where its interval excludes zero, above its interval."""
    if change is None:
        return "–"
    value, low, high = (words.signed(scale * number, digits) for number in (change.value, change.low, change.high))
    plus = "+" if change.value > 0 and float(value) else ""
    number = f"<b>{plus}{value}</b>" if change.distinguishable else f"{plus}{value}"
    return f'{number}<span class="sub">{low} to {high}</span>'


def _around_fine_tuning(run: Run) -> tuple[float | None, float | None]:
    """Return testing accuracy at the last epoch of feature extraction and at the first of fine-tuning."""
    assert run.history is not None
    frozen = run.history.loc[run.history["phase"] == "feature extraction", "test_accuracy"]
    tuned = run.history.loc[run.history["phase"] == "fine-tuning", "test_accuracy"]
    if frozen.empty or tuned.empty:
        return None, None
    return float(frozen.iloc[-1]), float(tuned.iloc[0])


def _chosen_when_tuned(run: Run) -> bool:
    assert run.history is not None
    return run.history.set_index("epoch").loc[run.chosen_epoch, "phase"] == "fine-tuning"


def _at_chosen_epoch(run: Run, column: str) -> float:
    assert run.history is not None and run.metrics is not None
    return float(run.history.set_index("epoch").loc[run.chosen_epoch, column])
