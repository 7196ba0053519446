"""What commands print with where color or a table is wanted."""

from typing import Any

from rich.console import Console
from rich.text import Text

from dr_lib.system.terminal import printable_lines


class PlainConsole(Console):
    """A console of rich that takes no text for markup or emoji, and lets none steer the terminal."""

    def __init__(self) -> None:
        super().__init__(highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return text to print; rich calls this for every one."""
        return super().render_str(printable_lines(text), **options)
