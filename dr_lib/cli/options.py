"""Options that several commands take."""

import os
from pathlib import Path
from typing import Annotated

import typer

from dr_lib.errors import InputError
from dr_lib.storage.files import check_place

DataFile = Annotated[
    Path, typer.Option("--data", metavar="FILE", help="params file that says where the photographs are")
]
Assignments = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="a parameter, over all files; repeatable")
]


def check_output(path: Path, *, folder: bool, called: str = "--out ") -> None:
    """Raise :class:`InputError` where an output cannot be written, before there is work that would be lost.

    ``folder``: whether ``path`` is to be a folder or a file. ``called``: what comes before it in messages.
    """
    where = f"{called}{path}"
    place = check_place(path, where, folder=folder)
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"{where}: {place} cannot be written; choose another folder")
    disk = os.statvfs(place)
    if disk.f_blocks and not disk.f_bavail:
        raise InputError(f"{where}: no space is left on the disk of {place}; make room, or choose another folder")
