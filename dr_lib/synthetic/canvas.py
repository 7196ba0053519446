"""The picture plane: pixels on one side, retinal coordinates on the other.

Anatomy is placed in *field coordinates*: the origin is the center of the camera's circle, one unit is the circle's
radius, x grows to the right of a right eye's photograph and y grows downwards. A left eye is the same drawing seen
through ``mirror``. A 45 degree camera shows about 13 mm of retina, so one unit is about 6.5 mm.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image, ImageDraw


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
