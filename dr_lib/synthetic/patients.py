"""Who is photographed: patients, what their two eyes share, and the grade of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dr_lib import GRADES

EYES = ("left", "right")


PURPOSES = ("traits", "camera", "vessels", "retina", "plan", "lesions", "photograph")

LAB_GRADE_SHARES = (20655, 1955, 4210, 698, 581)
"""Photographs per grade in the lab's training split (28,099 counted there); any five non-negative weights will do."""

EYES_ALIKE = 0.96
"""Correlation of the severity of a patient's two eyes: 87 % of pairs have one grade, as in EyePACS' training set."""


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


@dataclass(frozen=True)
class Patient:
    """One photograph to take."""

    patient: int
    eye: str
    grade: int

    @property
    def name(self) -> str:
        """The file's name without extension, as EyePACS has it: ``10_left``."""
        return f"{self.patient}_{self.eye}"


def assign_patients(train: int, test: int, shares: tuple[float, ...], seed: int) -> tuple[list[Patient], list[Patient]]:
    """Return the photographs of the training and of the test split, in order of patient; no patient is in both.

    Every patient brings both eyes, but for one if a split's number is odd.
    """
    rng = np.random.default_rng([seed, 0, 90])
    patients = (train + 1) // 2 + (test + 1) // 2
    numbers = 10 + np.concatenate([[0], np.cumsum(rng.integers(1, 4, max(patients - 1, 0)))])
    shuffled = rng.permutation(numbers)
    cut = (train + 1) // 2
    return (
        _grade(np.sort(shuffled[:cut]), train, shares, rng),
        _grade(np.sort(shuffled[cut:patients]), test, shares, rng),
    )


def grade_counts(photographs: int, shares: tuple[float, ...]) -> list[int]:
    """Return how many of ``photographs`` get each grade: largest remainder, but at least one of each wanted grade.

    With fewer photographs than grades, rare grades may stay empty.
    """
    weights = np.asarray(shares, dtype=float) / np.sum(shares)
    exact = weights * photographs
    counts = np.floor(exact).astype(int)
    missing = photographs - counts.sum()
    counts[np.argsort(-(exact - counts), kind="stable")[:missing]] += 1
    if photographs >= len(GRADES):
        for grade in np.flatnonzero((counts == 0) & (weights > 0)):
            counts[np.argmax(counts)] -= 1
            counts[grade] += 1
    return counts.tolist()


def _grade(
    patients: np.ndarray, photographs: int, shares: tuple[float, ...], rng: np.random.Generator
) -> list[Patient]:
    """Give every eye a severity, alike within a patient, and cut the ranking into the exact counts of the grades."""
    own, common = rng.standard_normal((len(patients), 2)), rng.standard_normal((len(patients), 1))
    severity = (np.sqrt(EYES_ALIKE) * common + np.sqrt(1 - EYES_ALIKE) * own).ravel()[:photographs]
    grades = np.empty(photographs, dtype=int)
    grades[np.argsort(severity, kind="stable")] = np.repeat(GRADES, grade_counts(photographs, shares))
    eyes = [(int(patient), eye) for patient in patients for eye in EYES][:photographs]
    return [Patient(patient, eye, int(grade)) for (patient, eye), grade in zip(eyes, grades, strict=True)]
