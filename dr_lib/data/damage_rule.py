"""What is done with a damaged photograph: repaired, dropped or refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dr_lib.data.jpeg import INTACT, NO_END_MARKER, TRUNCATED, Verdict
from dr_lib.errors import InputError


@dataclass(frozen=True)
class Decision:
    """A photograph, what is the matter with it, and what is done: ``repaired``, ``dropped``, or nothing (empty)."""

    image: str
    verdict: Verdict
    action: str

    def as_json(self) -> dict[str, Any]:
        """Return the entry of ``audit.json``."""
        found = self.verdict
        return {
            "image": self.image,
            "verdict": found.verdict,
            "lost": found.lost,
            "action": self.action,
            "detail": found.detail,
        }


def decide(verdicts: Mapping[str, Verdict], *, on_damage: str, max_lost_share: float) -> list[Decision]:
    """Return what is done with each photograph, in the given order.

    A missing end marker is always repaired, which loses nothing. A truncated photograph is repaired when at most
    ``max_lost_share`` of its rows is lost, else dropped; with ``on_damage`` ``drop`` it is always dropped. What is
    unreadable is dropped. With ``fail``, truncated and unreadable ones raise :class:`InputError` with their names.
    """
    if on_damage == "fail":
        _refuse([(image, found) for image, found in verdicts.items() if found.verdict not in (INTACT, NO_END_MARKER)])
    return [Decision(image, found, _action(found, on_damage, max_lost_share)) for image, found in verdicts.items()]


def _action(found: Verdict, on_damage: str, max_lost_share: float) -> str:
    if found.verdict == INTACT:
        return ""
    if found.verdict == NO_END_MARKER:
        return "repaired"
    repairable = found.verdict == TRUNCATED and found.lost <= max_lost_share
    return "repaired" if repairable and on_damage != "drop" else "dropped"


def _refuse(bad: list[tuple[str, Verdict]]) -> None:
    if bad:
        some = ", ".join(f"{image} ({_describe(found)})" for image, found in bad[:10])
        more = f", and {len(bad) - 10} more" if len(bad) > 10 else ""
        raise InputError(
            f"on_damage: fail, and {len(bad)} photographs are damaged: {some}{more}; "
            "get whole files, or set on_damage to repair or drop"
        )


def _describe(found: Verdict) -> str:
    return f"{100 * found.lost:.1f} % of rows lost" if found.verdict == TRUNCATED else found.verdict
