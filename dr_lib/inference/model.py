"""A trained network, ready to grade photographs: decoding and network at the same time, and a status of every file."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd

from dr_lib import PROBABILITIES
from dr_lib.config import CACHE_DIR
from dr_lib.data.cache_folder import cache_folder
from dr_lib.data.crops import ResizeSpec
from dr_lib.data.inspection import INTACT, NO_END_MARKER, UNREADABLE, FileStatus, inspect
from dr_lib.errors import InputError, check_finite, closest_path
from dr_lib.inference.backends import InferenceBackend, select_backend
from dr_lib.inference.inputs import photographs_named
from dr_lib.storage.bounded_read import read_bounded
from dr_lib.storage.run_folder import RunFolder
from dr_lib.system.process_pool import WorkerDied, map_in_workers
from dr_lib.system.progress import Progress
from dr_lib.system.resources import threads_each

WAITING = 4
"""Crops for each caller of the network that may wait for it; decoding pauses meanwhile."""

SECONDS_A_FILE = 120
"""What decoding one file may take; 89 Mpx, the most that is decoded, take a few."""


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
    for (path, _), answer in map_in_workers(inspect_and_crop, items, workers=threads_each(1), timeout=SECONDS_A_FILE):
        if isinstance(answer, WorkerDied):
            answer = FileStatus(UNREADABLE, 1.0, answer.reason, 0, 0), None
        yield path, *answer


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


class Model:
    """A trained network. For research, not for diagnosis.

    >>> model = dr_lib.load_model(run.path)
    >>> model.predict(demo / "images").columns.tolist()
    ['image', 'status', 'grade', 'p0', 'p1', 'p2', 'p3', 'p4']
    """

    def __init__(self, path: Path, cache_dir: str = CACHE_DIR):
        self.path, self.cache_dir = path, cache_dir

    def predict(self, images: str | Path | Iterable[str | Path]) -> pd.DataFrame:
        """Return one row a photograph: ``image, status, grade, p0..p4``.

        ``images``: files, and folders of them, one or several. ``image``: the path. ``status``: ``intact``, or what is
        wrong with the file. ``grade``: 0-4, ``Int64``; missing for a damaged file, whose network output would be
        made up. ``p0``..``p4``: probability of each grade, 0..1. Raises :class:`InputError` for a path that is not
        there. Files are decoded in processes of their own; a progress bar is shown.
        """
        names = [images] if isinstance(images, str | Path) else images
        paths = photographs_named(map(Path, names), BytesIO())
        with Progress() as progress:
            backend = select_backend(self.path, len(paths), cache_folder(self.cache_dir))
            graded = grade_photographs(backend, paths, lambda done: progress.bar("grading", done, len(paths)))
        return pd.DataFrame(
            {
                "image": [str(row.path) for row in graded],
                "status": [row.status.kind for row in graded],
                "grade": pd.array([row.grade for row in graded], dtype="Int64"),
                **{
                    name: [row.probabilities[grade] if row.probabilities else float("nan") for row in graded]
                    for grade, name in enumerate(PROBABILITIES)
                },
            }
        )

    def __repr__(self) -> str:
        return f"Model({self.path})"


def load_model(path: str | Path, *, cache_dir: str | Path = CACHE_DIR) -> Model:
    """Return the network in ``path``: a run's folder, a checkpoint (``best.pt``), or an exported ``.onnx``.

    ``cache_dir``: where exports that make grading faster are kept. Raises :class:`InputError` where there is no such
    file; one that cannot be read is told when it is first used.

    >>> dr_lib.load_model(run.path).predict(demo / "images")["status"].value_counts().to_dict()
    {'intact': 46, 'end marker missing': 2, 'truncated': 2}
    """
    path = Path(path)
    if path.is_dir():
        path = RunFolder(path).best_checkpoint
    if not path.is_file():
        raise InputError(
            f"{path}: no such network{closest_path(path)}; give a run's folder, its checkpoints/best.pt, or an .onnx"
        )
    return Model(path, str(cache_dir))
