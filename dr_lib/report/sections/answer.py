"""The top of the report: who and what, the answer, and what each comparison says."""

from collections.abc import Callable
from html import escape

from IPython.display import HTML

from dr_lib.report import formatting, markup, sentences
from dr_lib.report import summary_sentences as lead
from dr_lib.report.comparisons import compare
from dr_lib.report.experiment_results import ExperimentResults
from dr_lib.report.run_group import RunGroup, by_kappa


def byline(experiment: ExperimentResults) -> HTML:
    """Return :func:`byline_text`."""
    return markup.shown(markup.paragraphs(byline_text(experiment), css="by"))


def byline_text(experiment: ExperimentResults) -> str:
    """Return one line on how many runs, photographs and hours stand behind the report."""
    parts = [f"{len(experiment.done)} of {formatting.counted(len(experiment.runs), 'run')} finished"]
    numbers = [
        f"{experiment.splits[split]['photographs']:,}"
        for split in ("train", "validation", "test")
        if split in experiment.splits
    ]
    if len(numbers) == 3:
        parts.append("{} + {} + {} photographs (training, validation, testing)".format(*numbers))
    machines = {
        run.config["device"].get("name") or run.config["device"].get("type")
        for run in experiment.done
        if "device" in run.config
    }
    if machines:
        parts.append(formatting.listed(sorted(map(str, machines))))
    seconds = sum(run.status.get("seconds") or 0 for run in experiment.done)
    if seconds:
        parts.append(f"{formatting.duration(seconds)} of training")
    dates = sorted(run.config["started"][:10] for run in experiment.runs if run.config.get("started"))
    if dates:
        parts.append(dates[-1])
    return " · ".join(parts)


def answer(experiment: ExperimentResults) -> HTML:
    """Return :func:`answer_texts`, set off from the page."""
    warning, texts = answer_texts(experiment)
    css = "answer" + " alert" * (not experiment.configurations)
    bold = f"<p><b>{escape(warning)}</b></p>" * bool(warning)
    return markup.shown(f'<div class="{css}">{bold}{markup.paragraphs(*texts)}</div>')


def answer_texts(experiment: ExperimentResults) -> tuple[str, list[str]]:
    """Return a warning and the answer: how well the best grades, and what each of the three causes does.

    The warning is empty unless no run can be said to grade at all. A second paragraph says so where a sweep is not
    about testing photographs.
    """
    if not experiment.configurations:
        text = "No run has finished yet, so there is nothing to answer with. The table below says how far each one got."
        return "", [text]
    best = max(experiment.configurations, key=by_kappa)
    accuracy, kappa = (best.figure(name) for name in ("accuracy", "kappa"))
    first = lead.best(best.label, len(best.runs), accuracy, kappa, experiment.majority or 0, experiment.majority_grade)
    changes = []
    for cause, differing, plural in CAUSES:
        if pairs := main_pairs(experiment, differing):
            found, setting = compare(*pairs[0]), pairs[0][0].setting
            name = cause + f" with “{setting}”" * bool(setting)
            changes.append((name, plural, found.accuracy, found.kappa))
    figures = [(one.figure("accuracy"), one.figure("kappa")) for one in experiment.configurations]
    warning = lead.nothing_learned(
        [(accuracy.low, accuracy.high) for accuracy, _ in figures if accuracy.known],
        [(kappa.low, kappa.high) for _, kappa in figures if kappa.known],
        experiment.majority or 0,
    )
    texts = [f"{first} {lead.causes(changes)}".strip()]
    if experiment.grid and experiment.grid.evaluate_on == "validation":
        texts.append(lead.evaluated_on_validation(len(experiment.configurations)))
    return warning, texts


CAUSES = (("pretraining", "pretrained", False), ("depth", "model", False), ("class weights", "weighted", True))
"""What the lab asks about: its name, what differs in a pair of runs, and whether the name is plural."""


def findings(experiment: ExperimentResults) -> HTML:
    """Return, for pretraining, depth and class weights, the headline over all pairs and the main pair in numbers."""
    if not experiment.configurations:
        return markup.shown("")
    parts = [
        finding("Pretraining", "pretraining", main_pairs(experiment, "pretrained"), lambda one: one.weights),
        finding("Depth", "depth", main_pairs(experiment, "model"), lambda one: f"as {one.network}"),
        finding(
            "Class weights", "weighting", main_pairs(experiment, "weighted"),
            lambda one: "with class weights" if one.weighted else "without", plural=True,
        ),
    ]  # fmt: skip
    return markup.shown(f"<ul>{''.join(parts)}</ul>")


def main_pairs(experiment: ExperimentResults, differing: str) -> list[tuple[RunGroup, RunGroup]]:
    """Return the comparisons that the answer rests on: the lab's main runs, or all there are where those are missing.

    Pretraining and depth are judged without class weights, depth and class weights on pretrained networks.
    """
    pairs = experiment.pairs[differing]
    wanted = [
        pair
        for pair in pairs
        if (differing == "weighted" or not pair[1].weighted) and (differing == "pretrained" or pair[1].pretrained)
    ]
    return sorted(wanted or pairs, key=lambda pair: -by_kappa(pair[1]))


def finding(
    cause: str,
    noun: str,
    pairs: list[tuple[RunGroup, RunGroup]],
    describe: Callable[[RunGroup], str],
    *,
    plural: bool = False,
) -> str:
    """Return an item with the headline over all pairs, in bold, and the sentence on the first of them."""
    headline = sentences.headline(cause, [compare(*pair).accuracy for pair in pairs], plural=plural)
    if not pairs:
        return f"<li><b>{escape(headline)}</b> No two finished runs differ in this alone.</li>"
    before, after = pairs[0]
    change = compare(before, after)
    subject = {
        "pretraining": after.network + _aside("weighted" * after.weighted, before.setting),
        "depth": f"The network {after.description}" + "," * bool(after.setting),
        "weighting": f"{after.network} {after.weights}" + _aside(before.setting),
    }[noun]
    text = sentences.effect(
        noun, subject, describe(before), describe(after), before.accuracy, after.accuracy, change.accuracy, change.kappa
    )
    return f"<li><b>{escape(headline)}</b> {escape(text)}</li>"


def _aside(*words: str) -> str:
    """Return what is set off by commas within a sentence, empty words left out."""
    described = ", ".join(filter(None, words))
    return f", {described}," if described else ""
