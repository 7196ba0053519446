"""All runs in one table; of hundreds the foremost, and where all of them lie."""

from collections.abc import Sequence
from html import escape

import numpy as np
from IPython.display import HTML

from dr_lib.evaluation.seeds import SeedFigure
from dr_lib.plots import network_colours, plot_many
from dr_lib.report import lead_sentences as lead
from dr_lib.report import markup
from dr_lib.report import sentences as say
from dr_lib.report import wording as words
from dr_lib.report.configuration import Configuration
from dr_lib.report.drawing import ink, inline_svg, interval_svg
from dr_lib.report.run import STATE_WORDS, Run
from dr_lib.report.settings import accuracy, by_parameter, kappa
from dr_lib.report.study import FOREMOST, Study


def runs_table(study: Study) -> HTML:
    """Return one row a configuration: accuracy and kappa with intervals, and the highest testing accuracy.

    Runs that did not finish have a row with their reason and no numbers. Of hundreds of configurations the foremost
    stand there, all of them in a table to unfold, and a figure shows where they lie by what differs between them.
    """
    unfinished = [run for run in study.runs if not run.done]
    html = _table(study, study.foremost, unfinished[:FOREMOST], _caption(study))
    if len(unfinished) > FOREMOST:
        html += markup.paragraphs(f"{len(unfinished) - FOREMOST:,} more runs have not finished; see results.csv.")
    if study.done and study.majority is not None:
        figures = {one.label: one.figure("accuracy") for one in study.configurations}
        intervals = {label: (figure.low, figure.high) for label, figure in figures.items() if figure.known}
        html += markup.paragraphs(lead.summary_of_majority(intervals, study.majority), css="says")
    if len(study.foremost) < len(study.configurations):
        title = f"All {len(study.configurations):,} configurations"
        every = _table(study, study.configurations, [], f"{title}.")
        html += _where_they_lie(study) + f'<details class="more"><summary>{title}</summary>{every}</details>'
    return markup.shown(html)


def _table(study: Study, shown: Sequence[Configuration], unfinished: Sequence[Run], caption: str) -> str:
    colours = network_colours(study.models)
    scale = _scale(study)
    head = ["Network", "Testing accuracy", "95% interval", "Kappa", "Highest testing accuracy"]
    rows: list[Sequence[str | markup.Cell] | markup.Row] = [_row(one, study, colours, scale) for one in shown]
    if study.majority is not None:
        drawing = interval_svg(None, None, study.majority, scale, f"majority {words.percent(study.majority)}")
        name = f'<span class="dash">– –</span> always the commonest grade{markup.sub("no network at all")}'
        cells = [name, words.percent(study.majority), drawing, "0.00", words.percent(study.majority)]
        rows.append(markup.Row(cells, fixed=True))
    for run in unfinished:
        why = f"{STATE_WORDS[run.state]}: {run.reason}" if run.reason else STATE_WORDS[run.state]
        rows.append([_unfinished(run, colours), f'<span class="reason">{escape(why)}</span>'])
    return markup.table(head, rows, caption, numeric=(1, 3, 4), css="cards", sortable=True, sorted_by=1)


def _row(
    one: Configuration, study: Study, colours: dict[str, str], scale: tuple[float, float]
) -> list[str | markup.Cell]:
    accuracy, kappa = one.figure("accuracy"), one.figure("kappa")
    limits = (accuracy.low, accuracy.high) if accuracy.known else None
    spoken = f"accuracy {words.percent(accuracy.mean)}" + (f", {words.between(*limits)}" if limits else "")
    spoken += f", majority {words.percent(study.majority)}" if study.majority is not None else ""
    drawing = interval_svg(accuracy.mean, limits, study.majority, scale, spoken)
    return [
        markup.Cell(_name(one, colours), one.label),
        markup.Cell(words.percent(accuracy.mean) + markup.sub(_when(one, accuracy.sd)), accuracy.mean),
        f'<span style="--key:{ink(colours[one.model])}">{drawing}</span>'
        + markup.sub(f"{words.percent(limits[0])} to {words.percent(limits[1])}" if limits else "no interval"),
        markup.Cell(words.signed(kappa.mean, 2) + markup.sub(_range(kappa)), kappa.mean),
        markup.Cell(words.percent(one.highest) + markup.sub(_kinder(one)), one.highest),
    ]


def _where_they_lie(study: Study) -> str:
    """Return accuracy and kappa of all finished runs, a dot each, by every parameter that differs between them."""
    panels = []
    for heading, figure, in_words, majority in (
        ("Testing accuracy", accuracy, lambda share: words.percent(share, 0), study.majority),
        ("Quadratic weighted kappa", kappa, lambda value: words.signed(value, 2), None),
    ):
        groups = by_parameter(study, figure)
        told = "; ".join(
            f"{parameter} {value}: median {in_words(float(np.median(numbers)))} of {words.counted(len(numbers), 'run')}"
            for parameter, values in groups.items()
            for value, numbers in values.items()
        )
        panels.append((heading, inline_svg(plot_many(groups, words=in_words, majority=majority), f"{heading}. {told}")))
    caption = (
        "A dot is a run, the stroke the median of a row. Each run is in one row of every parameter: rows of a full "
        "grid can be compared, since the other settings are the same in each."
    )
    return markup.figure(panels, f"All {len(study.done):,} finished runs.", caption)


def _caption(study: Study) -> str:
    over = "patients and seeds" if any(one.several for one in study.configurations) else "patients"
    return (
        f"Testing accuracy and quadratic weighted kappa at {say.tested_epoch(study.chosen_on)}, with 95% intervals "
        f"over {over}; right, the lab's figure, the best of all epochs, and by how much it is kinder. "
        "The dashed red line is the share of the commonest grade."
    )


def _name(one: Configuration, colours: dict[str, str]) -> str:
    """Return network and configuration, linked to the executed notebooks of its runs."""
    links = ", ".join(
        _linked(run, run.name if not one.several else f"seed {run.seed}") for run in one.runs
    )  # fmt: skip
    seed = f", seed {one.first.seed}" * (one.first.seed != 0 and not one.several)
    return f'{_network(one.first, colours)}{markup.sub(one.facts + seed)}<span class="sub">{links}</span>'


def _unfinished(run: Run, colours: dict[str, str]) -> str:
    seed = f", seed {run.seed}" * (run.seed != 0)
    return f'{_network(run, colours)}{markup.sub(run.facts + seed)}<span class="sub">{_linked(run, run.name)}</span>'


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
    kinder = one.highest - one.mean(lambda run: run.at_chosen_epoch("test_accuracy"))
    gain = f"{100 * kinder:+.1f}".replace("-", "−")
    return gain if one.several else f"{gain}, epoch {one.first.highest['epoch']}"


def _range(kappa: SeedFigure) -> str:
    return f"{words.signed(kappa.low, 2)} to {words.signed(kappa.high, 2)}" if kappa.known else "no interval"


def _scale(study: Study) -> tuple[float, float]:
    """Return a range that holds every accuracy, interval and the majority, with a little air."""
    figures = [one.figure("accuracy") for one in study.configurations]
    shares: Sequence[float] = [share for figure in figures for share in (figure.mean, figure.low, figure.high)]
    shares = [share for share in shares if not np.isnan(share)] + [study.majority] * (study.majority is not None)
    if not shares:
        return 0.0, 1.0
    air = max(0.01, 0.05 * float(np.ptp(shares)))
    return min(shares) - air, max(shares) + air
