"""What a notebook's cells have set: the parameters that papermill injects."""

import ast
from collections.abc import Collection, Mapping
from typing import Any

from dr_lib.errors import InputError, closest

_INJECTED = "# Parameters\n"
"""How papermill begins the cell that it adds behind the one tagged ``parameters``."""


def injected_names(names: Mapping[str, Any]) -> list[str]:
    """Return the parameters that papermill has injected into the notebook whose ``globals()`` are ``names``.

    IPython keeps the source of each cell that has run in ``In``.
    """
    sources = [source for source in names.get("In", ()) if source.startswith(_INJECTED)]
    assignments = [line for source in sources for line in ast.parse(source).body if isinstance(line, ast.Assign)]
    return [target.id for line in assignments for target in line.targets if isinstance(target, ast.Name)]


def check_injected(names: Mapping[str, Any], known: Collection[str]) -> None:
    """Raise :class:`InputError` for an injected parameter that is not ``known``; papermill itself only warns."""
    for name in injected_names(names):
        if name not in known:
            names_of_few = f"; this notebook has {', '.join(known)}" if len(known) < 10 else "; see docs/parameters.md"
            raise InputError(f"unknown parameter {name!r}{closest(name, known) or names_of_few}")
