"""Where the best network goes wrong: referable disease that it misses, its false alarms, and the worst of them."""

from collections.abc import Callable, Iterable
from html import escape
from typing import Any

import pandas as pd
from IPython.display import HTML
from PIL import Image

from dr_lib import REFERABLE_GRADE
from dr_lib.data.patients import patient_known
from dr_lib.evaluation.predictions import worst_first
from dr_lib.report import formatting, markup
from dr_lib.report.audit_thumbnails import SIDE, beside, thumbnail_html
from dr_lib.report.examples import best_run, false_alarms, missed, same_answer, sureness
from dr_lib.report.experiment_results import ExperimentResults
from dr_lib.report.pictures import ExperimentPhotographs, find_pictures, not_here

SHOWN = 7
"""Mistakes of each kind that are shown, at about 12 kB each."""


def worst_mistakes(experiment: ExperimentResults) -> HTML:
    """Return the best run's missed referable disease and its false alarms: how many, and the worst of them.

    Of each photograph it says how many of the finished runs answer the same. Photographs that are out of reach are
    named without a picture.
    """
    run = best_run(experiment)
    if run is None:
        return markup.shown(markup.paragraphs("No run has finished, so there are no mistakes to show.", css="note"))
    predictions = run.done_predictions
    source = find_pictures(experiment)
    if not isinstance(source, str) and not source.include(predictions):
        source = not_here(experiment)
    referable = predictions["grade"] >= REFERABLE_GRADE
    kinds = [
        ("Missed disease", _missed_words, missed, predictions[referable]),
        ("False alarms", _alarm_words, false_alarms, predictions[~referable]),
    ]
    html = markup.paragraphs(
        f"The mistakes of the best run by kappa, {run.name} ({run.label}, kappa "
        f"{formatting.signed(run.test['kappa'], 2)}). "
        f"Grade {REFERABLE_GRADE} and above is referable: such a patient should see an ophthalmologist."
    )
    for title, in_words, kind, group in kinds:
        wrong = kind(group)
        html += markup.paragraphs(in_words(wrong, group) + _over_runs(experiment, kind), css="says")
        html += _gallery(experiment, title, worst_first(wrong), source)
    all_wrong = int((predictions["predicted"] != predictions["grade"]).sum())
    rest = all_wrong - sum(len(kind(group)) for _, _, kind, group in kinds)
    if rest:
        html += markup.paragraphs(
            f"The other {formatting.counted(rest, 'wrong answer')} of {all_wrong:,} {'is' if rest == 1 else 'are'} on "
            "the right side of the line between 1 and 2, such as a 3 that is called 2."
        )
    if isinstance(source, str):
        html += markup.paragraphs(source, css="note")
    return markup.shown(html)


def _missed_words(wrong: pd.DataFrame, group: pd.DataFrame) -> str:
    answers = _describe_answers(wrong, group, f"with referable disease (grade {REFERABLE_GRADE} and above)")
    return f"Missed: {answers} answered 0 or 1."


def _alarm_words(wrong: pd.DataFrame, group: pd.DataFrame) -> str:
    answers = _describe_answers(wrong, group, "without referable disease (grade 0 or 1)")
    return f"False alarms: {answers} answered {REFERABLE_GRADE} or more."


def _describe_answers(wrong: pd.DataFrame, group: pd.DataFrame, which: str) -> str:
    """Return ``6 of 30 testing photographs with it (20.0%), of 5 of 18 patients, were``; without unknown patients."""
    share = f" ({formatting.percent(len(wrong) / len(group))})" if len(group) else ""
    patients = f", of {wrong['patient'].nunique():,} of {formatting.counted(group['patient'].nunique(), 'patient')},"
    if not patient_known(group).all():
        patients = ""
    verb = "was" if len(wrong) == 1 else "were"
    return f"{len(wrong):,} of {formatting.counted(len(group), 'testing photograph')} {which}{share}{patients} {verb}"


def _over_runs(experiment: ExperimentResults, kind: Callable[[pd.DataFrame], pd.DataFrame]) -> str:
    """Return between which shares the finished runs are; nothing for one run."""
    shares = []
    for run in experiment.done:
        referable = run.done_predictions["grade"] >= REFERABLE_GRADE
        group = run.done_predictions[referable if kind is missed else ~referable]
        if len(group):
            shares.append(len(kind(group)) / len(group))
    if len(shares) < 2:
        return ""
    lowest, highest = formatting.percent(min(shares)), formatting.percent(max(shares))
    return f" Over the {len(shares)} finished runs: {lowest} to {highest}."


def _gallery(
    experiment: ExperimentResults, title: str, wrong: pd.DataFrame, source: ExperimentPhotographs | str
) -> str:
    """Return the worst ``wrong`` with their pictures, names, grades, and in how many runs it is the same."""
    rows = wrong.head(SHOWN)
    opened = {} if isinstance(source, str) else dict(source.opened(rows["image"], at_least=2 * SIDE))
    pictures = {image: Image.fromarray(pixels) for image, pixels in opened.items()}
    shots = []
    worst: Iterable[Any] = rows.itertuples()
    for row in worst:
        same, asked = same_answer(experiment.done, row.image, row.predicted)
        lines = [f"grade {row.grade}, called {row.predicted}", f"{sureness(row.certainty)} sure"]
        lines += [f"by {same} of {asked} runs"] if asked > 1 else []
        shots.append(thumbnail_html(row.image, lines, pictures.get(row.image), ", ".join(lines)))
    if not shots:
        return ""
    more = f", the worst {len(rows)} of {len(wrong):,}" if len(wrong) > len(rows) else ""
    caption = "Whole photographs, the farthest from the truth first, then those that the run is surest of."
    if len(experiment.done) > 1:
        caption += " Below each, by how many of the finished runs it is called the same."
    return f"<figure>{beside(shots)}<figcaption><b>{escape(title)}{more}.</b> {caption}</figcaption></figure>"
