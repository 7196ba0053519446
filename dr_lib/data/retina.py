"""The circle that a fundus camera lights, found in the photograph: what is retina and what is surround.

Photographs differ in how much of the frame the circle takes, from three fifths to all of it, with top and bottom cut
off; measured in radii, lesions of one photograph compare with those of another (Graham 2015 scales by it, too).
"""

import functools
import math
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from dr_lib.data.compiled import compiled

THUMBNAIL = 128
"""Longer side, px, about, of what the circle is looked for in; fitted to its whole edge, it errs by a tenth of one."""
EDGE = 0.15
"""Where the edge is between the surround (0) and the retina (1): low, since the light falls off towards the edge."""
LEAST_STEP = 6
"""Levels between surround and retina below which an edge would be noise."""
TRIALS = 128
"""Circles tried through three points; with half of the points on the edge, all miss once in 26 million times."""
EVERY = 3
"""One in so many points votes on the circles tried."""
TOLERANCE = 0.02
"""Distance from the circle up to which a point lies on it, in radii."""
DISC_RADIUS = 56
"""Radius, px, at which retinas are measured: of a photograph 128 px wide, about, in which large vessels can be seen."""
INNER = 0.9
"""Share of the radius within which the retina is measured: the rim is often hazy, or clipped by a tab or a mask."""
CUT_OFF = 0.2
"""Share of the usual light below which a row holds no retina."""
SURROUND_SIDE = 512
"""Longer side, px, about, of what writing in the surround is looked for in: letters would be lost in a thumbnail."""
BEYOND_TABS, WRITTEN = 1.12, 40
"""Distance in radii from which on, and levels by which, something in the surround is not of the retina's edge."""
SECTORS = 24
"""Directions from the center, to count in how many of them the edge is seen."""


class Circle(NamedTuple):
    """Center and radius in px; the center of the frame's first pixel is (0.5, 0.5), as in Pillow."""

    x: float
    y: float
    radius: float


def find_retina(pixels: np.ndarray) -> Circle | None:
    """Return the lit circle of a photograph, uint8 (H, W, 3), or None where none is to be seen.

    The circle may leave the frame; shadows, a tab on its edge, or writing beside it do not move it. The surround is
    black or, in some collections, white. None: too dark, no surround (the frame lies inside the circle), or a lit area
    of another shape.
    """
    step = max(round(max(pixels.shape[:2]) / THUMBNAIL), 1)
    mask = _lit_area(_thinned(pixels, step))
    if mask is None:
        return None
    points = _edge_points(mask)
    circle = _circle_through_most(points)
    if circle is None or not _is_plausible(circle, points, mask):
        return None
    return Circle(*(float(value * step) for value in circle))


@compiled
def _thinned(pixels, step):
    """Return every ``step``-th pixel of each side, uint8 (3, h, w).

    As planes, read in one go, since the photograph is larger than the processor's cache. Thinned out, not
    blurred: a blur would carry the edge, which lies below half of the light, outwards.
    """
    height, width, _ = pixels.shape
    top, left = min(step, height) // 2, min(step, width) // 2
    thinned = np.empty((3, (height - top + step - 1) // step, (width - left + step - 1) // step), np.uint8)
    for row in range(thinned.shape[1]):
        line = pixels[top + row * step]
        for column in range(thinned.shape[2]):
            pixel = line[left + column * step]
            thinned[0, row, column], thinned[1, row, column], thinned[2, row, column] = pixel[0], pixel[1], pixel[2]
    return thinned


def _lit_area(thumbnail: np.ndarray) -> np.ndarray | None:
    """Return which pixels of ``thumbnail``, uint8 (3, H, W), are of the lit area in the middle: bool (H, W)."""
    _, height, width = thumbnail.shape
    patch = max(min(height, width) // 24, 1)
    ends = np.r_[:patch, -patch:0]
    surround = np.median(thumbnail[:, ends[:, None] % height, ends % width].reshape(3, -1), axis=1)
    light = np.abs(thumbnail - surround.astype(np.int16)[:, None, None]).max(axis=0)
    retina = np.partition(light.ravel(), light.size * 3 // 4)[light.size * 3 // 4]
    if retina < LEAST_STEP:
        return None
    areas, _ = ndimage.label(light > EDGE * retina)
    middle = areas[height // 4 : -(height // 4) or None, width // 4 : -(width // 4) or None]
    sizes = np.bincount(middle.ravel())
    sizes[0] = 0
    return areas == sizes.argmax() if sizes.any() else None


def _edge_points(mask: np.ndarray) -> np.ndarray:
    """Return where rows and columns enter and leave the area, float (n, 2) as x, y, unless the frame cuts it off."""
    found = []
    for area, flip in ((mask, 1), (mask.T, -1)):
        rows = np.flatnonzero(area.any(axis=1))
        first = area[rows].argmax(axis=1)
        last = area.shape[1] - area[rows, ::-1].argmax(axis=1)
        for at, inside in ((first, first > 1), (last, last < area.shape[1] - 1)):
            found.append(np.column_stack([at, rows + 0.5])[inside, ::flip])
    return np.concatenate(found)


def _circle_through_most(points: np.ndarray) -> Circle | None:
    """Return the circle that most points lie on (RANSAC, Fischler and Bolles 1981), fitted to them."""
    if len(points) < 8:
        return None
    circle = _most_voted(points, np.random.default_rng(0).integers(len(points), size=(TRIALS, 3)))
    for _ in range(2):
        circle = _least_squares(points, circle)
    return Circle(*circle) if circle[2] else None


@compiled
def _most_voted(points, triples):
    """Return x, y and radius of the circle that most points lie on; a radius of 0 where there is none.

    ``points``: float64 (n, 2). ``triples``: int64 (trials, 3), the points through which a circle is tried.
    """
    best, most, largest = (0.0, 0.0, 0.0), 0, points.max()
    for trial in range(len(triples)):
        first, second, third = points[triples[trial, 0]], points[triples[trial, 1]], points[triples[trial, 2]]
        x, y = first[0], first[1]
        # The center is as far from the first point as from the other two: two linear equations, by Cramer's rule.
        ux, uy, vx, vy = second[0] - x, second[1] - y, third[0] - x, third[1] - y
        determinant = 2 * (ux * vy - uy * vx)
        if abs(determinant) <= 1:
            continue
        uu, vv = ux * ux + uy * uy, vx * vx + vy * vy
        a, b = (vy * uu - uy * vv) / determinant, (ux * vv - vx * uu) / determinant
        circle = (x + a, y + b, math.hypot(a, b))
        # A circle much larger than the frame would win the votes of any straight edge.
        if circle[2] > largest:
            continue
        votes = 0
        for voter in range(0, len(points), EVERY):
            votes += _lies_on(circle, points[voter])
        if votes > most:
            best, most = circle, votes
    return best


@compiled
def _least_squares(points, circle):
    """Return the circle that fits those points best that lie on ``circle`` (Kåsa 1976); a radius of 0 for none.

    x² + y² = 2ax + 2by + c is linear in a, b, c; about the mean of the points c drops out of the equations of a and b.
    """
    on_it = 0
    x = y = 0.0
    for point in points:
        if _lies_on(circle, point):
            on_it += 1
            x += point[0]
            y += point[1]
    if on_it < 3:
        return 0.0, 0.0, 0.0
    x, y = x / on_it, y / on_it
    uu = uv = vv = uz = vz = 0.0
    for point in points:
        if _lies_on(circle, point):
            u, v = point[0] - x, point[1] - y
            z = u * u + v * v
            uu, uv, vv, uz, vz = uu + u * u, uv + u * v, vv + v * v, uz + u * z, vz + v * z
    determinant = 2 * (uu * vv - uv * uv)
    if determinant <= 0:
        return 0.0, 0.0, 0.0
    a, b = (vv * uz - uv * vz) / determinant, (uu * vz - uv * uz) / determinant
    return x + a, y + b, math.sqrt(a * a + b * b + (uu + vv) / on_it)


@compiled
def _lies_on(circle, point):
    # Points are on the lines between pixels: on small circles they are off by more than the share of the radius.
    tolerance = max(TOLERANCE * circle[2], 0.75)
    return abs(math.sqrt((point[0] - circle[0]) ** 2 + (point[1] - circle[1]) ** 2) - circle[2]) < tolerance


def _is_plausible(circle: Circle, points: np.ndarray, mask: np.ndarray) -> bool:
    """Return whether the circle has the size and place of a retina, an edge all round, and the light inside."""
    height, width = mask.shape
    if not 0.3 * min(height, width) < circle.radius < 0.5 * np.hypot(height, width):
        return False
    if abs(circle.x - width / 2) > 0.2 * width or abs(circle.y - height / 2) > 0.2 * height:
        return False
    on_it, seen, lit_inside, inside = _count(tuple(circle), points, mask)
    return (
        on_it > 0.5 * len(points)
        and seen >= SECTORS // 3
        and lit_inside > 0.7 * inside
        and lit_inside > 0.9 * np.count_nonzero(mask)
    )


@compiled
def _count(circle, points, mask):
    """Return how many points lie on the circle, in how many sectors, and how many px in it are lit, and are at all."""
    seen = np.zeros(SECTORS, np.bool_)
    on_it = 0
    for point in points:
        if _lies_on(circle, point):
            on_it += 1
            angle = math.atan2(point[1] - circle[1], point[0] - circle[0])
            seen[int((angle / (2 * math.pi) + 0.5) * SECTORS) % SECTORS] = True
    lit_inside = inside = 0
    for row in range(mask.shape[0]):
        for column in range(mask.shape[1]):
            if (column + 0.5 - circle[0]) ** 2 + (row + 0.5 - circle[1]) ** 2 < circle[2] ** 2:
                inside += 1
                lit_inside += mask[row, column]
    return on_it, seen.sum(), lit_inside, inside


def surroundings(pixels: np.ndarray, circle: Circle) -> tuple[float, float]:
    """Return how bright the surround of a retina is, 0 black to 1 white, and the share of it that differs: writing.

    ``pixels``: uint8 (H, W, 3), of which every n-th is looked at. A tab on the circle's edge and the light that it
    scatters do not count. Zeros where hardly any surround is in the frame.
    """
    step = max(max(pixels.shape[:2]) // SURROUND_SIDE, 1)
    light = _thinned(pixels, step).max(axis=0)
    y, x = (np.arange(side) * step + step / 2 for side in light.shape)
    outside = light[(y[:, None] - circle.y) ** 2 + (x - circle.x) ** 2 > (BEYOND_TABS * circle.radius) ** 2]
    if outside.size < 100:
        return 0.0, 0.0
    level = float(np.median(outside))
    differs = np.count_nonzero(np.abs(outside - np.float32(level)) > WRITTEN)
    return round(level / 255, 3), round(float(differs / outside.size), 5) if differs >= 10 else 0.0


def retina_disc(pixels: np.ndarray, circle: Circle | None, radius: int = DISC_RADIUS) -> tuple[np.ndarray, np.ndarray]:
    """Return the retina with a radius of ``radius`` px: float32 (3, 2 radius, 2 radius), 0..1, and its bool mask.

    What is measured on it is measured in shares of the retina, whatever the camera's resolution. The mask is what lies
    in the frame and within :data:`INNER` of the circle. Where there is none, in photographs squashed or cut closely,
    the lit area stands for it. ``pixels``: uint8 (H, W, 3); of large ones every n-th pixel is averaged, 16 or more for
    one of the disc's.
    """
    inner = _inner(radius)
    if circle is None:
        circle, lit = _lit_surroundings(pixels)
        at = np.arange(-radius, radius) + 0.5
        rows, columns = (
            np.clip((middle + at * circle.radius / radius) * small / large, 0, small - 1).astype(int)
            for middle, small, large in zip((circle.y, circle.x), lit.shape, pixels.shape, strict=False)
        )
        inner = inner & lit[rows[:, None], columns]
    step = max(int(circle.radius / (4 * radius)), 1)
    disc, covered = _averaged(_thinned(pixels, step), circle.x / step, circle.y / step, circle.radius / step, radius)
    return disc, _without_cut_off_rows(disc[0], covered & inner)


@functools.cache
def _inner(radius: int) -> np.ndarray:
    """Return what lies within :data:`INNER` of a disc, bool (2 radius, 2 radius)."""
    at = np.arange(-radius, radius) + 0.5
    return np.hypot(at, at[:, None]) < INNER * radius


def _lit_surroundings(pixels: np.ndarray) -> tuple[Circle, np.ndarray]:
    """Return the circle about the lit area, as far as the frame shows it, and that area without its rim, thinned."""
    height, width = pixels.shape[:2]
    step = max(round(max(height, width) / THUMBNAIL), 1)
    thumbnail = _thinned(pixels, step)
    lit = _lit_area(thumbnail)
    if lit is None:
        lit = np.ones(thumbnail.shape[1:], bool)
    (top, bottom), (left, right) = (np.flatnonzero(lit.any(axis=axis))[[0, -1]] * step for axis in (1, 0))
    circle = Circle((left + right + step) / 2, (top + bottom + step) / 2, (max(right - left, bottom - top) + step) / 2)
    rim = max(round((1 - INNER) * circle.radius / step), 1)
    return circle, ndimage.binary_erosion(lit, iterations=rim, border_value=1)


def _without_cut_off_rows(red: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the mask without the black rows above and below, where the camera cuts the circle within the frame.

    They would be taken for a retina that is not lit. A row is black where none of it has :data:`CUT_OFF` of the light
    that rows usually have; the cut is never at less than half of the radius, and its edge is soft.
    """
    brightest = np.where(mask, red, 0).max(axis=1)
    filled = brightest[mask.any(axis=1)]
    if not filled.size:
        return mask
    side, lit = len(brightest), np.flatnonzero(brightest >= CUT_OFF * np.median(filled))
    soft, first, last = side // 28, lit[0], lit[-1]
    mask[: min(first + soft, side // 4) if mask[:first].any() else 0] = False
    mask[max(last + 1 - soft, side * 3 // 4) if mask[last + 1 :].any() else side :] = False
    return mask


def reduced(disc: np.ndarray, mask: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a disc and its mask as of a radius smaller by ``factor``; a pixel counts where all that it averages do."""
    return _reduced(disc, mask, factor)


@compiled
def _reduced(disc, mask, factor):
    side = len(mask) // factor
    means, all_in = np.empty((3, side, side), np.float32), np.ones((side, side), np.bool_)
    for row in range(side):
        for column in range(side):
            for color in range(3):
                total = np.float32(0)
                for y in range(row * factor, (row + 1) * factor):
                    of_line = np.float32(0)
                    for x in range(column * factor, (column + 1) * factor):
                        of_line += disc[color, y, x]
                        all_in[row, column] &= mask[y, x]
                    total += of_line
                means[color, row, column] = total / (factor * factor)
    return means, all_in


@compiled
def _averaged(planes, x, y, radius, out_radius):
    """Return means over the areas of a smaller grid about x, y, and which of these areas are within the frame."""
    _, height, width = planes.shape
    side, scale = 2 * out_radius, radius / out_radius
    disc, covered = np.zeros((3, side, side), np.float32), np.zeros((side, side), np.bool_)
    rows = np.empty((3, width), np.float32)
    for row in range(side):
        top, bottom = y + (row - out_radius) * scale, y + (row + 1 - out_radius) * scale
        if top < 0 or bottom > height:
            continue
        rows[:] = 0
        for at_y in range(int(top), min(math.ceil(bottom), height)):
            tall = np.float32((min(bottom, at_y + 1) - max(top, at_y)) / (255 * scale * scale))
            for color in range(3):
                for at_x in range(width):
                    rows[color, at_x] += tall * planes[color, at_y, at_x]
        for column in range(side):
            left, right = x + (column - out_radius) * scale, x + (column + 1 - out_radius) * scale
            if left < 0 or right > width:
                continue
            covered[row, column] = True
            red = green = blue = 0.0
            for at_x in range(int(left), min(math.ceil(right), width)):
                wide = min(right, at_x + 1) - max(left, at_x)
                red += rows[0, at_x] * wide
                green += rows[1, at_x] * wide
                blue += rows[2, at_x] * wide
            disc[0, row, column], disc[1, row, column], disc[2, row, column] = red, green, blue
    return disc, covered


class Blur:
    """Gaussian means of what lies within a mask, bool (H, H): each pixel outside of it counts for nothing."""

    def __init__(self, mask: np.ndarray):
        self._side = len(mask)
        lit_lines = np.array([mask.any(axis=1), mask.any(axis=0)])
        rows, columns = (slice(lit.argmax(), self._side - lit[::-1].argmax()) for lit in lit_lines)
        self._box, inside = (rows, columns), mask[rows, columns]
        self._weight, self._key = inside.astype(np.float32), (inside.tobytes(), inside.shape)

    def __call__(self, values: np.ndarray, sigma: float) -> np.ndarray:
        """Return the means of ``values``, float32 (H, H), with a standard deviation of ``sigma`` px.

        Beyond the rows and columns of the mask they are 0.
        """
        means = np.zeros((self._side, self._side), np.float32)
        means[self._box] = _gaussian(values[self._box] * self._weight, sigma) / _areas(*self._key, sigma)
        return means


@functools.lru_cache(128)
def _areas(mask: bytes, shape: tuple[int, int], sigma: float) -> np.ndarray:
    """Return how much of a mask each mean is of; most photographs of a camera have one and the same."""
    return np.maximum(_gaussian(np.frombuffer(mask, bool).reshape(shape).astype(np.float32), sigma), 1e-3)


def _gaussian(values: np.ndarray, sigma: float) -> np.ndarray:
    """Return what SciPy's ``gaussian_filter`` does with ``truncate=3, mode="constant"``, to the bit, but faster."""
    weights = _gaussian_weights(sigma)
    return _convolved(_convolved(values, weights), weights)


@functools.cache
def _gaussian_weights(sigma: float) -> np.ndarray:
    """Return the weights of a Gaussian from its middle outwards, float64 (n,); they sum to 1 over both sides."""
    reach = int(3 * sigma + 0.5)
    weights = np.exp(-0.5 / sigma**2 * np.arange(-reach, reach + 1) ** 2)
    return (weights / weights.sum())[reach:]


@compiled
def _convolved(values, weights):
    """Return ``values``, float32 (H, W), weighted along their columns and transposed; beyond the edge is 0.

    One weight at a time for a whole row, which the processor does for several pixels at once.
    """
    height, width = values.shape
    reach = len(weights) - 1
    padded = np.zeros((height + 2 * reach, width))
    padded[reach : reach + height] = values
    result, total = np.empty((width, height), np.float32), np.empty(width)
    for y in range(height):
        for x in range(width):
            total[x] = padded[y + reach, x] * weights[0]
        for step in range(reach, 0, -1):
            above, below, weight = padded[y + reach - step], padded[y + reach + step], weights[step]
            for x in range(width):
                total[x] += (above[x] + below[x]) * weight
        result[:, y] = total
    return result
