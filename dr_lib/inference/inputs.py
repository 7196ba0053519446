"""Which photographs are meant by what was typed: files, folders, or a list of paths."""

import codecs
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from dr_lib.data.signatures import SUFFIXES, is_photograph, kind_of_other_picture
from dr_lib.errors import InputError, closest_path

STDIN = "-"


def photographs_named(names: Iterable[Path], stdin: BinaryIO) -> list[Path]:
    """Return the photographs meant by ``names``, each once, in their order; ``-`` stands for the list in ``stdin``.

    A file is taken whatever it is called; of a folder, all the photographs in it and below it. Raises
    :class:`InputError` for what is not there, and where nothing is meant at all.
    """
    given: list[Path] = []
    for name in names:
        if str(name) == STDIN:
            given += _listed(stdin.read())
        else:
            given.append(name)
    missing = [path for path in given if not path.exists()]
    if missing:
        more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(
            f"{missing[0]}: no such file or folder{more}{closest_path(missing[0])}; give the paths of photographs"
        )
    matches = (photograph for path in given for photograph in (photographs_in(path) if path.is_dir() else [path]))
    photographs = list(dict.fromkeys(matches))
    if not photographs:
        where = ", ".join(map(str, given)) or "the list on standard input"
        raise InputError(f"{where}: no photographs there; they end in {', '.join(SUFFIXES)}")
    return photographs


def _listed(data: bytes) -> list[Path]:
    """Return the paths of a list: separated by NUL, as ``find -print0`` does, else one a line, of any line end.

    A line may be in quotes and have blanks around it; where a file has just the name that stands there, that counts.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        data = data.decode("utf-16", "replace").encode()
    data = data.removeprefix(codecs.BOM_UTF8)
    if b"\0" in data:
        return [Path(os.fsdecode(name)) for name in data.split(b"\0") if name.strip()]
    return [_meant(os.fsdecode(line)) for line in re.split(rb"\r?\n|\r", data) if line.strip()]


def _meant(line: str) -> Path:
    name = line.strip()
    unquoted = name[1:-1] if len(name) > 2 and name[0] == name[-1] and name[0] in "\"'" else name
    choices = [Path(text) for text in (line, name, unquoted, os.path.expanduser(unquoted))]
    return next((path for path in choices if path.exists()), choices[-1])


def photographs_in(folder: Path) -> Iterator[Path]:
    """Yield the photographs in ``folder`` and below, in order of names, hidden ones left out.

    Pictures that end otherwise are among them, those of kinds that cannot be read here, too, as HEIC: what becomes of
    them is said of each. Raises :class:`InputError` for a folder that cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be listed ({error.strerror}); see to it that you may read it")

    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(parent, name)
            if not name.startswith(".") and (is_photograph(name) or kind_of_other_picture(path)):
                yield path
