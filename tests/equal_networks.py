"""Networks that are equally good, on patients with two eyes: what comparisons must not tell apart."""

import numpy as np
import pandas as pd
from scipy.special import ndtri

SHARES = np.array([0.7351, 0.0696, 0.1498, 0.0248, 0.0207])
CUTS = ndtri(np.cumsum(SHARES)[:-1])
"""Severities, standard normal, at which a grade ends: the shares are those of EyePACS."""

EYES = 0.85
"""Correlation of the severities of a patient's eyes."""


def photographs(patients, rng):
    """Return severity and patient of two photographs of each of so many ``patients``."""
    shared = rng.standard_normal(patients)[:, None]
    severity = np.sqrt(EYES) * shared + np.sqrt(1 - EYES) * rng.standard_normal((patients, 2))
    return severity.ravel(), np.repeat(np.arange(patients), 2)


def network(seen, rng, skill):
    """Return the predictions of a network whose score correlates with the severity by ``skill``, 0..1.

    Half of its error is shared by both eyes of a patient.
    """
    severity, patients = seen
    error = np.sqrt(0.5) * rng.standard_normal(patients.max() + 1)[patients] + np.sqrt(0.5) * rng.standard_normal(
        len(severity)
    )
    score = skill * severity + np.sqrt(1 - skill**2) * error
    nearness = np.exp(-2 * (np.linspace(-1, 3, 5) - score[:, None]) ** 2)
    table = pd.DataFrame(
        {
            "image": np.arange(len(severity)).astype(str),
            "patient": patients.astype(str),
            "grade": np.searchsorted(CUTS, severity),
            "predicted": np.searchsorted(CUTS, score),
        }
    )
    table[[f"p{grade}" for grade in range(5)]] = nearness / nearness.sum(axis=1, keepdims=True)
    return table
