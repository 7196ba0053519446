"""How well what has nothing to do with the retina tells grades or splits: a network can learn that instead.

Size, aspect, camera, file format and brightness differ between sources. Where one source has the sicker patients, they
tell the grade, on testing photographs of the same sources too, and on no others (Geirhos et al., "Shortcut learning in
deep neural networks", Nature Machine Intelligence 2020). Where the testing photographs differ from the others in them,
the split is not random.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from dr_lib import REFERABLE_GRADE
from dr_lib.evaluation.bootstrap import LEVEL, draws, patient_index
from dr_lib.evaluation.ranking import rank

TRAITS: dict[str, list[str]] = {
    "size": ["width", "height"],
    "aspect": ["aspect"],
    "camera": ["camera"],
    "file format": ["format", "mode"],
    "brightness": ["brightness"],
}
"""What photographs are compared by, and the columns that say it."""
TOGETHER = "all of these"

FOLDS, RESAMPLES, SEED = 5, 500, 20161
LEAST_PATIENTS = 30
"""Patients that each side must have: with fewer, the interval leaves out chance too often."""


def find_shortcuts(photographs: pd.DataFrame) -> list[dict[str, Any]]:
    """Return how well each of :data:`TRAITS` alone, and all together, tell grade and split, one dict a pair.

    ``photographs``: one row each: ``grade, patient, split, width, height`` (px), ``format, mode, camera, brightness``.
    ``target``: ``grade`` (referable DR or not) or ``split`` (testing or not). ``trait``. ``auc``: area under the ROC
    curve of a small tree's answers on patients that it was not fitted to; 0.5 is chance. ``low`` and ``high``: interval
    over patients that holds for all pairs together in 95 of 100 data sets (Bonferroni). ``shortcut``: whether it lies
    above chance. What is the same for all photographs is left out, and so is a target with too few patients on a side.
    """
    table = photographs.assign(aspect=(photographs["width"] / photographs["height"].clip(lower=1)).round(3))
    number, patients = patient_index(table["patient"])
    varied = {trait: columns for trait, columns in TRAITS.items() if (table[columns].nunique() > 1).any()}
    if len(varied) > 1:
        varied[TOGETHER] = [column for columns in varied.values() for column in columns]
    targets = {"grade": table["grade"] >= REFERABLE_GRADE, "split": table["split"] == "test"}
    sides = {name: positive.to_numpy(bool) for name, positive in targets.items()}
    sides = {
        name: positive
        for name, positive in sides.items()
        if min(len(np.unique(patients[positive])), len(np.unique(patients[~positive]))) >= LEAST_PATIENTS
    }
    if not sides or not varied:
        return []
    drawn = np.concatenate([np.ones((1, number), np.uint8), draws(number, RESAMPLES)])
    half = norm.ppf(1 - (1 - LEVEL) / (2 * len(sides) * len(varied)))
    numbers = {trait: _as_numbers(table[columns]) for trait, columns in varied.items()}
    found = []
    for name, positive in sides.items():
        for trait, scores in _out_of_fold(numbers, positive, patients).items():
            areas = rank(positive, scores, patients, drawn).auc
            auc, spread = float(areas[0]), float(half * np.nanstd(areas[1:]))
            low, high = max(auc - spread, 0.0), min(auc + spread, 1.0)
            found.append({"target": name, "trait": trait, "auc": auc, "low": low, "high": high, "shortcut": low > 0.5})
    return found


def _as_numbers(columns: pd.DataFrame) -> NDArray[np.float64]:
    """Return columns as numbers, of texts the place among the commonest: float (N, columns)."""
    return np.column_stack([_codes(columns[name]) for name in columns])


def _codes(values: pd.Series) -> NDArray[np.float64]:
    if pd.api.types.is_numeric_dtype(values):
        return values.to_numpy(float)
    return values.map({value: place for place, value in enumerate(values.value_counts().index)}).to_numpy(float)


def _out_of_fold(
    traits: Mapping[str, NDArray[np.float64]], positive: NDArray[np.bool_], patients: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Return by trait how likely each photograph is positive, by trees fitted to other patients; float (N,)."""
    from sklearn.model_selection import StratifiedKFold  # takes a second to import
    from sklearn.tree import DecisionTreeClassifier

    scores = {trait: np.zeros(len(positive)) for trait in traits}
    # Folds of the patients themselves: StratifiedGroupKFold takes half a minute for 20,000 of them.
    has_one = np.bincount(patients, weights=positive) > 0
    for _, left_out in StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(has_one, has_one):
        asked = np.isin(patients, left_out)
        fitted = ~asked
        for trait, values in traits.items():
            least = max(20, np.count_nonzero(fitted) // 50)
            tree = DecisionTreeClassifier(max_leaf_nodes=8, min_samples_leaf=least, random_state=SEED)
            tree.fit(values[fitted], positive[fitted])
            scores[trait][asked] = tree.predict_proba(values[asked])[:, 1]
    return scores
