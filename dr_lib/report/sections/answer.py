"""The top of the report: who and what, the answer, and what each comparison says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from IPython.display import HTML

from dr_lib import GRADE_NAMES, REFERABLE_GRADE
from dr_lib.evaluation.bootstrap import Difference
from dr_lib.report import formatting, markup
from dr_lib.report.comparisons import Effect
from dr_lib.report.experiment_results import ExperimentResults
from dr_lib.report.findings import Finding
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
    """Return a warning and the answer: how well the best grades, and a text for what each of the three causes does.

    The warning is empty unless no run can be said to grade at all. A last text says so where a sweep is not about
    testing photographs.
    """
    groups = experiment.configurations
    if not groups:
        return "", [Finding("nothing_finished", {}).text]
    warning = "" if any(map(experiment.grades, groups)) else Finding("nothing_grades", {"n": len(groups)}).text
    texts = [f"{best_network(experiment).text} {_screening(experiment).text}"]
    untold = []
    for cause in CAUSES:
        # Where nothing grades, the warning says all there is to say.
        if not warning and (effects := main_effects(experiment, cause.differing)):
            finding = cause_finding(experiment, cause)
            graded = [_gains(effect).text for effect in effects if grades_both(experiment, effect)]
            if finding.values["n"] or finding.values["only_with"]:
                texts.append(" ".join(filter(None, [finding.text, *graded[:1]])))
            else:
                untold.append(cause.name)
    if untold:
        texts.append(Finding("untold", {"causes": untold}).text)
    if experiment.grid and experiment.grid.evaluate_on == "validation":
        texts.append(Finding("chosen_by_validation", {"n": len(groups)}).text)
    return warning, texts


def best_network(experiment: ExperimentResults) -> Finding:
    """Return which configuration has the highest kappa, and how it does beside always giving the commonest answer."""
    best = experiment.best
    return Finding(
        "best_network",
        {
            "label": best.label,
            "of": len(experiment.configurations),
            "seeds": len(best.runs),
            "accuracy": best.figure("accuracy"),
            "kappa": experiment.kappas[best.name],
            "majority": experiment.majority or 0,
            "majority_name": GRADE_NAMES[experiment.majority_grade],
        },
    )


def _screening(experiment: ExperimentResults) -> Finding:
    """Return which eyes the network of the highest kappa would not send to an ophthalmologist, and which in vain."""
    best = experiment.best
    matrix = np.asarray(best.first.test["confusion_matrix"])
    missed = {GRADE_NAMES[grade]: int(matrix[grade, :REFERABLE_GRADE].sum()) for grade in range(REFERABLE_GRADE, 5)}
    values = {
        "seed": best.first.seed if best.several else None,
        "ill": int(matrix[REFERABLE_GRADE:].sum()),
        "missed": {name: n for name, n in missed.items() if n},
        "others": int(matrix[:REFERABLE_GRADE].sum()),
        "sent": int(matrix[:REFERABLE_GRADE, REFERABLE_GRADE:].sum()),
    }
    return Finding("screening", values)


def _gains(effect: Effect) -> Finding:
    """Return by how much one configuration is better and worse than another, as far as it can be told."""
    sides = {"label": effect.second.label, "other": effect.first.label}
    return Finding("gains", {**sides, "accuracy": effect.change.accuracy, "kappa": effect.change.kappa})


@dataclass(frozen=True)
class Cause:
    """One of the lab's three questions."""

    name: str
    differing: str
    """What differs in a pair: a key of :attr:`ExperimentResults.effects`."""
    with_it: str
    """What the second of a pair is called."""
    pair: Callable[[RunGroup], str]
    """What both of a pair have in common, said of its second."""
    sides: Callable[[Effect], str]
    """Which two are compared."""
    plural: bool = False


def _and_setting(*words: str) -> str:
    return ", ".join(filter(None, words))


CAUSES = (
    Cause(
        "pretraining", "pretrained", "the pretrained network",
        lambda one: _and_setting(one.network, "weighted" * one.weighted, one.distinction),
        lambda effect: f"{effect.second.weights} against {effect.first.weights}",
    ),
    Cause(
        "depth", "model", "the deeper network", lambda one: one.description,
        lambda effect: f"{effect.second.network} against {effect.first.network}",
    ),
    Cause(
        "class weights", "weighted", "the network with class weights",
        lambda one: _and_setting(f"{one.network} {one.weights}", one.distinction),
        lambda effect: "with against without", plural=True,
    ),
)  # fmt: skip


def cause_finding(experiment: ExperimentResults, cause: Cause) -> Finding:
    """Return in how many comparisons a cause raises or lowers accuracy and kappa.

    Where a network does not grade at all, what it gains or loses says nothing about grading: such pairs are not
    counted, and how many of them only the second of the pair grades in is said.
    """
    effects = [effect for effect in experiment.effects[cause.differing] if effect.change.kappa]
    counted = [effect for effect in effects if grades_both(experiment, effect)]
    moves: dict[str, dict[str, int]] = {}
    for verb, way in (("raised", "up"), ("lowered", "down")):
        for figure in ("accuracy", "kappa"):
            times = sum(_direction(getattr(effect.change, figure)) == way for effect in counted)
            if times:
                moves.setdefault(verb, {})[figure] = times
    only_with = sum(
        experiment.grades(effect.second) and not experiment.grades(effect.first)
        for effect in effects
        if effect not in counted
    )
    return Finding(
        "cause",
        {
            "name": cause.name,
            "plural": cause.plural,
            "pairs": len(experiment.effects[cause.differing]),
            "n": len(counted),
            "moves": moves,
            "uncounted": len(effects) - len(counted),
            "only_with": only_with,
            "with_it": cause.with_it,
        },
    )


def grades_both(experiment: ExperimentResults, effect: Effect) -> bool:
    """Tell whether both networks of a comparison grade at all."""
    return experiment.grades(effect.first) and experiment.grades(effect.second)


def _direction(change: Difference | None) -> str:
    return change.direction if change else "unknown"


def main_effects(experiment: ExperimentResults, differing: str) -> Sequence[Effect]:
    """Return the comparisons that the answer rests on: the lab's main runs, or all there are where those are missing.

    Pretraining and depth are judged without class weights, depth and class weights on pretrained networks.
    """
    effects = experiment.effects[differing]
    wanted = [
        effect
        for effect in effects
        if (differing == "weighted" or not effect.second.weighted)
        and (differing == "pretrained" or effect.second.pretrained)
    ]
    return sorted(wanted or effects, key=lambda effect: -by_kappa(effect.second))
