"""Photographs of one split as a torch data set."""

import hashlib
from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from dr_lib.data.prepare import PreparedData
from dr_lib.data.splits import SPLITS


class RetinopathyDataset(Dataset):
    """``(image, grade)`` of the photographs of ``split``: float32 (3, H, W) normalised, int 0-4.

    What ``transform`` draws for a photograph is a function of (``seed``, epoch, name of the photograph) alone: the
    number of workers, the order and the rest of the data set change nothing.
    """

    def __init__(
        self,
        data: PreparedData,
        split: str,
        transform: Callable[[Image.Image, torch.Generator], Tensor],
        seed: int = 0,
    ):
        if split not in SPLITS:
            raise ValueError(f"split {split!r} is none of {', '.join(SPLITS)}")
        self.table = data.split(split)
        self.photographs = data.photographs
        self.transform = transform
        self.seed = seed
        # In shared memory, so that workers that outlive an epoch (persistent_workers) see the next one.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._images = self.table["image"].tolist()
        self._grades = self.table["grade"].tolist()

    def set_epoch(self, epoch: int) -> None:
        """Make the next draws those of ``epoch``."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self._images[index]
        generator = photograph_generator(self.seed, int(self._epoch), image)
        return self.transform(self.photographs.open(image), generator), self._grades[index]


def photograph_generator(seed: int, epoch: int, image: str) -> torch.Generator:
    """Return a generator that depends on nothing but these three."""
    digest = hashlib.blake2b(f"{seed}/{epoch}/{image}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest) >> 1)  # 63 bits: what manual_seed takes
