"""The section of a sweep that is judged on validation photographs: its first setting against each of the others.

They are compared at the last epoch. At the best one, which the same photographs would choose, each is flattered by the
luck of its choice, and most where figures waver most from epoch to epoch: a recipe would gain by being unsteady.
"""

from collections.abc import Mapping
from html import escape

import numpy as np

from dr_lib.evaluation.bootstrap import Difference
from dr_lib.evaluation.seed_groups import against_control
from dr_lib.plots import plot_settings
from dr_lib.report import formatting, markup
from dr_lib.report.drawing import inline_svg
from dr_lib.report.findings import Finding
from dr_lib.report.run_results import RunResults
from dr_lib.report.settings import Setting

FIGURES = {"val_auc": "macro AUC", "val_accuracy": "accuracy", "val_kappa": "kappa"}
"""Figures of validation photographs, by their name in ``history.csv``; the first one gives the answer."""


def against_the_first(settings: list[Setting], missing: str) -> str:
    """Return what the others change of the first setting, in words, as dots, and in a table, as HTML.

    Testing photographs have no say here: what is chosen by them can no longer be tested on them. ``missing``: what is
    to be said of runs that have not finished.
    """
    known = [setting for setting in settings if all(_was_validated(run) for run in setting.runs)]
    if not known:
        nothing = "No run of this sweep has figures of validation photographs, so there is nothing to answer with."
        return f'<div class="answer alert">{markup.paragraphs(nothing)}</div>'
    first, *others = known
    changes = {name: against_control(_values(first, name), [_values(one, name) for one in others]) for name in FIGURES}
    answer_by = next(iter(FIGURES))
    changed = dict(zip((one.label for one in others), changes[answer_by], strict=True))
    finding = first_setting(first.label, FIGURES[answer_by], float(np.mean(_values(first, answer_by))), changed)
    note = (
        "Judged on validation photographs after the last epoch, so that no setting gains by a choice of its best. "
        "Intervals are Dunnett’s over seeds, for all settings together; they are about these photographs. Testing "
        "photographs are left for what is chosen here."
    )
    html = f'<div class="answer"><p><b>{escape(finding.headline)}</b> {escape(finding.text)}</p></div>'
    html += markup.paragraphs(missing, note, css="note")
    panels = []
    for name in ("val_auc", "val_kappa"):
        heading = formatting.capitalized(FIGURES[name])
        values = {one.label: _values(one, name) for one in known}
        ax = plot_settings(values, {}, words=lambda value: formatting.signed(value, 2))
        described = "; ".join(f"{label} {np.mean(numbers):.3f}" for label, numbers in values.items())
        panels.append((heading, inline_svg(ax, f"{heading} on validation: {described}")))
    html += markup.figure(panels, "All settings.", "On validation photographs. A dot is a seed, the stroke their mean.")
    return html + _table(known, changes)


def first_setting(label: str, figure: str, value: float, changes: Mapping[str, Difference | None]) -> Finding:
    """Return which settings can be told from the first, whose ``figure`` has ``value``.

    ``changes``: by label, another setting's figure less the first one's; ``None`` where there is no interval.
    """
    moved = {name: change for name, change in changes.items() if change and change.distinguishable}
    headline = {
        "label": label,
        "n": len(changes),
        "intervals": any(changes.values()),
        "worse": [name for name, change in moved.items() if change.value < 0],
        "better": [name for name, change in moved.items() if change.value > 0],
    }
    rest = len(changes) - len(moved)
    return Finding(
        "first_setting", {"label": label, "figure": figure, "value": value, "changes": moved, "rest": rest}, headline
    )


def _table(settings: list[Setting], changes: dict[str, list[Difference | None]]) -> str:
    first, *others = settings
    rows = [
        [
            escape(first.label) + links_to(first),
            *(f"{np.mean(_values(first, name)):.3f}" for name in FIGURES),
            str(len(first.runs)),
        ]
    ]
    for number, one in enumerate(others):
        cells = [_change(changes[name][number], one, first, name) for name in FIGURES]
        rows.append([escape(one.label) + links_to(one), *cells, str(len(one.runs))])
    caption = (
        f"“{first.label}”: its figures on validation photographs after the last epoch. All others: how much more or "
        "less theirs are, with 95% intervals for all together."
    )
    return markup.table(
        ["Setting", *map(formatting.capitalized, FIGURES.values()), "Seeds"],
        rows,
        caption,
        numeric=(1, 2, 3, 4),
        css="cards",
    )


def _change(change: Difference | None, one: Setting, first: Setting, name: str) -> str:
    value = float(np.mean(_values(one, name)) - np.mean(_values(first, name)))
    limits = f"{formatting.signed(change.low, 3)} to {formatting.signed(change.high, 3)}" if change else "no interval"
    return f'{"+" if value >= 5e-4 else ""}{formatting.signed(value, 3)}<span class="sub">{limits}</span>'


def links_to(setting: Setting) -> str:
    """Return the names of a setting's runs, linked to their pages where these are."""
    return "".join(
        f'<span class="sub">{markup.link(run.page, run.name) if run.page else escape(run.name)}</span>'
        for run in setting.runs
    )


def _was_validated(run: RunResults) -> bool:
    return run.history is not None and bool(run.history["val_accuracy"].notna().all())


def _values(setting: Setting, name: str) -> list[float]:
    """Return a figure of validation photographs of each seed; those of one grade alone have no area, which is 0.5."""
    last = (run.done_history[name].iloc[-1] for run in setting.runs)
    return [0.5 if np.isnan(value) else float(value) for value in last]
