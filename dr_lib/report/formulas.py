"""Markdown cells as HTML: formulas as MathML, which browsers set themselves, and headings one can link to."""

import re
from html import unescape
from typing import Any

from latex2mathml.converter import convert
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath


class ReportRenderer(IPythonRenderer):
    """nbconvert's Markdown renderer without its need for MathJax."""

    def block_math(self, body: str) -> str:
        """Return a displayed formula; it scrolls within itself where the screen is narrower."""
        return f'<span class="formula" tabindex="0">{convert(body.strip(), display="block")}</span>'

    def inline_math(self, body: str) -> str:
        """Return a formula within a line."""
        return convert(body.strip(), display="inline")

    def latex_environment(self, name: str, body: str) -> str:
        """Return an environment such as ``align`` as a displayed formula."""
        return self.block_math(rf"\begin{{{name}}}{body}\end{{{name}}}")

    def heading(self, text: str, level: int, **attributes: Any) -> str:
        """Return a heading with an id made of its words."""
        return f'<h{level} id="{slug(text)}">{text}</h{level}>\n'

    def table(self, text: str) -> str:
        """Return a table that scrolls within itself where the screen is narrower."""
        return f'<div class="wide" tabindex="0"><table>{text}</table></div>\n'


def markdown_to_html(source: str, attachments: Any = None) -> str:
    """Return Markdown as HTML with formulas as MathML.

    ``attachments``: pictures of a notebook's cell by their names, each ``{type: base64}``; the HTML holds them.
    """
    renderer = ReportRenderer(escape=False, exclude_anchor_links=True, attachments=attachments or {})
    return MarkdownWithMath(renderer=renderer).render(source)


def slug(html: str) -> str:
    """Return the id of a heading: its words in lower case, joined by hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", unescape(re.sub(r"<[^>]*>", "", html)).lower()).strip("-") or "section"
