"""The executed report as Markdown, for a repository: one ``report.md`` and its pictures beside it in ``figures/``."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dr_lib.report.formulas import slug
from dr_lib.report.markdown_html import Pictures, html_to_markdown
from dr_lib.report.markdown_text import escape_text, fenced
from dr_lib.report.render import SETUP_TAGS, alternative_text, as_left_on_screen, shown_type
from dr_lib.storage.files import write_bytes, write_text
from dr_lib.storage.folders import ExperimentFolder

_OWN_PICTURE = re.compile(r"\]\(figures/(\d{2,4}-[a-z0-9-]+\.(?:svg|jpg|png))\)")
_LONGEST_NAME = 48


class _Numbered(Pictures):
    """Pictures with names made of their number and what they show, whatever characters that has."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def keep(self, data: bytes, ending: str, shows: str) -> str:
        name = f"{len(self.files) + 1:02d}-{slug(shows)[:_LONGEST_NAME].strip('-')}.{ending}"
        self.files[name] = data
        return f"figures/{name}"


def write_markdown(notebook: Any, experiment: ExperimentFolder) -> None:
    """Write an executed notebook as ``report.md``, and its pictures into ``figures``.

    Pictures that the ``report.md`` before it showed and this one does not are removed; no other file is.
    """
    text, files = notebook_to_markdown(notebook)
    before = _pictures_of(experiment.report_markdown)
    for name, data in files.items():
        write_bytes(experiment.figures / name, data)
    write_text(experiment.report_markdown, text)
    for name in before - files.keys():
        (experiment.figures / name).unlink(missing_ok=True)


def notebook_to_markdown(notebook: Any) -> tuple[str, dict[str, bytes]]:
    """Return an executed notebook as Markdown, and its pictures by the names that it links to in ``figures/``.

    Text cells stay as they are, formulas in dollars included; of code cells the outputs are there and the code is not.
    """
    pictures = _Numbered()
    parts = [part.strip("\n") for cell in notebook.cells for part in _cell(cell, pictures)]
    return "\n\n".join(part for part in parts if part.strip()) + "\n", pictures.files


def _cell(cell: Any, pictures: Pictures) -> Iterator[str]:
    if cell.cell_type == "markdown":
        yield cell.source
    elif cell.cell_type == "code" and not SETUP_TAGS & set(cell.metadata.get("tags", [])):
        for output in cell.outputs:
            yield _output(cell, output, pictures)


def _output(cell: Any, output: Any, pictures: Pictures) -> str:
    if output.output_type == "stream":
        return fenced(as_left_on_screen(output.text))
    if output.output_type == "error":
        return fenced(f"{output.ename}: {output.evalue}")
    (kind,) = shown_type(output.data)
    data = output.data.get(kind, "")
    match kind:
        case "text/html":
            return html_to_markdown(data, pictures)
        case "text/markdown" | "text/latex":
            return data
        case "text/plain":
            return fenced(as_left_on_screen(data))
        case "image/svg+xml" | "image/png" | "image/jpeg":
            ending = {"image/svg+xml": "svg", "image/png": "png", "image/jpeg": "jpg"}[kind]
            content = data.encode() if ending == "svg" else base64.b64decode(data)
            shows = alternative_text(cell)
            return f"![{escape_text(shows)}]({pictures.keep(content, ending, shows)})"
    return ""


def _pictures_of(report: Path) -> set[str]:
    """Return the names of the pictures that an earlier report links to, as far as they are names of ours."""
    return set(_OWN_PICTURE.findall(report.read_text(encoding="utf-8"))) if report.exists() else set()
