"""How a photograph looks, in three cheap facts: how bright it is, how much contrast it has, and what resembles it.

All three are found on a thinned-out copy, so that 10 million pixels cost hardly more than 100,000.
"""

import functools
from dataclasses import dataclass

import imagehash
import numpy as np
from PIL import Image

THUMBNAIL = 128
"""Side in px, about, of the thinned-out copies."""

LIT_SHARE = 0.1
"""What is darker than this share of the bright end of a photograph is the black around the retina."""

DARK, BRIGHT = 0.08, 0.87
"""Brightness below and above which a photograph can hardly be graded.

Found by eye on 5,960 EyePACS photographs: below 0.08 (21 of 5,000 and 3 of 960) little can be made out, above 0.87
(4 of 5,000 and 1 of 960) the retina is washed out to white. The 1st and 99th percentiles are 0.11 and 0.73.
"""

SURROUND, MARKED, BLUER = 0.1, 0.0004, -0.02
"""Brightness of the surround from which on it is not black, share of it from which on it is written on, and redness
below which colors are exchanged or inverted.

Of 158 EyePACS photographs no surround is brighter than 0.01 or written on; of 160, red exceeds blue by -0.003 or more.
"""

ASPECTS, SMALL = (0.8, 1.8), 1 / 3
"""Width by height of what fundus cameras make, and share of the usual shorter side below which one is small."""

UNGRADABLE = 0.5
"""Quality below which EyeQ's graders would more likely than not reject a photograph, see dr_lib.data.quality."""

HASH_SIDE = 16
"""The perceptual hash has this many bits a side, 256 in all; of 64, unrelated photographs share all but two."""

HASH_SQUARES = (36, 34, 32)
"""Half the sides, px, of the squares of the disc that are hashed: 0.64 of the radius, which just fits, and less."""

LEAST_CONTRAST = 0.001
"""Local contrast of green, 0..1, below which a retina has no structure: a quarter of a level of 8 bits."""

NO_STRUCTURE = "0" * (HASH_SIDE**2 // 4)
"""Hash of a photograph whose inner half is one color."""


@dataclass(frozen=True)
class Appearance:
    """Three facts of a photograph.

    ``brightness``: mean luma (ITU-R BT.601) of what is lit in the central square, 0 black to 1 white; lit is what has
    more than a tenth of the luma of the brightest hundredth. ``contrast``: standard deviation of the same, 0..0.5.
    ``phash``: perceptual hash in hex, see :func:`perceptual_hash`.
    """

    brightness: float
    contrast: float
    phash: str


def appearance(pixels: np.ndarray) -> Appearance:
    """Return the facts of a photograph, uint8 (H, W, 3), in less than 1 ms whatever its size."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    brightness, contrast = _lit(_grays(pixels[top : top + side, left : left + side]))
    return Appearance(brightness, contrast, perceptual_hash(pixels))


def perceptual_hash(pixels: np.ndarray) -> str:
    """Return 256 bits in hex that copies of a photograph share, all but a few; zeros alone for one without structure.

    Which of the lowest 16 x 16 frequencies of the inner half of each side are above their median (imagehash's
    ``phash``; Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010). Fundus photographs
    are all alike, a bright disc on black, and with the whole frame hashed its outline alone decides: strangers then
    differ in as few bits as copies. The inner half lies within the disc. Scaling, also to another aspect, and
    recompression hardly change the hash; cropping and mirroring do.
    """
    height, width = pixels.shape[:2]
    inner = _grays(pixels[height // 4 : height - height // 4, width // 4 : width - width // 4])
    if inner.min() == inner.max():
        return NO_STRUCTURE
    bits = imagehash.phash(Image.fromarray(inner), HASH_SIDE).hash
    return np.packbits(bits).tobytes().hex()


def disc_hashes(disc: np.ndarray, mask: np.ndarray) -> str:
    """Return the hashes of a retina in squares of :data:`HASH_SQUARES`, 256 bits each in hex, the largest first.

    Signs of the lowest 16 x 16 frequencies of green, of which the local mean is taken and which is divided by the local
    contrast: brightness, equalizing and Graham's processing hardly change them. They are of the retina, so cropping
    the black around it does not, either; mirroring and quarter turns change signs and order, see
    :func:`dr_lib.data.duplicates.turned_duplicates`. The smaller squares are those of a copy whose rim was cut off.
    ``disc`` and ``mask``: see :func:`dr_lib.data.retina.retina_disc`. Empty where there is no structure.
    """
    from dr_lib.data.retina import Blur  # late: it brings numba, and this module's limits are wanted without

    blurred, radius = Blur(mask), len(mask) // 2
    green = blurred(disc[1], 1.0)
    detail = green - blurred(green, radius / 5)
    contrast = np.sqrt(blurred(detail**2, radius / 5))
    if not mask.any() or contrast[mask].mean() < LEAST_CONTRAST:
        return ""
    detail = np.clip(detail / (contrast + 0.004), -3, 3) * mask
    hashes = []
    for half in HASH_SQUARES:
        square = detail[radius - half : radius + half, radius - half : radius + half]
        cosines = _cosines(2 * half)
        bits = cosines @ square @ cosines.T > 0
        bits[0, 0] = False  # the mean, which says nothing
        hashes.append(np.packbits(bits).tobytes().hex())
    return "".join(hashes)


@functools.cache
def _cosines(side: int) -> np.ndarray:
    """Return the lowest frequencies of the discrete cosine transform (DCT-II), float32 (HASH_SIDE, side)."""
    return np.cos(np.pi / side * np.outer(np.arange(HASH_SIDE), np.arange(side) + 0.5)).astype(np.float32)


def _grays(pixels: np.ndarray) -> np.ndarray:
    """Return the luma of every n-th pixel of each side, so that about :data:`THUMBNAIL` are left: uint8 (h, w)."""
    rows, columns = (slice(None, None, max(1, round(side / THUMBNAIL))) for side in pixels.shape[:2])
    # As planes, since numpy copies rows of one color many times faster than pixels of three bytes.
    red, green, blue = np.ascontiguousarray(pixels[rows, columns].transpose(2, 0, 1)).astype(np.uint32)
    return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(np.uint8)  # as in Pillow's Convert.c


def _lit(grays: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation of the lit pixels, 0..1; zeros where all is black."""
    counts = np.bincount(grays.ravel(), minlength=256)
    luma = np.arange(256)
    bright_end = np.searchsorted(counts.cumsum(), 0.99 * counts.sum())
    counts[luma <= LIT_SHARE * bright_end] = 0
    lit = counts.sum()
    if not lit:
        return 0.0, 0.0
    mean = counts @ luma / lit
    return float(mean / 255), float(np.sqrt(counts @ (luma - mean) ** 2 / lit) / 255)
