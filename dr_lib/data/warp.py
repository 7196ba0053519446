"""The lab's random variation of a square in one pass: crop, rotation and both flips, bit-equal to torchvision's."""

import math

import numpy as np

from dr_lib.data.compiled import compiled

ONE = 1 << 16
"""1 in the fixed point in which Pillow walks through the source of a rotation (affine_fixed of Geometry.c)."""


def crop_rotate_flip(
    square: np.ndarray, top: int, left: int, size: int, angle: float, hflip: bool, vflip: bool, out: np.ndarray
) -> None:
    """Write a crop of ``square``, rotated about its center and flipped, into ``out``.

    ``square``: uint8 (S, S, 3). The crop is ``size`` px wide and high and begins at row ``top`` and column ``left``.
    ``angle``: in degrees, counter-clockwise; nearest neighbor, black where the crop ends. ``hflip`` then mirrors left
    and right, ``vflip`` top and bottom. ``out``: uint8 (size, size, 3), no part of ``square``. The result is, byte for
    byte, that of torchvision's crop, rotate, hflip and vflip on an image of Pillow.
    """
    rows, columns, _ = square.shape
    if not (0 <= top <= rows - size and 0 <= left <= columns - size and out.shape == (size, size, 3)):
        raise ValueError(f"a crop of {size} px at ({top}, {left}) does not fit {square.shape} and {out.shape}")
    # A copy is read in order, and then lies in the cache: to walk through a store's own page along a slope takes three
    # times as long, copying included.
    crop = square[top : top + size, left : left + size].copy()
    _walk(crop.reshape(-1, 3), _matrix(angle, size, hflip, vflip), out)


def _matrix(angle: float, size: int, hflip: bool, vflip: bool) -> tuple[int, int, int, int, int, int]:
    """Return a to f, in units of 1 / ONE: at (column, row), x = a * column + b * row + c, y = d * column + e * row + f.

    The rotation is Pillow's, operation by operation (Image.rotate, then ImagingTransformAffine). Its short cuts at 0,
    90, 180 and 270 degrees need none here: cosine and sine are whole there, once rounded, and the fixed point is exact.
    """
    radians, center = -math.radians(angle % 360.0), size / 2
    cosine, sine = round(math.cos(radians), 15), round(math.sin(radians), 15)
    x = cosine * -center + sine * -center + center
    y = -sine * -center + cosine * -center + center
    # A pixel shows what is under its middle.
    entries = (cosine, sine, x + cosine * 0.5 + sine * 0.5, -sine, cosine, y + -sine * 0.5 + cosine * 0.5)
    a, b, c, d, e, f = (math.floor(entry * ONE + 0.5) for entry in entries)
    # A flip is the same walk from the other end.
    last = size - 1
    if hflip:
        a, c, d, f = -a, c + a * last, -d, f + d * last
    if vflip:
        b, c, e, f = -b, c + b * last, -e, f + e * last
    return a, b, c, d, e, f


@compiled
def _walk(source, matrix, out):
    """Fill ``out`` with the pixels of the crop that ``matrix`` leads to, and with black where it leads out of it.

    ``source``: uint8 (size * size, 3), row by row.
    """
    size = len(out)
    a, b, c, d, e, f = matrix
    for row in range(size):
        target = out[row]
        x, y = b * row + c, e * row + f
        first_of_x, stop_of_x = _inside(x, a, size)
        first_of_y, stop_of_y = _inside(y, d, size)
        first = max(first_of_x, first_of_y)
        stop = max(first, min(stop_of_x, stop_of_y))
        target[:first] = 0
        target[stop:] = 0
        for column in range(first, stop):
            at = ((y + d * column) >> 16) * size + ((x + a * column) >> 16)
            for channel in range(3):
                # Unsigned, since of other indices numba asks first whether they count from the end.
                target[np.uintp(column), channel] = source[np.uintp(at), channel]


@compiled
def _inside(start, step, size):
    """Return the first of ``size`` columns where ``start + step * column`` is of a pixel 0..size - 1, and their end."""
    limit = size * ONE
    if step > 0:
        first, stop = -(start // step), -((start - limit) // step)
    elif step < 0:
        first, stop = (start - limit) // -step + 1, start // -step + 1
    else:
        first, stop = 0, size if 0 <= start < limit else 0
    return max(first, 0), min(stop, size)
