"""The pixel cache: crops of photographs as one memory-mapped uint8 array on the disk, shared by all runs."""

import errno
import mmap
import os
import re
import shutil
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from dr_lib.data.crops import ResizeSpec
from dr_lib.errors import InputError
from dr_lib.storage.jsonl_log import JsonlLog
from dr_lib.system.posix import cores, reserve
from dr_lib.system.terminal import logger

log = logger("data")

HEADER_BYTES = 128
"""Length of the header of ``pixels.npy``; numpy leaves room in it for the number of rows to grow."""

READS_UNTIL_RELEASE = 128
"""Crops read (25 MB at 256 px) before their pages are given back: memory stays flat however many there are."""


@dataclass(frozen=True)
class Row:
    """Where a photograph's crop is: its number, the digest of the file it was made from, CRC-32 of its bytes."""

    number: int
    digest: str
    crc: int


class PixelCache:
    """The folder of one recipe's crops: ``pixels.npy`` (N, side, side, 3), and ``rows.jsonl``, which says whose.

    Rows are only ever added: a photograph that changes gets a new row, so a run that reads is never disturbed. A row
    counts once its pixels are written and its line is in the journal; what a kill leaves in between is written over.
    The header of ``pixels.npy`` counts these rows, too, should the journal be damaged. Where the file is too short for
    them, a new one takes its name, and who has the old one open keeps it. Only the holder of the data folder's lock
    may :meth:`reserve` and :meth:`note`.
    """

    def __init__(self, folder: Path, recipe: ResizeSpec, basis: Mapping[str, Any]):
        self.pixels = folder / "pixels.npy"
        self.recipe = recipe
        self._journal = JsonlLog(folder / "rows.jsonl", {"recipe": recipe.key, **basis})

    @property
    def row_bytes(self) -> int:
        return self.recipe.side**2 * 3

    def rows(self) -> dict[str, Row]:
        """Return the rows by the photographs' keys."""
        return {key: Row(**entry) for key, entry in self._journal.read().items()}

    def note(self, rows: Mapping[str, Row]) -> None:
        """Enter rows whose pixels are written."""
        self._journal.append({key: vars(row) for key, row in rows.items()})
        with self.pixels.open("r+b") as stream:
            stream.write(self._header(self._counted()))

    def bytes_to_add(self, count: int) -> int:
        """Return the bytes by which ``pixels.npy`` grows for ``count`` more rows."""
        first, size = self._counted(), self._size()
        if size < self._end(first):
            first = size = 0
        return max(0, self._end(first + count) - size)

    def reserve(self, count: int) -> int:
        """Make room for ``count`` more rows and return the number of the first.

        Raises :class:`OSError` (ENOSPC) with the file as it was, where the disk has not the room.
        """
        first = self._counted()
        if self._size() < self._end(first):  # cut short, or lost
            self._journal.begin()
            self.pixels.unlink(missing_ok=True)
            first = 0
        self.pixels.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(self.pixels, os.O_RDWR | os.O_CREAT, 0o644), "r+b") as stream:
            size, needed = os.fstat(stream.fileno()).st_size, self._end(first + count)
            if needed > size:
                try:
                    reserve(stream, size, needed - size)
                except OSError:
                    stream.truncate(size)
                    raise
            stream.write(self._header(first))
        return first

    def _counted(self) -> int:
        """Return how many rows count, those that nobody can find any more among them."""
        try:
            with self.pixels.open("rb") as stream:
                header = stream.read(HEADER_BYTES)
        except FileNotFoundError:
            header = b""
        promised = re.search(rb"'shape': \((\d+),", header)
        return max([row.number + 1 for row in self.rows().values()] + [int(promised[1]) if promised else 0])

    def _size(self) -> int:
        return self.pixels.stat().st_size if self.pixels.exists() else 0

    def _end(self, count: int) -> int:
        """Return the bytes of a file of ``count`` rows; 0 for none, since it need not even be there."""
        return HEADER_BYTES + count * self.row_bytes if count else 0

    def _header(self, count: int) -> bytes:
        """Return numpy's header for a file of ``count`` rows."""
        side, stream = self.recipe.side, BytesIO()
        shape = {"descr": "|u1", "fortran_order": False, "shape": (count, side, side, 3)}
        np.lib.format.write_array_header_1_0(stream, shape)
        if stream.tell() != HEADER_BYTES:
            raise RuntimeError(f"numpy writes a header of {stream.tell()} bytes instead of {HEADER_BYTES}")
        return stream.getvalue()


def write_row(path: Path, number: int, crop: np.ndarray) -> int:
    """Write a crop into its reserved row of a store's ``pixels.npy`` and return its CRC-32."""
    data = crop.tobytes()
    with open(path, "r+b", buffering=0) as stream:
        offset, view = HEADER_BYTES + number * len(data), memoryview(data)
        while view:
            written = os.pwrite(stream.fileno(), view, offset)
            offset, view = offset + written, view[written:]
    return zlib.crc32(data)


class CachedCrops:
    """Crops read from a store. Pickles as its path, so that loader processes map the file themselves.

    What it has mapped never changes; in another process :class:`InputError` is raised where another file is there now.
    """

    def __init__(self, store: PixelCache, numbers: Mapping[str, int]):
        self._path, self._side = store.pixels, store.recipe.side
        self._numbers = dict(numbers)
        self._open()

    def _open(self) -> None:
        flat = np.empty(0, np.uint8)
        self._file, self._reads = None, 0
        with suppress(FileNotFoundError), self._path.open("rb") as stream:
            file_stat = os.fstat(stream.fileno())
            self._file = file_stat.st_dev, file_stat.st_ino
            if file_stat.st_size > HEADER_BYTES:
                self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
                flat = np.frombuffer(self._map, np.uint8, offset=HEADER_BYTES)
        row = self._side**2 * 3
        self._pixels = flat[: flat.size // row * row].reshape(-1, self._side, self._side, 3)

    def __getstate__(self) -> dict[str, Any]:
        return {name: vars(self)[name] for name in ("_path", "_side", "_numbers", "_file")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()
        if self._file != state["_file"]:
            raise InputError(f"{self._path}: was damaged and is made anew; give the same command again")

    def read(self, image: str) -> np.ndarray:
        """Return the crop of a photograph, uint8 (side, side, 3), read-only."""
        self._reads += 1
        if self._reads % READS_UNTIL_RELEASE == 0:
            self._map.madvise(mmap.MADV_DONTNEED)  # the file stays in the system's cache
        return self._pixels[self._numbers[image]]

    def sound(self, crcs: Mapping[str, int]) -> set[str]:
        """Return the photographs whose crops have these checksums."""

        def fits(image: str) -> bool:
            return self._numbers[image] < len(self._pixels) and zlib.crc32(self.read(image).data) == crcs[image]

        with ThreadPoolExecutor(cores()) as pool:  # zlib lets go of the interpreter
            # In order of the file, so that a disk reads it through.
            order = sorted(crcs, key=self._numbers.__getitem__)
            return {image for image, right in zip(order, pool.map(fits, order), strict=True) if right}


def require_room(stores: Sequence[tuple[PixelCache, int]], cache_dir: Path) -> None:
    """Raise :class:`InputError` that says how much is needed unless ``cache_dir`` has room for new rows.

    ``stores``: stores and how many rows each is to get.
    """
    needed = sum(store.bytes_to_add(count) for store, count in stores)
    free = shutil.disk_usage(cache_dir).free
    if needed > free:
        raise no_room(cache_dir, needed, free)


def _format_bytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def no_room(cache_dir: Path, needed: int, free: int) -> InputError:
    """Return the error for a disk that is too full for the crops."""
    return InputError(
        f"cache_dir {cache_dir}: the pixel cache needs {_format_bytes(needed)} more and {_format_bytes(free)} are "
        "free; make room, set cache_dir to a folder on a larger disk, or decode in every epoch with pixel_cache=false"
    )


def is_full(error: OSError) -> bool:
    """Tell whether an error says that a disk or a quota is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
