"""Files of runs between a machine without the driver's disk and the experiment folder: whole, or not at all."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from dr_lib.storage.folders import RunFolder

PIECE = 4 * 2**20
"""Bytes that are sent at a time."""

_LEAVE = {"lock"}
"""What says something of the machine alone."""


class Parcels:
    """The driver's end: gives out what runs begin with, and takes what they send.

    What is sent lies aside until its sender says that it is all there; then each file is renamed into its place.
    Paths are relative to the experiment folder and do not leave it.
    """

    def __init__(self, experiment: Path):
        self._home = experiment.resolve()
        self._aside = self._home / ".arriving"
        shutil.rmtree(self._aside, ignore_errors=True)  # of a driver that was killed

    def listing(self, folder: str) -> list[str]:
        """Return the files in ``folder``, deeper ones too, in the order in which :func:`outgoing` sends."""
        place = self._inside(folder)
        return [str(path.relative_to(self._home)) for path in outgoing(place)] if place.is_dir() else []

    def read(self, path: str, offset: int) -> bytes:
        """Return up to :data:`PIECE` bytes of a file, none at its end."""
        with self._inside(path).open("rb") as stream:
            stream.seek(offset)
            return stream.read(PIECE)

    def receive(self, sender: str, path: str, offset: int, piece: bytes) -> None:
        """Keep a piece of the file at ``path``; one at 0 begins it."""
        self._inside(path)
        place = self._place(sender) / path
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("r+b" if offset else "wb") as stream:
            stream.seek(offset)
            stream.write(piece)

    def accept(self, sender: str) -> None:
        """Rename what ``sender`` has sent into its place, the checkpoint to go on from last.

        It refers to the best network so far. A kill in between leaves an older checkpoint with a newer best network,
        which training on from there makes again.
        """
        place = self._place(sender)
        for path in reversed(list(outgoing(place))):
            target = self._home / path.relative_to(place)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
        shutil.rmtree(place, ignore_errors=True)

    def _place(self, sender: str) -> Path:
        return self._aside / re.sub(r"[^\w.+=-]", "_", sender)

    def _inside(self, path: str) -> Path:
        place = Path(os.path.normpath(self._home / path))
        if not place.is_relative_to(self._home):
            raise ValueError(f"{path} is not in {self._home}")
        return place


def outgoing(folder: Path) -> Iterator[Path]:
    """Yield the files below ``folder``, checkpoints to go on from first.

    A run writes its best network before the checkpoint that refers to it. Whoever reads in this order while the run
    goes on has a best network that is as new as the checkpoint, or newer.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not _passing(path))
    resumed = RunFolder(folder).last_checkpoint.name.partition(".")[0]
    yield from sorted(files, key=lambda path: not path.name.startswith(resumed))


def _passing(path: Path) -> bool:
    """Tell whether a file is one that is just being written, or of no use elsewhere."""
    return path.name in _LEAVE or path.name.startswith(".") or path.suffix == ".new"


def fetch(experiment: Path, paths: list[str], read: Callable[[str, int], bytes]) -> None:
    """Write files that ``read`` gives piece by piece into an experiment folder of this machine."""
    for path in paths:
        place = experiment / path
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as stream:
            while piece := read(path, stream.tell()):
                stream.write(piece)


def send(experiment: Path, folder: Path, receive: Callable[[str, int, bytes], None]) -> None:
    """Give ``receive`` the files of ``folder`` in an experiment folder of this machine, piece by piece.

    A file that is replaced meanwhile is sent as it was when its turn came.
    """
    for path in outgoing(folder):
        try:
            stream = path.open("rb")
        except FileNotFoundError:  # renamed by the run that writes it
            continue
        with stream:
            offset = 0
            while (piece := stream.read(PIECE)) or not offset:
                receive(str(path.relative_to(experiment)), offset, piece)
                if not piece:
                    break
                offset += len(piece)
