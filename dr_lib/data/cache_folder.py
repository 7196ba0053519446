"""Where what may be made again is kept, also for users without a home of their own."""

import functools
import logging
import os
import stat
import tempfile
from pathlib import Path

from dr_lib.config import RunConfig
from dr_lib.errors import InputError

log = logging.getLogger("dr_lib.data")


def cache_folder(cache_dir: str) -> Path:
    """Return the folder meant by the parameter ``cache_dir``.

    Where that is the default and cannot be written (a container's user has no home), it is a folder among the temporary
    files that only this user can read, and a line in the log says so. Raises :class:`InputError` where that one belongs
    to somebody else.
    """
    folder = Path(cache_dir).expanduser()
    if folder != Path(RunConfig.model_fields["cache_dir"].default).expanduser() or _can_be_written(folder):
        return folder
    private = Path(tempfile.gettempdir()) / f"dr-lab-{os.getuid()}"
    private.mkdir(mode=0o700, exist_ok=True)
    found = private.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise InputError(f"{private}: is not yours alone; set cache_dir to a folder of yours")
    _say_once(folder, private)
    return private


def _can_be_written(folder: Path) -> bool:
    there = next(place for place in (folder, *folder.parents) if place.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


@functools.cache
def _say_once(folder: Path, private: Path) -> None:
    log.warning("cache_dir %s: cannot be written; %s is used instead", folder, private)
