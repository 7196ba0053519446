"""Where what may be made again is kept, also for users without a home of their own."""

import functools
import os
from pathlib import Path

from dr_lib.config import CACHE_DIR
from dr_lib.storage.files import check_place, private_folder, with_home
from dr_lib.system.terminal import logger

log = logger("data")


def cache_folder(cache_dir: str, *, make: bool = True) -> Path:
    """Return the folder meant by the parameter ``cache_dir``, a leading ``~`` being the home on this machine.

    Where that is the default and cannot be written (a container's user has no home), it is a folder among the temporary
    files that only this user can read, and a line in the log says so. Raises :class:`InputError` where that one belongs
    to somebody else, where there is no home for another ``~``, and where a file is in the way.

    With ``make`` off nothing is written, and where neither is there it is the default.
    """
    if cache_dir != CACHE_DIR:
        folder = Path(with_home(cache_dir))
        check_place(folder, f"cache_dir {folder}", folder=True)
        return folder
    folder = Path(os.path.expanduser(cache_dir))
    if not str(folder).startswith("~") and _can_be_written(folder, make):
        return folder
    private = private_folder(make)
    if not private.exists():
        return folder
    _say_once(folder, private)
    return private


def _can_be_written(folder: Path, make: bool) -> bool:
    try:
        if make:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


@functools.cache
def _say_once(folder: Path, private: Path) -> None:
    log.warning("cache_dir %s: cannot be written; %s is used instead", folder, private)
