"""The outlines that lesions are made of: blobs, nets of fine vessels, settled blood; in field coordinates."""

from __future__ import annotations

import numpy as np

from dr_lib.synthetic.vessels import Vessel

Shape = tuple[np.ndarray, float]
"""An outline (n, 2) and the level 0..1 it is filled with."""


def blob(
    center: np.ndarray,
    radius: float,
    rng: np.random.Generator,
    roughness: float = 0.3,
    stretch: float = 1.0,
    angle: float = 0.0,
    points: int = 14,
) -> np.ndarray:
    """Return an irregular closed outline (points, 2) around ``center``; ``stretch`` along ``angle`` keeps the area."""
    turn = np.linspace(0, 2 * np.pi, points, endpoint=False)
    radii = np.full(points, radius)
    for frequency in (2, 3, 5):
        radii = radii * (1 + roughness / frequency * rng.normal() * np.sin(frequency * turn + rng.uniform(0, 6.3)))
    x, y = radii * np.cos(turn) * np.sqrt(stretch), radii * np.sin(turn) / np.sqrt(stretch)
    return np.stack([x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)], 1) + center


def tangle(
    root: np.ndarray,
    reach: float,
    count: int,
    width: float,
    rng: np.random.Generator,
    fan: float = np.pi,
    facing: float = 0.0,
) -> list[Shape]:
    """Return a net of ``count`` fine, wriggling vessels that grow from ``root`` over ``reach``.

    They set out in directions up to ``fan`` radian away from ``facing``; with pi, in all directions.
    """
    shapes = []
    steps = np.linspace(0, 1, 22)
    for _ in range(count):
        curl = rng.normal(0, 1.6) * steps + 0.8 * np.sin(2 * np.pi * (rng.uniform(1.2, 2.8) * steps + rng.random()))
        heading = facing + rng.uniform(-fan, fan) + curl
        stride = reach * rng.uniform(0.6, 1.4) / len(steps)
        path = (
            root
            + rng.normal(0, 0.12 * reach, 2)
            + np.cumsum(stride * np.stack([np.cos(heading), np.sin(heading)], 1), 0)
        )
        widths = width * rng.uniform(0.7, 1.3) * np.linspace(1, 0.6, len(steps))
        shapes.append((Vessel(path, widths, False).outline(), rng.uniform(0.7, 1.0)))
    return shapes


def boat(center: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the outline of blood before the retina, which settles: a level upper edge, a rounded lower one."""
    half = rng.uniform(0.1, 0.22)
    turn = np.linspace(0, np.pi, 24)
    uneven = 1 + 0.07 * np.sin(3 * turn + rng.uniform(0, 6.3)) + 0.04 * np.sin(7 * turn + rng.uniform(0, 6.3))
    lower = np.stack([half * np.cos(turn), half * rng.uniform(0.4, 0.9) * np.sin(turn) ** 0.8 * uneven], 1)
    level = np.linspace(-1, 1, 10)[1:-1]
    upper = np.stack([half * level, half * (0.12 * rng.normal() * (1 - level**2) + 0.02 * rng.normal(size=8))], 1)
    tilt = rng.normal(0, 0.12)
    turned = np.concatenate([lower, upper]) @ np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    return turned + center
