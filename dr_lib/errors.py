"""Errors that are one line on the command line."""

import difflib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from dr_lib.system.terminal import one_line

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


class InputError(ValueError):
    """Bad input in one line: what is wrong, where, and what to do.

    The command line prints the message alone and exits with status 2; everything else that is raised is a bug.
    """

    def __init__(self, message: str):
        super().__init__(one_line(message))

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows: IPython asks for it. The frames of the library say nothing about the input."""
        return [f"InputError: {self}"]


class Failure(RuntimeError):
    """What has failed though the input was sound, in one line: exit status 1."""


def closest(name: str, known: Iterable[str], *, likeness: float = 0.5) -> str:
    """Return ``"; did you mean 'x'?"`` for the known name most like ``name``, 0..1, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=likeness)
    return f"; did you mean {close[0]!r}?" if close else ""


def closest_path(path: str | Path) -> str:
    """Return ``" (did you mean 'x'?)"`` for the file or folder most like the missing ``path``, or an empty string.

    Each part of the path is compared with what lies beside it, so that a slip in a folder's name is found, too.
    """
    found = Path()
    for part in Path(path).parts:
        if os.path.lexists(found / part):
            found /= part
            continue
        try:
            close = difflib.get_close_matches(part, os.listdir(found), n=1, cutoff=0.7)
        except (OSError, ValueError):  # no folder, or none that may be read; a name with a zero in it
            return ""
        if not close:
            return ""
        found /= close[0]
    return f" (did you mean '{found}'?)" if found != Path(path) else ""


def check_finite(values: "ArrayLike", what: object) -> "NDArray":
    """Return ``values`` as an array; :class:`InputError` that names ``what`` they are where one is NaN or infinite.

    Comparisons and casts turn NaN into a number that looks like an answer: the largest of five NaN is grade 0.
    """
    import numpy as np

    values = np.asarray(values)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError(
            f"{what}: not all are finite numbers, as of a network that has diverged in training; use one that has not"
        )
    return values
