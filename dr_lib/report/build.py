"""The report of an experiment: its notebook executed, and written in every form that it is passed on in."""

from pathlib import Path

import nbformat

from dr_lib.notebook.process import NOTEBOOKS
from dr_lib.report.collect import collect
from dr_lib.report.markdown import write_markdown
from dr_lib.report.markdown_text import heading, one_line
from dr_lib.report.render import execute, page_of, title_of
from dr_lib.report.results_files import write_results
from dr_lib.report.sections.confusion import Normalize
from dr_lib.storage.files import write_text
from dr_lib.storage.folders import ExperimentFolder


def build_report(experiment_dir: str | Path, *, normalize: Normalize = "true") -> Path:
    """Execute the report's notebook on an experiment folder, export it, and return the path of the HTML report.

    Leaves ``report.ipynb``, ``index.html``, ``report.md`` with its ``figures``, ``results.csv`` and ``results.json`` in
    the folder. ``normalize``: what the shares in confusion matrices are of, as in scikit-learn's
    ``ConfusionMatrixDisplay``; ``None``: counts alone. The report of a sweep has the sweep's title. Raises
    :class:`InputError` where the folder holds no runs.
    """
    folder = ExperimentFolder(Path(experiment_dir))
    experiment = collect(folder.path)
    notebook = execute(NOTEBOOKS / "report.ipynb", {"experiment_dir": str(folder.path), "normalize": normalize})
    if experiment.grid:
        notebook.cells[0].source = heading(experiment.grid.title)
    write_text(folder.report_notebook, nbformat.writes(notebook))
    title = (
        f"{one_line(experiment.grid.title) if experiment.grid else title_of(notebook)} – {folder.path.resolve().name}"
    )
    write_text(folder.report, page_of(notebook, title=title, folded=True))
    write_markdown(notebook, folder)
    write_results(experiment, folder)
    return folder.report
