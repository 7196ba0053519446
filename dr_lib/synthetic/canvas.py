"""The picture plane, pixels on one side, retinal coordinates on the other; and outlines of lesions on it.

Blobs, nets of fine vessels and settled blood are in field coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image, ImageDraw

from dr_lib.synthetic.vessels import Vessel

Shape = tuple[np.ndarray, float]
"""An outline (n, 2) and the level 0..1 it is filled with."""


@dataclass(frozen=True)
class Canvas:
    """Width and height in pixels; the circle's radius and center in pixels; ``mirror`` for a left eye."""

    width: int
    height: int
    radius: float
    center: tuple[float, float]
    mirror: bool

    @property
    def sign(self) -> int:
        return -1 if self.mirror else 1

    @property
    def supersampling(self) -> int:
        """Sub-pixels per pixel and axis; more for small pictures, whose vessels are thinner than a pixel."""
        return int(np.clip(np.ceil(1100 / self.width), 2, 8))

    @property
    def y_limit(self) -> float:
        """Half the height of the frame in field coordinates; below 1 where the frame cuts the circle."""
        return min(self.height - self.center[1], self.center[1]) / self.radius

    @cached_property
    def camera_x(self) -> np.ndarray:
        """float32 (H, W): x in field coordinates, never mirrored."""
        column = (np.arange(self.width, dtype=np.float32) + 0.5 - self.center[0]) / self.radius
        return np.broadcast_to(column.astype(np.float32), (self.height, self.width))

    @cached_property
    def x(self) -> np.ndarray:
        """float32 (H, W): x in field coordinates of the eye."""
        return self.camera_x * np.float32(self.sign)

    @cached_property
    def y(self) -> np.ndarray:
        """float32 (H, W): y in field coordinates, downwards."""
        row = (np.arange(self.height, dtype=np.float32) + 0.5 - self.center[1]) / self.radius
        return np.broadcast_to(row.astype(np.float32)[:, None], (self.height, self.width))

    @cached_property
    def r(self) -> np.ndarray:
        """float32 (H, W): distance from the center of the circle, 1 on its edge."""
        return np.hypot(self.x, self.y)

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """Return ``points`` (..., 2) of the eye as pixel coordinates (x, y)."""
        points = np.asarray(points, dtype=np.float64)
        return points * (self.sign * self.radius, self.radius) + self.center

    def distance(self, point: tuple[float, float]) -> np.ndarray:
        """float32 (H, W): distance of every pixel from ``point``, in field coordinates."""
        return np.hypot(self.x - np.float32(point[0]), self.y - np.float32(point[1]))

    def bump(self, point: tuple[float, float], width: float) -> np.ndarray:
        """float32 (H, W): a Gaussian hill of height 1 and standard deviation ``width`` around ``point``."""
        across = np.exp(-0.5 * ((self.x[:1] - point[0]) / width) ** 2)
        down = np.exp(-0.5 * ((self.y[:, :1] - point[1]) / width) ** 2)
        return (down * across).astype(np.float32)

    def fill(self, shapes: list[tuple[np.ndarray, float]]) -> np.ndarray:
        """Return float32 (H, W), 0..1: filled polygons ``(points (n, 2), level)``, later ones over earlier ones."""
        if not shapes:
            return np.zeros((self.height, self.width), np.float32)
        scale = self.supersampling
        image = Image.new("L", (self.width * scale, self.height * scale))
        pen = ImageDraw.Draw(image)
        for points, level in shapes:
            outline = np.asarray(self.to_pixels(points) * scale, dtype=np.float32)
            pen.polygon(outline.ravel().tolist(), fill=int(255 * min(max(level, 0.0), 1.0)))
        return np.asarray(image.reduce(scale), dtype=np.float32) / np.float32(255)

    def noise(self, rng: np.random.Generator, scale: float, octaves: int = 1) -> np.ndarray:
        """Return float32 (H, W): smooth noise of mean 0 and deviation about 1, its grain ``scale`` in field units.

        Each further octave halves grain and height, as the mottling of a real fundus does.
        """
        total, weight = np.zeros((self.height, self.width), np.float32), 0.0
        for octave in range(octaves):
            cell = max(scale * self.radius / 2**octave, 1.0)
            columns, rows = (int(np.ceil(side / cell)) + 4 for side in (self.width, self.height))
            grid = Image.fromarray(rng.standard_normal((rows, columns)).astype(np.float32))
            box = (1.5, 1.5, 1.5 + self.width / cell, 1.5 + self.height / cell)
            layer = grid.resize((self.width, self.height), Image.Resampling.BICUBIC, box=box)
            total += np.asarray(layer) * np.float32(0.5**octave)
            weight += 0.25**octave
        return total * np.float32(1.35 / np.sqrt(weight))  # interpolation lowers the deviation to about 1/1.35


def smoothstep(low: float, high: float, value: np.ndarray) -> np.ndarray:
    """Return 0 below ``low``, 1 above ``high`` and a smooth rise between (``low > high`` gives the falling step)."""
    t = np.clip((value - np.float32(low)) / np.float32(high - low), 0, 1)
    return t * t * (3 - 2 * t)


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
