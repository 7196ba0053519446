"""Where what may be made again is kept, also for users without a home of their own."""

import functools
import logging
import os
from pathlib import Path

from dr_lib.config import CACHE_DIR
from dr_lib.errors import InputError
from dr_lib.files import private_folder

log = logging.getLogger("dr_lib.data")


def cache_folder(cache_dir: str) -> Path:
    """Return the folder meant by the parameter ``cache_dir``, a leading ``~`` being the home on this machine.

    Where that is the default and cannot be written (a container's user has no home), it is a folder among the temporary
    files that only this user can read, and a line in the log says so. Raises :class:`InputError` where that one belongs
    to somebody else, and where there is no home for another ``~``.
    """
    folder = Path(os.path.expanduser(cache_dir))
    has_home = not str(folder).startswith("~")
    if cache_dir != CACHE_DIR:
        if not has_home:
            raise InputError(f"cache_dir {cache_dir}: there is no such home folder; write the whole path")
        return folder
    if has_home and _can_be_written(folder):
        return folder
    private = private_folder()
    _say_once(folder, private)
    return private


def _can_be_written(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


@functools.cache
def _say_once(folder: Path, private: Path) -> None:
    log.warning("cache_dir %s: cannot be written; %s is used instead", folder, private)
