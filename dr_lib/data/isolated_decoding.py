"""Photographs to be shown, decoded in a process of its own: one that hangs a decoder hangs no page and no notebook."""

import errno
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from dr_lib.data.inspection import inspect
from dr_lib.data.photographs import FolderPhotographs, Photographs
from dr_lib.system.process_pool import SingleWorker, WorkerDied

SECONDS_A_FILE = 60
"""What decoding a file may take; the largest photographs take a few."""


class IsolatedDecoder:
    """Decodes one photograph at a time in a worker, which starts with the first and ends with this object."""

    def __init__(self) -> None:
        self._worker = SingleWorker(_call, SECONDS_A_FILE)

    def pixels(self, photographs: Photographs, image: str, at_least: int = 0) -> np.ndarray:
        """Return what ``photographs.pixels`` returns, and raise what it raises.

        Raises :class:`OSError` also for a file that takes too long or too much memory, or crashes the decoder.
        """
        return self._apart(_pixels, photographs, image, at_least)

    def thumbnail(self, photographs: Photographs, image: str, most: int) -> np.ndarray | None:
        """Return a photograph, repaired where need be, at most ``most`` px wide and high, uint8 (H, W, 3).

        None where no pixel can be decoded. Raises :class:`OSError` as :meth:`pixels` does.
        """
        return self._apart(_thumbnail, photographs, image, most)

    def _apart(self, function: Callable[..., Any], photographs: Photographs, image: str, *arguments: Any) -> Any:
        if not isinstance(photographs, FolderPhotographs):
            return function(photographs, image, *arguments)  # arrays: nothing is decoded
        path = photographs.path(image)
        one = replace(
            photographs, paths={image: path}, repaired=photographs.repaired & {image}
        )  # the others weigh megabytes
        answer = self._worker((function, one, image, *arguments))
        if isinstance(answer, WorkerDied):
            raise OSError(errno.EIO, answer.reason, str(path))
        return answer


def _call(item: tuple) -> Any:
    function, *arguments = item
    return function(*arguments)


def _pixels(photographs: Photographs, image: str, at_least: int) -> np.ndarray:
    return photographs.pixels(image, at_least)


def _thumbnail(photographs: Photographs, image: str, most: int) -> np.ndarray | None:
    pixels = inspect(photographs.read_as_is(image)).pixels
    if pixels is None:
        return None
    picture = Image.fromarray(pixels)
    picture.thumbnail((most, most))
    return np.asarray(picture)
