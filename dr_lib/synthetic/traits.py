"""What one patient's two eyes share, and what each has of its own.

Lengths are in field coordinates (see ``canvas``): 1 is the radius of the camera's circle, about 6.5 mm of retina.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EYES = ("left", "right")


PURPOSES = ("traits", "camera", "vessels", "retina", "plan", "lesions", "photograph")


def generator(seed: int, patient: int, purpose: str, eye: str | None = None) -> np.random.Generator:
    """Return the random numbers of one patient for one of PURPOSES: one eye's own, or those that both eyes share.

    Nothing else enters, so a photograph does not depend on which process draws it or after which other one; and since
    every purpose has its own numbers, a grade changes the lesions and leaves the rest of the photograph as it is.
    """
    side = 0 if eye is None else 1 + EYES.index(eye)
    return np.random.default_rng([seed, patient, PURPOSES.index(purpose), side])


@dataclass(frozen=True)
class Traits:
    """One eye's anatomy, in the orientation of a right eye: the disc on the right of the macula."""

    fovea: tuple[float, float]
    disc: tuple[float, float]
    disc_radius: float
    disc_height: float  # vertical over horizontal diameter of the disc, slightly above 1
    cup: float  # cup-to-disc ratio of the diameters
    crescent: float  # strength of the pale crescent at the temporal edge of the disc, 0 = none
    pigment: float  # 0 = fair, choroid shining through; 1 = dark
    tessellation: float  # how clearly the choroidal vessels show, 0..1
    sheen: float  # glitter of the nerve fiber layer, strong in the young
    drusen: int  # small yellow deposits of age, no sign of diabetes
    arcade_height: float  # how far the temporal vessels arch above and below the macula
    tortuosity: float
    vessel_width: float  # of the widest vein
    vessel_contrast: float


def draw_traits(seed: int, patient: int, eye: str) -> Traits:
    """Return the traits of one eye: the patient's own, plus a little that differs between left and right."""
    shared = generator(seed, patient, "traits")
    own = generator(seed, patient, "traits", eye)
    young = shared.random()
    centring = shared.beta(2, 2) * 0.42  # 0 = macula in the middle of the picture, 0.4 = disc almost in the middle
    gap = shared.normal(0.66, 0.03)  # disc to fovea, about 15 degrees of a 45 degree picture
    drop = shared.normal(0.07, 0.025)  # the fovea lies a little below the disc
    fovea = (-0.12 + centring * 0.6 - 0.05 + own.normal(0, 0.035), 0.03 + own.normal(0, 0.05))
    disc = (fovea[0] + gap, fovea[1] - drop + own.normal(0, 0.015))
    return Traits(
        fovea=fovea,
        disc=disc,
        disc_radius=float(np.clip(shared.normal(0.132, 0.012), 0.1, 0.165)),
        disc_height=shared.uniform(1.0, 1.16),
        cup=float(np.clip(shared.normal(0.42, 0.11) + own.normal(0, 0.03), 0.15, 0.75)),
        crescent=max(0.0, shared.normal(0.0, 0.5)),
        pigment=shared.beta(1.6, 1.6),
        tessellation=float(shared.beta(1.0, 2.2)),
        sheen=young**3,
        drusen=int(own.integers(4, 40)) if shared.random() < 0.14 else 0,
        arcade_height=shared.uniform(0.47, 0.68),
        tortuosity=shared.uniform(0.5, 1.25) + own.normal(0, 0.05),
        vessel_width=shared.normal(0.0245, 0.0025),
        vessel_contrast=shared.uniform(0.85, 1.3),
    )
