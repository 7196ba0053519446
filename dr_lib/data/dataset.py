"""Photographs and grades as a plain torch data set, for loops of one's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from PIL import Image
from torch.utils.data import Dataset

from dr_lib import GRADE_NAMES
from dr_lib.data.inspection import INTACT, NO_END_MARKER, inspect
from dr_lib.data.manifest import read_labels
from dr_lib.data.photographs import MedmnistPhotographs
from dr_lib.data.splits import SPLITS
from dr_lib.errors import InputError
from dr_lib.storage.bounded_read import read_bounded
from dr_lib.system.terminal import counted


class RetinopathyDataset(Dataset):
    """``(image, grade)`` of each photograph of a table, as torchvision's data sets give them.

    ``image``: an RGB :class:`PIL.Image.Image`, or what ``transform`` makes of it. ``grade``: int 0-4, or what
    ``target_transform`` makes of it. Takes any transform of torchvision, v1 or v2, default collation, samplers and
    workers. ``classes`` are the names of the grades, ``targets`` the grades of all photographs in order.

    ``labels``: a table with ``path`` and ``grade``, or the folder to read it from. Of ``dr_lib.audit(...).photographs``
    the damaged files are used as its column ``action`` says, and those to be dropped are left out; a table from
    :func:`dr_lib.read_labels` has not looked at them yet. ``split``: ``train``, ``validation``, ``test``, or ``None``
    for all rows. A file with nothing but its end marker lost is always repaired in memory. One that has lost more, and
    a row without a file, raise :class:`dr_lib.errors.InputError` when they are read.

    >>> from torchvision.transforms import v2
    >>> photographs = dr_lib.audit(demo).photographs
    >>> data = RetinopathyDataset(photographs, split="train", transform=v2.Resize((64, 64)))
    >>> image, grade = data[0]
    >>> image.size, data.classes[grade]
    ((64, 64), 'no DR')
    """

    classes: ClassVar[list[str]] = list(GRADE_NAMES)

    def __init__(
        self,
        labels: pd.DataFrame | str | Path,
        split: str | None = None,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
    ):
        if not isinstance(labels, pd.DataFrame):
            labels = read_labels(labels)
        if split is not None:
            if split not in SPLITS:
                raise InputError(f"split {split!r} is none of {', '.join(SPLITS)}")
            if "split" not in labels:
                raise InputError(f"split {split!r}: the table has no column split; leave split out")
            labels = labels[labels["split"] == split]
            if labels.empty:
                raise InputError(f"split {split!r}: the table has no such photograph; make a split first")
        if "action" in labels:
            labels = labels[labels["action"] != "dropped"]
        self.table = labels.reset_index(drop=True)
        self.split, self.transform, self.target_transform = split, transform, target_transform
        self.targets: list[int] = self.table["grade"].astype(int).tolist()
        self._paths = self.table["path"].tolist()
        self._arrays: dict[str, MedmnistPhotographs] = {}

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image: Any = self.image(index)
        target: Any = self.targets[index]
        if self.transform is not None:
            image = self.transform(image)
        return image, target if self.target_transform is None else self.target_transform(target)

    def image(self, index: int) -> Image.Image:
        """Return photograph ``index`` as it is, before ``transform``."""
        path = self._paths[index]
        if not isinstance(path, str | Path):
            raise InputError(f"{self.table['image'][index]}: no file, or more than one; drop rows without a path")
        if Path(path).suffix == ".npz":
            arrays = self._arrays.setdefault(str(path), MedmnistPhotographs(Path(path)))
            return arrays.open(self.table["image"][index])
        inspection = inspect(read_bounded(Path(path)))
        accepted = "action" in self.table or inspection.status.kind in (INTACT, NO_END_MARKER)
        if inspection.pixels is None or not accepted:
            lost = inspection.status
            raise InputError(
                f"{path}: {lost.kind} ({lost.detail}); drop the row, or give dr_lib.audit(folder).photographs, "
                "which knows what to do with each file"
            )
        return Image.fromarray(inspection.pixels)

    def __repr__(self) -> str:
        counts = np.bincount(self.targets, minlength=len(self.classes))
        grades = ", ".join(f"{name} {count:,}" for name, count in zip(self.classes, counts, strict=True))
        return f"RetinopathyDataset({self.split or 'all'}: {counted(len(self), 'photograph')}; {grades})"
