"""The report of an experiment, in every form that it is passed on in."""

from pathlib import Path
from typing import Any

import nbformat

from dr_lib.notebook.process import NOTEBOOKS
from dr_lib.report.collect import collect
from dr_lib.report.report_page import report_page
from dr_lib.report.results_files import write_results
from dr_lib.report.sections.confusion import Normalize
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
    parameters = {"experiment_dir": str(folder.path), "normalize": normalize}
    notebook = _execute(NOTEBOOKS / "report.ipynb", parameters, prepare_only=not experiment.done)
    write_text(folder.report_notebook, nbformat.writes(notebook))
    return folder.report


def _execute(notebook: Path, parameters: dict[str, Any], *, prepare_only: bool) -> Any:
    """Return the notebook with ``parameters``, executed by papermill in the current folder unless ``prepare_only``."""
    from dr_lib.notebook.runner import execute  # takes a second to import

    return execute(notebook, None, parameters, prepare_only=prepare_only, cwd=str(Path.cwd()))
