"""What a terminal and its log get: text from outside made harmless, and nothing once nobody reads."""

import os


def printable(text: object) -> str:
    """Return text for one line: what a terminal would obey, and bytes that are no text, are written as escapes."""
    text = str(text).encode("utf-8", "backslashreplace").decode()
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def silence(descriptor: int) -> None:
    """Let what is written to a stream from now on go nowhere: its reader has left, or it is full."""
    with open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), descriptor)
