"""The report as a page: its prose and order are those of ``template/page/report.md``, its numbers those of the runs."""

from dr_lib.report import sections
from dr_lib.report.experiment_results import ExperimentResults
from dr_lib.report.html_page import html_page, render_template
from dr_lib.report.sections.confusion import Normalize

TITLE = "What do pretraining, depth and class weights change in grading diabetic retinopathy?"
"""The title of a report that is no sweep's."""


def report_page(experiment: ExperimentResults, *, normalize: Normalize = "true") -> str:
    """Return the report as one HTML page that needs no network; ``normalize``: of confusion matrices."""
    title = report_title(experiment)
    body = render_template("report.md", title=title, sections=sections, experiment=experiment, normalize=normalize)
    return html_page(body, title=f"{title} – {experiment.path.resolve().name}", first="Answer")


def report_title(experiment: ExperimentResults) -> str:
    """Return the title of a report: that of the sweep, on one line, where it is one."""
    return " ".join(experiment.grid.title.split()) if experiment.grid else TITLE
