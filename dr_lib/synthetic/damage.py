"""Files damaged on purpose, as downloads and card readers damage them: end marker lost, or cut short.

A JPEG ends with the marker FF D9. A file that lacks only this has every row of its picture; one that is cut short has
lost the rows from the cut downwards.
"""

from __future__ import annotations

import numpy as np

END_MARKER = b"\xff\xd9"
SCAN_MARKER = b"\xff\xda"
SHARE = 0.005  # of the files, for each of the two kinds
KEPT_SHARES = (0.98, 0.35, 0.7, 0.12, 0.93, 0.5)
"""Share of the compressed picture that truncated files keep, in turn: some lose few rows, some nearly all."""


def choose_damage(names: list[str], at_least: int, rng: np.random.Generator) -> dict[str, dict]:
    """Return which of ``names`` are to be damaged and how: ``{"damage": "end marker missing"}`` or
    ``{"damage": "truncated", "kept_share": 0.98}``."""
    each = min(max(at_least, round(SHARE * len(names))), len(names) // 2)
    chosen = [names[i] for i in rng.permutation(len(names))[: 2 * each]]
    marked: dict[str, dict] = {name: {"damage": "end marker missing"} for name in chosen[:each]}
    for i, name in enumerate(chosen[each:]):
        marked[name] = {"damage": "truncated", "kept_share": KEPT_SHARES[i % len(KEPT_SHARES)]}
    return marked


def apply_damage(jpeg: bytes, how: dict | None) -> bytes:
    """Return the bytes of a damaged copy of ``jpeg`` (an intact file); ``None`` leaves it as it is."""
    if how is None:
        return jpeg
    if how["damage"] == "end marker missing":
        return jpeg.removesuffix(END_MARKER)
    scan = jpeg.rindex(SCAN_MARKER)  # unmistakable: within the compressed rows every FF is followed by 00
    return jpeg[: scan + 16 + int((len(jpeg) - scan - 16) * how["kept_share"])]
