"""A file of JSON lines that only grows: what was found so far survives whatever happens to the process."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dr_lib.files import naming, write_text

log = logging.getLogger("dr_lib.data")


class Journal:
    """Entries by key, the last one of a key counting; the first line says what all entries rest on.

    Lines are appended in one write each, so a kill leaves at most one torn line at the end, which is passed over.
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
                self._entries = self._parse(self.path.read_text())
                self._seen = (state.st_size, state.st_mtime_ns)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, UnicodeDecodeError) as error:
            log.warning("%s: cannot be read (%s); what it held is found again", self.path, error)
            return {}
        return self._entries

    def _parse(self, text: str) -> dict[str, dict[str, Any]]:
        entries = {}
        for number, line in enumerate(text.splitlines()):
            try:
                key, entry = json.loads(line)
            except (ValueError, TypeError):
                continue  # torn by a kill
            if number == 0:
                if key != "basis" or entry != self.basis:
                    return {}
            else:
                entries[key] = entry
        return entries

    def append(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        """Add ``entries``, which win over earlier ones of the same keys."""
        if not self._begun():
            if self.path.exists():
                log.warning("%s: rests on other versions or is damaged; begun anew", self.path)
            write_text(self.path, _line("basis", self.basis))
        with naming(self.path), self.path.open("r+b") as stream:
            end = stream.seek(0, 2)
            stream.seek(end - 1)
            torn = stream.read(1) != b"\n"
            text = "".join(_line(key, entry) for key, entry in entries.items())
            stream.write(("\n" * torn + text).encode())

    def _begun(self) -> bool:
        try:
            with self.path.open() as stream:
                return stream.readline() == _line("basis", self.basis)
        except (OSError, UnicodeDecodeError):
            return False


def _line(key: str, entry: Mapping[str, Any]) -> str:
    return json.dumps([key, entry], allow_nan=False) + "\n"
