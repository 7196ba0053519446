"""Grading many photographs: decoding and network at the same time, and a status of every file."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dr_lib.data.crops import ResizeSpec
from dr_lib.data.inspection import UNREADABLE, FileStatus
from dr_lib.errors import check_finite
from dr_lib.inference.backends import InferenceBackend
from dr_lib.inference.inspect_crop import SECONDS_A_FILE, inspect_and_crop
from dr_lib.system.process_pool import WorkerDied, map_in_workers

WAITING = 4
"""Crops for each caller of the network that may wait for it; decoding pauses meanwhile."""


@dataclass(frozen=True)
class GradedPhotograph:
    """A file, the status on it (see :class:`dr_lib.data.inspection.FileStatus`), and where it is whole its grade.

    ``grade`` 0-4, ``probabilities`` of the five, and the network's ``outputs``: None for a damaged file.
    """

    path: Path
    status: FileStatus
    grade: int | None = None
    probabilities: tuple[float, ...] | None = None
    outputs: tuple[float, ...] | None = None


def grade_photographs(
    grader: InferenceBackend, paths: list[Path], on_step: Callable[[int], None] = lambda done: None
) -> list[GradedPhotograph]:
    """Return what ``grader`` says of each file, in the order of ``paths``.

    A file with only its end marker missing is repaired in memory, as in every run; one with rows missing or in doubt,
    or that is no image, gets its status and no grade. Files are decoded in processes of their own: one that crashes
    the decoder costs itself. ``on_step`` hears how many are done. Raises :class:`InputError` where the network gives
    outputs that are not finite.
    """
    graded: dict[Path, GradedPhotograph] = {}
    waiting: deque[tuple[Path, FileStatus, Future]] = deque()
    with ThreadPoolExecutor(grader.parallel) as callers:

        def collect(most: int) -> None:
            while len(waiting) > most:
                path, status, answer = waiting.popleft()
                outputs, probabilities, grades = (part[0] for part in answer.result())
                check_finite(outputs, f"{path}: outputs of the network")
                graded[path] = GradedPhotograph(
                    path, status, int(grades), tuple(probabilities.tolist()), tuple(outputs.tolist())
                )
                on_step(len(graded))

        for path, status, crop in crops_of(paths, grader.recipe):
            if crop is None:
                graded[path] = GradedPhotograph(path, status)
                on_step(len(graded))
            else:
                waiting.append((path, status, callers.submit(grader.run, crop[None])))
            collect(WAITING * grader.parallel)
        collect(0)
    return [graded[path] for path in paths]


def crops_of(paths: list[Path], recipe: ResizeSpec) -> Iterator[tuple[Path, FileStatus, np.ndarray | None]]:
    """Yield each file with its status and its crop, None where the file is damaged; in no certain order."""
    items = ((path, recipe) for path in paths)
    for (path, _), answer in map_in_workers(inspect_and_crop, items, workers=cores(), timeout=SECONDS_A_FILE):
        if isinstance(answer, WorkerDied):
            answer = FileStatus(UNREADABLE, 1.0, answer.reason, 0, 0), None
        yield path, *answer


def cores() -> int:
    """Return the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
