"""The camera: format and circle, tint, illumination, haze, focus, reflexes, dust, noise, and the black surround.

One patient is photographed with one camera, whose look is drawn from four families seen in screening programs.
Between photographs the colors vary far more than any lesion changes them, so that color alone does not tell the
grade.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from dr_lib.synthetic.canvas import Canvas, smoothstep
from dr_lib.synthetic.healthy_retina import channels
from dr_lib.synthetic.patients import Traits, generator


@dataclass(frozen=True)
class Family:
    """A make of camera; ranges are (lowest, highest)."""

    share: float  # of the patients
    ratio: tuple[float, float]  # height over width
    circle: tuple[float, float]  # the circle's diameter over the width
    # Means and deviations of log(red), log(green / red) and log(blue / green) of a photograph's median color.
    tint: tuple[tuple[float, float, float], tuple[float, float, float]]
    notch: float  # how often the circle has a tab
    rim: float  # how often it has a bluish ring


FAMILIES = (
    # landscape, the whole circle in a wide frame
    Family(0.36, (0.664, 0.669), (0.618, 0.645), ((-0.72, -0.42, -0.38), (0.30, 0.20, 0.24)), 0.7, 0.1),
    # landscape, the circle cut at top and bottom
    Family(0.36, (0.660, 0.669), (0.800, 0.850), ((-0.54, -0.34, -0.28), (0.25, 0.15, 0.14)), 0.0, 0.8),
    # 4:3, the circle cut a little
    Family(0.16, (0.748, 0.752), (0.790, 0.905), ((-0.80, -0.50, -0.80), (0.30, 0.20, 0.45)), 0.5, 0.3),
    # nearly square, the whole circle
    Family(0.12, (0.890, 1.000), (0.860, 0.970), ((-0.80, -0.52, -0.80), (0.28, 0.17, 0.35)), 0.5, 0.2),
)


@dataclass(frozen=True)
class Camera:
    """Everything about one photograph that is not the eye; lengths in units of the circle's radius."""

    canvas: Canvas
    tint: np.ndarray  # (3,): the median color wanted, 0..1
    vignette: float
    slope: tuple[float, float]  # illumination gradient
    haze: float  # share of the contrast lost, 0..1
    blur: float
    noise: float  # standard deviation in gray levels
    rim: float  # glow along the edge
    notch: str  # the tab on the circle's edge: none, square, round
    shutter: bool  # a dark band that fades in at the lower edge
    quality: int  # of the JPEG


def draw_camera(seed: int, patient: int, eye: str, size: int) -> Camera:
    """Return the camera of one photograph of nominal width ``size`` pixels; both eyes of a patient share the make."""
    shared = generator(seed, patient, "camera")
    own = generator(seed, patient, "camera", eye)
    family = FAMILIES[shared.choice(len(FAMILIES), p=[family.share for family in FAMILIES])]
    width = round(size * float(shared.choice([1.0, 1.0, 0.94, 0.86])))
    height = round(width * shared.uniform(*family.ratio))
    radius = 0.5 * width * shared.uniform(*family.circle)
    radius = radius if family.ratio[0] < 0.7 and family.circle[0] > 0.7 else min(radius, 0.525 * height)
    center = (0.5 * width + 0.012 * width * own.normal(), 0.5 * height + 0.006 * height * own.normal())
    mean, deviation = np.array(family.tint)
    spread = 0.85 * shared.normal(size=3) + 0.5 * own.normal(size=3)
    spread[2] = 0.55 * spread[1] + 0.83 * spread[2]  # less red goes with more blue: towards gray, not towards green
    log_tint = mean + deviation * spread
    # Bright photographs are less red: over-exposure saturates the red channel first.
    log_tint[1] -= 0.25 * (log_tint[0] - mean[0])
    log_tint[1] = min(log_tint[1], 0.4 * log_tint[2])  # nobody's retina is green
    tint = np.exp(np.cumsum(np.clip(log_tint, [-1.9, -1.1, -2.0], [-0.12, 0.03, 0.1])))
    poor = own.random() < 0.1  # an ungradable-looking minority, as in every screening program
    return Camera(
        canvas=Canvas(width, height, radius, center, mirror=eye == "left"),
        tint=tint,
        vignette=own.uniform(0.05, 0.6),
        slope=tuple(own.normal(0, 0.13, 2).tolist()),
        haze=float(own.beta(1.1, 9) + (0.25 if poor else 0)),
        blur=float(own.gamma(2.0, 0.0012) + (0.006 if poor and own.random() < 0.6 else 0)),
        noise=float(own.uniform(0.8, 3.0)),
        rim=float(own.uniform(0.4, 1.2)) if own.random() < family.rim else 0.0,
        notch=str(shared.choice(["square", "round"])) if shared.random() < family.notch else "none",
        shutter=bool(own.random() < 0.3),
        quality=int(shared.integers(82, 96)),
    )


def photograph(retina: np.ndarray, camera: Camera, traits: Traits, rng: np.random.Generator) -> np.ndarray:
    """Return uint8 (H, W, 3): ``retina``, float32 (3, H, W) reflectances, as ``camera`` records it."""
    canvas = camera.canvas
    light = 1 - camera.vignette * canvas.r**2 + camera.slope[0] * canvas.camera_x + camera.slope[1] * canvas.y
    light = np.maximum(light * (1 + 0.09 * canvas.noise(rng, 0.8)), 0.05)
    image = retina * light
    image = gaussian_filter(image, (0, *2 * [0.0012 * canvas.radius + camera.blur * canvas.radius]))
    # Exposure and white balance aim at the whole picture, as a camera's do; lesions are too small to move a median.
    seen = image[:, ::4, ::4][:, canvas.r[::4, ::4] < 0.95]
    image *= channels(camera.tint / np.median(seen, axis=1))
    veil = channels(camera.tint * np.exp(rng.normal(0, 0.12, 3)))
    image += (veil - image) * (camera.haze * np.clip(1 + 0.4 * canvas.noise(rng, 0.6), 0, 2))
    image = _artifacts(image, camera, traits, rng)
    image = np.maximum(image, 0)
    squared = image * image
    # A soft shoulder: highlights run into white, not into a wall.
    image = image / np.sqrt(np.sqrt(1 + squared * squared))
    image = _edge(image, camera, rng)
    image = 255 * image + camera.noise * _grain(rng, image.shape)
    return np.clip(image + 0.5, 0, 255).astype(np.uint8).transpose(1, 2, 0)


def _grain(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Sensor noise after the camera's own smoothing: mostly in brightness, less in color."""
    common = rng.standard_normal(shape[1:], np.float32)
    return common + np.float32(0.5) * rng.standard_normal(shape, np.float32)


def _artifacts(image: np.ndarray, camera: Camera, traits: Traits, rng: np.random.Generator) -> np.ndarray:
    """Shadows, reflexes and dust, with every grade alike."""
    canvas = camera.canvas
    warm = channels(camera.tint)
    if rng.random() < 0.16:  # the shadow of a small pupil: a large dark cloud in the middle
        aside = rng.normal(0, 0.12, 2)
        at = traits.fovea[0] + aside[0], traits.fovea[1] + aside[1]
        cloud = smoothstep(0.6, 0.05, canvas.distance(at) / rng.uniform(0.7, 1.2) + 0.03 * canvas.noise(rng, 0.4))
        image = image * (1 - channels([0.75, 0.62, 0.5]) * (rng.uniform(0.25, 0.9) * cloud))
    if rng.random() < 0.45:  # light scattered at the edge of the pupil: a pale crescent along one side
        side = rng.uniform(-np.pi, np.pi)
        towards = (canvas.camera_x * np.cos(side) + canvas.y * np.sin(side)) / np.maximum(canvas.r, 1e-3)
        lobe = np.clip(0.5 + 0.5 * towards, 0, 1) ** rng.uniform(1, 4)
        crescent = lobe * smoothstep(rng.uniform(0.55, 0.85), 1.05, canvas.r + 0.03 * canvas.noise(rng, 0.4))
        tone = warm * channels([1.2, 1.6, 1.6]) + channels(rng.uniform(0.05, 0.35, 3))
        image = image + (tone - image) * (crescent * rng.uniform(0.2, 0.8))
    if camera.rim:  # a bluish ring, from the lens
        ring = smoothstep(0.86, 1.0, canvas.r) * (1 + 0.3 * canvas.noise(rng, 0.7))
        image = image + channels([0.02, 0.12, 0.13]) * (camera.rim * ring)
    if rng.random() < 0.2:  # a faint central reflex of the lens
        at = (rng.normal(0, 0.1), rng.normal(0, 0.08))
        bump = canvas.bump(at, rng.uniform(0.025, 0.06))
        image = image + channels([0.10, 0.12, 0.13]) * (rng.uniform(0.3, 1.3) * bump)
    for _ in range(rng.poisson(1.2)):  # out-of-focus dust and drops
        (x, y), size = rng.uniform(-0.8, 0.8, 2), rng.uniform(0.01, 0.035)
        disc = smoothstep(size, 0.7 * size, np.hypot(canvas.camera_x - x, canvas.y - y))
        image = image * (1 + rng.choice([-0.10, 0.12]) * disc)
    return image


def _edge(image: np.ndarray, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Cut the circle out of ``image`` and lay it on the nearly black surround."""
    canvas = camera.canvas
    pixel = 1 / canvas.radius
    soft = max(rng.uniform(0.002, 0.022), 1.2 * pixel)
    inside = smoothstep(1.0, 1.0 - soft, canvas.r)
    if camera.shutter and canvas.y_limit < 0.95:
        inside = inside * smoothstep(canvas.y_limit, canvas.y_limit - 0.05, canvas.y)
    if camera.notch != "none":
        angle = rng.normal(-0.75, 0.04)  # upper right, where makers put the tab that tells up from down
        along = canvas.camera_x * np.cos(angle) + canvas.y * np.sin(angle)
        across = canvas.y * np.cos(angle) - canvas.camera_x * np.sin(angle)
        reach = 1.06 if camera.notch == "square" else 1.045 - 12 * across**2
        tab = smoothstep(0.045, 0.045 - 1.5 * pixel, np.abs(across)) * np.clip((reach - along) / (1.5 * pixel), 0, 1)
        inside = np.maximum(inside, tab * (along > 0.9))
    dark = channels(rng.uniform(0.0, 0.014, 3))
    return np.clip(dark + (image - dark) * inside, 0, 1)
