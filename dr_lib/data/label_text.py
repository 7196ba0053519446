"""The text of a label file in whatever encoding it came, or what the file is instead of text."""

import codecs
import re
import unicodedata
import zipfile
from pathlib import Path

from dr_lib.errors import InputError
from dr_lib.storage.bounded_read import check_regular
from dr_lib.system.terminal import logger

log = logger("data")

_SHEET, _ARCHIVE = "save its sheet as CSV", "unpack it"
_ZIPPED = {
    "xl/": f"an Excel workbook; {_SHEET}",
    "content.xml": f"a spreadsheet; {_SHEET}",
    "": f"a ZIP archive; {_ARCHIVE}",
}
_KINDS = {
    b"\xd0\xcf\x11\xe0": f"an Excel workbook; {_SHEET}",
    b"\x1f\x8b": f"a gzip archive; {_ARCHIVE}",
    b"PAR1": "a Parquet table; save it as CSV",
}
"""What files of other kinds are, by their first bytes, and what to do about it."""

OTHER_SUFFIXES = (".xlsx", ".xls", ".ods", ".zip", ".gz", ".parquet")
"""Endings under which labels are met that have to be saved or unpacked first."""

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: ("utf-8-sig", ""),
    codecs.BOM_UTF32_LE: ("utf-32", "UTF-32"),  # begins with the mark of UTF-16
    codecs.BOM_UTF32_BE: ("utf-32", "UTF-32"),
    codecs.BOM_UTF16_LE: ("utf-16", "UTF-16"),
    codecs.BOM_UTF16_BE: ("utf-16", "UTF-16"),
}
_NOT_IN_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


def read_text(path: Path) -> str:
    """Return the text of a label file, letters with their accents; an encoding other than UTF-8 is logged.

    Raises :class:`InputError` where the file is missing, or is no text, with what it is.
    """
    try:
        check_regular(path)  # a pipe would be waited for without end
        kind = other_kind(path)
        data = b"" if kind else path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; put the labels there or choose another form with labels") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if kind:
        raise InputError(f"{path}: is {kind}")
    codec, called = _encoding(data)
    try:
        text = data.decode(codec)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: no text in UTF-8 or {called or codec} ({error}); save it as CSV in UTF-8") from None
    if _NOT_IN_TEXT.search(text):
        raise InputError(f"{path}: no text, but bytes of some other kind; save it as CSV in UTF-8")
    if called:
        log.warning("%s: read as %s, since it is not UTF-8; where names are garbled, save it as UTF-8", path, called)
    # Some write an accent as a character of its own, which would make two names, or two patients, of one.
    return unicodedata.normalize("NFC", text)


def other_kind(path: Path) -> str:
    """Return what a file that is no text is, and what to do about it; empty for what may be text."""
    with path.open("rb") as file:
        head = file.read(4)
        if head == b"PK\x03\x04":
            try:
                names = zipfile.ZipFile(file).namelist()
            except (zipfile.BadZipFile, ValueError):
                names = []
            return next(kind for part, kind in _ZIPPED.items() if any(name.startswith(part) for name in ["", *names]))
    return next((kind for start, kind in _KINDS.items() if head.startswith(start)), "")


def _encoding(data: bytes) -> tuple[str, str]:
    """Return Python's name for the encoding of ``data``, and what it is called where it is not UTF-8."""
    for mark, found in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return found
    # Without a mark: in UTF-16, every second byte of Latin letters, digits and commas is 0.
    for codec, zeros, others in (("utf-16-le", data[1::2], data[::2]), ("utf-16-be", data[::2], data[1::2])):
        if 2 * zeros.count(0) > len(zeros) and not others.count(0):
            return codec, "UTF-16"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252", "Windows-1252"
    return "utf-8", ""
