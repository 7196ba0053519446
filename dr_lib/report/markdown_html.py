"""The report's pieces of HTML (see :mod:`dr_lib.report.markup`) as Markdown that GitHub and others show."""

import base64
import re
from html import escape
from typing import Any, Protocol

from bs4 import BeautifulSoup, NavigableString, Tag
from markdownify import MarkdownConverter

from dr_lib.report.markdown_text import code, escape_text, fenced, one_line
from dr_lib.report.standalone import standalone_svg

_DRAWING = re.compile(r"<svg\b[^>]*>.*?</svg>", re.DOTALL)
_OF_A_TABLE = '<svg class="ci"'
"""Intervals drawn in a table's cells: Markdown has the numbers beside them."""
_PHOTOGRAPH = re.compile(r"data:image/(jpeg|png);base64,(.*)", re.DOTALL)
_ENDINGS = {"jpeg": "jpg", "png": "png"}


class Pictures(Protocol):
    """Where the pictures of a text are kept."""

    def keep(self, data: bytes, ending: str, shows: str) -> str:
        """Keep a picture and return its address; ``ending`` such as ``svg``, ``shows`` is its alternative text."""
        ...


def html_to_markdown(html: str, pictures: Pictures) -> str:
    """Return the report's HTML as Markdown; drawings and photographs are handed to ``pictures``."""
    drawings: list[str] = []

    def set_aside(found: re.Match[str]) -> str:
        if found[0].startswith(_OF_A_TABLE):
            return ""
        drawings.append(found[0])
        return f'<img data-drawing="{len(drawings) - 1}">'

    # Before the parser sees them: it writes their attributes in lower case.
    soup = BeautifulSoup(_DRAWING.sub(set_aside, html), "html.parser")
    _spell_out(soup)
    text = _Converter(drawings, pictures).convert_soup(soup)
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n")


def _spell_out(soup: BeautifulSoup) -> None:
    """Write as words and marks what the page says by its style: second lines, color keys, headings of panels."""
    for mark in soup.select(".key, .dash"):
        mark.decompose()
    for title in soup.select(".panel-title"):
        bold = soup.new_tag("b")
        for child in [child for child in title.contents if not isinstance(child, Tag)]:
            bold.append(child.extract())
        title.insert(0, bold)
    for line in soup.select(".sub"):
        _join(line)
    for line_end in soup.select("td br, th br"):
        line_end.replace_with("; ")


def _join(line: Tag) -> None:
    """Join a second line to what stands before it: in brackets below a number, else behind a comma."""
    before, after = line.previous_sibling, line.next_sibling
    if isinstance(before, NavigableString):
        before.replace_with(before.rstrip())
    if not line.get_text().strip():
        return
    if any(part.get_text().strip() for part in line.previous_siblings):
        aside = line.find_parent("td", class_="n") and "(" not in line.get_text()
        line.insert(0, " (" if aside else ", ")
        line.append(")" if aside else "")
    another = isinstance(after, Tag) and "sub" in after.get_attribute_list("class")
    if after is not None and after.get_text().strip() and not another:
        line.append("; ")


class _Converter(MarkdownConverter):
    def __init__(self, drawings: list[str], pictures: Pictures):
        super().__init__(heading_style="ATX", bullets="-", autolinks=False)
        self.drawings, self.pictures = drawings, pictures
        self.kept: dict[int, str] = {}

    def escape(self, text: str, parent_tags: Any) -> str:
        return escape_text(text)

    def convert_img(self, el: Tag, text: str, parent_tags: Any) -> str:
        # A table's cells are looked at twice.
        if id(el) not in self.kept:
            self.kept[id(el)] = self._picture(el)
        return self.kept[id(el)]

    def convert_code(self, el: Tag, text: str, parent_tags: Any) -> str:
        return code(el.get_text(), in_table=el.find_parent(["td", "th"]) is not None)

    def convert_pre(self, el: Tag, text: str, parent_tags: Any) -> str:
        return f"\n\n{fenced(el.get_text())}\n\n"

    def convert_div(self, el: Tag, text: str, parent_tags: Any) -> str:
        if "answer" in el.get_attribute_list("class") and "_inline" not in parent_tags:
            return self.convert_blockquote(el, text, parent_tags)  # type: ignore[attr-defined]  # not in the stub
        return super().convert_div(el, text, parent_tags)  # type: ignore[misc]  # not in the stub

    def convert_details(self, el: Tag, text: str, parent_tags: Any) -> str:
        # GitHub folds them too; what stands between is Markdown when blank lines set it off.
        return f"\n\n<details>\n{text.strip()}\n\n</details>\n\n"

    def convert_summary(self, el: Tag, text: str, parent_tags: Any) -> str:
        return f"<summary>{escape(one_line(el.get_text()))}</summary>\n\n"

    def convert_td(self, el: Tag, text: str, parent_tags: Any) -> str:
        return one_line(text)

    convert_th = convert_td

    def convert_table(self, el: Tag, text: str, parent_tags: Any) -> str:
        rows = [row.find_all(["th", "td"]) for row in el.find_all("tr")]
        if not rows:
            return ""
        width = max(len(row) for row in rows)
        convert = self.process_tag  # type: ignore[attr-defined]  # not in the stub
        texts = [[convert(cell, parent_tags={"table", "tr"}) for cell in row] for row in rows]
        texts = [row + [""] * (width - len(row)) for row in texts]
        # A column of drawings alone has nothing left to say.
        kept = [i for i in range(width) if any(row[i] for row in texts[1:])]
        numeric = [i < len(rows[0]) and "n" in rows[0][i].get_attribute_list("class") for i in range(width)]
        lines = [texts[0], ["---:" if right else "---" for right in numeric], *texts[1:]]
        table = "\n".join("| " + " | ".join(line[i] for i in kept) + " |" for line in lines)
        caption = el.find("caption")
        said = f"*{escape_text(one_line(caption.get_text()))}*\n\n" if caption else ""
        return f"\n\n{said}{table}\n\n"

    def _picture(self, el: Tag) -> str:
        if "data-drawing" in el.attrs:
            svg = self.drawings[int(str(el["data-drawing"]))]
            label = re.search(r'aria-label="([^"]*)"', svg)
            shows = BeautifulSoup(label[1], "html.parser").get_text() if label else "drawing"
            data, ending = standalone_svg(svg).encode(), "svg"
        elif found := _PHOTOGRAPH.fullmatch(str(el.get("src", ""))):
            shows, data, ending = str(el.get("alt", "")), base64.b64decode(found[2]), _ENDINGS[found[1]]
        else:
            return ""
        shows = one_line(shows)
        return f"![{escape_text(shows)}]({self.pictures.keep(data, ending, shows)}) "
