"""Writing files so that a reader, or a crash, never meets half of one."""

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO


def write_with(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, flush it to the disk, and rename it into place.

    Raises :class:`OSError` that names ``path`` where the system refuses, also where ``write`` speaks of something else
    then: of a full disk torch says "unexpected pos 683968 vs 683864".
    """
    outside = sys.exc_info()[1]
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes files private; results are meant to be read by whoever may read the folder.
        os.chmod(beside, 0o644)
        os.replace(beside, path)
    except BaseException as error:
        Path(beside).unlink(missing_ok=True)
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


def remove_leftovers(folder: Path) -> None:
    """Remove what :func:`write_with` left below ``folder`` where its process was killed while it wrote.

    Only where nobody is writing.
    """
    for part in folder.rglob(".*.part"):
        part.unlink(missing_ok=True)


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
    return json.loads(path.read_text())
