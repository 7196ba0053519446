"""Notebooks to pages: executed, exported with the report's own template, written whole or not at all."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any, ClassVar

import nbformat
from nbconvert.exporters.html import HTMLExporter
from nbconvert.exporters.templateexporter import TemplateExporter
from nbconvert.filters import DataTypeFilter, Highlight2HTML

from dr_lib.errors import InputError
from dr_lib.execution import NOTEBOOKS
from dr_lib.files import write_text
from dr_lib.report.collect import collect
from dr_lib.report.formulas import markdown_to_html
from dr_lib.runs import Experiment

_CONTENTS_MARK = "<!--contents-->"
_SECTION = re.compile(r'<h2 id="([^"]*)">(.*?)</h2>', re.DOTALL)
_ERASE = re.compile(r"\x1b\[[0-3]?[JK]")
_TITLE = re.compile(r"^# +(.+)$", re.MULTILINE)


class PageExporter(HTMLExporter):
    """nbconvert's HTML export with the report's template and without anything from a network."""

    template_name = "page"
    extra_template_basedirs: ClassVar[list[str]] = [str(Path(__file__).parent / "template")]

    def default_filters(self) -> Iterator[tuple[str, Any]]:
        """Yield nbconvert's filters, with ours for Markdown, alternative texts and progress bars."""
        yield from super().default_filters()
        yield "markdown2html", markdown_to_html
        yield "alternative_text", alternative_text
        yield "as_left_on_screen", as_left_on_screen

    def from_notebook_node(self, nb: Any, resources: Any = None, **options: Any) -> tuple[str, Any]:
        """Return the page and nbconvert's resources.

        It passes by :class:`HTMLExporter`'s own method, which parses the finished page again and writes the
        attributes of inline SVG in lower case.
        """
        self.register_filter("highlight_code", Highlight2HTML(pygments_lexer="ipython3", parent=self))
        self.register_filter("filter_data_type", DataTypeFilter(parent=self))
        page, resources = TemplateExporter.from_notebook_node(self, nb, self._init_resources(resources), **options)
        first = "Answer" if resources["page"]["folded"] else "Top"
        return page.replace(_CONTENTS_MARK, f'<a href="#main">{first}</a>{contents(page)}', 1), resources


def build_report(experiment_dir: str | Path) -> Path:
    """Execute the report's notebook on an experiment folder, export it, and return the path of the HTML report.

    Leaves ``report.ipynb`` and ``index.html`` in the folder. Raises :class:`InputError` where it holds no runs.
    """
    experiment = Experiment(Path(experiment_dir))
    collect(experiment.path)
    notebook = execute(NOTEBOOKS / "report.ipynb", {"experiment_dir": str(experiment.path)})
    write_text(experiment.report_notebook, nbformat.writes(notebook))
    title = f"{_title_of(notebook)} – {experiment.path.resolve().name}"
    write_text(experiment.report, page_of(notebook, title=title, folded=True))
    return experiment.report


def render_page(notebook: Path, page: Path, *, title: str, home: str | None = None) -> None:
    """Export an executed notebook as a page in the look of the report, code shown.

    ``home``: address of the report relative to the page, for a link back.
    """
    try:
        executed = nbformat.read(notebook, as_version=4)
    except FileNotFoundError:
        raise InputError(f"{notebook}: no such notebook; run it first") from None
    write_text(page, page_of(executed, title=title, home=home))


def page_of(notebook: Any, *, title: str, home: str | None = None, folded: bool = False) -> str:
    """Return an executed notebook as one HTML page that needs no network.

    ``folded``: code below its output and folded away, as in the report; else shown above it.
    """
    page = {"title": title, "home": home, "folded": folded, "add_title": not _title_of(notebook)}
    return PageExporter().from_notebook_node(notebook, resources={"page": page})[0]


def execute(notebook: Path, parameters: dict[str, Any]) -> Any:
    """Return the notebook executed by papermill with ``parameters``, in the current folder."""
    from dr_lib.kernels import ENGINE, execute_notebook  # takes a second to import

    with (
        tempfile.TemporaryDirectory() as scratch,
        _environment(
            # A history database of its own: notebooks that run at the same time would wait for each other's.
            IPYTHONDIR=scratch,
            # The frozen-modules notice of the debugger would be printed by every kernel.
            PYDEVD_DISABLE_FILE_VALIDATION="1",
        ),
    ):
        return execute_notebook(
            str(notebook),
            None,
            parameters=parameters,
            engine_name=ENGINE,
            kernel_name="python3",
            progress_bar=False,
            cwd=str(Path.cwd()),
        )


def contents(page: str) -> str:
    """Return links to the second-level headings of a page."""
    return "".join(
        f'<a href="#{escape(ident)}">{re.sub("<[^>]*>", "", text)}</a>' for ident, text in _SECTION.findall(page)
    )


def alternative_text(cell: Any) -> str:
    """Return what a picture that a cell put out shows: its ``alt`` metadata, or the first comment, or its last line."""
    given = cell.metadata.get("alt")
    comments = [line.lstrip("# ") for line in cell.source.splitlines() if line.startswith("#")]
    return given or (comments or cell.source.strip().splitlines()[-1:] or ["figure"])[0]


def as_left_on_screen(text: str) -> str:
    """Return printed text without what carriage returns wrote over or escapes erased: no spent progress bars."""
    lines = (line.removesuffix("\r").rpartition("\r")[2] for line in _ERASE.sub("\r", text).split("\n"))
    return "\n".join(lines).strip("\n")


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def _title_of(notebook: Any) -> str:
    """Return the first first-level heading of the notebook's prose, or an empty string."""
    prose = (cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return next((match[1] for text in prose if (match := _TITLE.search(text))), "")
