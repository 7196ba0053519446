"""The frame of every page: one HTML file that loads nothing, with its contents beside the text."""

import base64
import hashlib
import re
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.ext import Extension
from markupsafe import Markup

from dr_lib.report.formulas import markdown_to_html, slug

TEMPLATES = Path(__file__).parent / "template"
_PAGE = TEMPLATES / "page"
_SCRIPTS = ("contents.js", "tables.js", "page.js")

_OWN_IDS = frozenset({"main", "contents"})
_HEADING = re.compile(r'<h([1-6]) id="([^"]*)">(.*?)</h\1>', re.DOTALL)
_ALONE = re.compile(r"<p>(\{[{%][^{}]*[%}]\})</p>")


def html_page(body: str, *, title: str, home: str | None = None, first: str = "Top") -> str:
    """Return ``body``, HTML, as a page in the look of the report that needs no network.

    ``title``: plain text; it becomes the heading where ``body`` has none of the first level. ``home``: address of the
    report relative to the page, for a link back. ``first``: what the contents call the beginning of the page.
    """
    # Code scrolls within itself; who has no mouse must get there too.
    body = _tell_headings_apart(body).replace("<pre>", '<pre tabindex="0">')
    return render_template(
        "frame.html.j2",
        title=title,
        home=home,
        body=Markup(body if re.search("<h1[ >]", body) else f"<h1>{escape(title)}</h1>{body}"),
        contents=Markup(contents(body, first)),
        **_script_and_policy(),
    )


def render_template(name: str, **values: Any) -> str:
    """Return the template ``name`` with ``values``, which are escaped unless they are HTML (have ``__html__``)."""
    return _environment().get_template(name).render(values)


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


class _MarkdownTemplates(Extension):
    """Templates called ``*.md`` are Markdown: their prose is HTML before jinja2 reads what stands in braces.

    What is put in is thus never read as Markdown. A line that is all braces is no paragraph.
    """

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        return _ALONE.sub(r"\1", markdown_to_html(source)) if (name or "").endswith(".md") else source


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_PAGE), extensions=[_MarkdownTemplates], autoescape=True, undefined=StrictUndefined
    )
    environment.filters["slug"] = lambda text: slug(escape(text))
    return environment


def _link(ident: str, text: str) -> str:
    return f'<a href="#{escape(ident)}">{re.sub("<[^>]*>", "", text)}</a>'


def _tell_headings_apart(page: str) -> str:
    """Number the ids of headings of the same words, so that each link finds its own, and give each a link to itself."""
    taken = set(_OWN_IDS)

    def numbered(match: re.Match[str]) -> str:
        level, wanted, text = match.groups()
        ident, number = wanted, 1
        while ident in taken:
            number += 1
            ident = f"{wanted}-{number}"
        taken.add(ident)
        # Its mark is drawn by the style, so that it is no text of the heading.
        anchor = f'<a class="anchor" href="#{ident}" aria-label="Link to this part"></a>' if level in "23" else ""
        return f'<h{level} id="{ident}">{text}{anchor}</h{level}>'

    return _HEADING.sub(numbered, page)


@lru_cache(maxsize=1)
def _script_and_policy() -> dict[str, str]:
    """Return the page's script, and the policy that lets a browser run no other and load nothing from anywhere."""
    script = "\n".join((_PAGE / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return {"script": Markup(script), "policy": policy}
