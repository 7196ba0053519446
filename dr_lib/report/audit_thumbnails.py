"""Pictures of an audit: photographs with a few words below, in rows and in groups of those that belong together.

A photograph is given as ``entry``, a mapping with its ``image`` (name), ``grade`` and ``split``. ``thumbnail`` gives
its picture by its name, the whole frame as it is used, a few hundred pixels wide; None where there is none.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

from PIL import Image, ImageDraw, ImageOps

from dr_lib.report import markup
from dr_lib.report.formatting import SPLIT_WORDS
from dr_lib.system.terminal import printable

Thumbnail = Callable[[str], Image.Image | None]

MOST_SHOWN = 24
"""Pictures, or groups of them, that a section shows; the others are in ``audit.json``."""

LOST = (217, 58, 48)
"""Color of the line above the rows that are lost."""

SIDE = 110
"""Side of a picture on the page, px; the style of ``.thumbnail`` has it, too."""


def thumbnail_html(image: str, lines: Iterable[str], picture: Image.Image | None, seen: str) -> str:
    """Return a picture with its name and ``lines`` below; ``seen`` says to those who do not see it what it shows."""
    square = ImageOps.pad(picture.convert("RGB"), (2 * SIDE, 2 * SIDE)) if picture else None
    html = markup.photograph(square, f"{printable(image)}, {seen}", SIDE) if square else ""
    below = "".join(f'<span class="sub">{escape(line)}</span>' for line in lines if line)
    return f'<div class="shot">{html}{escape(printable(image))}{below}</div>'


def beside(shots: Iterable[str]) -> str:
    """Return shots beside each other, in as many rows as they need; nothing for none."""
    html = "".join(shots)
    return f'<div class="shots">{html}</div>' if html else ""


def samples(images: Sequence[str], grade: int, thumbnail: Thumbnail) -> str:
    """Return those photographs of a grade that have a picture."""
    pictures = {image: picture for image in images if (picture := thumbnail(image))}
    return beside(thumbnail_html(image, [], picture, f"grade {grade}") for image, picture in pictures.items())


def groups(lines: Sequence[tuple[str, Sequence[Mapping[str, Any]]]], thumbnail: Thumbnail, title: str) -> str:
    """Return photographs that belong together, each group under its line, all under a title that counts them."""
    if not lines:
        return ""
    panels = "".join(
        f'<div class="panel"><p class="panel-title">{escape(line)}</p>'
        + beside(
            thumbnail_html(entry["image"], [label(entry)], thumbnail(entry["image"]), label(entry))
            for entry in entries[:MOST_SHOWN]
        )
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
