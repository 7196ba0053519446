"""One photograph from (seed, patient, eye, grade): anatomy, lesions and camera put together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from dr_lib import GRADES
from dr_lib.errors import InputError
from dr_lib.synthetic.camera import draw_camera, photograph
from dr_lib.synthetic.canvas import Canvas
from dr_lib.synthetic.healthy_retina import (
    RETINA,
    channels,
    draw_background,
    draw_disc,
    draw_drusen,
    draw_vessels,
    over,
)
from dr_lib.synthetic.lesions import Lesions, Plan, place_lesions, plan
from dr_lib.synthetic.patients import EYES, draw_traits, generator
from dr_lib.synthetic.vessels import grow_tree

SMALLEST = 64
# What blood and new vessels absorb, and the colors of what lies over the retina, per channel; set by eye.
BLOOD = np.array([0.55, 1.25, 0.85], np.float32)
NEW_VESSELS = np.array([0.36, 0.95, 0.70], np.float32)
EXUDATE = RETINA * np.array([1.55, 2.05, 1.55], np.float32)
COTTON_WOOL = RETINA * np.array([1.35, 1.75, 2.0], np.float32)
CLOT = RETINA * np.array([0.55, 0.18, 0.22], np.float32)
FIBROSIS = RETINA * np.array([1.2, 1.5, 1.6], np.float32)


@dataclass(frozen=True)
class Fundus:
    """A drawn photograph and what is known about it.

    ``pixels`` is uint8 (H, W, 3), RGB; ``lesions`` counts by kind; ``plan`` the findings behind the grade; ``disc`` and
    ``fovea`` are pixel coordinates (x, y); ``quality`` is the JPEG quality of the camera.
    """

    pixels: np.ndarray
    lesions: dict[str, int]
    plan: Plan
    disc: tuple[float, float]
    fovea: tuple[float, float]
    quality: int


def draw_fundus(patient: int, eye: str, grade: int, *, size: int = 512, seed: int = 0) -> Fundus:
    """Return the photograph of one eye ("left" or "right") of ICDR ``grade`` 0-4.

    ``size`` is the nominal width in pixels; the actual width and height vary with the camera. The result depends on the
    arguments alone.
    """
    if eye not in EYES:
        raise InputError(f"eye is {eye!r}, expected one of {', '.join(EYES)}")
    if grade not in GRADES:
        raise InputError(f"grade is {grade!r}, expected an integer 0-4")
    if size < SMALLEST:
        raise InputError(f"size is {size!r}, expected at least {SMALLEST} pixels")
    camera, traits = draw_camera(seed, patient, eye, size), draw_traits(seed, patient, eye)
    canvas = camera.canvas
    planned = plan(grade, generator(seed, patient, "plan", eye))
    shared, own = generator(seed, patient, "vessels"), generator(seed, patient, "vessels", eye)
    tree = grow_tree(traits, shared, own, planned.beaded)

    rng = generator(seed, patient, "retina", eye)
    retina = draw_background(canvas, traits, rng)
    retina = draw_drusen(retina, canvas, traits, rng)
    retina = draw_disc(retina, canvas, traits, rng)
    retina = draw_vessels(retina, canvas, traits, tree)
    rng = generator(seed, patient, "lesions", eye)
    lesions = place_lesions(planned, traits, tree, canvas.y_limit, rng)
    retina = _draw_lesions(retina, canvas, lesions, rng)
    pixels = photograph(retina, camera, traits, generator(seed, patient, "photograph", eye))
    disc, fovea = map(tuple, camera.canvas.to_pixels(np.array([traits.disc, traits.fovea])).tolist())
    return Fundus(pixels, lesions.counts, planned, disc, fovea, camera.quality)


def _draw_lesions(image: np.ndarray, canvas: Canvas, lesions: Lesions, rng: np.random.Generator) -> np.ndarray:
    """Return ``image`` with the lesions, from the deepest layer of the retina to the blood in front of it."""
    unit = canvas.radius
    if lesions.exudates:
        alpha = gaussian_filter(canvas.fill(lesions.exudates), 0.0018 * unit)
        halo = gaussian_filter(alpha, 0.02 * unit)
        image = over(image, EXUDATE, np.clip(0.95 * alpha + 0.35 * halo, 0, 1))
    if lesions.blood or lesions.deep_blood:
        depth = gaussian_filter(canvas.fill(lesions.blood), 0.0025 * unit)
        depth = np.maximum(depth, gaussian_filter(canvas.fill(lesions.deep_blood), 0.006 * unit))
        image = image * np.exp(-channels(BLOOD) * depth * (1 + 0.15 * canvas.noise(rng, 0.03)))
    if lesions.cotton_wool:
        alpha = gaussian_filter(canvas.fill(lesions.cotton_wool), 0.008 * unit)
        image = over(image, COTTON_WOOL, np.clip(0.9 * alpha * (1 + 0.12 * canvas.noise(rng, 0.03)), 0, 1))
    if lesions.fibrosis:
        image = over(image, FIBROSIS, 0.5 * gaussian_filter(canvas.fill(lesions.fibrosis), 0.015 * unit))
    if lesions.fine_vessels:
        depth = gaussian_filter(canvas.fill(lesions.fine_vessels), 0.0015 * unit)
        image = image * np.exp(-channels(NEW_VESSELS) * depth)
    if lesions.preretinal:
        alpha = gaussian_filter(canvas.fill(lesions.preretinal), 0.009 * unit)
        alpha = np.clip(alpha * (0.92 + 0.06 * canvas.noise(rng, 0.05, 2)), 0, 1)
        image = over(image, CLOT, alpha)
    return image
