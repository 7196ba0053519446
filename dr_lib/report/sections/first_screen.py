"""The first screen: what the photographs are, the best network in numbers, and every effect with its interval."""

from collections.abc import Sequence
from html import escape

from IPython.display import HTML

from dr_lib import GRADE_NAMES
from dr_lib.evaluation.bootstrap import Difference
from dr_lib.evaluation.seed_groups import SeedFigure
from dr_lib.plots import accuracy_limits, network_colors, plot_accuracy
from dr_lib.report import formatting, markup
from dr_lib.report.comparisons import Effect
from dr_lib.report.drawing import ink, inline_svg, interval_svg
from dr_lib.report.experiment_results import ExperimentResults, also_different
from dr_lib.report.findings import amount, span
from dr_lib.report.run_group import RunGroup
from dr_lib.report.run_results import tested_epoch
from dr_lib.report.sections.answer import CAUSES, cause_finding, grades_both
from dr_lib.report.sections.confusion import confusion_panel
from dr_lib.report.sections.results import by_seed, compared_starts, curves_in_words, head_only_epochs
from dr_lib.storage.folders import ExperimentFolder

RESEARCH_ONLY = "For research, not for diagnosis."


def limits_line(experiment: ExperimentResults) -> HTML:
    """Return what the photographs are, how many of each grade are tested, and that this is no diagnosis."""
    test = experiment.splits.get("test") or {}
    counts = [f"{n:,} {name}" for n, name in zip(test.get("counts", ()), GRADE_NAMES, strict=False)]
    drawn = any((run.config.get("data") or {}).get("generated") for run in experiment.runs)
    parts = ["Generated photographs: these networks have never seen an eye." * drawn, RESEARCH_ONLY]
    if counts:
        parts.append(f"Testing photographs: {formatting.listed(counts)}.")
    seeds = max((len(one.runs) for one in experiment.configurations), default=0)
    if seeds:
        parts.append("One seed each." if seeds == 1 else f"Up to {seeds} seeds.")
    limits, rest = " ".join(filter(None, parts[:2])), " ".join(parts[2:])
    return markup.shown(f'<p class="by"><b>{escape(limits)}</b> {escape(rest)}</p>')


def links(experiment: ExperimentResults) -> HTML:
    """Return links to the results as tables and to the audit."""
    folder = ExperimentFolder(experiment.path)
    named = {
        "Results as CSV": folder.results_table.name,
        "every figure": folder.all_results.name,
        "what they are": folder.results_columns.name,
        "as JSON": folder.results.name,
        "as a notebook": folder.report_notebook.name,
        "What is in the photographs": experiment.audit_page,
    }
    shown = " · ".join(markup.link(address, text) for text, address in named.items() if address)
    return markup.shown(f'<p class="by">{shown}</p>')


def tiles(experiment: ExperimentResults) -> HTML:
    """Return the network of the highest kappa in numbers, and how many networks grade at all."""
    if not experiment.configurations:
        return markup.shown("")
    best = experiment.best
    share = lambda value: formatting.percent(value, 0)  # noqa: E731
    boxes = [
        tile("Best kappa", experiment.kappas[best.name], lambda value: formatting.signed(value, 2), best.label),
        tile("Its accuracy", best.figure("accuracy"), share, _against_majority(experiment, best)),
    ]
    if best.first.test.get("referable_sensitivity") is not None:
        boxes += [
            tile("Referable eyes found", best.figure("referable_sensitivity"), share, "sensitivity of its own answers"),
            tile("Others spared", best.figure("referable_specificity"), share, "specificity of its own answers"),
        ]
    grading = sum(map(experiment.grades, experiment.configurations))
    boxes.append(
        f'<div class="tile"><span>Networks that grade</span><b>{grading} of {len(experiment.configurations)}</b>'
        + markup.sub("whose kappa is measurably above 0, what chance gives")
        + "</div>"
    )
    return markup.shown(f'<div class="tiles">{"".join(boxes)}</div>')


def tile(name: str, figure: SeedFigure, in_words: markup.InWords, note: str) -> str:
    """Return a figure in large with its interval, and below it what there is to say."""
    limits = f"{in_words(figure.low)} to {in_words(figure.high)}" if figure.known else "no interval"
    return (
        f'<div class="tile"><span>{escape(name)}</span><b>{in_words(figure.mean)}</b>{markup.sub(limits)}'
        f"{markup.sub(note)}</div>"
    )


def _against_majority(experiment: ExperimentResults, one: RunGroup) -> str:
    if experiment.majority is None:
        return ""
    change = experiment.above_majority[experiment.configurations.index(one)]
    way = {"up": "measurably more than", "down": "measurably less than", "unclear": "not told from"}
    verb = way.get(change.direction if change else "", "beside")
    return f"{verb} {formatting.percent(experiment.majority, 0)}, always “{GRADE_NAMES[experiment.majority_grade]}”"


def effects_table(experiment: ExperimentResults) -> HTML:
    """Return all comparisons of two configurations: what changes in accuracy and kappa, with intervals about zero.

    Under each cause its finding; where a network does not grade, the comparison is set back.
    """
    if not experiment.all_effects:
        texts = [cause_finding(experiment, cause).text for cause in CAUSES]
        return markup.shown(markup.paragraphs(*texts, css="note") if experiment.configurations else "")
    reaches = {figure: _reach(experiment.all_effects, figure) for figure in ("accuracy", "kappa")}
    rows: list[markup.Row] = []
    for cause in CAUSES:
        sides = next((cause.sides(effect) for effect in experiment.effects[cause.differing]), "")
        name = f"<b>{escape(formatting.capitalized(cause.name))}</b>{markup.sub(sides)}"
        text = f'<span class="says">{escape(cause_finding(experiment, cause).text)}</span>'
        rows.append(markup.Row([name, text], css="cause"))
        for effect in experiment.effects[cause.differing]:
            other = "; ".join(also_different(effect.first, effect.second, cause.differing))
            color = ink(network_colors(experiment.models)[effect.second.model])
            key = f'<span class="key" style="--key:{color}"></span>'
            fails = not grades_both(experiment, effect)
            notes = "; ".join(filter(None, [other, "one does not grade" * fails]))
            label = f"{key}{escape(cause.pair(effect.second))}{markup.sub(notes) if notes else ''}"
            drawn = [
                _drawn(getattr(effect.change, figure), figure, reaches[figure], effect, color) for figure in reaches
            ]
            rows.append(markup.Row([label, *drawn], css="failed" if fails else ""))
    caption = (
        f"Second less first, with 95% intervals that hold for all {len(experiment.all_effects)} comparisons and both "
        "columns together, areas and recalls too: where one leaves out zero (bold), it is a difference. p is below "
        "0.05 in the same places. In parentheses, photographs that only the one and only the other is right for."
    )
    head = ["Comparison", "Accuracy, points", "Kappa"]
    return markup.shown(markup.table(head, rows, caption, css="cards effects"))


def _reach(effects: Sequence[Effect], figure: str) -> float:
    changes = [getattr(effect.change, figure) for effect in effects]
    ends = [abs(end) for change in changes if change for end in (change.low, change.high) if end == end]
    return 1.05 * (max(ends, default=0) or 0.1)


def _drawn(change: Difference | None, figure: str, reach: float, effect: Effect, color: str) -> str:
    """Return a difference as a drawing about zero, above it in numbers."""
    if change is None:
        return "not the same photographs"
    number = amount(change, figure, sign=True).removesuffix(" points").removesuffix(" point")
    if change.direction == "unknown":
        return number + markup.sub("too few patients for an interval")
    limits = span(change, figure)
    p = formatting.p_value(change.p)
    below = f"{limits}, p {'' if p.startswith('<') else '= '}{p}"
    if figure == "accuracy" and effect.change.only_first is not None:
        below += f" ({effect.change.only_second:,} and {effect.change.only_first:,})"
    drawing = interval_svg(
        change.value, (change.low, change.high), 0.0, (-reach, reach), f"{figure} {number}, {limits}", css="zero"
    )
    number = f"<b>{number}</b>" if change.distinguishable else number
    return f'<span style="--key:{color}">{drawing}</span> {number}{markup.sub(below)}'


def curves_and_confusion(experiment: ExperimentResults) -> HTML:
    """Return testing accuracy per epoch of each network, all on one scale, and the best network's confusion matrix."""
    if not experiment.configurations:
        return markup.shown("")
    shown = compared_starts(experiment)
    curves = {
        model: {name: by_seed(one, "test_accuracy") for name, one in found.items()} for model, found in shown.items()
    }
    every = [curve for by_name in curves.values() for curve in by_name.values()]
    limits, colors = accuracy_limits(every, experiment.majority), network_colors(experiment.models)
    panels = []
    for model, found in shown.items():
        first = next(iter(found.values()))
        ax = plot_accuracy(
            curves[model], color=colors[model], majority=experiment.majority, limits=limits,
            head_only=head_only_epochs(found),
            chosen={name: [run.chosen_epoch for run in one.runs] for name, one in found.items()},
        )  # fmt: skip
        network = first.network + ", weighted" * first.weighted
        spoken = curves_in_words(network, "Testing accuracy", curves[model], experiment.majority)
        panels.append((f"{network}\nTesting accuracy", inline_svg(ax, spoken)))
    best = experiment.best
    panels.append(confusion_panel(best, experiment.majority, f"Best kappa: {best.label}"))
    caption = (
        f"Solid pretrained, dashed from scratch; a dot is {tested_epoch(experiment.chosen_on)}, the dashed red line "
        "the share of the commonest grade, shaded the epochs that train only the head. In the matrix, rows are true "
        "grades and columns answers; shares are of the true grade, numbers below them photographs."
    )
    title = "How testing accuracy grew, and which grades the best network confuses."
    return markup.shown(markup.figure(panels, title, caption))
