"""The report of an experiment: its notebook executed, and written in every form that it is passed on in."""

from pathlib import Path

import nbformat

from dr_lib.execution import NOTEBOOKS
from dr_lib.files import write_text
from dr_lib.report.collect import collect
from dr_lib.report.markdown import write_markdown
from dr_lib.report.markdown_text import heading, one_line
from dr_lib.report.render import execute, page_of, title_of
from dr_lib.report.results_files import write_results
from dr_lib.report.sections.confusion import Normalize
from dr_lib.runs import Experiment


def build_report(experiment_dir: str | Path, *, normalize: Normalize = "true") -> Path:
    """Execute the report's notebook on an experiment folder, export it, and return the path of the HTML report.

    Leaves ``report.ipynb``, ``index.html``, ``report.md`` with its ``figures``, ``results.csv`` and ``results.json`` in
    the folder. ``normalize``: what the shares in confusion matrices are of, as in scikit-learn's
    ``ConfusionMatrixDisplay``; ``None``: counts alone. The report of a study has the study's title. Raises
    :class:`InputError` where the folder holds no runs.
    """
    experiment = Experiment(Path(experiment_dir))
    study = collect(experiment.path)
    notebook = execute(NOTEBOOKS / "report.ipynb", {"experiment_dir": str(experiment.path), "normalize": normalize})
    if study.grid:
        notebook.cells[0].source = heading(study.grid.title)
    write_text(experiment.report_notebook, nbformat.writes(notebook))
    title = f"{one_line(study.grid.title) if study.grid else title_of(notebook)} – {experiment.path.resolve().name}"
    write_text(experiment.report, page_of(notebook, title=title, folded=True))
    write_markdown(notebook, experiment)
    write_results(study, experiment)
    return experiment.report
