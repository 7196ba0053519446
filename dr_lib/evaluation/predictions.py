"""Tables of predictions: an ensemble's, how certain each answer is, and the worst of the wrong ones."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from dr_lib import PROBABILITIES
from dr_lib.errors import check_finite


def prediction_table(photographs: pd.DataFrame, probabilities: np.ndarray, predicted: np.ndarray) -> pd.DataFrame:
    """Return the rows of ``predictions.csv``: ``photographs`` (image, patient, grade) beside what was predicted.

    ``probabilities``: float64 (N, 5), ``predicted``: int64 (N,), in the order of ``photographs``.
    """
    probabilities = check_finite(probabilities, "probabilities")
    table = photographs[["image", "patient", "grade"]].reset_index(drop=True)
    return table.assign(predicted=predicted, **dict(zip(PROBABILITIES, probabilities.T, strict=True)))


def answer(probabilities: ArrayLike, head: str) -> NDArray[np.int64]:
    """Return the grades that a ``head`` answers by ``probabilities`` (N, 5), int64 (N,), by the rule of its kind.

    softmax: the likeliest. The ordinal ones, coral, corn and regression: the median, which is as many grades up as have
    P(grade > k) above one half; see :mod:`dr_lib.models.heads`.
    """
    shares = check_finite(probabilities, "probabilities")
    if head == "softmax":
        return shares.argmax(axis=1)
    worse_than = shares[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
    return (worse_than > 0.5).sum(axis=1)


def ensemble(tables: Sequence[pd.DataFrame], head: str = "softmax") -> pd.DataFrame:
    """Return the predictions of an ensemble: the mean of its members' probabilities, and what ``head`` answers by them.

    ``tables``: the members' predictions (image, patient, grade, predicted, p0..p4) of the same photographs, such as
    those of runs that differ in their seed alone (Lakshminarayanan et al., NeurIPS 2017); ValueError where they are of
    others. An ensemble is a grader of its own, which costs as many networks: its figures are never those of one.
    """
    whole = tables[0].set_index("image")
    members = []
    for table in tables:
        member = table.set_index("image")
        if len(member) != len(whole) or not member.reindex(whole.index).grade.equals(whole.grade):
            raise ValueError("the members of an ensemble were not tested on the same photographs with the same grades")
        members.append(member.loc[whole.index, list(PROBABILITIES)].to_numpy())
    probabilities = check_finite(np.mean(members, axis=0), "probabilities of an ensemble")
    answered = dict(zip(PROBABILITIES, probabilities.T, strict=True))
    return whole.assign(predicted=answer(probabilities, head), **answered).reset_index()


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
