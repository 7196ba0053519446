"""The top of the report: who and what, the answer, and all runs in one table."""

from collections.abc import Callable, Sequence
from html import escape

import numpy as np
from IPython.display import HTML

from dr_lib.evaluation.seeds import SeedFigure
from dr_lib.plots import network_colours
from dr_lib.report import lead_sentences as lead
from dr_lib.report import markup
from dr_lib.report import sentences as say
from dr_lib.report import wording as words
from dr_lib.report.comparisons import compare
from dr_lib.report.configuration import Configuration, by_kappa
from dr_lib.report.drawing import ink, interval_svg
from dr_lib.report.run import STATE_WORDS, Run
from dr_lib.report.study import Study


def byline(study: Study) -> HTML:
    """Return one line on how many runs, photographs and hours stand behind the report."""
    parts = [f"{len(study.done)} of {words.counted(len(study.runs), 'run')} finished"]
    numbers = [
        f"{study.splits[split]['photographs']:,}" for split in ("train", "validation", "test") if split in study.splits
    ]
    if len(numbers) == 3:
        parts.append("{} + {} + {} photographs (training, validation, testing)".format(*numbers))
    machines = {
        run.config["device"].get("name") or run.config["device"].get("type")
        for run in study.done
        if "device" in run.config
    }
    if machines:
        parts.append(words.listed(sorted(map(str, machines))))
    seconds = sum(run.status.get("seconds") or 0 for run in study.done)
    if seconds:
        parts.append(f"{words.duration(seconds)} of training")
    dates = sorted(run.config["started"][:10] for run in study.runs if run.config.get("started"))
    if dates:
        parts.append(dates[-1])
    return markup.shown(markup.paragraphs(" · ".join(parts), css="by"))


def answer(study: Study) -> HTML:
    """Return the report's answer in two sentences: how well the best grades, and what each of the three causes does.

    A third one warns where no run can be said to grade at all.
    """
    if not study.configurations:
        text = "No run has finished yet, so there is nothing to answer with. The table below says how far each one got."
        return markup.shown(f'<div class="answer alert">{markup.paragraphs(text)}</div>')
    best = max(study.configurations, key=by_kappa)
    accuracy, kappa = (best.figure(name) for name in ("accuracy", "kappa"))
    first = lead.best(best.label, len(best.runs), accuracy, kappa, study.majority or 0, study.majority_grade)
    changes = []
    for cause, differing, plural in CAUSES:
        if pairs := main_pairs(study, differing):
            found = compare(*pairs[0])
            changes.append((cause, plural, found.accuracy, found.kappa))
    figures = [(one.figure("accuracy"), one.figure("kappa")) for one in study.configurations]
    warning = lead.nothing_learnt(
        [(accuracy.low, accuracy.high) for accuracy, _ in figures if accuracy.known],
        [(kappa.low, kappa.high) for _, kappa in figures if kappa.known],
        study.majority or 0,
    )
    text = f"<p>{escape(first)} {escape(lead.causes(changes))}</p>" + (
        f"<p><b>{escape(warning)}</b></p>" * bool(warning)
    )
    return markup.shown(f'<div class="answer">{text}</div>')


CAUSES = (("pretraining", "pretrained", False), ("depth", "model", False), ("class weights", "weighted", True))
"""What the lab asks about: its name, what differs in a pair of runs, and whether the name is plural."""


def findings(study: Study) -> HTML:
    """Return, for pretraining, depth and class weights, the verdict over all pairs and the main pair in numbers."""
    if not study.configurations:
        return markup.shown("")
    parts = [
        finding("Pretraining", "pretraining", main_pairs(study, "pretrained"), lambda one: one.weights),
        finding("Depth", "depth", main_pairs(study, "model"), lambda one: f"as {one.network}"),
        finding(
            "Class weights", "weighting", main_pairs(study, "weighted"),
            lambda one: "with class weights" if one.weighted else "without", plural=True,
        ),
    ]  # fmt: skip
    return markup.shown(f"<ul>{''.join(parts)}</ul>")


def runs_table(study: Study) -> HTML:
    """Return one row a configuration: accuracy and kappa with intervals, and the highest testing accuracy.

    Runs that did not finish have a row with their reason and no numbers.
    """
    colours = network_colours(study.models)
    scale = _scale(study)
    head = ["Network", "Testing accuracy", "95% interval", "Kappa", "Highest testing accuracy"]
    rows: list[Sequence[str | markup.Cell] | markup.Row] = []
    for one in study.configurations:
        accuracy, kappa = one.figure("accuracy"), one.figure("kappa")
        limits = (accuracy.low, accuracy.high) if accuracy.known else None
        spoken = f"accuracy {words.percent(accuracy.mean)}" + (f", {words.between(*limits)}" if limits else "")
        spoken += f", majority {words.percent(study.majority)}" if study.majority is not None else ""
        drawing = interval_svg(accuracy.mean, limits, study.majority, scale, spoken)
        rows.append(
            [
                markup.Cell(_name(one, colours), one.label),
                markup.Cell(words.percent(accuracy.mean) + _sub(_when(one, accuracy.sd)), accuracy.mean),
                f'<span style="--key:{ink(colours[one.model])}">{drawing}</span>'
                + _sub(f"{words.percent(limits[0])} to {words.percent(limits[1])}" if limits else "no interval"),
                markup.Cell(words.signed(kappa.mean, 2) + _sub(_range(kappa)), kappa.mean),
                markup.Cell(words.percent(one.highest) + _sub(_kinder(one)), one.highest),
            ]
        )
    if study.majority is not None:
        drawing = interval_svg(None, None, study.majority, scale, f"majority {words.percent(study.majority)}")
        name = f'<span class="dash">– –</span> always the commonest grade{_sub("no network at all")}'
        cells = [name, words.percent(study.majority), drawing, "0.00", words.percent(study.majority)]
        rows.append(markup.Row(cells, fixed=True))
    for run in study.runs:
        if not run.done:
            why = f"{STATE_WORDS[run.state]}: {run.reason}" if run.reason else STATE_WORDS[run.state]
            rows.append([_unfinished(run, colours), f'<span class="reason">{escape(why)}</span>'])
    html = markup.table(head, rows, _caption(study), numeric=(1, 3, 4), css="cards", sortable=True, sorted_by=1)
    if study.done and study.majority is not None:
        figures = {one.label: one.figure("accuracy") for one in study.configurations}
        intervals = {label: (figure.low, figure.high) for label, figure in figures.items() if figure.known}
        html += markup.paragraphs(lead.summary_of_majority(intervals, study.majority), css="says")
    return markup.shown(html)


def main_pairs(study: Study, differing: str) -> list[tuple[Configuration, Configuration]]:
    """Return the comparisons that the answer rests on: the lab's main runs, or all there are where those are missing.

    Pretraining and depth are judged without class weights, depth and class weights on pretrained networks.
    """
    pairs = list(study.depth_pairs() if differing == "model" else study.pairs(differing))
    wanted = [
        pair
        for pair in pairs
        if (differing == "weighted" or not pair[1].weighted) and (differing == "pretrained" or pair[1].pretrained)
    ]
    return sorted(wanted or pairs, key=lambda pair: -by_kappa(pair[1]))


def finding(
    cause: str,
    noun: str,
    pairs: list[tuple[Configuration, Configuration]],
    describe: Callable[[Configuration], str],
    *,
    plural: bool = False,
) -> str:
    """Return an item with the verdict over all pairs, in bold, and the sentence on the first of them."""
    verdict = say.verdict(cause, [compare(*pair).accuracy for pair in pairs], plural=plural)
    if not pairs:
        return f"<li><b>{escape(verdict)}</b> No two finished runs differ in this alone.</li>"
    before, after = pairs[0]
    change = compare(before, after)
    subject = {
        "pretraining": after.network + ", weighted," * after.weighted,
        "depth": f"The network {after.facts}",
        "weighting": f"{after.network} {after.weights}",
    }[noun]
    text = say.effect(
        noun, subject, describe(before), describe(after), before.accuracy, after.accuracy, change.accuracy, change.kappa
    )
    return f"<li><b>{escape(verdict)}</b> {escape(text)}</li>"


def _caption(study: Study) -> str:
    over = "patients and seeds" if any(one.several for one in study.configurations) else "patients"
    return (
        f"Testing accuracy and quadratic weighted kappa at the epoch chosen on the {study.chosen_on} photographs, with "
        f"95% intervals over {over}; right, the lab's figure, the best of all epochs, and by how much it is kinder. "
        "The dashed red line is the share of the commonest grade."
    )


def _name(one: Configuration, colours: dict[str, str]) -> str:
    """Return network and configuration, linked to the executed notebooks of its runs."""
    links = ", ".join(
        _linked(run, run.name if not one.several else f"seed {run.seed}") for run in one.runs
    )  # fmt: skip
    seed = f", seed {one.first.seed}" * (one.first.seed != 0 and not one.several)
    return f'{_network(one.first, colours)}{_sub(one.facts + seed)}<span class="sub">{links}</span>'


def _unfinished(run: Run, colours: dict[str, str]) -> str:
    seed = f", seed {run.seed}" * (run.seed != 0)
    return f'{_network(run, colours)}{_sub(run.facts + seed)}<span class="sub">{_linked(run, run.name)}</span>'


def _network(run: Run, colours: dict[str, str]) -> str:
    return f'<span class="key" style="--key:{ink(colours[run.model])}"></span><b>{escape(run.network)}</b>'


def _linked(run: Run, text: str) -> str:
    return markup.link(run.page, text) if run.page else escape(text)


def _when(one: Configuration, deviation: float) -> str:
    """Return the chosen epoch, or how far several seeds lie apart."""
    if not one.several:
        return f"epoch {one.first.chosen_epoch}"
    return f"± {100 * deviation:.1f} over {len(one.runs)} seeds"


def _kinder(one: Configuration) -> str:
    """Return when the highest testing accuracy was, and by how much it is kinder than the honest one."""
    gain = f"{100 * (one.highest - one.accuracy):+.1f}".replace("-", "−")
    return gain if one.several else f"{gain}, epoch {one.first.highest['epoch']}"


def _range(kappa: SeedFigure) -> str:
    return f"{words.signed(kappa.low, 2)} to {words.signed(kappa.high, 2)}" if kappa.known else "no interval"


def _sub(text: str) -> str:
    return f'<span class="sub">{escape(text)}</span>'


def _scale(study: Study) -> tuple[float, float]:
    """Return a range that holds every accuracy, interval and the majority, with a little air."""
    figures = [one.figure("accuracy") for one in study.configurations]
    shares: Sequence[float] = [share for figure in figures for share in (figure.mean, figure.low, figure.high)]
    shares = [share for share in shares if not np.isnan(share)] + [study.majority] * (study.majority is not None)
    if not shares:
        return 0.0, 1.0
    air = max(0.01, 0.05 * float(np.ptp(shares)))
    return min(shares) - air, max(shares) + air
