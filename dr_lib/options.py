"""Options that several commands take."""

import os
from pathlib import Path
from typing import Annotated

import typer

from dr_lib.errors import InputError

DataFile = Annotated[
    Path, typer.Option("--data", metavar="FILE", help="params file that says where the photographs are")
]
Assignments = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="a parameter, over all files; repeatable")
]

_LONGEST_NAME = 240
"""Bytes of one file's name: nearly every file system takes 255, and files are first written under a longer one."""


def check_output(path: Path, *, folder: bool) -> None:
    """Raise :class:`InputError` where ``--out`` cannot be written, before there is work that would be lost.

    ``folder``: whether ``path`` is to be a folder or a file.
    """
    where = f"--out {path}"
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in path.parts):
        raise InputError(f"{where}: a name in it is too long; choose one of up to {_LONGEST_NAME} bytes")
    if not folder and path.is_dir():
        raise InputError(f"{where}: is a folder; give the name of a file in it")
    place = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
    if place.is_dir():
        if not os.access(place, os.W_OK | os.X_OK):
            raise InputError(f"{where}: {place} cannot be written; choose another folder")
    elif folder or place != path.absolute():
        raise InputError(f"{where}: {place} is a file; choose another folder")
