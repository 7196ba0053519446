"""What is done with a damaged photograph: repaired, kept, dropped or refused."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dr_lib.data.inspection import CORRUPT, INTACT, NO_END_MARKER, TRUNCATED, UNREADABLE, FileStatus
from dr_lib.errors import InputError
from dr_lib.system.terminal import counted

ACTIONS = {
    "repaired": "used with its end marker appended in memory; rows that are lost are the decoder's gray",
    "kept": "used as the decoder reads it",
    "dropped": "left out of training, validation and testing",
}
"""What may be done with a damaged photograph, and what it means. Files are never changed."""


@dataclass(frozen=True)
class Decision:
    """A photograph, what is the matter with it, and what is done: one of :data:`ACTIONS`, or nothing (empty)."""

    image: str
    status: FileStatus
    action: str

    def as_json(self) -> dict[str, Any]:
        """Return the entry of ``audit.json``."""
        status = self.status
        return {
            "image": self.image,
            "status": status.kind,
            "lost": status.lost,
            "action": self.action,
            "detail": status.detail,
        }


def damage_table(decisions: Iterable[Decision]) -> pd.DataFrame:
    """Return one row a damaged photograph: ``image, status, rows lost, action, detail``."""
    rows = [
        (one.image, one.status.kind, f"{100 * one.status.lost:.1f} %", one.action, one.status.detail)
        for one in decisions
        if one.action
    ]
    return pd.DataFrame(rows, columns=["image", "status", "rows lost", "action", "detail"])


def decide(statuses: Mapping[str, FileStatus], *, on_damage: str, max_lost_share: float) -> list[Decision]:
    """Return what is done with each photograph, in the given order.

    A missing end marker is always repaired, which loses nothing. A truncated photograph is repaired, and a corrupt
    one kept, when at most ``max_lost_share`` of its rows is lost, else dropped; with ``on_damage`` ``drop`` they are
    always dropped. What is unreadable is dropped. With ``fail``, all but a missing end marker raise
    :class:`InputError` with their names.
    """
    if on_damage == "fail":
        _refuse([(image, status) for image, status in statuses.items() if status.kind not in (INTACT, NO_END_MARKER)])
    return [Decision(image, status, _action(status, on_damage, max_lost_share)) for image, status in statuses.items()]


def _action(status: FileStatus, on_damage: str, max_lost_share: float) -> str:
    if status.kind == INTACT:
        return ""
    if status.kind == NO_END_MARKER:
        return "repaired"
    if status.kind not in (TRUNCATED, CORRUPT) or status.lost > max_lost_share or on_damage == "drop":
        return "dropped"
    return "repaired" if status.kind == TRUNCATED else "kept"


def _refuse(bad: list[tuple[str, FileStatus]]) -> None:
    if bad:
        some = ", ".join(f"{image} ({_describe(status)})" for image, status in bad[:10])
        more = f", and {len(bad) - 10} more" if len(bad) > 10 else ""
        raise InputError(
            f"on_damage: fail, and {counted(len(bad), 'photograph')} {'is' if len(bad) == 1 else 'are'} damaged: "
            f"{some}{more}; get whole files, or set on_damage to repair or drop"
        )


def _describe(status: FileStatus) -> str:
    lost = f"{100 * status.lost:.1f} % of rows lost"
    return status.kind if status.kind == UNREADABLE else f"{status.kind}, {lost}"
