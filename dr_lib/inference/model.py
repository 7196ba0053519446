"""A trained network, ready to grade photographs."""

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import pandas as pd

from dr_lib import PROBABILITIES
from dr_lib.config import CACHE_DIR
from dr_lib.data.cache_folder import cache_folder
from dr_lib.errors import InputError
from dr_lib.inference.grading import grade_photographs
from dr_lib.inference.inputs import photographs_named
from dr_lib.inference.select_backend import select_backend
from dr_lib.storage.folders import RunFolder
from dr_lib.system.progress import Progress


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
                "image": [str(one.path) for one in graded],
                "status": [one.status.kind for one in graded],
                "grade": pd.array([one.grade for one in graded], dtype="Int64"),
                **{
                    name: [one.probabilities[grade] if one.probabilities else float("nan") for one in graded]
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
        raise InputError(f"{path}: no such network; give a run's folder, its checkpoints/best.pt, or an .onnx")
    return Model(path, str(cache_dir))
