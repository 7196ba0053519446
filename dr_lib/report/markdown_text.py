"""Text as Markdown shows it and nothing else: no tag, no formula, no link, no end of a table's cell."""

import re

_ACTIVE = re.compile(
    r"[\\`*\[\]<|~$]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # within a word it is a letter
    r"|&(?=#?\w+;)"
    r"|(?<=:)/(?=/)|(?<=www)\.",  # addresses become links by themselves
    re.IGNORECASE,
)
_AT_THE_START = re.compile(r"^(\s*)(?=>|#{1,6}(?:\s|$)|[-+](?:\s|$)|-[-\s]*$|=+\s*$)|^(\s*\d+)(?=[.)](?:\s|$))")
_BACKTICKS = re.compile(r"`+")


def escape_text(text: str) -> str:
    """Return ``text`` with what Markdown would read as markup escaped, blanks and line ends as they are."""
    return _AT_THE_START.sub(r"\g<0>\\", _ACTIVE.sub(r"\\\g<0>", text))


def heading(text: str) -> str:
    """Return ``text`` as a heading of the first level, also where formulas stand between ``\\\\(`` and ``\\\\)``."""
    escaped = escape_text(one_line(text)).replace(r"\\", "&#92;")
    return "# " + re.sub(r"(?<!\\)#(?=#*$)", r"\#", escaped)


def one_line(text: str) -> str:
    """Return ``text`` with every run of blanks and line ends as one blank."""
    return " ".join(text.split())


def code(text: str, *, in_table: bool = False) -> str:
    """Return ``text`` as code within a line; in a table the bars that would end a cell are escaped."""
    text = one_line(text)
    if not text:
        return ""
    ticks = "`" * (_longest_run(text) + 1)
    air = " " if "`" in text else ""
    found = f"{ticks}{air}{text}{air}{ticks}"
    return found.replace("|", r"\|") if in_table else found


def fenced(text: str) -> str:
    """Return ``text`` as a block of its own, letter for letter; nothing for no text."""
    if not text.strip():
        return ""
    ticks = "`" * max(3, _longest_run(text) + 1)
    return f"{ticks}text\n{text}\n{ticks}"


def _longest_run(text: str) -> int:
    return max(map(len, _BACKTICKS.findall(text)), default=0)
