"""The report of an experiment, in every form that it is passed on in, and the pages behind it led back to it."""

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat

from dr_lib.notebook.process import NOTEBOOKS
from dr_lib.report import formatting, markup
from dr_lib.report.collect import collect
from dr_lib.report.experiment_results import ExperimentResults
from dr_lib.report.report_page import report_page
from dr_lib.report.results_files import write_results
from dr_lib.report.run_group import RunGroup
from dr_lib.report.run_results import STATE_WORDS, RunResults, chosen_by
from dr_lib.report.sections.confusion import Normalize
from dr_lib.report.sections.first_screen import tile
from dr_lib.report.summary_file import summary_markdown
from dr_lib.storage.files import write_text
from dr_lib.storage.folders import ExperimentFolder


def build_report(experiment_dir: str | Path, *, normalize: Normalize = "true") -> Path:
    """Write the report of an experiment folder, and return the path of the HTML page.

    Leaves ``index.html``, ``summary.md``, the tables of results, ``results.json`` and ``report.ipynb`` in the folder;
    the last is executed where a run has finished. ``normalize``: what the shares in confusion matrices are of, as in
    scikit-learn's ``ConfusionMatrixDisplay``; ``None``: counts alone. The report of a sweep has the sweep's title.
    Raises :class:`InputError` where the folder holds no runs.
    """
    folder = ExperimentFolder(Path(experiment_dir))
    experiment = collect(folder.path)
    write_text(folder.report, report_page(experiment, normalize=normalize))
    write_text(folder.summary, summary_markdown(experiment))
    write_results(experiment, folder)
    head_run_pages(experiment)
    _lead_back(folder.audit_page, folder.report.name)
    parameters = {"experiment_dir": str(folder.path), "normalize": normalize}
    notebook = _execute(NOTEBOOKS / "report.ipynb", parameters, prepare_only=not experiment.done)
    write_text(folder.report_notebook, nbformat.writes(notebook))
    return folder.report


def _execute(notebook: Path, parameters: dict[str, Any], *, prepare_only: bool) -> Any:
    """Return the notebook with ``parameters``, executed by papermill in the current folder unless ``prepare_only``."""
    from dr_lib.notebook.runner import execute  # takes a second to import

    return execute(notebook, None, parameters, prepare_only=prepare_only, cwd=str(Path.cwd()))


_HEAD = re.compile(r"<!--run-->.*?<!--/run-->|<h1[ >].*?</h1>", re.DOTALL)
"""The heading of a run's page: that of the notebook, or what stands in its place."""


def head_run_pages(experiment: ExperimentResults) -> None:
    """Give the page of each run the run as its title, its figures, its files, and the runs before and after it.

    Pages are made when a run ends, and know nothing of the others then.
    """
    folder = ExperimentFolder(experiment.path)
    runs = [run for run in experiment.runs if run.page]
    for number, run in enumerate(runs):
        page = folder.run(run.name).page
        before, after = runs[number - 1 : number], runs[number + 1 : number + 2]
        html = page.read_text(encoding="utf-8")
        if place := _HEAD.search(html):
            head = f"<!--run-->{_run_head(experiment, run, before, after)}<!--/run-->"
            write_text(page, html[: place.start()] + head + html[place.end() :])


def _run_head(
    experiment: ExperimentResults, run: RunResults, before: Sequence[RunResults], after: Sequence[RunResults]
) -> str:
    folder = ExperimentFolder(experiment.path).run(run.name)
    beside = [("← ", one, "") for one in before] + [("", one, " →") for one in after]
    others = [
        markup.link(f"../{quote(one.name)}/{folder.page.name}", f"{left}{one.name}{right}")
        for left, one, right in beside
    ]
    named = {"predictions": folder.predictions, "history": folder.history, "figures": folder.metrics}
    named |= {"parameters": folder.config, "model card": folder.model_card}
    files = [
        markup.link(path.relative_to(folder.path).as_posix(), name) for name, path in named.items() if path.exists()
    ]
    seed = f", seed {run.seed}" * (run.seed != 0)
    html = f'<h1 id="run">{escape(run.label + seed)}</h1><p class="by">{" · ".join([escape(run.name), *others])}</p>'
    html += f'<p class="by">{" · ".join(files)}</p>'
    if not run.done:
        why = STATE_WORDS[run.state] + f": {run.reason}" * bool(run.reason)
        return html + markup.paragraphs(f"This run is {why}.", css="alert")
    one = RunGroup((run,))
    group = next(group for group in experiment.configurations if run in group.runs)
    kappa = one.figure("kappa") if group.several else experiment.kappas[group.name]
    majority = formatting.percent(run.test["majority_accuracy"])
    boxes = [
        tile("Kappa", kappa, lambda value: formatting.signed(value, 2), "quadratic weighted"),
        tile("Accuracy", one.figure("accuracy"), formatting.percent, f"always the commonest grade: {majority}"),
    ]
    epoch = f"epoch {run.chosen_epoch} of {len(run.done_history)}, {chosen_by(run.done_metrics['select_by'])}"
    return html + f'<div class="tiles">{"".join(boxes)}</div>{markup.paragraphs(epoch.capitalize() + ".", css="note")}'


def _lead_back(page: Path, report: str) -> None:
    """Give a page that was made before the report a link to it."""
    if not page.exists():
        return
    html = page.read_text(encoding="utf-8")
    nav = '<nav id="contents" aria-label="Contents">'
    home = f'<a class="home" href="{report}">← Report</a>'
    if nav in html and home not in html:
        write_text(page, html.replace(nav, nav + home, 1))
