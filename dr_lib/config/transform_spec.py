"""Parameters that are lists of names with arguments: which names and values there may be, and what is said of others.

A list holds names, or mappings of one name to its arguments, as YAML and papermill write them:
``[RandomCrop, {RandomRotation: {degrees: 20}}]``. Nothing heavy is imported.
"""

import math
from collections.abc import Container, Mapping
from typing import Any, NamedTuple

from dr_lib.errors import closest


class Numbers(NamedTuple):
    """Values of an argument: as many numbers as ``counts`` allows, 1 being a number that stands alone."""

    meaning: str
    counts: Container[int] = (1,)
    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    ranges: bool = False  # pairs go from low to high, and a number alone is a range from minus to plus itself

    def accept(self, value: Any) -> bool:
        alone = not isinstance(value, list | tuple)
        values = (value,) if alone else value
        kind = int if self.whole else int | float
        if len(values) not in self.counts or alone != (len(values) == 1):
            return False
        if not all(isinstance(one, kind) and not isinstance(one, bool) for one in values):
            return False
        ends = (-value, value) if alone else values
        ordered = all(low <= high for low, high in zip(ends[::2], ends[1::2], strict=False))
        return all(self.low <= one <= self.high for one in values) and (ordered or not self.ranges)


class Words(NamedTuple):
    """Values of an argument: one of ``words``."""

    meaning: str
    words: tuple[Any, ...]

    def accept(self, value: Any) -> bool:
        return any(type(value) is type(word) and value == word for word in self.words)


class TransformSpec(NamedTuple):
    """The names that a parameter may list.

    ``arguments`` of each name; ``needs_first``: names whose first argument has no default; ``values`` by argument, or
    by name and argument where it means something else there. The argument ``transforms`` is a list of its own.
    """

    parameter: str
    arguments: Mapping[str, tuple[str, ...]]
    values: Mapping[str | tuple[str, str], Numbers | Words]
    needs_first: Container[str] = ()

    def read(self, value: Any) -> list[tuple[str, dict[str, Any]]]:
        """Return names and arguments, in order; raise a ValueError of one line where they are not sound."""
        if not isinstance(value, list | tuple):
            raise ValueError(f"{self.parameter}: {value!r} is no list of names")
        return [self._read_step(step) for step in value]

    def _read_step(self, step: Any) -> tuple[str, dict[str, Any]]:
        name, arguments = next(iter(step.items())) if isinstance(step, dict) and len(step) == 1 else (step, {})
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise ValueError(
                f"{self.parameter}: {step!r} is neither a name nor a mapping {{name: {{argument: value}}}}"
            )
        if name not in self.arguments:
            raise ValueError(f"{self.parameter}: unknown name {name!r}{_nearest(name, self.arguments)}")
        for argument, value in arguments.items():
            self._check(name, str(argument), value)
        first = self.arguments[name][0] if name in self.needs_first else None
        if first and first not in arguments:
            raise ValueError(f"{self.parameter}: {name} needs {first}, as in {{{name}: {{{first}: ...}}}}")
        return name, arguments

    def _check(self, name: str, argument: str, value: Any) -> None:
        known = self.arguments[name]
        if argument not in known:
            raise ValueError(f"{self.parameter}: {name} has no argument {argument!r}{_nearest(argument, known)}")
        if argument == "transforms":
            if not self.read(value):
                raise ValueError(f"{self.parameter}: {name}: transforms is empty")
            return
        kind = self.values.get((name, argument)) or self.values[argument]
        if not kind.accept(value):
            raise ValueError(f"{self.parameter}: {name}: {argument} is {value!r}, needs {kind.meaning}")


def _nearest(name: str, known: Mapping | tuple) -> str:
    return closest(name, known) or f"; known are {', '.join(known) or 'none'}"
