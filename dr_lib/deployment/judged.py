"""One file, its verdict and its square: what decoding does in a process of its own, which loads little else."""

from pathlib import Path

import numpy as np

from dr_lib.data.jpeg import INTACT, NO_END_MARKER, UNREADABLE, Verdict, judge
from dr_lib.data.reading import read_photograph
from dr_lib.data.squares import SquareRecipe

SECONDS_A_FILE = 120
"""What decoding one file may take; 89 Mpx, the most that is decoded, take a few."""


def judged_square(item: tuple[Path, SquareRecipe]) -> tuple[Verdict, np.ndarray | None]:
    """Return the verdict on a file and, where all its rows are there, its square."""
    path, recipe = item
    try:
        data = read_photograph(path)
    except OSError as error:
        return Verdict(UNREADABLE, 1.0, f"cannot be read: {error.strerror}", 0, 0), None
    found = judge(data, recipe.decode_at_least)
    whole = found.verdict.verdict in (INTACT, NO_END_MARKER)
    return found.verdict, recipe.make(found.pixels) if whole else None
