"""A file of JSON lines that only grows: what was found so far survives whatever happens to the process.

SQLite would do as much, with locks that disks of networks do not keep, and no text for people to look into.
"""

import json
import zlib
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from dr_lib.storage.files import naming, write_bytes
from dr_lib.system.terminal import logger

log = logger("data")

_PARSED_AT_ONCE = 1000


class JsonlLog:
    """Entries by key, the last one of a key counting; the first line says what all entries rest on.

    Lines are appended in one write each, so a kill leaves at most one torn line at the end. Each ends with its
    CRC-32; what does not fit it, torn, damaged or of another kind, is passed over.
    Where ``basis`` (JSON-able) is not what the first line says, the file is begun anew. Only one process may
    :meth:`append` at a time.
    """

    def __init__(self, path: Path, basis: Mapping[str, Any]):
        self.path = path
        self.basis = json.loads(json.dumps(dict(basis)))
        self._seen: tuple[int, int] | None = None
        self._entries: dict[str, dict[str, Any]] = {}

    def read(self) -> dict[str, dict[str, Any]]:
        """Return the entries by key, not to be changed; empty where there is no journal on this basis."""
        try:
            state = self.path.stat()
            if (state.st_size, state.st_mtime_ns) != self._seen:
                with self.path.open("rb") as stream:
                    self._entries = self._parse(stream)
                self._seen = (state.st_size, state.st_mtime_ns)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            log.warning("%s: cannot be read (%s); what it held is found again", self.path, error)
            return {}
        return self._entries

    def _parse(self, lines: Iterator[bytes]) -> dict[str, dict[str, Any]]:
        if next(lines, b"") != _line("basis", self.basis):
            return {}
        parts = (line.rstrip(b"\n").rpartition(b", ") for line in lines)
        sound = (text for text, _, crc in parts if crc == b"%d]" % zlib.crc32(text))
        entries: dict[str, dict[str, Any]] = {}
        # Many at once: the parser then keeps one copy of the names in them, which weigh as much as the values.
        while batch := list(islice(sound, _PARSED_AT_ONCE)):
            entries.update(json.loads(b"[%s]]" % b"],".join(batch)))
        return entries

    def append(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        """Add ``entries``, which win over earlier ones of the same keys."""
        if not self._begun():
            if self.path.exists():
                log.warning("%s: rests on other versions or is damaged; begun anew", self.path)
            self.begin()
        with naming(self.path), self.path.open("r+b") as stream:
            end = stream.seek(0, 2)
            stream.seek(end - 1)
            torn = stream.read(1) != b"\n"
            stream.write(b"\n" * torn + b"".join(_line(key, entry) for key, entry in entries.items()))

    def begin(self) -> None:
        """Have a journal without entries, whatever was there."""
        write_bytes(self.path, _line("basis", self.basis))

    def _begun(self) -> bool:
        try:
            with self.path.open("rb") as stream:
                return stream.readline() == _line("basis", self.basis)
        except OSError:
            return False


def _line(key: str, entry: Mapping[str, Any]) -> bytes:
    text = json.dumps([key, entry], allow_nan=False)[:-1].encode()
    return b"%s, %d]\n" % (text, zlib.crc32(text))
