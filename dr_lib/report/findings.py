"""What the numbers say: findings with typed values, and their wording in ``template/findings.j2``.

Sections compute a finding, decide what it is, and never write a sentence; the template words it and never decides. A
difference counts where its interval leaves out zero, and nowhere else: see :mod:`dr_lib.evaluation.effects`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dr_lib.evaluation.bootstrap import Difference
from dr_lib.evaluation.effects import FEWEST
from dr_lib.report import formatting
from dr_lib.report.html_page import TEMPLATES
from dr_lib.report.run_results import tested_epoch

_KAPPA = ("kappa",)


@dataclass(frozen=True)
class Finding:
    """One thing that was found; ``kind`` names the macro that words it, ``values`` are the macro's arguments.

    Differences among the values carry their interval and p.

    >>> change = Difference(0.089, 0.080, 0.098)
    >>> Finding("gains", {"label": "A", "other": "B", "accuracy": change, "kappa": None}).text
    'A gains 8.9 points of accuracy (95% interval 8.0 to 9.8) against B.'
    """

    kind: str
    values: Mapping[str, Any]
    headline_values: Mapping[str, Any] | None = None
    """Arguments of the macro ``<kind>_headline``, for a finding that has one."""

    @property
    def text(self) -> str:
        """The finding in a sentence or two, plain text; empty where there is nothing to say."""
        return _word(self.kind, self.values)

    @property
    def headline(self) -> str:
        """The finding in a short sentence that stands before :attr:`text`; empty for a kind without."""
        return "" if self.headline_values is None else _word(f"{self.kind}_headline", self.headline_values)


def _word(macro: str, values: Mapping[str, Any]) -> str:
    text = str(getattr(_template(), macro)(**values))
    # Not str.split, which would break up no-break spaces too.
    text = re.sub(r"[ \n]+", " ", text).strip()
    return re.sub(r" (?=[.,;:)](?:\s|$))", "", text)


@cache
def _template() -> ModuleType:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, extensions=["jinja2.ext.do"], autoescape=False
    )
    environment.filters |= {
        "amount": amount,
        "capitalized": formatting.capitalized,
        "counted": formatting.counted,
        "factor": _factor,
        "having": lambda ways, way: [name for name, own in ways.items() if own == way],
        "limits": limits,
        "listed": lambda items: formatting.listed(list(items)),
        "percent": formatting.percent,
        "points": formatting.points,
        "quoted": lambda names: [f"“{name}”" for name in names],
        "seconds": lambda time: f"{time:.1f} s" if time < 10 else formatting.duration(time),
        "signed": formatting.signed,
    }
    environment.globals |= {"fewest": FEWEST, "tested_epoch": tested_epoch}
    return environment.get_template("findings.j2").module  # type: ignore[return-value]  # macros are its attributes


def amount(change: Difference, figure: str, *, sign: bool = False) -> str:
    """Return how large a difference is: ``8.9 points`` of a share, ``0.09`` of kappa; with its sign where asked for."""
    scale, digits = _scale_and_digits(change, figure)
    number = formatting.signed(scale * (change.value if sign else abs(change.value)), digits)
    plus = "+" if sign and change.value > 0 and float(number.replace("−", "-")) else ""
    return plus + number + ("" if figure in _KAPPA else " point" if number == "1.0" else " points")


def span(change: Difference, figure: str) -> str:
    """Return ``3.1 to 13.1``, the interval of a difference with its signs, in the digits of :func:`amount`."""
    scale, digits = _scale_and_digits(change, figure)
    return f"{formatting.signed(scale * change.low, digits)} to {formatting.signed(scale * change.high, digits)}"


def limits(change: Difference, figure: str) -> str:
    """Return ``95% interval 8.0 to 9.8``, of the amount by which a figure falls where it does."""
    scale, digits = _scale_and_digits(change, figure)
    shown = -change if change.direction == "down" else change
    return formatting.between(shown.low, shown.high, scale=scale, digits=digits)


def _scale_and_digits(change: Difference, figure: str) -> tuple[float, int]:
    """Return the scale, and so many digits that an interval without zero is not shown as one with it."""
    scale, digits = (1.0, 2) if figure in _KAPPA else (100.0, 1)
    if change.distinguishable:
        nearest = min(abs(change.low), abs(change.high))
        while digits < 6 and not round(scale * nearest, digits):
            digits += 1
    return scale, digits


def moved(before: float, after: float, digits: int) -> str:
    """Return ``up`` or ``down`` where two numbers differ as they are shown, with ``digits``; else ``same``."""
    first, second = round(before, digits), round(after, digits)
    return "same" if first == second else "up" if second > first else "down"


def _factor(value: float) -> str:
    """Return percent with two digits that count: a gradient may be any power of ten."""
    return f"{100 * value:.2g}%" if value < 1 else f"{100 * value:,.0f}%"
