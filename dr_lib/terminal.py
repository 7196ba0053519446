"""Text from outside, such as names of files, for a terminal and its log."""


def printable(text: object) -> str:
    """Return text for one line: what a terminal would obey, and bytes that are no text, are written as escapes."""
    text = str(text).encode("utf-8", "backslashreplace").decode()
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
