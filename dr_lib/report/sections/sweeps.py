"""The section of a sweep: its question, the answer in words, its figures, and a table of its settings."""

from html import escape

import numpy as np
from IPython.display import HTML

from dr_lib.evaluation.seed_groups import SeedFigure
from dr_lib.plots import MAX_LINES, plot_settings
from dr_lib.report import formatting, markup
from dr_lib.report.comparisons import below_best, kappas
from dr_lib.report.drawing import inline_svg
from dr_lib.report.experiment_results import ExperimentResults
from dr_lib.report.findings import Finding
from dr_lib.report.sections.ablation import against_the_first, links_to
from dr_lib.report.sections.batch_sweep import batch_figures, batch_findings
from dr_lib.report.sections.degradation_sweep import (
    degradation_figures,
    degradation_findings,
    networks_of,
    unlearned_warning,
)
from dr_lib.report.settings import Setting, accuracy, distinct, kappa, lines_over, seconds, settings_of

PLACE = "sweep"
"""Where on the page the section begins."""


def sweep_findings(experiment: ExperimentResults) -> HTML:
    """Return the section of the experiment's sweep, heading and all; nothing where it is no sweep."""
    grid = experiment.grid
    if grid is None:
        return markup.shown("")
    settings = settings_of(experiment)
    asked = {run.name for run in grid.runs}
    html = f'<h2 id="{PLACE}">What the sweep found</h2>' + markup.paragraphs(grid.question)
    done = sum(run.name in asked for run in experiment.done)
    missing = "" if done == len(asked) else Finding("missing_runs", {"done": done, "asked": len(asked)}).text
    if not settings:
        nothing = "None of this sweep’s runs has finished, so there is nothing to answer with."
        return markup.shown(html + f'<div class="answer alert">{markup.paragraphs(nothing)}</div>')
    runs = distinct(settings)
    if grid.evaluate_on == "validation":
        return markup.shown(html + against_the_first(runs, missing))
    agreement = kappas(runs)
    warning = _nothing_grades(agreement)
    if _is_of_batch_size(settings, experiment):
        findings = [*batch_findings(settings), _best(runs, agreement)]
        figures = batch_figures(settings, experiment.majority)
    elif _is_of_degradation(experiment):
        networks = networks_of(settings, experiment.models)
        findings, warning = degradation_findings(networks), unlearned_warning(networks)
        figures = degradation_figures(networks, experiment.majority)
    else:
        findings, figures = [_best(runs, agreement)], _dots(runs, experiment)
    answer = "".join(f"<p><b>{escape(found.headline)}</b> {escape(found.text)}</p>" for found in findings)
    alert = f"<p><b>{escape(warning)}</b></p>" if warning else ""
    html += f'<div class="answer">{alert}{answer}</div>' + markup.paragraphs(missing, _caution(settings), css="note")
    return markup.shown(html + figures + _table(runs, settings))


def degradation_here(experiment: ExperimentResults) -> HTML:
    """Return what this experiment says about the degradation problem, or how to have it say something."""
    settings = settings_of(experiment) if experiment.grid and _is_of_degradation(experiment) else []
    if not settings:
        command = "<code>dr-lab run --data FILE params/sweeps/degradation.yaml</code>"
        return markup.shown(f'<p class="note">This experiment does not measure it; {command} does.</p>')
    networks = networks_of(settings, experiment.models)
    findings = degradation_findings(networks)
    described = (
        " ".join(f"{found.headline} {found.text}" for found in findings) or "Too few of its runs have finished to say."
    )
    where = markup.link(f"#{PLACE}", "The figures are above")
    warning = unlearned_warning(networks)
    return markup.shown(
        f'<p class="says"><b>Measured in this experiment.</b> {escape(warning)} {escape(described)} {where}.</p>'
    )


def _is_of_batch_size(settings: list[Setting], experiment: ExperimentResults) -> bool:
    assert experiment.grid is not None
    return "batch_size" in experiment.grid.vary and len(lines_over(settings, "batch_size")) <= MAX_LINES


def _is_of_degradation(experiment: ExperimentResults) -> bool:
    assert experiment.grid is not None
    mixed = any(run.parameters["mixup_alpha"] for run in experiment.done)  # which leaves no training error
    by_shortcuts = "residual" in experiment.grid.vary and experiment.grid.vary.keys() <= {"residual", "model", "seed"}
    return by_shortcuts and not mixed


def _best(settings: list[Setting], agreement: dict[str, SeedFigure]) -> Finding:
    """Return which setting has the highest kappa, and which ones cannot be told from it."""
    best, changes = below_best(settings)
    labels = {setting.name: setting.label for setting in settings}
    worse = [labels[name] for name, change in changes.items() if change and change.distinguishable]
    alike = [labels[name] for name in changes if labels[name] not in worse]
    shared = {"n": len(settings), "alike": alike, "worse": worse}
    return Finding("best_setting", {"kappa": agreement[best.name], **shared}, {"label": labels[best.name], **shared})


def _nothing_grades(agreement: dict[str, SeedFigure]) -> str:
    """Return the report's own warning that no network grades, over the settings of the sweep."""
    if any(figure.low > 0 for figure in agreement.values()):
        return ""
    return Finding("nothing_grades", {"n": len(agreement)}).text


def _caution(settings: list[Setting]) -> str:
    repeated = [setting.figures(kappa) for setting in settings if len(setting.runs) > 1]
    spread = float(np.mean([np.std(values, ddof=1) for values in repeated])) if repeated else None
    return Finding("caution", {"seeds": max(len(setting.runs) for setting in settings), "spread": spread}).text


def _dots(settings: list[Setting], experiment: ExperimentResults) -> str:
    """Return accuracy and kappa of each setting with their intervals."""
    panels = []
    for name, figure, in_words, majority in (
        ("accuracy", accuracy, lambda share: formatting.percent(share, 0), experiment.majority),
        ("kappa", kappa, lambda value: formatting.signed(value, 2), None),
    ):
        values = {setting.label: setting.figures(figure) for setting in settings}
        intervals = {setting.label: setting.interval(name) for setting in settings}
        ax = plot_settings(values, intervals, words=in_words, majority=majority)
        heading = {"accuracy": "Testing accuracy", "kappa": "Quadratic weighted kappa"}[name]
        told_all = "; ".join(f"{label} {in_words(np.mean(numbers))}" for label, numbers in values.items())
        panels.append((heading, inline_svg(ax, f"{heading}: {told_all}")))
    caption = (
        "At the epoch chosen for each run. Bars are 95% intervals over patients, and over seeds where there are "
        "several, each of which is then a dot, and the stroke their mean."
    )
    return markup.figure(panels, "All settings.", caption)


def _table(settings: list[Setting], all_settings: list[Setting]) -> str:
    """Return one row a setting: what varied, accuracy and kappa with intervals, and what an epoch takes."""
    rows = []
    for setting in settings:
        also = [other.label for other in all_settings if other is not setting and other.runs == setting.runs]
        same = f'<span class="sub">the same as {escape(formatting.listed(also))}</span>' if also else ""
        rows.append(
            [
                f"{escape(setting.label)}{same}{links_to(setting)}",
                _figure(setting, "accuracy"),
                _figure(setting, "kappa"),
                f"{setting.mean(seconds):.1f} s",
            ]
        )
    head = ["Setting", "Testing accuracy", "Kappa", "Time of an epoch"]
    caption = (
        "What was varied, and what came of it at the chosen epoch, with 95% intervals over patients, and over seeds "
        "where there are several."
    )
    return markup.table(head, rows, caption, numeric=(1, 2, 3), css="cards")


def _figure(setting: Setting, name: str) -> str:
    value = setting.mean({"accuracy": accuracy, "kappa": kappa}[name])
    spoken = (
        (lambda number: formatting.percent(number))
        if name == "accuracy"
        else (lambda number: formatting.signed(number, 2))
    )
    limits = setting.interval(name)
    below = f"{spoken(limits[0])} to {spoken(limits[1])}" if limits else "no interval"
    below += f", {len(setting.runs)} seeds" * setting.several
    return f'{spoken(value)}<span class="sub">{below}</span>'
