"""Two runs on the same photographs: their differences, each with its interval over the same patients."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dr_lib import GRADES
from dr_lib.evaluation.bootstrap import Difference, difference
from dr_lib.evaluation.bootstrap_metrics import Figures, resampled_figures
from dr_lib.evaluation.significance import McNemar, mcnemar


@dataclass(frozen=True)
class Comparison:
    """What changes from one run to another, figures of the second less those of the first; ``None``: cannot be said.

    ``mcnemar``: of one run against one run. ``p``: two-sided, 0..1, how probable so large a difference of accuracy is
    by chance, of McNemar's test or, of several seeds, as :func:`dr_lib.evaluation.seed_groups.compare_seeds` says.
    """

    accuracy: Difference | None = None
    kappa: Difference | None = None
    recall: tuple[Difference | None, ...] = (None,) * len(GRADES)
    balanced_accuracy: Difference | None = None
    macro_auc: Difference | None = None
    referable_auc: Difference | None = None
    mcnemar: McNemar | None = None
    p: float | None = None


def compare(first: pd.DataFrame, second: pd.DataFrame) -> Comparison:
    """Return the figures of ``second`` less those of ``first`` with 95% intervals, patients resampled in pairs.

    Both have the columns image, patient, grade, predicted, p0..p4. Runs that were not tested on the same photographs
    with the same grades cannot be compared.
    """
    joined = same_photographs(first, second)
    if joined is None:
        return Comparison()
    before, after = resampled_figures(first), resampled_figures(second)

    def change(figure: Callable[[Figures], NDArray[np.float64]]) -> Difference | None:
        values = figure(after) - figure(before)
        return difference(values[0], values[1:])

    answers = (joined["predicted"], joined["predicted_second"])
    test = mcnemar(*(answer == joined["grade"] for answer in answers))
    return Comparison(**changes(change), mcnemar=test, p=test.p)


def changes(change: Callable) -> dict:
    """Return the differences of a :class:`Comparison` by name, each by ``change`` of what picks its figure.

    What is handed to ``change`` takes :data:`Figures` and gives back the values of one figure, (1 + resamples,).
    """
    names = ("accuracy", "kappa", "balanced_accuracy", "macro_auc", "referable_auc")
    found = {name: change(lambda figures, name=name: figures[name]) for name in names}
    recall = tuple(change(lambda figures, grade=grade: figures["recall"][:, grade]) for grade in GRADES)
    return found | {"recall": recall}


def same_photographs(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame | None:
    """Return both tables side by side, the second's columns ending in ``_second``; ``None`` unless they are of the
    same photographs with the same grades and patients."""
    joined = first.merge(second, on="image", suffixes=("", "_second"))
    alike = len(joined) == len(first) == len(second) and all(
        (joined[column] == joined[f"{column}_second"]).all() for column in ("grade", "patient")
    )
    return joined if alike else None
