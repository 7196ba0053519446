"""Data folders that the tests write for themselves: photographs, label files, and damage done on purpose."""

import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def picture(seed: int = 0, size: tuple[int, int] = (96, 80), mode: str = "RGB") -> Image.Image:
    """Return a smooth, colorful picture; noise alone would not show what a decoder does to neighboring blocks."""
    small = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).convert(mode)


def jpeg(image: Image.Image, **options) -> bytes:
    """Return ``image`` as a JPEG."""
    stream = BytesIO()
    image.save(stream, "jpeg", **{"quality": 85} | options)
    return stream.getvalue()


def pixels(data: bytes) -> np.ndarray:
    """Return what Pillow decodes from ``data``."""
    with Image.open(BytesIO(data)) as image:
        return np.asarray(image)


def write_photographs(folder: Path, names: list[str], size: tuple[int, int] = (96, 80)) -> None:
    """Write ``<name>.jpeg`` for every name into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        (folder / f"{name}.jpeg").write_bytes(jpeg(picture(number, size)))


def write_course(folder: Path, train: dict[str, int], test: dict[str, int], header: bool = False) -> None:
    """Write the course's four label files."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, grades in (("train", train), ("test", test)):
        names, numbers = list(grades), [str(grade) for grade in grades.values()]
        (folder / f"{split}_img.csv").write_text("\n".join(["image"] * header + names) + "\n")
        (folder / f"{split}_label.csv").write_text("\n".join(["label"] * header + numbers) + "\n")


def eyes(patients: range, grade=lambda patient: patient % 5) -> dict[str, int]:
    """Return both eyes of every patient with the patient's grade."""
    return {f"{patient}_{eye}": grade(patient) for patient in patients for eye in ("left", "right")}


def real_data() -> Path:
    """Return the folder of real photographs, or skip the test where there is none."""
    if not os.environ.get("DR_REAL_DATA"):
        pytest.skip("DR_REAL_DATA is not set to a folder of real photographs")
    return Path(os.environ["DR_REAL_DATA"])
