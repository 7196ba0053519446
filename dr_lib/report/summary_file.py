"""The report in a few lines, ``summary.md``: the answer, the table of runs, and where the rest is."""

import re
from collections.abc import Iterator

from dr_lib.report import data_sentences, formatting
from dr_lib.report.experiment_results import TOP, ExperimentResults
from dr_lib.report.report_page import report_title
from dr_lib.report.run_group import RunGroup
from dr_lib.report.run_results import STATE_WORDS, tested_epoch
from dr_lib.report.sections.answer import answer_texts, byline_text
from dr_lib.storage.folders import ExperimentFolder

_ACTIVE = re.compile(
    r"[\\`*\[\]<|~$]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # within a word it is a letter
    r"|&(?=#?\w+;)"
    r"|(?<=:)/(?=/)|(?<=www)\.",  # addresses become links by themselves
    re.IGNORECASE,
)
_AT_THE_START = re.compile(r"^(\s*)(?=>|#{1,6}(?:\s|$)|[-+](?:\s|$)|-[-\s]*$|=+\s*$)|^(\s*\d+)(?=[.)](?:\s|$))")

_HEAD = ("Run", "Testing accuracy (95% interval)", "Kappa (95% interval)", "Highest testing accuracy")


def summary_markdown(experiment: ExperimentResults) -> str:
    """Return the answer, a row a configuration and links to the rest, as GitHub's Markdown.

    Accuracies are percent, intervals those of the report. Unfinished runs have their reason and no numbers. Names are
    shown letter for letter.
    """
    warning, texts = answer_texts(experiment)
    title = re.sub(r"(?<!\\)#(?=#*$)", r"\#", escape_markdown(report_title(experiment)))  # it would close the heading
    parts = [f"# {title}", escape_markdown(byline_text(experiment)), escape_markdown(_photographs(experiment))]
    parts += [f"**{escape_markdown(warning)}**"] * bool(warning)
    parts += map(escape_markdown, texts)
    parts += ["\n".join(_table(experiment)), _caption(experiment), _links(experiment)]
    return "\n\n".join(part for part in parts if part) + "\n"


def escape_markdown(text: str) -> str:
    """Return ``text`` on one line as Markdown that shows it: no tag, formula, link or end of a table's cell."""
    return _AT_THE_START.sub(r"\g<0>\\", _ACTIVE.sub(r"\\\g<0>", " ".join(text.split())))


def _photographs(experiment: ExperimentResults) -> str:
    """Return where the photographs are, and how even their grades."""
    where = f"The photographs are those of {experiment.config.data_dir}." if experiment.config else ""
    counts = experiment.splits.get("train", {}).get("counts")
    return f"{where} {data_sentences.imbalance(counts) if counts else ''}"


def _table(experiment: ExperimentResults) -> Iterator[str]:
    yield "| " + " | ".join(_HEAD) + " |"
    yield "| --- | ---: | ---: | ---: |"
    rows = [_row(one, experiment) for one in experiment.top]
    if experiment.majority is not None:
        majority = formatting.percent(experiment.majority)
        rows.append(["always the commonest grade", majority, "0.00", majority])
    for run in [run for run in experiment.runs if not run.done][:TOP]:
        rows.append([run.name, STATE_WORDS[run.state] + f": {run.reason}" * bool(run.reason), "", ""])
    for row in rows:
        yield "| " + " | ".join(map(escape_markdown, row)) + " |"


def _row(one: RunGroup, experiment: ExperimentResults) -> list[str]:
    accuracy, kappa = one.figure("accuracy"), experiment.kappas[one.name]
    seeds = f", {len(one.runs)} seeds" * one.several
    return [
        one.label + seeds,
        formatting.percent(accuracy.mean)
        + (f" ({formatting.percent(accuracy.low)} to {formatting.percent(accuracy.high)})" if accuracy.known else ""),
        formatting.signed(kappa.mean, 2)
        + (f" ({formatting.signed(kappa.low, 2)} to {formatting.signed(kappa.high, 2)})" if kappa.known else ""),
        formatting.percent(one.highest),
    ]


def _caption(experiment: ExperimentResults) -> str:
    rest = len(experiment.configurations) - len(experiment.top)
    return (
        f"Accuracy and quadratic weighted kappa at {tested_epoch(experiment.chosen_on)}; the highest testing "
        "accuracy is the best of all epochs."
        + f" {rest} more {'configuration is' if rest == 1 else 'configurations are'} in results.csv."
        * bool(rest)
    )


def _links(experiment: ExperimentResults) -> str:
    folder = ExperimentFolder(experiment.path)
    links = [f"[The report]({folder.report.name})"]
    links += [f"[what is in the photographs]({experiment.audit_page})"] * bool(experiment.audit_page)
    links += [f"[all numbers]({folder.results_table.name})", f"[as a notebook]({folder.report_notebook.name})"]
    return ", ".join(links) + "."
