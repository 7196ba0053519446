"""Pictures of an audit: photographs with a few words below, in rows and in groups of those that belong together.

A photograph is given as ``entry``, a mapping with its ``image`` (name), ``grade`` and ``split``.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image, ImageDraw, ImageOps

from dr_lib.report import markup
from dr_lib.report.formatting import SPLIT_WORDS
from dr_lib.system.terminal import printable

MOST_SHOWN = 24
"""Pictures, or groups of them, that a section shows; the others are in ``audit.json``."""

LOST = (217, 58, 48)
"""Color of the line above the rows that are lost."""

SIDE = 110
"""Side of a picture on the page, px; the style of ``.thumbnail`` has it, too."""


@dataclass(frozen=True)
class Thumbnails:
    """The pictures of photographs by their names.

    ``picture``: the whole frame as it is used, a few hundred pixels wide; None where there is none. ``address``: the
    URL of the file relative to the page; empty where there is none.
    """

    picture: Callable[[str], Image.Image | None]
    address: Callable[[str], str] = lambda image: ""

    def shot(self, image: str, lines: Iterable[str], seen: str, lost: float = 0.0) -> str:
        """Return a picture with its name and ``lines`` below; ``seen`` says to those who do not see it what it shows.

        ``lost``: share of its rows below a line that is drawn into it.
        """
        return thumbnail_html(image, lines, marked(self.picture(image), lost), seen, self.address(image))

    def named(self, image: str) -> str:
        """Return the name of a photograph as HTML, a link to its file where there is one."""
        return _named(image, self.address(image))


def thumbnail_html(image: str, lines: Iterable[str], picture: Image.Image | None, seen: str, address: str = "") -> str:
    """Return a picture as :meth:`Thumbnails.shot` does."""
    square = ImageOps.pad(picture.convert("RGB"), (2 * SIDE, 2 * SIDE)) if picture else None
    html = markup.photograph(square, f"{printable(image)}, {seen}", SIDE) if square else ""
    below = "".join(f'<span class="sub">{escape(line)}</span>' for line in lines if line)
    return f'<div class="shot">{html}{_named(image, address)}{below}</div>'


def _named(image: str, address: str) -> str:
    return markup.link(address, printable(image)) if address else escape(printable(image))


def relative_address(file: str | Path, page: Path) -> str:
    """Return the URL of a file relative to the page that links it; both may move together."""
    return quote(os.path.relpath(file, page.parent).replace(os.sep, "/"))


def beside(shots: Iterable[str]) -> str:
    """Return shots beside each other, in as many rows as they need; nothing for none."""
    html = "".join(shots)
    return f'<div class="shots">{html}</div>' if html else ""


def samples(images: Sequence[str], grade: int, thumbnails: Thumbnails) -> str:
    """Return those photographs of a grade that have a picture."""
    return beside(thumbnails.shot(image, [], f"grade {grade}") for image in images if thumbnails.picture(image))


def groups(lines: Sequence[tuple[str, Sequence[Mapping[str, Any]]]], thumbnails: Thumbnails, title: str) -> str:
    """Return photographs that belong together, each group under its line, all under a title that counts them."""
    if not lines:
        return ""
    panels = "".join(
        f'<div class="panel"><p class="panel-title">{escape(line)}</p>'
        + beside(thumbnails.shot(entry["image"], [label(entry)], label(entry)) for entry in entries[:MOST_SHOWN])
        + "</div>"
        for line, entries in lines[:MOST_SHOWN]
    )
    return f'<h3>{escape(title)}: {len(lines):,}</h3><div class="panels">{panels}</div>{and_more(lines)}'


def label(entry: Mapping[str, Any]) -> str:
    """Return grade and split of a photograph."""
    return f"grade {entry['grade']}, {SPLIT_WORDS[entry['split']]}"


def marked(picture: Image.Image | None, lost: float) -> Image.Image | None:
    """Return a copy of the picture with a line above the share of its rows that is lost."""
    if picture is None or not 0 < lost < 1:
        return picture
    copy = picture.convert("RGB")
    row, width = round((1 - lost) * copy.height), max(2, copy.height // 80)
    ImageDraw.Draw(copy).line([(0, row), (copy.width, row)], fill=LOST, width=width)
    return copy


def and_more(entries: Sequence[Any]) -> str:
    """Return how many are not shown."""
    rest = len(entries) - MOST_SHOWN
    return markup.paragraphs(f"And {rest:,} more in audit.json.", css="note") if rest > 0 else ""
