"""Which labels a network contradicts most: a list of photographs to grade again, the likeliest mistakes first.

Answers must come from models that have not seen the label, nor the patient's other eye. Training a network a fold gives
them at the price of as many trainings. Here the last layer alone is fitted anew, as an ordinal logistic regression on a
trained network's features by folds of the patients. ``benchmarks/label_errors.py`` counts how many planted mistakes it
finds.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from dr_lib import GRADES, PROBABILITIES
from dr_lib.errors import InputError
from dr_lib.evaluation.bootstrap import patient_index

FOLDS: int = 5
SEED = 20161
COMPONENTS = 64
"""Principal components of the features that the regression is given: with all of them it learns labels by heart."""


def rank_labels(photographs: pd.DataFrame, features: NDArray[np.floating], folds: int = FOLDS) -> pd.DataFrame:
    """Return all photographs, those first whose grade the others contradict most.

    ``photographs``: ``grade, patient``, and whatever else. ``features``: float (N, D), row by row. Columns are added in
    front: ``contradiction`` (grades, see :func:`contradiction`), ``suggested`` (the median of the answer), and behind:
    ``p0..p4``, the probabilities by a model that has seen no label of the patient. Raises :class:`InputError` where
    there are fewer patients than folds, or one grade alone.
    """
    grades = photographs["grade"].to_numpy()
    probabilities = out_of_fold(features, grades, photographs["patient"], folds)
    suggested = (probabilities.cumsum(axis=1) < 0.5).sum(axis=1).clip(max=len(GRADES) - 1)
    table = photographs.assign(
        suggested=suggested,
        contradiction=contradiction(probabilities, grades).round(4),
        **dict(zip(PROBABILITIES, probabilities.round(4).T, strict=True)),
    )
    return table.sort_values("contradiction", ascending=False, kind="stable").reset_index(drop=True)


def contradiction(probabilities: NDArray[np.floating], grades: ArrayLike) -> NDArray[np.float64]:
    """Return how many grades a label is further from the answer than the best label would be, 0..4 (N,).

    The expected distance of the label, ``sum_k p_k |k - label|``, less that of the median, which is the least: what
    makes an unsure answer alone no contradiction. ``probabilities``: (N, 5). ``grades``: (N,).
    """
    steps = np.abs(np.subtract.outer(np.array(GRADES), np.array(GRADES)))
    distances = np.asarray(probabilities, dtype=float) @ steps
    return distances[np.arange(len(distances)), np.asarray(grades)] - distances.min(axis=1)


def out_of_fold(
    features: NDArray[np.floating], grades: ArrayLike, patients: ArrayLike, folds: int = FOLDS
) -> NDArray[np.float64]:
    """Return the probability of each grade by models fitted to other patients, (N, 5); rows sum to 1.

    An ordinal model of four logistic regressions, one for "above grade k" each (Frank and Hall, ECML 2001).
    """
    from sklearn.decomposition import PCA  # takes a second to import
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import KFold

    grades = np.asarray(grades)
    number, index = patient_index(patients)
    if number < 2 * folds or len(np.unique(grades)) < 2:
        raise InputError(
            f"{number} patients, {len(np.unique(grades))} grades: label errors need {2 * folds} patients and two grades"
        )
    scaled = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)
    reduced = PCA(min(COMPONENTS, *scaled.shape), random_state=SEED).fit_transform(scaled)
    reduced /= reduced.std(axis=0)[0]
    above = np.ones((len(grades), len(GRADES) + 1))
    above[:, -1] = 0
    for _, left_out in KFold(folds, shuffle=True, random_state=SEED).split(range(number)):
        asked = np.isin(index, left_out)
        for grade in GRADES[:-1]:
            higher = grades[~asked] > grade
            if higher.all() or not higher.any():
                above[asked, grade + 1] = higher[0]
            else:
                model = LogisticRegression(C=0.1, max_iter=500).fit(reduced[~asked], higher)
                above[asked, grade + 1] = model.predict_proba(reduced[asked])[:, 1]
    above = np.minimum.accumulate(above, axis=1)  # four models may disagree by a little
    return above[:, :-1] - above[:, 1:]
