"""Photographs of one split as a torch data set."""

import hashlib
from collections.abc import Iterable
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from dr_lib.data.prepare import DataSplits
from dr_lib.data.splits import SPLITS
from dr_lib.data.transforms import EvalTransform, TrainTransform

Batch = TypeVar("Batch", bound=Iterable[Tensor])


class CropDataset(Dataset):
    """``(image, grade)`` of the photographs of ``split``: uint8 (H, W, 3), or (views, H, W, 3), and int 0-4.

    A loader gets whole batches (:meth:`__getitems__`), so it must leave them as they are (:func:`identity_collate`).
    What ``transform`` draws for a photograph is a function of (``seed``, epoch, name of the photograph) alone: the
    number of workers, the order and the rest of the data set change nothing. Normalizing is left to the device, once
    a batch (:class:`dr_lib.data.normalization.Normalization`).
    """

    def __init__(
        self,
        data: DataSplits,
        split: str,
        transform: TrainTransform | EvalTransform,
        seed: int = 0,
    ):
        if split not in SPLITS:
            raise ValueError(f"split {split!r} is none of {', '.join(SPLITS)}")
        self.table = data.split(split)
        self.transform = transform
        self.seed = seed
        self._images = self.table["image"].tolist()
        self._grades = self.table["grade"].tolist()
        self.crops = data.crops(transform.recipe, self._images)
        # In shared memory, so that workers that outlive an epoch (persistent_workers) see the next one.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Make the next draws those of ``epoch``."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        images, grades = self.__getitems__([index])
        return images[0], int(grades[0])

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """Return a batch, each photograph written where it belongs in it: uint8 (B, ...) and int64 (B,).

        An index beyond the last stands for the same photograph once more, varied in another way.
        """
        batch = torch.empty((len(indices), *self.transform.shape), dtype=torch.uint8)
        epoch, places = int(self._epoch), batch.numpy()
        for place, index in enumerate(indices):
            again, index = divmod(index, len(self))
            image = self._images[index]
            seed = draw_seed(self.seed, epoch, f"{image} again {again}" if again else image)
            self.transform(self.crops.read(image), seed, places[place])
        return batch, torch.tensor([self._grades[index % len(self)] for index in indices])


def identity_collate(batch: Batch) -> Batch:
    """Return a batch as it is: the ``collate_fn`` of loaders over data sets that make whole batches.

    A loader process puts it into shared memory here. Where there is none left that is an error, which it can hand on;
    in the thread that sends batches it would only be printed, and the batch waited for without end.
    """
    if get_worker_info() is not None:
        try:
            for part in batch:
                part.share_memory_()
        except RuntimeError as error:
            raise MemoryError(f"{str(error).splitlines()[0]}; set num_workers lower, or make /dev/shm larger") from None
    return batch


def draw_seed(seed: int, epoch: int, image: str) -> int:
    """Return a seed that depends on nothing but these three."""
    digest = hashlib.blake2b(f"{seed}/{epoch}/{image}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1  # 63 bits: what torch's manual_seed takes
