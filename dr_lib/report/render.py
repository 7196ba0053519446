"""Notebooks to pages: executed, exported with the report's own template, written whole or not at all."""

import base64
import hashlib
import re
from collections.abc import Iterator
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import pass_context
from nbconvert.exporters.html import HTMLExporter
from nbconvert.exporters.templateexporter import TemplateExporter
from nbconvert.filters import Highlight2HTML

from dr_lib.errors import InputError
from dr_lib.report.formulas import markdown_to_html
from dr_lib.storage.files import write_text

_TEMPLATES = Path(__file__).parent / "template"
_SCRIPTS = ("contents.js", "tables.js", "page.js")

_CONTENTS_MARK = "<!--contents-->"
SETUP_TAGS = frozenset({"setup", "parameters", "injected-parameters"})
"""Tags of cells that set a notebook up and have nothing to show."""

_OWN_IDS = frozenset({"main", "contents"})
_HEADING = re.compile(r'<h([1-6]) id="([^"]*)">(.*?)</h\1>', re.DOTALL)
_ERASE = re.compile(r"\x1b\[[0-3]?[JK]")
_TITLE = re.compile(r"^# +(.+)$", re.MULTILINE)

_SHOWN = (
    "text/html", "text/markdown", "image/svg+xml", "text/latex", "image/png", "image/jpeg", "text/vnd.mermaid",
    "text/plain", "application/javascript", "application/vnd.jupyter.widget-view+json",
)  # fmt: skip
"""Types of output that the template shows, the best first. Those that need scripts stand behind what needs none."""


class PageExporter(HTMLExporter):
    """nbconvert's HTML export with the report's template and without anything from a network."""

    template_name = "page"
    extra_template_basedirs = [str(_TEMPLATES)]  # noqa: RUF012 - the default of a trait

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
        """Return the page and nbconvert's resources.

        It passes by :class:`HTMLExporter`'s own method, which parses the finished page again and writes the
        attributes of inline SVG in lower case.
        """
        resources = self._init_resources(resources)
        resources["page"] |= _script_and_policy()
        self.register_filter("highlight_code", Highlight2HTML(pygments_lexer="ipython3", parent=self))
        page, resources = TemplateExporter.from_notebook_node(self, nb, resources, **options)
        # Code scrolls within itself; who has no mouse must get there too.
        page = _tell_headings_apart(page).replace("<pre>", '<pre tabindex="0">')
        first = "Answer" if resources["page"]["folded"] else "Top"
        return page.replace(_CONTENTS_MARK, contents(page, first), 1), resources


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
    page = {"title": title, "home": home, "folded": folded, "add_title": not title_of(notebook)}
    return PageExporter().from_notebook_node(notebook, resources={"page": page})[0]


def execute(notebook: Path, parameters: dict[str, Any]) -> Any:
    """Return the notebook executed by papermill with ``parameters``, in the current folder."""
    from dr_lib.notebook.runner import ENGINE, execute_notebook  # takes a second to import

    return execute_notebook(
        str(notebook),
        None,
        parameters=parameters,
        engine_name=ENGINE,
        kernel_name="python3",
        progress_bar=False,
        cwd=str(Path.cwd()),
    )


def contents(page: str, first: str) -> str:
    """Return links to the second- and third-level headings of a page, below one to its beginning called ``first``."""
    parts: list[tuple[str, list[str]]] = [(_link("main", first), [])]
    for level, ident, text in _HEADING.findall(page):
        if level == "2":
            parts.append((_link(ident, text), []))
        elif level == "3":
            parts[-1][1].append(_link(ident, text))
    items = "".join(
        f"<li>{head}{'<ol>' + ''.join(f'<li>{below}</li>' for below in under) + '</ol>' if under else ''}</li>"
        for head, under in parts
    )
    return f"<ol>{items}</ol>"


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


def _link(ident: str, text: str) -> str:
    return f'<a href="#{escape(ident)}">{re.sub("<[^>]*>", "", text)}</a>'


def _tell_headings_apart(page: str) -> str:
    """Number the ids of headings of the same words, so that each link finds its own."""
    taken = set(_OWN_IDS)

    def numbered(match: re.Match[str]) -> str:
        level, wanted, text = match.groups()
        ident, number = wanted, 1
        while ident in taken:
            number += 1
            ident = f"{wanted}-{number}"
        taken.add(ident)
        return f'<h{level} id="{ident}">{text}</h{level}>'

    return _HEADING.sub(numbered, page)


@lru_cache(maxsize=1)
def _script_and_policy() -> dict[str, str]:
    """Return the page's script, and the policy that lets a browser run no other and load nothing from anywhere."""
    script = "\n".join((_TEMPLATES / "page" / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return {"script": script, "policy": policy}


def title_of(notebook: Any) -> str:
    """Return the first first-level heading of the notebook's prose, or an empty string."""
    prose = (cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return next((match[1] for text in prose if (match := _TITLE.search(text))), "")
