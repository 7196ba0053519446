"""One file, its status and its crop: what decoding does in a process of its own, which loads little else."""

from pathlib import Path

import numpy as np

from dr_lib.data.crops import ResizeSpec
from dr_lib.data.inspection import INTACT, NO_END_MARKER, UNREADABLE, FileStatus, inspect
from dr_lib.storage.bounded_read import read_bounded

SECONDS_A_FILE = 120
"""What decoding one file may take; 89 Mpx, the most that is decoded, take a few."""


def inspect_and_crop(item: tuple[Path, ResizeSpec]) -> tuple[FileStatus, np.ndarray | None]:
    """Return the status of a file and, where all its rows are there, its crop."""
    path, recipe = item
    try:
        data = read_bounded(path)
    except OSError as error:
        return FileStatus(UNREADABLE, 1.0, f"cannot be read: {error.strerror}", 0, 0), None
    inspection = inspect(data, recipe.decode_at_least)
    if inspection.status.kind not in (INTACT, NO_END_MARKER):
        return inspection.status, None
    assert inspection.pixels is not None  # it is readable
    return inspection.status, recipe.make(inspection.pixels)
