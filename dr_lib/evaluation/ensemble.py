"""Several networks that answer together: their probabilities averaged."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dr_lib import PROBABILITIES
from dr_lib.errors import check_finite


def ensemble(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the predictions of an ensemble: the mean of its members' probabilities, and the likeliest grade by them.

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
    return whole.assign(predicted=probabilities.argmax(axis=1), **answered).reset_index()
