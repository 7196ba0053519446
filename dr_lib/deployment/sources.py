"""Which photographs are meant by what was typed: files, folders, or a list of paths."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from dr_lib.data.photographs import SUFFIXES
from dr_lib.errors import InputError

STDIN = "-"


def photographs_named(names: Iterable[Path], stdin: BinaryIO) -> list[Path]:
    """Return the photographs meant by ``names``, each once, in their order; ``-`` stands for the lines of ``stdin``.

    A file is taken whatever it is called; of a folder, all the photographs in it and below it. Raises
    :class:`InputError` for what is not there, and where nothing is meant at all.
    """
    given: list[Path] = []
    for name in names:
        if str(name) == STDIN:
            given += [Path(os.fsdecode(line)) for line in stdin.read().splitlines() if line.strip()]
        else:
            given.append(name)
    missing = [path for path in given if not path.exists()]
    if missing:
        more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(f"{missing[0]}: no such file or folder{more}; give the paths of photographs")
    found = (photograph for path in given for photograph in (photographs_in(path) if path.is_dir() else [path]))
    photographs = list(dict.fromkeys(found))
    if not photographs:
        where = ", ".join(map(str, given)) or "the list on standard input"
        raise InputError(f"{where}: no photographs there; they end in {', '.join(SUFFIXES)}")
    return photographs


def photographs_in(folder: Path) -> Iterator[Path]:
    """Yield the files in ``folder`` and below that end as photographs do, in order of names, hidden ones left out."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield Path(parent, name)
