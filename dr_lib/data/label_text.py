"""The rows of a label file in whatever encoding it came, or of an Excel workbook; or what the file is instead."""

import codecs
import csv
import io
import re
import unicodedata
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dr_lib.errors import InputError, closest_path
from dr_lib.storage.bounded_read import check_regular
from dr_lib.system.terminal import logger

log = logger("data")

_SHEET, _ARCHIVE = "save its sheet as CSV", "unpack it"
_WORKBOOK = f"an Excel workbook; {_SHEET}"
_ZIPPED = {
    "xl/": _WORKBOOK,
    "content.xml": f"a spreadsheet; {_SHEET}",
    "": f"a ZIP archive; {_ARCHIVE}",
}
_KINDS = {
    b"\xd0\xcf\x11\xe0": f"an Excel workbook of the old kind; {_SHEET}, or as .xlsx",
    b"\x1f\x8b": f"a gzip archive; {_ARCHIVE}",
    b"PAR1": "a Parquet table; save it as CSV",
}
"""What files of other kinds are, by their first bytes, and what to do about it."""

MOST_UNPACKED = 2_000_000_000
"""Bytes that a workbook may unpack to; a hostile one of a few kilobytes unpacks to more than any memory."""

OTHER_SUFFIXES = (".xls", ".ods", ".zip", ".gz", ".parquet")
"""Endings under which labels are met that have to be saved or unpacked first."""

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: ("utf-8-sig", ""),
    codecs.BOM_UTF32_LE: ("utf-32", "UTF-32"),  # begins with the mark of UTF-16
    codecs.BOM_UTF32_BE: ("utf-32", "UTF-32"),
    codecs.BOM_UTF16_LE: ("utf-16", "UTF-16"),
    codecs.BOM_UTF16_BE: ("utf-16", "UTF-16"),
}
_NOT_IN_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


Rows = list[tuple[int, list[str]]]
"""The rows of a table that are not blank, with the number of their last line; cells without the space around them."""


def read_rows(path: Path, sheet: str = "") -> tuple[Rows, str]:
    """Return the rows of a label file, and its encoding where that is not UTF-8, which is logged.

    Columns may be parted by comma, semicolon, tab or bar, or by blanks in a ``.txt``; the file may be an Excel
    workbook, of which ``sheet`` is read. Raises :class:`InputError` where it is missing, empty or no table.
    """
    rows: Rows = []
    try:
        check_regular(path)  # a pipe would be waited for without end
        kind = other_kind(path)
        if kind == _WORKBOOK:
            rows, encoding = _read_workbook(path, sheet), ""
        elif kind:
            raise InputError(f"{path}: is {kind}")
        else:
            text, encoding = _decode(path, path.read_bytes())
            if encoding:
                log.warning(
                    "%s: read as %s, since it is not UTF-8; where names are garbled, save it as UTF-8", path, encoding
                )
            rows = _read_delimited(path, text)
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file{closest_path(path)}; put the labels there or choose another form with labels"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    if not rows:
        raise InputError(f"{path}: empty; needs one line a photograph")
    return rows, encoding


def first_row(path: Path) -> list[str]:
    """Return the first row of a label file, of which no more than the beginning is read; empty where it is no table."""
    try:
        check_regular(path)
        if kind := other_kind(path):
            return read_rows(path)[0][0][1] if kind == _WORKBOOK else []
        with path.open("rb") as file:
            data = file.read(1 << 16)
        if len(data) == 1 << 16:  # whole lines; in UTF-16 a zero may follow the end of one
            end = data.rfind(b"\n") + 1
            data = data[: end + end % 2] if b"\0" in data else data[:end]
        rows = _read_delimited(path, _decode(path, data)[0])
    except (InputError, OSError):
        return []
    return rows[0][1] if rows else []


def _read_delimited(path: Path, text: str) -> Rows:
    if text[:4].lower() == "sep=":  # written for Excel, and no row
        text = "\n" + text.partition("\n")[2]
    first = text.lstrip().partition("\n")[0]
    delimiter = max(",;\t|", key=first.count)
    if path.suffix.lower() == ".txt" and not first.count(delimiter):
        return [
            (number, line.rsplit(None, 1)) for number, line in enumerate(text.splitlines(), start=1) if line.strip()
        ]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: Rows = []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                rows.append((reader.line_num, cells))
    except csv.Error as error:
        raise InputError(f"{path} line {reader.line_num}: not CSV ({error}); save it as CSV again") from None
    return rows


def _read_workbook(path: Path, sheet: str) -> Rows:
    """Return the rows of a workbook's ``sheet``, or of its only one that is not empty."""
    try:
        import openpyxl
    except ImportError:
        raise InputError(f"{path}: is {_WORKBOOK}, or install openpyxl (pip install 'dr-lab[excel]')") from None
    try:
        with zipfile.ZipFile(path) as parts:
            if sum(part.file_size for part in parts.infolist()) > MOST_UNPACKED:
                raise InputError(f"{path}: is {_WORKBOOK}: it unpacks to more than {MOST_UNPACKED / 1e9:.0f} GB")
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        try:
            sheets = {one.title: _sheet_rows(one.iter_rows(values_only=True)) for one in book.worksheets}
        finally:
            book.close()
    except InputError:
        raise
    except Exception as error:  # openpyxl raises whatever its XML parser and its own classes do
        raise InputError(f"{path}: is {_WORKBOOK}: openpyxl cannot read it ({error})") from None
    if sheet:
        if sheet not in sheets:
            raise InputError(f"{path}: has no sheet {sheet!r}; it has {', '.join(map(repr, sheets))}")
        return sheets[sheet]
    filled = {title: rows for title, rows in sheets.items() if rows}
    if len(filled) > 1:
        first, second = list(filled)[:2]
        raise InputError(
            f"{path}: sheets {', '.join(map(repr, filled))}; choose one with labels_file: {path.name}#{first} or "
            f"{path.name}#{second}"
        )
    return next(iter(filled.values()), [])


def _sheet_rows(rows: Iterable[tuple[Any, ...]]) -> Rows:
    numbered = ((number, [_cell_text(value) for value in row]) for number, row in enumerate(rows, start=1))
    return [(number, cells) for number, cells in numbered if any(cells)]


def _cell_text(value: Any) -> str:
    """Return a cell as CSV has it: Excel keeps every number as a float."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else unicodedata.normalize("NFC", str(value)).strip()


def _decode(path: Path, data: bytes) -> tuple[str, str]:
    """Return the text of ``data``, letters with their accents, and its encoding where that is not UTF-8."""
    codec, called = _encoding(data)
    try:
        text = data.decode(codec)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: no text in UTF-8 or {called or codec} ({error}); save it as CSV in UTF-8") from None
    if _NOT_IN_TEXT.search(text):
        raise InputError(f"{path}: no text, but bytes of some other kind; save it as CSV in UTF-8")
    # Some write an accent as a character of its own, which would make two names, or two patients, of one.
    return unicodedata.normalize("NFC", text), called


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
