"""Text in CSV that a spreadsheet would take for a formula gets an apostrophe before it (OWASP, CSV injection)."""

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""Also with apostrophes before it, so that taking one away gives back every text as it was."""


def as_cell(text: str) -> str:
    """Return text as a cell holds it: as it is, or with an apostrophe before what may be a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def from_cell(cell: str) -> str:
    """Return the text that :func:`as_cell` made a cell of."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
