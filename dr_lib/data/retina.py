"""The circle that a fundus camera lights, found in the photograph: what is retina and what is surround.

Photographs differ in how much of the frame the circle takes, from three fifths to all of it, with top and bottom cut
off; measured in radii, lesions of one photograph compare with those of another (Graham 2015 scales by it, too).
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

THUMBNAIL = 128
"""Longer side of what the circle is looked for in, px, about; the fit to its whole edge is finer than one of them."""
EDGE = 0.15
"""Where the edge is between the surround (0) and the retina (1): low, since the light falls off towards the edge."""
LEAST_STEP = 6
"""Levels between surround and retina below which an edge would be noise."""
TRIALS = 128
"""Circles tried through three points; with half of the points on the edge, all miss once in 26 million times."""
VOTERS = 100
"""Points, at most, that vote on each."""
TOLERANCE = 0.02
"""Distance from the circle up to which a point lies on it, in radii."""
SECTORS = 24
"""Directions from the centre, to count in how many of them the edge is seen."""


class Circle(NamedTuple):
    """Centre and radius in px; the centre of the frame's first pixel is (0.5, 0.5), as in Pillow."""

    x: float
    y: float
    radius: float


def find_retina(pixels: np.ndarray) -> Circle | None:
    """Return the lit circle of a photograph, uint8 (H, W, 3), or None where none is to be seen.

    The circle may leave the frame; shadows, a tab on its edge, or writing beside it do not move it. The surround is
    black or, in some collections, white. None: too dark, no surround (the frame lies inside the circle), or a lit area
    of another shape.
    """
    height, width = pixels.shape[:2]
    step = max(round(max(height, width) / THUMBNAIL), 1)
    top, left = min(step, height) // 2, min(step, width) // 2
    # Planes: numpy copies whole rows of one colour many times faster than pixels of three bytes.
    thumbnail = np.ascontiguousarray(pixels[top::step, left::step].transpose(2, 0, 1))
    mask = _lit_area(thumbnail)
    if mask is None:
        return None
    points = _edge_points(mask)
    circle = _circle_through_most(points)
    if circle is None or not _is_plausible(circle, points, mask):
        return None
    return Circle(*(float(value * step) for value in circle))


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
    chosen = points[np.random.default_rng(0).integers(len(points), size=(TRIALS, 3))]
    first, second, third = np.moveaxis(chosen, 1, 0)
    # The centre is as far from the first point as from the other two: two linear equations, by Cramer's rule.
    u, v = second - first, third - first
    determinant = 2 * (u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0])
    usable = np.abs(determinant) > 1
    first, u, v, determinant = first[usable], u[usable], v[usable], determinant[usable]
    uu, vv = (u * u).sum(axis=1), (v * v).sum(axis=1)
    x = first[:, 0] + (v[:, 1] * uu - u[:, 1] * vv) / determinant
    y = first[:, 1] + (u[:, 0] * vv - v[:, 0] * uu) / determinant
    if not len(x):
        return None
    radius = np.hypot(first[:, 0] - x, first[:, 1] - y)
    voters = points[:: len(points) // VOTERS + 1]
    squares = (voters[:, 0] - x[:, None]) ** 2 + (voters[:, 1] - y[:, None]) ** 2
    nearest, farthest = (radius - _tolerance(radius))[:, None], (radius + _tolerance(radius))[:, None]
    votes = np.count_nonzero((squares > nearest**2) & (squares < farthest**2), axis=1)
    # A circle much larger than the frame would win the votes of any straight edge.
    votes[radius > np.ptp(points, axis=0).max()] = 0
    best = votes.argmax()
    circle = Circle(x[best], y[best], radius[best])
    for _ in range(3):
        on_it = points[_lies_on(circle, points)]
        if len(on_it) < 3:
            return None
        circle = _least_squares(on_it)
    return circle


def _least_squares(points: np.ndarray) -> Circle:
    """Return the circle that fits best (Kåsa 1976): x² + y² = 2ax + 2by + c is linear in a, b, c."""
    terms = np.column_stack([2 * points, np.ones(len(points))])
    a, b, c = np.linalg.lstsq(terms, (points * points).sum(axis=1), rcond=None)[0]
    return Circle(a, b, np.sqrt(max(c + a * a + b * b, 0)))


def _tolerance(radius: np.ndarray) -> np.ndarray:
    return np.maximum(TOLERANCE * radius, 0.75)


def _lies_on(circle: Circle, points: np.ndarray) -> np.ndarray:
    distance = np.hypot(points[:, 0] - circle.x, points[:, 1] - circle.y)
    return np.abs(distance - circle.radius) < _tolerance(circle.radius)


def _is_plausible(circle: Circle, points: np.ndarray, mask: np.ndarray) -> bool:
    """Return whether the circle has the size and place of a retina, an edge all round, and the light inside."""
    height, width = mask.shape
    if not 0.3 * min(height, width) < circle.radius < 0.5 * np.hypot(height, width):
        return False
    if abs(circle.x - width / 2) > 0.2 * width or abs(circle.y - height / 2) > 0.2 * height:
        return False
    on_it = _lies_on(circle, points)
    angle = np.arctan2(points[on_it, 1] - circle.y, points[on_it, 0] - circle.x)
    seen = np.zeros(SECTORS, bool)
    seen[((angle / (2 * np.pi) + 0.5) * SECTORS).astype(int) % SECTORS] = True
    y, x = np.ogrid[:height, :width]
    inside = (x + 0.5 - circle.x) ** 2 + (y + 0.5 - circle.y) ** 2 < circle.radius**2
    lit_inside = np.count_nonzero(mask & inside)
    return bool(
        on_it.mean() > 0.5
        and seen.sum() >= SECTORS // 3
        and lit_inside > 0.7 * np.count_nonzero(inside)
        and lit_inside > 0.9 * np.count_nonzero(mask)
    )
