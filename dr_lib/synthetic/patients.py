"""Who is photographed: patients, their eyes, the grade of each, and which files are damaged on purpose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dr_lib import GRADES
from dr_lib.synthetic.traits import EYES

LAB_GRADE_SHARES = (20655, 1955, 4210, 698, 581)
"""Photographs per grade in the lab's training split (28,099 counted there); any five non-negative weights will do."""

EYES_ALIKE = 0.96
"""Correlation of the severity of a patient's two eyes: 87 % of pairs have one grade, as in EyePACS' training set."""


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
