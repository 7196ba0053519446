"""Pieces of HTML. Every text that comes in is escaped here, except where the name says ``html``."""

import base64
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from IPython.display import HTML
from PIL import Image

from dr_lib.report.formatting import counted

LEAST_REM = {3: 17.6, 4: 13.2}
"""How wide a panel is at least where so many stand in a row, rem; of more, 10.4."""

InWords = Callable[[float], str]
"""What a number is called in a cell."""

PIECES = Path(__file__).parent / "template" / "page" / "pieces.css"
"""The style of tables, figures and drawings, without that of the page around them."""


def paragraphs(*texts: str, css: str = "") -> str:
    """Return one paragraph a text; empty texts are left out."""
    opening = f'<p class="{css}">' if css else "<p>"
    return "".join(f"{opening}{escape(text)}</p>" for text in texts if text)


def bullets(texts: Iterable[str]) -> str:
    """Return a list with one item a text; nothing for no texts."""
    items = "".join(f"<li>{escape(text)}</li>" for text in texts if text)
    return f"<ul>{items}</ul>" if items else ""


def sub(text: str) -> str:
    """Return a line set smaller, below what stands before it in a cell."""
    return f'<span class="sub">{escape(text)}</span>'


def unknown_patients(split: Mapping[str, Any]) -> str:
    """Return, to stand below a split's number of patients, how many of its photographs are of unknown ones."""
    unknown = split.get("unknown_patients", 0)
    return sub(f"and {counted(unknown, 'photograph')} of unknown ones") if unknown else ""


@dataclass(frozen=True)
class Cell:
    """A cell of a table that can be sorted: its HTML, and what it is sorted by; None and NaN stand last."""

    html: str
    sort: float | str | None = None


@dataclass(frozen=True)
class Row:
    """A row of a table; a ``fixed`` one, such as the majority, keeps its place whatever the others are sorted by."""

    cells: Sequence[str | Cell]
    fixed: bool = False
    css: str = ""


def table(
    head: Sequence[str],
    rows_html: Iterable[Sequence[str | Cell] | Row],
    caption: str,
    *,
    numeric: Sequence[int] = (),
    css: str = "",
    sortable: bool = False,
    sorted_by: int | None = None,
) -> str:
    """Return a table; cells are HTML, the first of a row is its header, ``numeric`` columns are set right.

    The last cell of a short row spans the columns that are left. With ``css`` cards, each row becomes a card on a
    narrow screen, where a cell names its column. A ``sortable`` table is sorted by a click on the heading of any
    column with a :class:`Cell` that has a ``sort``; ``sorted_by`` is the column by which the rows come, greatest first.
    """
    rows = [row if isinstance(row, Row) else Row(row) for row in rows_html]
    kinds = _sorts(rows, len(head)) if sortable else [""] * len(head)
    heads = "".join(
        f'<th scope="col" role="columnheader"{" class=n" if number in numeric else ""}'
        f"{f' data-sort={kind}' if kind else ''}{' aria-sort=descending' if number == sorted_by else ''}>"
        f"{escape(title)}</th>"
        for number, (title, kind) in enumerate(zip(head, kinds, strict=True))
    )
    body = "".join(_row(row, head, numeric, kinds) for row in rows)
    css = f"{css} sortable".strip() if sortable else css
    return (
        f'<table role="table" class="{css}"><caption>{escape(caption)}</caption>'
        f'<thead role="rowgroup"><tr role="row">{heads}</tr></thead><tbody role="rowgroup">{body}</tbody></table>'
    )


def _row(row: Row, head: Sequence[str], numeric: Sequence[int], kinds: Sequence[str]) -> str:
    cells = ""
    for number, given in enumerate(row.cells):
        cell = given if isinstance(given, Cell) else Cell(given)
        value = f' data-value="{escape(str(cell.sort))}"' if kinds[number] and _known(cell.sort) else ""
        inner = f"<div>{cell.html}</div>" if cell.html else ""
        if number == 0:
            cells += f'<th scope="row" role="rowheader"{value}>{cell.html}</th>'
        elif number == len(row.cells) - 1 < len(head) - 1:
            cells += f'<td role="cell" class="spanning" colspan="{len(head) - number}"{value}>{inner}</td>'
        else:
            css = " class=n" if number in numeric else ""
            cells += f'<td role="cell"{css} data-label="{escape(head[number])}"{value}>{inner}</td>'
    css = f' class="{row.css}"' if row.css else ""
    return f'<tr role="row"{css}{" data-fixed" if row.fixed else ""}>{cells}</tr>'


def _sorts(rows: Sequence[Row], columns: int) -> list[str]:
    """Return of each column whether it is sorted as ``number`` or ``text``; an empty string where it is not."""
    kinds = [""] * columns
    for row in rows:
        for number, cell in enumerate(row.cells):
            if isinstance(cell, Cell) and _known(cell.sort):
                kind = "text" if isinstance(cell.sort, str) else "number"
                kinds[number] = "text" if "text" in (kind, kinds[number]) else kind
    return kinds


def _known(value: float | str | None) -> bool:
    return value is not None and value == value


def figure(
    panels: Iterable[tuple[str, str]], title: str, caption: str, *, css: str = "", across: int = 0, key_html: str = ""
) -> str:
    """Return a figure of panels, each a heading and its HTML; ``title`` and ``caption`` say what to see.

    A second line of a heading is set smaller. ``across``: panels in a row, which a narrow window scrolls; 0: as many as
    there is room for. ``key_html`` stands below the panels.
    """
    body = "".join(f'<div class="panel">{_panel_heading(heading)}{html}</div>' for heading, html in panels)
    opening = (
        f'<div class="panels wide" tabindex="0" style="--across:{across};--least:{LEAST_REM.get(across, 10.4)}rem">'
        if across
        else '<div class="panels">'
    )
    return (
        f'<figure class="{css}">{opening}{body}</div>{key_html}'
        f"<figcaption><b>{escape(title)}</b> {escape(caption)}</figcaption></figure>"
    )


def photograph(image: Image.Image | np.ndarray, alternative: str, side: int = 110) -> str:
    """Return a photograph as an embedded JPEG, ``side`` px square on the page and twice that inside.

    ``image``: a Pillow image, or uint8 (H, W, 3).
    """
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    square = picture.convert("RGB").resize((2 * side, 2 * side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    square.save(stream, format="JPEG", quality=80, optimize=True)
    data = base64.b64encode(stream.getvalue()).decode()
    size = f'width="{side}" height="{side}"'
    return f'<img class="photo" {size} alt="{escape(alternative)}" src="data:image/jpeg;base64,{data}">'


def fold(title: str, html: str) -> str:
    """Return ``html`` folded under its title; nothing for nothing."""
    return f'<details class="more"><summary>{escape(title)}</summary>{html}</details>' if html else ""


def link(address: str, text: str) -> str:
    """Return a link to ``address``, which is an URL already."""
    return f'<a href="{escape(address)}">{escape(text)}</a>'


def linked(address: str, html: str) -> str:
    """Return ``html`` as a link to ``address``, or as it is where there is none."""
    return f'<a class="plain" href="{escape(address)}">{html}</a>' if address else html


def shown(html: str) -> HTML:
    """Return ``html`` as the value of a notebook cell."""
    return HTML(f'<div class="dr">{html}</div>')


def _panel_heading(heading: str) -> str:
    title, _, rest = heading.partition("\n")
    below = sub(rest) if rest else ""
    return f'<p class="panel-title">{escape(title)}{below}</p>' if heading else ""


def style() -> HTML:
    """Return the look of the report's pieces for JupyterLab, in the colors of its theme."""
    colors = (
        "--fg: var(--jp-content-font-color1, #1d2330); --dim: var(--jp-content-font-color2, #5a6375); "
        "--line: var(--jp-border-color2, #e3e6ec); --card: var(--jp-layout-color2, #f5f6f8); "
        "--acc: var(--jp-content-link-color, #0b5fa5); --font: var(--jp-content-font-family, sans-serif);"
    )
    # Twice the class: JupyterLab's own style sets every cell of a table right, and every other row on gray.
    tables = ".dr.dr tbody tr:nth-child(n) { background: none; }"
    pieces = PIECES.read_text(encoding="utf-8")
    return HTML(f"<style>.dr {{ {colors} max-width: 46rem; }}\n.dr.dr {{ {pieces} }}\n{tables}</style>")
