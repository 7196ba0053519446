"""What a notebook needs before its first line of work."""

import os
from pathlib import Path

import psutil

from dr_lib.system.environment import started_by_editor

_NBCONVERT = ("jupyter-nbconvert", "nbconvert", "jupyter-execute")
"""What starts kernels in the folder of the notebook, wherever the user stands."""


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
