"""RetinaMNIST (MedMNIST v2): real, freely licensed fundus photographs with official splits in one file."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from dr_lib.data.label_files import Table
from dr_lib.errors import InputError

REMEDY = (
    "RetinaMNIST (CC BY 4.0) is published at https://zenodo.org/records/10519652 (see https://medmnist.com): download "
    "retinamnist.npz (28 px, md5 bd4c0672f1bba3e3a89f0e4e876791e4) or retinamnist_224.npz and put it into data_dir"
)
PHOTOGRAPHS_EACH = 4
CLUSTERED = (
    "RetinaMNIST's photographs are DeepDRiD's, shuffled: its 400 testing photographs are of 100 patients, four each, "
    "and its validation photographs were drawn without regard to patients. Intervals that take a photograph for a "
    "patient are too narrow, at worst by half."
)
"""What the file does not say: the counts of grades are those of DeepDRiD's parts (Liu et al., Patterns 2022)."""
SPLITS = {"train": "train", "val": "validation", "test": "test"}
"""Official splits, as spelled in the file and in our tables."""


def find(data_dir: Path, labels_file: str = "") -> Path:
    """Return the ``retinamnist*.npz`` in ``data_dir``; ``labels_file`` chooses among several."""
    found = sorted(path for path in data_dir.glob("retinamnist*.npz") if path.is_file()) if data_dir.is_dir() else []
    if labels_file:
        path = data_dir / labels_file
        if not path.is_file():
            raise InputError(f"{path}: no such file; {REMEDY}")
        return path
    if not found:
        raise InputError(f"data_dir {data_dir}: no retinamnist*.npz in it; {REMEDY}")
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise InputError(f"data_dir {data_dir}: {len(found)} sizes ({names}); choose one with labels_file")
    return found[0]


def read_table(path: Path) -> Table:
    """Return image, grade and split of every photograph; the file names no patients."""
    rows = []
    for name, split in SPLITS.items():
        grades = _read(path, f"{name}_labels").reshape(-1).tolist()
        with _opened(path, f"{name}_images") as stream:
            shape = _shape(stream)
        if shape[:1] != (len(grades),):
            raise InputError(f"{path}: {name}_images of shape {shape} for {len(grades)} {name}_labels; {REMEDY}")
        for index, grade in enumerate(grades):
            image = image_name(name, index)
            if grade not in range(5):
                raise InputError(f"{path}: grade {grade!r} of {image} is no integer from 0 to 4; is it RetinaMNIST?")
            rows.append((image, str(grade), split))
    roles = ("image", "grade", "split")
    cells = dict(zip(roles, zip(*rows, strict=True), strict=True))
    return Table(path, range(len(rows)), cells, {role: role for role in roles})


def image_name(split: str, index: int) -> str:
    """Return our name for photograph ``index`` of ``split`` (``train``, ``val``, ``test``): ``train_0042``."""
    return f"{split}_{index:04d}"


def read_images(path: Path, split: str) -> np.ndarray:
    """Return the photographs of ``split`` (``train``, ``val``, ``test``): uint8 (N, H, W, 3)."""
    images = _read(path, f"{split}_images")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise InputError(f"{path}: {split}_images is {images.dtype} {images.shape}, needs uint8 (N, H, W, 3); {REMEDY}")
    return images


def _read(path: Path, key: str) -> np.ndarray:
    with _opened(path, key) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _shape(stream: IO[bytes]) -> tuple[int, ...]:
    first = np.lib.format.read_magic(stream) == (1, 0)
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    return read(stream)[0]


@contextmanager
def _opened(path: Path, key: str) -> Iterator[IO[bytes]]:
    """Open one array of the file; what goes wrong with it raises :class:`InputError`."""
    try:
        with zipfile.ZipFile(path) as arrays, arrays.open(f"{key}.npy") as stream:
            yield stream
    except KeyError:
        raise InputError(f"{path}: no {key} in it; {REMEDY}") from None
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, MemoryError) as error:
        why = str(error) or type(error).__name__
        raise InputError(f"{path}: cannot be read as npz ({why}); {REMEDY}") from None
