"""The top of the report: who and what, the answer, and all runs in one table."""

from collections.abc import Callable, Sequence
from html import escape

import numpy as np
from IPython.display import HTML

from dr_lib.plots import network_colours
from dr_lib.report import markup
from dr_lib.report import sentences as say
from dr_lib.report import wording as words
from dr_lib.report.comparisons import compare
from dr_lib.report.drawing import ink, interval_svg
from dr_lib.report.study import STATE_WORDS, Run, Study


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
        parts.append(words.duration(seconds))
    dates = sorted(run.config["started"][:10] for run in study.runs if run.config.get("started"))
    if dates:
        parts.append(dates[-1])
    return markup.shown(markup.paragraphs(" · ".join(parts), css="by"))


def answer(study: Study) -> HTML:
    """Return the report's answer: a verdict and its numbers for pretraining, depth and class weights."""
    if not study.done:
        text = "No run has finished yet, so there is nothing to answer with. The table below says how far each one got."
        return markup.shown(f'<div class="answer alert">{markup.paragraphs(text)}</div>')
    best = study.done[0]
    accuracy, kappa = (best.test["intervals"][figure] for figure in ("accuracy", "kappa"))
    stands = say.against_majority(
        f"The best run, {best.label},", best.test["accuracy"], accuracy, study.majority or 0, study.majority_grade
    )
    intervals = [run.test["intervals"] for run in study.done]
    warning = say.nothing_learnt(
        [found["accuracy"] for found in intervals if found["accuracy"]],
        [found["kappa"] for found in intervals if found["kappa"]],
        study.majority or 0,
    )
    parts = [
        f"<p>{escape(stands)} Its {escape(say.kappa_of(best.test['kappa'], kappa))}.</p>",
        f"<p><b>{escape(warning)}</b></p>" if warning else "",
        finding("Pretraining", "pretraining", main_pairs(study, "pretrained"), lambda run: run.weights),
        finding("Depth", "depth", main_pairs(study, "model"), lambda run: f"as {run.network}"),
        finding(
            "Class weights", "weighting", main_pairs(study, "weighted"),
            lambda run: "with class weights" if run.weighted else "without", plural=True,
        ),
    ]  # fmt: skip
    return markup.shown(f'<div class="answer">{"".join(parts)}</div>')


def runs_table(study: Study) -> HTML:
    """Return one row a run: accuracy and kappa with intervals, and the highest testing accuracy of all epochs.

    Runs that did not finish have a row with their reason and no numbers.
    """
    colours = network_colours(study.models)
    scale = _scale(study)
    head = ["Network", "Testing accuracy", "95% interval", "Kappa", "Highest testing accuracy"]
    rows = []
    for run in study.done:
        test, limits = run.test, run.test["intervals"]["accuracy"]
        chosen, highest = run.chosen_epoch, run.highest
        spoken = f"accuracy {words.percent(test['accuracy'])}" + (f", {words.between(*limits)}" if limits else "")
        spoken += f", majority {words.percent(study.majority)}" if study.majority is not None else ""
        drawing = interval_svg(test["accuracy"], limits, study.majority, scale, spoken)
        rows.append(
            [
                _name(run, colours),
                f"{words.percent(test['accuracy'])}{_sub(f'epoch {chosen}')}",
                f'<span style="--key:{ink(colours[run.model])}">{drawing}</span>'
                + _sub(f"{words.percent(limits[0])} to {words.percent(limits[1])}" if limits else "no interval"),
                f"{words.signed(test['kappa'], 2)}{_sub(_range(test['intervals']['kappa']))}",
                f"{words.percent(highest['accuracy'])}{_sub('epoch ' + str(highest['epoch']))}",
            ]
        )
    if study.majority is not None:
        drawing = interval_svg(None, None, study.majority, scale, f"majority {words.percent(study.majority)}")
        name = f'<span class="dash">– –</span> always the commonest grade{_sub("no network at all")}'
        rows.append([name, words.percent(study.majority), drawing, "0.00", words.percent(study.majority)])
    for run in study.runs:
        if not run.done:
            why = f"{STATE_WORDS[run.state]}: {run.reason}" if run.reason else STATE_WORDS[run.state]
            rows.append([_name(run, colours), f'<span class="reason">{escape(why)}</span>'])
    caption = (
        f"Testing accuracy and quadratic weighted kappa at the epoch chosen on the {study.chosen_on} photographs, with "
        "95% intervals over patients; right, the lab's figure, the best of all epochs. The dashed red line is the "
        "share of the commonest grade."
    )
    html = markup.table(head, rows, caption, numeric=(1, 3, 4), css="cards")
    if study.done and study.majority is not None:
        intervals = {run.name: run.test["intervals"]["accuracy"] for run in study.done}
        html += markup.paragraphs(say.summary_of_majority(intervals, study.majority), css="says")
    return markup.shown(html)


def main_pairs(study: Study, differing: str) -> list[tuple[Run, Run]]:
    """Return the comparisons that the answer rests on: the lab's main runs, or all there are where those are missing.

    Pretraining and depth are judged without class weights, depth and class weights on pretrained networks.
    """
    pairs = list(study.depth_pairs() if differing == "model" else study.pairs(differing))
    wanted = [
        pair
        for pair in pairs
        if (differing == "weighted" or not pair[1].weighted) and (differing == "pretrained" or pair[1].pretrained)
    ]
    return sorted(wanted or pairs, key=lambda pair: -pair[1].test["accuracy"])


def finding(
    cause: str, noun: str, pairs: list[tuple[Run, Run]], describe: Callable[[Run], str], *, plural: bool = False
) -> str:
    """Return the verdict over all pairs, in bold, and the sentence on the first of them."""
    verdict = say.verdict(cause, [compare(*pair).accuracy for pair in pairs], plural=plural)
    if not pairs:
        return f"<p><b>{escape(verdict)}</b> No two finished runs differ in this alone.</p>"
    before, after = pairs[0]
    change = compare(before, after)
    subject = {
        "pretraining": after.network + " with class weights" * after.weighted,
        "depth": f"The network {after.configuration}",
        "weighting": f"{after.network} {after.weights}",
    }[noun]
    text = say.effect(
        noun, subject, describe(before), describe(after), before.test["accuracy"], after.test["accuracy"],
        change.accuracy, change.kappa,
    )  # fmt: skip
    return f"<p><b>{escape(verdict)}</b> {escape(text)}</p>"


def _name(run: Run, colours: dict[str, str]) -> str:
    """Return network and configuration, linked to the run's executed notebook."""
    network = f"<b>{escape(run.network)}</b>"
    key = f'<span class="key" style="--key:{ink(colours[run.model])}"></span>'
    facts = run.configuration + f", seed {run.seed}" * (run.seed != 0)
    name = markup.link(run.page, run.name) if run.page else escape(run.name)
    return f'{key}{network}<span class="sub">{escape(facts)}</span><span class="sub">{name}</span>'


def _range(limits: Sequence[float] | None) -> str:
    return f"{words.signed(limits[0], 2)} to {words.signed(limits[1], 2)}" if limits else "no interval"


def _sub(text: str) -> str:
    return f'<span class="sub">{escape(text)}</span>'


def _scale(study: Study) -> tuple[float, float]:
    """Return a range that holds every accuracy, interval and the majority, with a little air."""
    shares = [run.test["accuracy"] for run in study.done]
    shares += [limit for run in study.done for limit in run.test["intervals"]["accuracy"] or []]
    shares += [study.majority] * (study.majority is not None)
    if not shares:
        return 0.0, 1.0
    air = max(0.01, 0.05 * float(np.ptp(shares)))
    return min(shares) - air, max(shares) + air
