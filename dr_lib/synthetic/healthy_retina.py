"""The healthy retina as the camera sees it: background, macula, disc and vessels as float32 (3, H, W) reflectances.

Colors multiply: what lies in front absorbs a share of each channel (Beer-Lambert), which is why vessels keep their
look on fair and on dark backgrounds alike. The constants were set by eye against photographs, per channel red, green,
blue.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import gaussian_filter, map_coordinates

from dr_lib.synthetic.canvas import Canvas, smoothstep
from dr_lib.synthetic.patients import Traits
from dr_lib.synthetic.vessels import Vessel

RETINA = np.array([0.62, 0.40, 0.26], np.float32)
"""Reflectance of the background half way between fair and dark."""
DISC_RIM = np.array([1.16, 0.88, 0.52], np.float32)
DISC_CUP = np.array([1.28, 1.12, 0.84], np.float32)
VEIN = np.array([0.36, 0.84, 0.56], np.float32)
ARTERY = np.array([0.10, 0.62, 0.52], np.float32)
PIGMENT = np.array([0.75, 1.0, 0.9], np.float32)
MACULA = np.array([0.55, 1.0, 1.0], np.float32)
CHOROID = np.array([0.30, 1.0, 0.9], np.float32)


def channels(color: ArrayLike) -> np.ndarray:
    """Return a color (3,) so that it broadcasts against (3, H, W)."""
    return np.asarray(color, np.float32)[:, None, None]


def over(image: np.ndarray, color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return ``image`` (3, H, W) with an opaque ``color`` (3,) laid over it where ``alpha`` (H, W) is 1."""
    return image + (channels(color) - image) * alpha


def draw_background(canvas: Canvas, traits: Traits, rng: np.random.Generator) -> np.ndarray:
    """Return the retina without disc and vessels."""
    near_fovea = canvas.distance(traits.fovea)
    density = 0.05 * canvas.noise(rng, 0.5, 2) + 0.030 * canvas.noise(rng, 0.05, 3)
    density += 0.20 * np.exp(-0.5 * (near_fovea / 0.24) ** 2)
    density += 0.10 * (canvas.r**2) * canvas.noise(rng, 0.7)
    absorbed = channels(PIGMENT) * (density + 0.45 * (traits.pigment - 0.5))
    macula = np.exp(-0.5 * (near_fovea / 0.06) ** 2) * (0.45 + 0.4 * traits.pigment)
    absorbed += channels(MACULA) * macula
    absorbed += channels([-0.4, 1.0, 1.2]) * (0.035 * canvas.noise(rng, 0.6))
    grain = 0.02 * rng.standard_normal(canvas.x.shape, np.float32)
    absorbed += gaussian_filter(grain, 0.004 * canvas.radius) * 2
    ridges = _choroid(canvas, traits, rng) * smoothstep(0.1, 0.5, near_fovea)
    absorbed += channels(CHOROID) * (0.24 * traits.tessellation * ridges)
    sheen = _sheen(canvas, traits, rng)
    return channels(RETINA) * np.exp(-absorbed) + channels([0.5, 0.62, 0.55]) * (0.15 * traits.sheen) * sheen


def _polar(canvas: Canvas, traits: Traits) -> tuple[np.ndarray, np.ndarray]:
    """Angle and distance of every pixel seen from the disc."""
    return np.arctan2(canvas.y - traits.disc[1], canvas.x - traits.disc[0]), canvas.distance(traits.disc)


def _choroid(canvas: Canvas, traits: Traits, rng: np.random.Generator) -> np.ndarray:
    """Return (H, W) of mean about 0: the choroid's dark and pale streaks, which fan out from the posterior pole."""
    angle, distance = _polar(canvas, traits)
    bend = 0.03 * canvas.noise(rng, 0.1)
    grid = rng.standard_normal((150, 32)).astype(np.float32)
    rows = (angle + np.pi + bend) / (2 * np.pi) * 150
    columns = np.sqrt(np.maximum(distance + bend, 0)) * 14
    wave = map_coordinates(grid, [rows, columns], order=1, mode="grid-wrap")
    wave = gaussian_filter(wave, 0.008 * canvas.radius)
    return np.clip(wave, -1, 1) * 0.7 * np.clip(1 + 0.5 * canvas.noise(rng, 0.4), 0, 2)


def _sheen(canvas: Canvas, traits: Traits, rng: np.random.Generator) -> np.ndarray:
    """Return (H, W): the silky streaks of the nerve fiber layer above and below the disc."""
    angle, distance = _polar(canvas, traits)
    profile = gaussian_filter(rng.standard_normal(512).astype(np.float32), 1.5, mode="wrap")
    streaks = profile[((angle + np.pi) / (2 * np.pi) * 511).astype(int)]
    arcs = np.abs(np.sin(angle)) ** 0.7 * np.exp(-(((distance - 0.32) / 0.28) ** 2))
    return np.clip(arcs * (1 + 0.5 * streaks), 0, None) * (1 + 0.3 * canvas.noise(rng, 0.15))


def draw_disc(image: np.ndarray, canvas: Canvas, traits: Traits, rng: np.random.Generator) -> np.ndarray:
    """Return ``image`` with the optic disc: rim, paler cup, pale crescent on the temporal side."""
    dx = canvas.x - np.float32(traits.disc[0])
    dy = (canvas.y - np.float32(traits.disc[1])) / np.float32(traits.disc_height)
    distance = np.hypot(dx, dy) / np.float32(traits.disc_radius)
    uneven = 0.05 * canvas.noise(rng, 0.12)
    glow = np.exp(-0.5 * (distance / 1.9) ** 2)
    image = image * (1 + 0.10 * glow)
    if traits.crescent > 0.15:
        shifted = np.hypot(dx + 0.16 * traits.disc_radius, dy) / np.float32(traits.disc_radius)
        alpha = smoothstep(1.28, 1.08, shifted + uneven * 1.5) * min(0.45, 0.6 * traits.crescent)
        image = over(image, RETINA * np.array([1.35, 1.45, 1.4], np.float32), alpha)
    blurred_nasal = 0.07 + 0.07 * smoothstep(-0.5, 1.0, dx / traits.disc_radius)
    rim = np.clip((1.0 - distance + uneven) / blurred_nasal * 0.5 + 0.5, 0, 1)
    rim = rim * rim * (3 - 2 * rim)
    temporal_pallor = 1 - 0.10 * np.clip(dx / traits.disc_radius, -1, 1)
    pinkness = channels([1.0, 1.0 - 0.12 * rng.random(), 1.0])
    image = image + (channels(DISC_RIM) * pinkness * temporal_pallor * (1 + uneven) - image) * (0.88 * rim)
    cup_dx = dx + 0.12 * traits.disc_radius
    cup = smoothstep(traits.cup * 1.35, traits.cup * 0.6, np.hypot(cup_dx, dy) / np.float32(traits.disc_radius))
    return over(image, DISC_CUP, 0.75 * cup)


def draw_vessels(image: np.ndarray, canvas: Canvas, traits: Traits, tree: list[Vessel]) -> np.ndarray:
    """Return ``image`` behind the vessels: veins dark, arteries redder with a bright reflex along their middle."""
    for artery, color in ((False, VEIN), (True, ARTERY)):
        some = [vessel for vessel in tree if vessel.artery is artery]
        depth = canvas.fill([(v.outline(), 0.42 + 18 * float(v.widths[0])) for v in reversed(some)])
        core = canvas.fill([(v.outline(0.55), 1.0) for v in some if v.widths[0] > 0.007])
        depth = gaussian_filter(depth, 0.0022 * canvas.radius) * (0.85 + 0.15 * core)
        if artery:
            reflex = canvas.fill([(v.outline(0.3), 1.0) for v in some if v.widths[0] > 0.009])
            depth = depth * (1 - 0.4 * gaussian_filter(reflex, 0.002 * canvas.radius))
        image = image * np.exp(-channels(color) * (traits.vessel_contrast * depth))
    return image


def draw_drusen(image: np.ndarray, canvas: Canvas, traits: Traits, rng: np.random.Generator) -> np.ndarray:
    """Return ``image`` with the soft yellow deposits of age around the macula, which come with every grade."""
    if not traits.drusen:
        return image
    turn = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    shapes = []
    for _ in range(traits.drusen):
        center = np.array(traits.fovea) + rng.normal(0, 0.17, 2)
        radius = rng.uniform(0.005, 0.014)
        shapes.append((center + radius * np.stack([np.cos(turn), np.sin(turn)], 1), rng.uniform(0.3, 0.8)))
    alpha = gaussian_filter(canvas.fill(shapes), 0.005 * canvas.radius)
    return over(image, RETINA * np.array([1.3, 1.5, 1.25], np.float32), 0.6 * alpha)
