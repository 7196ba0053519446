"""Resize and CenterCrop in one: the central square of a photograph, bit-equal to Pillow's, in a tenth of the time.

Pillow resizes across and down, with weights in fixed point and each result rounded to uint8 (libImaging/Resample.c).
The same sums are taken here, but only those that the crop keeps, and across a row by vector instructions that take
packed RGB as it lies, which LLVM does not find in a loop over pixels.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from dr_lib.data.compiled import compiled

PRECISION = 32 - 8 - 2
"""Binary digits of a weight behind the point (Pillow's PRECISION_BITS); a weighted sum of bytes then fits in int32."""
HALF = 1 << (PRECISION - 1)
"""One half: added before the digits behind the point are cut off, it makes that rounding to nearest."""

ROWS, PIXELS, LANES = 4, 4, 16
"""Rows summed at a time, which read their weights once; pixels a vector takes, 12 bytes; its lanes, a power of two."""


def resize_and_crop(pixels: np.ndarray, side: int) -> np.ndarray:
    """Return the middle of a photograph whose shorter side became ``side``, the aspect kept: uint8 (side, side, 3).

    ``pixels``: uint8 (height, width, 3), RGB. The result is, byte for byte, that of torchvision's ``Resize(side)`` and
    ``CenterCrop(side)`` on the same photograph as an image of Pillow 13.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"pixels must be uint8 (height, width, 3), not {pixels.dtype} {pixels.shape}")
    # Read-only, as Pillow hands its pixels out: numba would compile a second time for arrays that are not.
    pixels = np.ascontiguousarray(pixels).view()
    pixels.flags.writeable = False
    height, width, _ = pixels.shape
    shorter = min(height, width)
    # As in torchvision, the longer side is cut to a whole number, and the place of the crop rounded, halves to even.
    resized_height, resized_width = int(side * height / shorter), int(side * width / shorter)
    starts, weights = _weights(height, resized_height, round((resized_height - side) / 2), side)
    columns = _weights(width, resized_width, round((resized_width - side) / 2), side)
    # Pillow 13 goes down first where that takes away much more: a photograph more than twice as high as wide, shrunk.
    if height - resized_height > max(2 * (width - resized_width), 0):
        return _across(_down(pixels, starts, weights), *columns)
    first, stop = starts[0], starts[-1] + weights.shape[1]
    return _down(_across(pixels[first:stop], *columns), starts - first, weights)


@compiled
def _weights(length, resized, first, count):
    """Return which of ``length`` pixels make up ``count`` pixels, from ``first``, of a line that is ``resized``.

    starts: int64 (count,), where the window of each begins. weights: int32 (count, taps), of the pixels in it, in units
    of 2 ** -PRECISION; ``taps`` is a multiple of PIXELS, and what lies outside the tent or the line weighs nothing.
    Each operation in double precision is Pillow's (precompute_coeffs, normalize_coeffs_8bpc, bilinear_filter).
    """
    scale = length / resized
    support = max(scale, 1.0)
    taps = -(-(int(np.ceil(2 * support)) + 1) // PIXELS) * PIXELS
    starts = np.empty(count, np.int64)
    weights = np.zeros((count, taps), np.int32)
    tent = np.empty(taps)
    for place in range(count):
        center = (first + place + 0.5) * scale
        start = max(int(center - support + 0.5), 0)
        stop = min(int(center + support + 0.5), length)
        total = 0.0
        for tap in range(stop - start):
            tent[tap] = max(1.0 - abs((tap + start - center + 0.5) * (1.0 / support)), 0.0)
            total += tent[tap]
        for tap in range(stop - start):
            weights[place, tap] = int(0.5 + tent[tap] / total * (1 << PRECISION))
        starts[place] = start
    return starts, weights


@compiled
def _across(pixels, starts, weights):
    """Return the rows of ``pixels``, uint8 (rows, columns, 3), resampled: uint8 (rows, places, 3)."""
    (rows, columns, _), (places, taps) = pixels.shape, weights.shape
    source, stride = pixels.reshape(-1), 3 * columns
    resampled = np.empty((rows + ROWS, places, 3), np.uint8)
    # A window at the right border reaches into the next row, which weighs nothing there; where no bytes follow, the
    # last rows are taken from a copy with zeros behind it.
    reach = 3 * taps + LANES
    inside = max(source.size - reach, 0) // stride // ROWS * ROWS
    rest = np.zeros((rows - inside + ROWS) * stride + reach, np.uint8)
    for at in range(inside * stride, source.size):
        rest[at - inside * stride] = source[at]
    _weigh_rows(source, inside, stride, starts, weights, resampled)
    _weigh_rows(rest, rows - inside, stride, starts, weights, resampled[inside:])
    return resampled[:rows]


@compiled
def _weigh_rows(source, rows, stride, starts, weights, resampled):
    """Fill ``rows`` rows of ``resampled``, uint8 (rows, places, 3), and on to the next multiple of ROWS."""
    for row in range(0, rows, ROWS):
        for place in range(len(starts)):
            _weigh(source, weights, resampled, row * stride + 3 * starts[place], stride, place, row)  # type: ignore[call-arg]  # numba passes the context


@intrinsic
def _weigh(typing_context, source, weights, resampled, at, stride, place, row):
    """Fill ``resampled[row : row + ROWS, place]`` from windows that begin at ``source[at]`` and ``stride`` bytes apart.

    A vector is four pixels of a row, RGBRGBRGBRGB, and four bytes that weigh nothing. Its lanes sum up every fourth
    pixel of the window; in the end the four lanes of each channel are added.
    """
    byte, word, index = ir.IntType(8), ir.IntType(32), ir.IntType(64)
    lanes = ir.VectorType(word, LANES)

    def build(context, builder, signature, arguments):
        *arrays, at, stride, place, row = arguments
        source, weights, resampled = (
            (kind, context.make_array(kind)(context, builder, array))
            for kind, array in zip(signature.args[:3], arrays, strict=True)
        )

        def pointer(array, *position):
            kind, data = array
            return cgutils.get_item_pointer(context, builder, kind, data, position)

        def load(start, element, count):
            vector = builder.load(builder.bitcast(start, ir.VectorType(element, count).as_pointer()))
            vector.align = 1
            return vector

        def shuffle(vector, order):
            zeros = ir.Constant(vector.type, [0] * vector.type.count)
            return builder.shuffle_vector(vector, zeros, ir.Constant(ir.VectorType(word, len(order)), order))

        half = ir.Constant(lanes, [HALF] * 3 + [0] * (LANES - 3))
        sums = [cgutils.alloca_once_value(builder, half) for _ in range(ROWS)]
        _, taps = cgutils.unpack_tuple(builder, weights[1].shape)
        with cgutils.for_range_slice(builder, index(0), taps, index(PIXELS)) as (tap, _):
            # Lanes beyond the last pixel get what stands behind the weights: zeros.
            weight = shuffle(load(pointer(weights, place, tap), word, PIXELS), [lane // 3 for lane in range(LANES)])
            offset = builder.add(at, builder.mul(index(3), tap))
            for below, total in enumerate(sums):
                window = pointer(source, builder.add(offset, builder.mul(index(below), stride)))
                product = builder.mul(builder.zext(load(window, byte, LANES), lanes), weight)
                builder.store(builder.add(builder.load(total), product), total)
        for below, total in enumerate(sums):
            total = builder.load(total)
            for distance in (6, 3):
                total = builder.add(total, shuffle(total, list(range(distance, distance + LANES))))
            for channel in range(3):
                value = builder.lshr(builder.extract_element(total, word(channel)), word(PRECISION))
                target = pointer(resampled, builder.add(row, index(below)), place, index(channel))
                builder.store(builder.trunc(value, byte), target)
        return context.get_dummy_value()

    return types.void(source, weights, resampled, at, stride, place, row), build


@compiled
def _down(pixels, starts, weights):
    """Return the columns of ``pixels``, uint8 (rows, columns, 3), resampled: uint8 (places, columns, 3)."""
    places, (rows, columns, _) = len(starts), pixels.shape
    lines, resampled = pixels.reshape(rows, columns * 3), np.empty((places, columns * 3), np.uint8)
    sums = np.empty(columns * 3, np.int32)
    for place in range(places):
        sums[:] = HALF
        for tap in range(weights.shape[1]):
            weight = weights[place, tap]
            if weight:  # none weighs anything beyond the last row
                line = lines[starts[place] + tap]
                for at in range(sums.size):
                    sums[at] += weight * np.int32(line[at])
        for at in range(sums.size):
            resampled[place, at] = sums[at] >> PRECISION
    return resampled.reshape(places, columns, 3)
