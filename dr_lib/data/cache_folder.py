"""Where what may be made again is kept, also for users without a home of their own; of a data folder, by one process.

The lock is the system's, so that nobody waits for a process that was killed.
"""

import functools
import glob
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dr_lib.config import CACHE_DIR
from dr_lib.errors import InputError
from dr_lib.storage.files import check_place, naming, private_folder, with_home, write_text
from dr_lib.system.posix import lock_file
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


@dataclass(frozen=True, eq=False)
class ScanFolder:
    """The folder below ``cache_dir`` for the photographs of ``data_dir``, as these ``versions`` of decoders see them.

    Other versions have another folder, so that nobody writes where a run of theirs reads.
    """

    data_dir: Path
    cache_dir: Path
    versions: dict[str, str]

    @functools.cached_property
    def path(self) -> Path:
        return self.cache_dir / f"{self._stem}-{_digest(json.dumps(self.versions))}"

    @functools.cached_property
    def _stem(self) -> str:
        home = self.data_dir.resolve()
        return f"{home.name}-{_digest(str(home))}"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder's lock, which the system lets go of when its holder dies; wait for another holder."""
        lock = self.path / "lock"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.touch()
        except OSError as error:
            raise InputError(
                f"cache_dir {self.cache_dir}: cannot be written ({error.strerror}); set cache_dir to a folder of yours"
            ) from None
        with lock.open("a+", encoding="utf-8") as stream:
            try:
                lock_file(stream.fileno(), wait=False)
            except BlockingIOError:
                stream.seek(0)
                log.warning("process %s decodes these photographs; waiting for it", stream.read().strip() or "another")
                lock_file(stream.fileno(), wait=True)
            with naming(lock):
                stream.seek(0)
                stream.truncate()
                stream.write(str(os.getpid()))
                stream.flush()
            self._describe()
            yield

    def _describe(self) -> None:
        note = self.path / "README"
        if not note.exists():
            others = [folder for folder in self.cache_dir.glob(f"{glob.escape(self._stem)}*") if folder != self.path]
            if others:
                log.warning("%s: made with other versions of the decoders; remove it unless they are in use", others[0])
            versions = ", ".join(f"{name} {value}" for name, value in self.versions.items())
            about = f"What dr-lab keeps of the photographs in {self.data_dir.resolve()}, decoded with {versions}."
            write_text(note, f"{about} It may be deleted.\n")


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=4).hexdigest()
