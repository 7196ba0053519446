"""How exactly testing patients can measure a network, before any is trained: half-widths of 95% intervals to expect.

Arithmetic alone, so that an audit of labels starts at once.
"""

from math import ceil, sqrt
from typing import Any

import pandas as pd

from dr_lib import GRADES, REFERABLE_GRADE

NORMAL = 1.959963984540054
"""Standard errors of a 95% interval to each side."""

EXPECTED = {"accuracy": 0.75, "recall": 0.5, "referable_sensitivity": 0.9, "referable_specificity": 0.95}
"""Values that half-widths of shares are worked out for; a recall of a half has the widest interval of any."""
EXPECTED_AREA = 0.85


def wilson(share: float, n: float) -> tuple[float, float] | None:
    """Return the 95% interval of a ``share`` of ``n`` (Wilson, Journal of the American Statistical Association 1927).

    ``None`` where there are none. SciPy has it for whole numbers of successes alone.
    """
    if not n:
        return None
    center, half = share + NORMAL**2 / (2 * n), NORMAL * sqrt(share * (1 - share) / n + NORMAL**2 / (4 * n**2))
    low, high = ((center - half) / (1 + NORMAL**2 / n), (center + half) / (1 + NORMAL**2 / n))
    # Rounding must not leave out 0 and 1 themselves.
    return min(share, max(0.0, low)), max(share, min(1.0, high))


def expected_half_widths(table: pd.DataFrame, photographs_each: int = 1) -> list[dict[str, Any]]:
    """Return for each figure which half-width of its 95% interval the photographs of ``table`` let expect.

    ``table``: patient and grade of those to be tested on; ``photographs_each``: how many are of a patient where none is
    named, as though all of one came out alike. Each entry: ``figure``, ``value`` that is supposed (see
    :data:`EXPECTED`), ``patients`` that it is known from, ``half_width``, the same unit, ``None`` of too few. Shares:
    Wilson's interval, as though both eyes of a patient came out alike. Area: Hanley and McNeil's standard error
    (Radiology 1982) with patients as observations.
    """
    ill = table["grade"] >= REFERABLE_GRADE
    sides = {
        "accuracy": table["grade"] >= 0,
        **{f"recall_{grade}": table["grade"] == grade for grade in GRADES},
        "referable_sensitivity": ill,
        "referable_specificity": ~ill,
    }
    counts = {name: ceil(table.loc[rows, "patient"].nunique() / photographs_each) for name, rows in sides.items()}
    found: list[dict[str, Any]] = []
    for name, patients in counts.items():
        value = EXPECTED[name if name in EXPECTED else "recall"]
        interval = wilson(value, patients)
        half = (interval[1] - interval[0]) / 2 if interval else None
        found.append({"figure": name, "value": value, "patients": patients, "half_width": half})
    found.append(_of_area(counts["referable_sensitivity"], counts["referable_specificity"]))
    return found


def _of_area(ill: int, well: int) -> dict[str, Any]:
    area, half = EXPECTED_AREA, None
    if min(ill, well) > 1:
        above, below = area / (2 - area) - area**2, 2 * area**2 / (1 + area) - area**2
        half = NORMAL * sqrt((area * (1 - area) + (ill - 1) * above + (well - 1) * below) / (ill * well))
    return {"figure": "referable_auc", "value": area, "patients": min(ill, well), "half_width": half}
