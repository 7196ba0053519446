"""What a notebook's first cells call: the project's folder, and the parameters that papermill injects."""

import ast
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import psutil

from dr_lib.errors import InputError, closest
from dr_lib.system.environment import started_by_editor

_NBCONVERT = ("jupyter-nbconvert", "nbconvert", "jupyter-execute")
"""What starts kernels in the folder of the notebook, wherever the user stands."""

_INJECTED = "# Parameters\n"
"""How papermill begins the cell that it adds behind the one tagged ``parameters``."""


def enter_project() -> None:
    """Go to the project folder when an editor started the kernel in its ``notebooks/``.

    Relative paths in ``params/`` count from the project folder there. Under papermill, ``jupyter nbconvert --execute``
    and on the command line they count from where the user stands, whatever that folder is called.
    """
    try:
        starter = psutil.Process(os.getppid())
        if any(Path(part).name in _NBCONVERT for part in starter.cmdline()[:3]):
            os.chdir(starter.cwd())
            return
    except psutil.Error:  # gone, somebody else's, or outside of this container
        pass
    if started_by_editor() and Path.cwd().name == "notebooks":
        os.chdir("..")


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
