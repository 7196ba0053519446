"""What people see in a terminal: text from outside made harmless, a console, nothing once nobody reads."""

import logging
import os
from collections.abc import Callable
from numbers import Number
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

_LONGEST_LINE = 1500
"""Letters of a message; the beginning says where, the end what is wrong."""


def printable(text: object) -> str:
    """Return text for one line: what a terminal would obey, and bytes that are no text, are written as escapes."""
    text = str(text).encode("utf-8", "backslashreplace").decode()
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def one_line(text: object) -> str:
    """Return a message as one :func:`printable` line; of one that quotes something endless, the middle is left out."""
    line = printable(" ".join(str(text).split()))
    half = _LONGEST_LINE // 2
    return line if len(line) <= _LONGEST_LINE else f"{line[:half]} [...] {line[-half:]}"


def printable_lines(text: object) -> str:
    """Return text of several lines, each :func:`printable`."""
    return "\n".join(map(printable, str(text).split("\n")))


def counted(n: int, noun: str) -> str:
    """Return ``1 photograph`` or ``7,026 photographs``."""
    return f"{n:,} {noun}" + "s" * (n != 1)


def say(text: object, file: TextIO | None = None) -> None:
    """Print one line, on standard output where no ``file`` is given."""
    print(printable(text), file=file)


def logger(part: str) -> logging.Logger:
    """Return the logger ``dr_lib.<part>``: what stands for ``%s`` in its messages is :func:`printable`."""
    log = logging.getLogger(f"dr_lib.{part}")
    log.addFilter(_plain)  # once, however often it is asked for
    return log


def _plain(record: logging.LogRecord) -> bool:
    plain: Callable[[Any], Any] = lambda value: value if isinstance(value, Number) else printable(value)  # noqa: E731
    record.args = tuple(map(plain, record.args)) if isinstance(record.args, tuple) else plain(record.args)
    return True


def silence(descriptor: int) -> None:
    """Let what is written to a stream from now on go nowhere: its reader has left, or it is full."""
    with open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), descriptor)


class PlainConsole(Console):
    """A console of rich that takes no text for markup or emoji, and lets none steer the terminal."""

    def __init__(self) -> None:
        super().__init__(highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return text to print; rich calls this for every one."""
        return super().render_str(printable_lines(text), **options)
