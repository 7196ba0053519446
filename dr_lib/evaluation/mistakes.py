"""Wrong answers, the worst first."""

import pandas as pd

from dr_lib import PROBABILITIES


def worst_first(wrong: pd.DataFrame) -> pd.DataFrame:
    """Return rows of ``predictions.csv`` by how far the answer is from the truth, then by how sure the run was of it.

    They gain ``certainty``, the probability of the answer, and ``distance`` in grades.
    """
    rows = with_certainty(wrong).assign(distance=(wrong["grade"] - wrong["predicted"]).abs())
    return rows.sort_values(["distance", "certainty", "image"], ascending=[False, False, True])


def with_certainty(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return rows of ``predictions.csv`` with ``certainty``, the probability of the answer, 0..1."""
    probabilities = predictions[PROBABILITIES].to_numpy()
    return predictions.assign(certainty=probabilities[range(len(predictions)), predictions["predicted"].to_numpy()])
