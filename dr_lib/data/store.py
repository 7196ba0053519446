"""The pixel store: squares of photographs as one memory-mapped uint8 array on the disk, shared by all runs."""

import errno
import logging
import mmap
import os
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from dr_lib.data.journal import Journal
from dr_lib.data.squares import SquareRecipe
from dr_lib.errors import InputError

log = logging.getLogger("dr_lib.data")

HEADER_BYTES = 128
"""Length of the header of ``pixels.npy``; numpy leaves room in it for the number of rows to grow."""

READS_UNTIL_RELEASE = 128
"""Squares read (25 MB at 256 px) before their pages are given back: memory stays flat however many there are."""


@dataclass(frozen=True)
class Row:
    """Where a photograph's square is: its number, the state of the file it was made from, CRC-32 of its bytes."""

    number: int
    stamp: list[int]
    crc: int


class PixelStore:
    """The folder of one recipe's squares: ``pixels.npy`` (N, side, side, 3), and ``rows.jsonl``, which says whose.

    Rows are only ever added: a photograph that changes gets a new row, so a run that reads is never disturbed. A row
    counts once its pixels are written and its line is in the journal; what a kill leaves in between is written over.
    Only the holder of the data folder's lock may :meth:`reserve` and :meth:`note`.
    """

    def __init__(self, folder: Path, recipe: SquareRecipe, basis: Mapping[str, Any]):
        self.pixels = folder / "pixels.npy"
        self.recipe = recipe
        self._journal = Journal(folder / "rows.jsonl", {"recipe": recipe.key, **basis})

    @property
    def row_bytes(self) -> int:
        return self.recipe.side**2 * 3

    def rows(self) -> dict[str, Row]:
        """Return the rows by the photographs' keys."""
        return {key: Row(**entry) for key, entry in self._journal.read().items()}

    def note(self, rows: Mapping[str, Row]) -> None:
        """Enter rows whose pixels are written."""
        self._journal.append({key: vars(row) for key, row in rows.items()})

    def bytes_to_add(self, count: int) -> int:
        """Return the bytes by which ``pixels.npy`` grows for ``count`` more rows."""
        there = self.pixels.stat().st_size if self.pixels.exists() else 0
        return max(0, HEADER_BYTES + (self._next() + count) * self.row_bytes - there)

    def reserve(self, count: int) -> int:
        """Make room for ``count`` more rows and return the number of the first.

        Raises :class:`OSError` (ENOSPC) with the file as it was, where the disk has not the room.
        """
        first = self._next()
        self.pixels.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(self.pixels, os.O_RDWR | os.O_CREAT, 0o644), "r+b") as stream:
            there = os.fstat(stream.fileno()).st_size
            needed = HEADER_BYTES + (first + count) * self.row_bytes
            if needed > there:
                try:
                    os.posix_fallocate(stream.fileno(), there, needed - there)
                except OSError:
                    stream.truncate(there)
                    raise
            stream.write(self._header(max(needed, there)))
        return first

    def _next(self) -> int:
        return max((row.number + 1 for row in self.rows().values()), default=0)

    def _header(self, size: int) -> bytes:
        """Return numpy's header for a file of ``size`` bytes."""
        side, count = self.recipe.side, (size - HEADER_BYTES) // self.row_bytes
        stream = BytesIO()
        shape = {"descr": "|u1", "fortran_order": False, "shape": (count, side, side, 3)}
        np.lib.format.write_array_header_1_0(stream, shape)
        if stream.tell() != HEADER_BYTES:
            raise RuntimeError(f"numpy writes a header of {stream.tell()} bytes instead of {HEADER_BYTES}")
        return stream.getvalue()

    def sound(self, rows: Mapping[str, Row]) -> set[str]:
        """Return the keys of ``rows`` whose pixels have their checksum."""
        if not rows or not self.pixels.exists():
            return set()
        reader = StoredSquares(self, {key: row.number for key, row in rows.items()})
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:  # zlib lets go of the interpreter
            # In order of the file, so that a disk reads it through.
            order = sorted(rows, key=lambda key: rows[key].number)
            right = pool.map(lambda key: reader.crc(key) == rows[key].crc, order)
            return {key for key, fits in zip(order, right, strict=True) if fits}


def write_row(path: Path, number: int, square: np.ndarray) -> int:
    """Write a square into its reserved row of a store's ``pixels.npy`` and return its CRC-32."""
    data = square.tobytes()
    with open(path, "r+b", buffering=0) as stream:
        offset, view = HEADER_BYTES + number * len(data), memoryview(data)
        while view:
            written = os.pwrite(stream.fileno(), view, offset)
            offset, view = offset + written, view[written:]
    return zlib.crc32(data)


class StoredSquares:
    """Squares read from a store. Pickles as its path, so that loader processes map the file themselves."""

    def __init__(self, store: PixelStore, numbers: Mapping[str, int]):
        self._path, self._side = store.pixels, store.recipe.side
        self._numbers = dict(numbers)
        self._open()

    def _open(self) -> None:
        with self._path.open("rb") as stream:
            self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        flat = np.frombuffer(self._map, np.uint8, offset=HEADER_BYTES)
        row = self._side**2 * 3
        self._pixels = flat[: flat.size // row * row].reshape(-1, self._side, self._side, 3)
        self._reads = 0

    def __getstate__(self) -> dict[str, Any]:
        return {"_path": self._path, "_side": self._side, "_numbers": self._numbers}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def read(self, image: str) -> np.ndarray:
        """Return the square of a photograph, uint8 (side, side, 3), read-only."""
        self._reads += 1
        if self._reads % READS_UNTIL_RELEASE == 0:
            self._map.madvise(mmap.MADV_DONTNEED)  # the file stays in the system's cache
        return self._pixels[self._numbers[image]]

    def crc(self, image: str) -> int:
        """Return the CRC-32 of a square's bytes as they are on the disk."""
        number = self._numbers[image]
        return zlib.crc32(self.read(image)) if number < len(self._pixels) else -1


def require_room(stores: Sequence[tuple[PixelStore, int]], cache_dir: Path) -> None:
    """Raise :class:`InputError` that says how many GB are needed unless ``cache_dir`` has room for new rows.

    ``stores``: stores and how many rows each is to get.
    """
    needed = sum(store.bytes_to_add(count) for store, count in stores)
    status = os.statvfs(cache_dir)
    free = status.f_bavail * status.f_frsize
    if needed > free:
        raise no_room(cache_dir, needed, free)


def no_room(cache_dir: Path, needed: int, free: int) -> InputError:
    """Return the error for a disk that is too full for the squares."""
    return InputError(
        f"cache_dir {cache_dir}: the pixel store needs {needed / 1e9:.2f} GB more and {free / 1e9:.2f} GB are free; "
        "make room, set cache_dir to a folder on a larger disk, or decode in every epoch with pixel_store=false"
    )


def is_full(error: OSError) -> bool:
    """Tell whether an error says that a disk or a quota is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
