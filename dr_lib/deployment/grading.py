"""Grading many photographs: decoding and network at the same time, and a verdict on every file."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dr_lib.data.isolation import Died, isolated
from dr_lib.data.jpeg import UNREADABLE, Verdict
from dr_lib.data.squares import SquareRecipe
from dr_lib.deployment.graders import Grader
from dr_lib.deployment.judged import SECONDS_A_FILE, judged_square
from dr_lib.evaluation.metrics import finite

WAITING = 4
"""Squares for each caller of the network that may wait for it; decoding pauses meanwhile."""


@dataclass(frozen=True)
class GradedPhotograph:
    """A file, the verdict on it (see :class:`dr_lib.data.jpeg.Verdict`), and where it is whole its grade.

    ``grade`` 0-4, ``probabilities`` of the five, and the network's ``outputs``: None for a damaged file.
    """

    path: Path
    verdict: Verdict
    grade: int | None = None
    probabilities: tuple[float, ...] | None = None
    outputs: tuple[float, ...] | None = None


def grade_photographs(
    grader: Grader, paths: list[Path], on_step: Callable[[int], None] = lambda done: None
) -> list[GradedPhotograph]:
    """Return what ``grader`` says of each file, in the order of ``paths``.

    A file with only its end marker missing is repaired in memory, as in every run; one with rows missing or in doubt,
    or that is no image, gets its verdict and no grade. Files are decoded in processes of their own: one that crashes
    the decoder costs itself. ``on_step`` hears how many are done. Raises :class:`InputError` where the network gives
    outputs that are not finite.
    """
    graded: dict[Path, GradedPhotograph] = {}
    waiting: deque[tuple[Path, Verdict, Future]] = deque()
    with ThreadPoolExecutor(grader.parallel) as callers:

        def collect(most: int) -> None:
            while len(waiting) > most:
                path, verdict, answer = waiting.popleft()
                outputs, probabilities, grades = (part[0] for part in answer.result())
                finite(outputs, f"{path}: outputs of the network")
                graded[path] = GradedPhotograph(
                    path, verdict, int(grades), tuple(probabilities.tolist()), tuple(outputs.tolist())
                )
                on_step(len(graded))

        for path, verdict, square in squares_of(paths, grader.recipe):
            if square is None:
                graded[path] = GradedPhotograph(path, verdict)
                on_step(len(graded))
            else:
                waiting.append((path, verdict, callers.submit(grader.run, square[None])))
            collect(WAITING * grader.parallel)
        collect(0)
    return [graded[path] for path in paths]


def squares_of(paths: list[Path], recipe: SquareRecipe) -> Iterator[tuple[Path, Verdict, np.ndarray | None]]:
    """Yield each file with its verdict and its square, None where the file is damaged; in no certain order."""
    items = ((path, recipe) for path in paths)
    for (path, _), answer in isolated(judged_square, items, workers=cores(), timeout=SECONDS_A_FILE):
        if isinstance(answer, Died):
            answer = Verdict(UNREADABLE, 1.0, answer.reason, 0, 0), None
        yield path, *answer


def cores() -> int:
    """Return the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
