"""What a notebook needs before its first line of work."""

import os
from pathlib import Path

_SET_BY_EDITORS = ("JPY_SESSION_NAME", "VSCODE_PID", "VSCODE_CWD")
"""What JupyterLab and VS Code set in the environment of kernels that they start; papermill does not."""


def enter_project() -> None:
    """Go to the project folder when an editor started the kernel in its ``notebooks/``.

    Relative paths in ``params/`` count from the project folder there. Under papermill and on the command line they
    count from where the user stands, whatever that folder is called.
    """
    by_editor = any(name in os.environ for name in _SET_BY_EDITORS)
    if by_editor and Path.cwd().name == "notebooks":
        os.chdir("..")
