"""All runs in one table; of hundreds the foremost, and where all of them lie."""

from collections.abc import Sequence
from html import escape

import numpy as np
from IPython.display import HTML

from dr_lib.evaluation.seed_groups import SeedFigure
from dr_lib.plots import network_colors, plot_many
from dr_lib.report import formatting, markup
from dr_lib.report.drawing import ink, inline_svg, interval_svg
from dr_lib.report.experiment_results import TOP, ExperimentResults
from dr_lib.report.findings import Finding
from dr_lib.report.run_group import RunGroup
from dr_lib.report.run_results import STATE_WORDS, RunResults, tested_epoch
from dr_lib.report.settings import accuracy, by_parameter, kappa


def runs_table(experiment: ExperimentResults) -> HTML:
    """Return one row a configuration: accuracy and kappa with intervals, and the highest testing accuracy.

    Runs that did not finish have a row with their reason and no numbers. Of hundreds of configurations the foremost
    stand there, all of them in a table to unfold, and a figure shows where they lie by what differs between them.
    """
    unfinished = [run for run in experiment.runs if not run.done]
    html = _table(experiment, experiment.top, unfinished[:TOP], _caption(experiment))
    if len(unfinished) > TOP:
        html += markup.paragraphs(f"{len(unfinished) - TOP:,} more runs have not finished; see results.csv.")
    if experiment.done and experiment.majority is not None:
        ways = [change.direction for change in experiment.above_majority if change]
        counts = {"above": ways.count("up"), "unclear": ways.count("unclear"), "below": ways.count("down")}
        finding = Finding("majority", {"share": experiment.majority, **counts})
        html += markup.paragraphs(finding.text, css="says")
    if len(experiment.top) < len(experiment.configurations):
        title = f"All {len(experiment.configurations):,} configurations"
        every = _table(experiment, experiment.configurations, [], f"{title}.")
        html += _where_they_lie(experiment) + f'<details class="more"><summary>{title}</summary>{every}</details>'
    return markup.shown(html)


def _table(
    experiment: ExperimentResults, shown: Sequence[RunGroup], unfinished: Sequence[RunResults], caption: str
) -> str:
    colors = network_colors(experiment.models)
    scale = _scale(experiment)
    head = ["Network", "Testing accuracy", "Chosen epoch", "Kappa", "Highest testing accuracy"]
    rows: list[Sequence[str | markup.Cell] | markup.Row] = [_row(one, experiment, colors, scale) for one in shown]
    if experiment.majority is not None:
        drawing = interval_svg(
            None, None, experiment.majority, scale, f"majority {formatting.percent(experiment.majority)}"
        )
        name = f'<span class="dash">– –</span> always the commonest grade{markup.sub("no network at all")}'
        cells = [
            name,
            formatting.percent(experiment.majority),
            drawing,
            "0.00",
            formatting.percent(experiment.majority),
        ]
        rows.append(markup.Row(cells, fixed=True))
    for run in unfinished:
        why = f"{STATE_WORDS[run.state]}: {run.reason}" if run.reason else STATE_WORDS[run.state]
        rows.append([_unfinished(run, colors), f'<span class="reason">{escape(why)}</span>'])
    return markup.table(head, rows, caption, numeric=(1, 3, 4), css="glance", sortable=True, sorted_by=1)


def _row(
    one: RunGroup, experiment: ExperimentResults, colors: dict[str, str], scale: tuple[float, float]
) -> list[str | markup.Cell]:
    accuracy, kappa = one.figure("accuracy"), experiment.kappas[one.name]
    limits = (accuracy.low, accuracy.high) if accuracy.known else None
    spoken = f"accuracy {formatting.percent(accuracy.mean)}" + (f", {formatting.between(*limits)}" if limits else "")
    spoken += f", majority {formatting.percent(experiment.majority)}" if experiment.majority is not None else ""
    drawing = interval_svg(accuracy.mean, limits, experiment.majority, scale, spoken)
    between = f"{formatting.percent(limits[0])} to {formatting.percent(limits[1])}" if limits else "no interval"
    return [
        markup.Cell(_name(one, colors), one.label),
        markup.Cell(formatting.percent(accuracy.mean) + markup.sub(between), accuracy.mean),
        f'<span style="--key:{ink(colors[one.model])}">{drawing}</span>{markup.sub(_when(one, accuracy.sd))}',
        markup.Cell(formatting.signed(kappa.mean, 2) + markup.sub(_range(kappa)), kappa.mean),
        markup.Cell(formatting.percent(one.highest) + markup.sub(_kinder(one)), one.highest),
    ]


def _where_they_lie(experiment: ExperimentResults) -> str:
    """Return accuracy and kappa of all finished runs, a dot each, by every parameter that differs between them."""
    panels = []
    for heading, figure, in_words, majority in (
        ("Testing accuracy", accuracy, lambda share: formatting.percent(share, 0), experiment.majority),
        ("Quadratic weighted kappa", kappa, lambda value: formatting.signed(value, 2), None),
    ):
        groups = by_parameter(experiment, figure)
        described = "; ".join(
            f"{parameter} {value}: median {in_words(float(np.median(numbers)))} of "
            f"{formatting.counted(len(numbers), 'run')}"
            for parameter, values in groups.items()
            for value, numbers in values.items()
        )
        panels.append(
            (heading, inline_svg(plot_many(groups, words=in_words, majority=majority), f"{heading}. {described}"))
        )
    caption = (
        "A dot is a run, the stroke the median of a row. Each run is in one row of every parameter: rows of a full "
        "grid can be compared, since the other settings are the same in each."
    )
    return markup.figure(panels, f"All {len(experiment.done):,} finished runs.", caption)


def _caption(experiment: ExperimentResults) -> str:
    over = "patients and seeds" if any(one.several for one in experiment.configurations) else "patients"
    return (
        f"Testing accuracy and quadratic weighted kappa at {tested_epoch(experiment.chosen_on)}, with 95% "
        f"intervals over {over}, those of kappa for all configurations together; right, the lab's "
        "figure, the best of all epochs, and by how much it is kinder. "
        "The dashed red line is the share of the commonest grade."
    )


def _name(one: RunGroup, colors: dict[str, str]) -> str:
    """Return network and configuration, linked to the executed notebooks of its runs."""
    links = ", ".join(
        _linked(run, run.name if not one.several else f"seed {run.seed}") for run in one.runs
    )  # fmt: skip
    if one.first.table and not one.several:
        links += f" · {markup.link(one.first.table, 'predictions')}"
    seed = f", seed {one.first.seed}" * (one.first.seed != 0 and not one.several)
    return f'{_network(one.first, colors)}{markup.sub(one.description + seed)}<span class="sub">{links}</span>'


def _unfinished(run: RunResults, colors: dict[str, str]) -> str:
    seed = f", seed {run.seed}" * (run.seed != 0)
    return (
        f'{_network(run, colors)}{markup.sub(run.description + seed)}<span class="sub">{_linked(run, run.name)}</span>'
    )


def _network(run: RunResults, colors: dict[str, str]) -> str:
    return f'<span class="key" style="--key:{ink(colors[run.model])}"></span><b>{escape(run.network)}</b>'


def _linked(run: RunResults, text: str) -> str:
    return markup.link(run.page, text) if run.page else escape(text)


def _when(one: RunGroup, deviation: float) -> str:
    """Return the chosen epoch, or how far several seeds lie apart."""
    if not one.several:
        return f"epoch {one.first.chosen_epoch}"
    return f"accuracy ± {100 * deviation:.1f} over {len(one.runs)} seeds"


def _kinder(one: RunGroup) -> str:
    """Return when the highest testing accuracy was, and by how much it is kinder than the honest one."""
    kinder = one.highest - one.mean(lambda run: run.at_chosen_epoch("test_accuracy"))
    gain = f"{100 * kinder:+.1f}".replace("-", "−")
    return gain if one.several else f"{gain}, epoch {one.first.highest['epoch']}"


def _range(kappa: SeedFigure) -> str:
    return f"{formatting.signed(kappa.low, 2)} to {formatting.signed(kappa.high, 2)}" if kappa.known else "no interval"


def _scale(experiment: ExperimentResults) -> tuple[float, float]:
    """Return a range that holds every accuracy, interval and the majority, with a little air."""
    figures = [one.figure("accuracy") for one in experiment.configurations]
    every = [share for figure in figures for share in (figure.mean, figure.low, figure.high)]
    shares = [share for share in every if not np.isnan(share)]
    if experiment.majority is not None:
        shares.append(experiment.majority)
    if not shares:
        return 0.0, 1.0
    air = max(0.01, 0.05 * float(np.ptp(shares)))
    return min(shares) - air, max(shares) + air
