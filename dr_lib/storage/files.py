"""Writing files so that a reader, or a crash, never meets half of one, and nothing of a killed process stays behind."""

import json
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from dr_lib.errors import InputError
from dr_lib.system.posix import lock_file

if TYPE_CHECKING:  # imported where a table is read or written
    import pandas as pd

_LONGEST_NAME = 240
"""Bytes of one file's name: nearly every file system takes 255, and files are first written under a longer one."""

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""What a spreadsheet would take for a formula (OWASP, CSV injection); also with apostrophes before it, so that taking
one away gives back every text as it was."""


def with_home(path: str) -> str:
    """Return a path with the home folder in the place of a leading ``~``, as shells have it.

    Raises :class:`InputError` where there is none.
    """
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        raise InputError(f"{path}: there is no such home folder; write the whole path")
    return expanded


def check_place(path: Path, where: str, *, folder: bool) -> Path:
    """Return the folder that is there of a ``folder``, or else file, to be written.

    Raises :class:`InputError` that begins with ``where`` for a name that is too long, and where something else is
    there.
    """
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in path.parts):
        raise InputError(f"{where}: a name in it is too long; choose one of up to {_LONGEST_NAME} bytes")
    if not folder and path.is_dir():
        raise InputError(f"{where}: is a folder; give the name of a file in it")
    place = next(place for place in (path.absolute(), *path.absolute().parents) if os.path.lexists(place))
    if not place.is_dir() and (folder or place != path.absolute()):
        raise InputError(f"{where}: {place} is a file; choose another folder")
    return place if place.is_dir() else place.parent


def write_with(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, flush it to the disk, and rename it into place.

    Raises :class:`OSError` that names ``path`` where the system refuses, also where ``write`` speaks of something else
    then: of a full disk torch says "unexpected pos 683968 vs 683864". What a killed process has left of the same file
    is removed.
    """
    outside = sys.exc_info()[1]
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix, suffix = beside_names(path)
    _remove_abandoned(path.parent, prefix, suffix)

    def make() -> tuple[int, Path]:
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=suffix)
        return handle, Path(beside)

    handle, beside = _make_ours(make)
    try:
        with os.fdopen(handle, "w+b") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
            # mkstemp makes files private; results are meant to be read by whoever may read the folder.
            os.chmod(beside, 0o644)
            os.replace(beside, path)  # while it is open, and so known to be in use
    except BaseException as error:
        beside.unlink(missing_ok=True)
        refused = _refusal(error, outside) if isinstance(error, Exception) else None
        if refused is None:
            raise
        raise OSError(refused.errno, refused.strerror, str(path)) from error


def _refusal(error: BaseException | None, outside: BaseException | None) -> OSError | None:
    """Return the system's own error that led to ``error``, None where there is none.

    ``outside``: what was being handled before, and has nothing to do with it.
    """
    while error is not None and error is not outside:
        if isinstance(error, OSError) and error.errno:
            return error
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have errors of the system in the block name ``path``, where they name no file, as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or not error.errno:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def new_folder(parent: Path, prefix: str, suffix: str = "") -> Iterator[Path]:
    """Give a new folder in ``parent``, private, and remove it at the end of the block, unless it was renamed.

    What killed processes have left under such names is removed.
    """
    _remove_abandoned(parent, prefix, suffix)

    def make() -> tuple[int, Path]:
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=prefix, suffix=suffix))
        try:
            return os.open(folder, os.O_RDONLY), folder
        except FileNotFoundError:  # taken for abandoned before it could be locked
            return make()

    handle, folder = _make_ours(make)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Give a new folder beside ``path``, for what is then renamed to it.

    Errors of the system in the block name ``path`` where they would name nothing, or a file in that folder.
    """
    prefix, suffix = beside_names(path)
    try:
        with new_folder(path.parent, prefix, suffix) as folder:
            yield folder
    except OSError as error:
        parts = Path(error.filename).parts if error.filename is not None else (prefix + suffix,)
        if not error.errno or not any(part.startswith(prefix) and part.endswith(suffix) for part in parts):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def beside_names(path: Path) -> tuple[str, str]:
    """Return how the names of files and folders begin and end that are made beside ``path``."""
    return f".{path.name}.", ".part"


def scratch_folder(parent: Path | None = None) -> AbstractContextManager[Path]:
    """Give a folder that lasts as long as the block, in the system's folder for such things or in ``parent``."""
    # Names that nobody would choose: those of killed processes are deleted.
    return new_folder(parent or Path(tempfile.gettempdir()), ".dr-lab-", ".scratch")


def private_folder(make: bool = True) -> Path:
    """Return this user's own folder among the temporary files; raises where that name is somebody else's."""
    private = Path(tempfile.gettempdir()) / f"dr-lab-{os.getuid()}"
    if make:
        private.mkdir(mode=0o700, exist_ok=True)
    elif not os.path.lexists(private):
        return private
    status = private.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise InputError(f"{private}: is not yours alone; set cache_dir to a folder of yours")
    return private


def in_use(folder: Path, prefix: str, suffix: str) -> bool:
    """Tell whether a process is at a file or folder of these names that it makes in ``folder``."""
    for path in _named(folder, prefix, suffix):
        handle = _claim(path)
        if handle is None and path.exists():
            return True
        if handle is not None:
            os.close(handle)
    return False


def remove_leftovers(folder: Path) -> None:
    """Remove what :func:`write_with` left below ``folder`` where its process was killed while it wrote."""
    for parent in {part.parent for part in folder.rglob(".*.part")}:
        _remove_abandoned(parent, ".", ".part")


def _make_ours(make: Callable[[], tuple[int, Path]]) -> tuple[int, Path]:
    """Make a file or folder, open and locked: as long as it is open others see that it is in use.

    The system lets go of the lock when this process ends in whatever way.
    """
    while True:
        handle, path = make()
        with suppress(OSError):  # a file system without locks; what is left there stays
            lock_file(handle, wait=True)
        if path.exists():
            return handle, path
        os.close(handle)  # taken for abandoned before it was locked


def _remove_abandoned(folder: Path, prefix: str, suffix: str) -> None:
    """Remove the files and folders of these names in ``folder`` that nobody has open any more."""
    for path in _named(folder, prefix, suffix):
        handle = _claim(path)
        if handle is not None:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
            os.close(handle)


def _named(folder: Path, prefix: str, suffix: str) -> list[Path]:
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return [folder / name for name in names if name.startswith(prefix) and name.endswith(suffix)]


def _claim(path: Path) -> int | None:
    """Return a locked handle on ``path``; None where its maker holds the lock, or it is not ours to open."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if os.fstat(handle).st_uid == os.geteuid() and lock_file(handle, wait=False):
            return handle
    except OSError:
        pass
    os.close(handle)
    return None


def disk_usage(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    return sum(file.lstat().st_size for file in (path, *path.rglob("*")) if not file.is_dir())


def write_bytes(path: Path, data: bytes) -> None:
    """Replace the contents of ``path`` by ``data``, whole or not at all."""
    write_with(path, lambda stream: stream.write(data))


def write_text(path: Path, text: str) -> None:
    """Replace the contents of ``path`` by ``text`` in UTF-8, whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Replace the contents of ``path`` by ``value`` as indented JSON; refuses NaN, which is not JSON."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Return the JSON value in ``path``."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_csv(path: Path, frame: "pd.DataFrame") -> None:
    """Replace the contents of ``path`` by a table, without its index."""
    # 17 significant digits give every float64 back bit for bit.
    write_with(path, lambda stream: frame.to_csv(stream, index=False, float_format="%.17g"))


def as_cell(text: str) -> str:
    """Return text as a cell holds it: as it is, or with an apostrophe before what may be a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def from_cell(cell: str) -> str:
    """Return the text that :func:`as_cell` made a cell of."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
