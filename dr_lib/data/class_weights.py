"""How many photographs each grade has, and what weight its errors get in the loss."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dr_lib import GRADES
from dr_lib.errors import InputError


def class_counts(grades: Sequence[int] | np.ndarray | pd.Series) -> np.ndarray:
    """Return the number of photographs of grade 0 to 4: int64 (5,)."""
    return np.bincount(np.asarray(grades, dtype=np.int64), minlength=len(GRADES))


def class_shares(counts: np.ndarray) -> np.ndarray:
    """Return counts as shares of their sum: float64 (5,), zeros where there is nothing."""
    return counts / max(counts.sum(), 1)


def class_weights(kind: str | Sequence[float], counts: np.ndarray) -> np.ndarray:
    """Return the weight of each grade in the cross entropy: float64 (5,).

    ``none``: ones. ``majority_ratio``: n_0/n_c, as in the lab report. ``balanced``: n/(5 n_c), as in scikit-learn's
    ``compute_class_weight`` (which would cost each training a second to load, for one division). Or five positive
    numbers. ``counts`` are training photographs per grade.
    Raises :class:`InputError` where a grade without photographs would need an infinite weight.
    """
    if not isinstance(kind, str):
        weights = np.asarray(kind, dtype=np.float64)
        if weights.shape != (len(GRADES),) or not np.isfinite(weights).all() or (weights <= 0).any():
            raise InputError(f"class_weights: needs five positive numbers, has {list(kind)}")
        return weights
    if kind == "none":
        return np.ones(len(GRADES))
    counts = np.asarray(counts, dtype=np.float64)
    if kind not in ("majority_ratio", "balanced"):
        raise InputError(f"class_weights: {kind!r} is none of none, majority_ratio, balanced, or five numbers")
    if (counts == 0).any():
        missing = ", ".join(str(grade) for grade in np.flatnonzero(counts == 0))
        raise InputError(
            f"class_weights {kind}: no training photograph of grade {missing}, so it has no weight; "
            "add photographs, raise limit, or use class_weights none or five numbers"
        )
    return counts[0] / counts if kind == "majority_ratio" else counts.sum() / (len(GRADES) * counts)
