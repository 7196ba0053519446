"""What a notebook needs before its first line of work."""

import os
from pathlib import Path


def enter_project() -> None:
    """Go to the project folder when JupyterLab started the kernel in ``notebooks/``.

    Relative paths in ``params/`` count from the project folder, where papermill and the command line run.
    """
    if Path.cwd().name == "notebooks":
        os.chdir("..")
