"""The files of a data folder, listed once: photographs, tables, and all else by kind."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from dr_lib.data.label_text import OTHER_SUFFIXES
from dr_lib.data.signatures import is_photograph, kind_of_other_picture
from dr_lib.errors import InputError

TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".xlsx")
"""What tables of labels may end with, in any case."""

HIDDEN, HIDDEN_FOLDERS = "hidden or system files", "hidden folders, not entered"
LINKED_FOLDERS, NAMED_FOLDERS = "links to folders listed elsewhere", "folders named like photographs"
DANGLING, SPECIAL, OTHER_PICTURES = "links that lead to no file", "no regular files", "pictures of other kinds"
TABLES, OTHERS = "tables that are not read", "other files"

_SYSTEM = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
"""What Windows and macOS leave in folders, beside names that begin with a dot."""


@dataclass(frozen=True)
class Folder:
    """What is below a data folder; all names are relative to it, with ``/``.

    ``photographs`` and ``tables``: names in order. ``ignored``: other entries by kind, such as :data:`HIDDEN`.
    ``other_pictures``: what each picture of another kind is. ``aliases``: links to folders, and the folder meant.
    """

    path: Path
    photographs: list[str] = field(default_factory=list, repr=False)
    tables: list[str] = field(default_factory=list, repr=False)
    arrays: list[str] = field(default_factory=list, repr=False)
    ignored: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list), repr=False)
    other_pictures: dict[str, str] = field(default_factory=dict, repr=False)
    aliases: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def entries(self) -> int:
        """How many files there are, with the folders that are not entered or are named like photographs."""
        listed = len(self.photographs) + len(self.tables) + len(self.arrays)
        return listed + sum(len(names) for names in self.ignored.values())

    def named(self, name: str) -> str:
        """Return the table of this name: spelled so, or alone in differing by case, or as TSV from CSV; else nothing.

        Of tables in several folders it is the one nearest to the top.
        """
        stem = PurePosixPath(name).stem.lower()
        alike = shallowest([table for table in self.tables if PurePosixPath(table).stem.lower() == stem])
        same = [table for table in alike if PurePosixPath(table).name == name]
        # A text of this name, such as train.txt, is another table; TSV and xlsx are other ways to save it.
        alike = same or [table for table in alike if not table.lower().endswith(".txt")]
        if len(alike) > 1:
            paths = " or ".join(str(self.path / table) for table in alike)
            raise InputError(f"{self.path / name}: {paths}? Rename one, or choose it with labels_file")
        return alike[0] if alike else ""

    def real(self, folder: str) -> str:
        """Return ``folder`` with links to folders that are listed elsewhere followed."""
        for link, meant in self.aliases.items():
            if folder == link or folder.startswith(link + "/"):
                return f"{meant}/{folder[len(link) + 1 :]}".strip("/")
        return folder


def list_folder(path: Path) -> Folder:
    """Return what is below ``path``; each folder is listed once, a link to one that is listed anyway is not entered.

    Links may lead out of ``path``: whoever made the folder has put them there. Raises :class:`InputError` for a
    folder that cannot be listed.
    """
    folder = Folder(path)
    waiting, links = [""], list[str]()
    listed: dict[str, str] = {}  # folders by their real path
    while waiting or links:
        if waiting:
            name = waiting.pop()
        else:  # links come last, so that photographs have the names of the folders that they are in
            name = links.pop()
            real = os.path.realpath(path / name)
            if real in listed:
                folder.aliases[name] = listed[real]
                folder.ignored[LINKED_FOLDERS].append(name)
                continue
        listed[os.path.realpath(path / name)] = name
        below = sorted(_entries(path / name), key=lambda entry: entry.name, reverse=True)
        prefix = f"{name}/" if name else ""
        for entry in below:
            link = entry.is_symlink() and os.path.isdir(path / prefix / entry.name)  # entry.is_dir() raises for a ring
            if link or entry.is_dir(follow_symlinks=False):
                if entry.name.startswith("."):
                    folder.ignored[HIDDEN_FOLDERS].append(prefix + entry.name)
                    continue
                if is_photograph(entry.name):
                    folder.ignored[NAMED_FOLDERS].append(prefix + entry.name)
                (links if link else waiting).append(prefix + entry.name)
            else:
                _add(folder, prefix + entry.name, entry)
    for names in (folder.photographs, folder.tables, folder.arrays, *folder.ignored.values()):
        names.sort()
    return replace(folder, other_pictures=dict(sorted(folder.other_pictures.items())))


def _add(folder: Folder, name: str, entry: os.DirEntry) -> None:
    suffix = os.path.splitext(entry.name)[1].lower()
    # Asking the entry costs no call to the system, which following a link needs.
    if not (entry.is_file(follow_symlinks=False) or os.path.isfile(folder.path / name)):
        folder.ignored[DANGLING if entry.is_symlink() else SPECIAL].append(name)
    elif entry.name.startswith(".") or entry.name.lower() in _SYSTEM:
        folder.ignored[HIDDEN].append(name)
    elif is_photograph(entry.name):
        folder.photographs.append(name)
    elif suffix in TABLE_SUFFIXES:
        folder.tables.append(name)
    elif suffix == ".npz":
        folder.arrays.append(name)
    elif kind := kind_of_other_picture(folder.path / name):
        folder.other_pictures[name] = kind
        folder.ignored[OTHER_PICTURES].append(name)
    else:
        folder.ignored[TABLES if suffix in OTHER_SUFFIXES else OTHERS].append(name)


def shallowest(names: list[str]) -> list[str]:
    """Return those names that are in the folder nearest to the top, or in several at the same depth."""
    depth = min((name.count("/") for name in names), default=0)
    return [name for name in names if name.count("/") == depth]


def composed(name: str) -> str:
    """Return ``name`` in the form of Unicode that labels are read in; macOS writes names in another."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def folded(name: str) -> str:
    """Return what names that differ in case or form of Unicode alone have in common."""
    return name.lower() if name.isascii() else composed(composed(name).casefold())


def _entries(folder: Path) -> Iterator[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed ({error.strerror}); see to it that you may read it") from None
