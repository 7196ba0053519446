"""Executed notebooks as pages in the look of the report, code shown."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import pass_context
from nbconvert.exporters.html import HTMLExporter
from nbconvert.exporters.templateexporter import TemplateExporter
from nbconvert.filters import Highlight2HTML

from dr_lib.errors import InputError
from dr_lib.report.formulas import markdown_to_html
from dr_lib.report.html_page import TEMPLATES, html_page
from dr_lib.storage.files import write_text

_ERASE = re.compile(r"\x1b\[[0-3]?[JK]")

_SHOWN = (
    "text/html", "text/markdown", "image/svg+xml", "text/latex", "image/png", "image/jpeg", "text/vnd.mermaid",
    "text/plain", "application/javascript", "application/vnd.jupyter.widget-view+json",
)  # fmt: skip
"""Types of output that the template shows, the best first. Those that need scripts stand behind what needs none."""


class PageExporter(HTMLExporter):
    """nbconvert's HTML export with a template of ours: what stands in the frame of a page, from no network."""

    template_name = "page"
    extra_template_basedirs = [str(TEMPLATES)]  # noqa: RUF012 - the default of a trait

    def default_filters(self) -> Iterator[tuple[str, Any]]:
        """Yield nbconvert's filters, with ours for alternative texts, progress bars, and what to show of an output."""
        yield from super().default_filters()
        yield "alternative_text", alternative_text
        yield "as_left_on_screen", as_left_on_screen
        yield "filter_data_type", shown_type

    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        """Return Markdown as HTML, formulas as MathML, attachments of its cell inside."""
        return markdown_to_html(source, context.get("cell", {}).get("attachments"))

    def from_notebook_node(  # type: ignore[override]  # as nbconvert does itself: a page is text
        self, nb: Any, resources: Any = None, **options: Any
    ) -> tuple[str, Any]:
        """Return what stands in the frame of the page, and nbconvert's resources.

        It passes by :class:`HTMLExporter`'s own method, which parses the finished page again and writes the
        attributes of inline SVG in lower case.
        """
        resources = self._init_resources(resources)
        self.register_filter("highlight_code", Highlight2HTML(pygments_lexer="ipython3", parent=self))
        return TemplateExporter.from_notebook_node(self, nb, resources, **options)


def render_page(notebook: Path, page: Path, *, title: str, home: str | None = None) -> None:
    """Export an executed notebook as a page; ``home``: address of the report relative to it, for a link back."""
    try:
        executed = nbformat.read(notebook, as_version=4)
    except FileNotFoundError:
        raise InputError(f"{notebook}: no such notebook; run it first") from None
    write_text(page, page_of(executed, title=title, home=home))


def page_of(notebook: Any, *, title: str, home: str | None = None) -> str:
    """Return an executed notebook as one HTML page that needs no network."""
    return html_page(PageExporter().from_notebook_node(notebook)[0], title=title, home=home)


def shown_type(data: Any) -> list[str]:
    """Return the type in which an output is shown, of those that it comes in; ``other`` for none that can be."""
    return [next((known for known in _SHOWN if known in data), "other")]


def alternative_text(cell: Any) -> str:
    """Return what a picture that a cell put out shows: its ``alt`` metadata, or the first comment, or its last line."""
    given = cell.metadata.get("alt")
    comments = [line.lstrip("# ") for line in cell.source.splitlines() if line.startswith("#")]
    return given or (comments or cell.source.strip().splitlines()[-1:] or ["figure"])[0]


def as_left_on_screen(text: str) -> str:
    """Return printed text without what carriage returns wrote over or escapes erased: no spent progress bars."""
    lines = (line.removesuffix("\r").rpartition("\r")[2] for line in _ERASE.sub("\r", text).split("\n"))
    return "\n".join(lines).strip("\n")
