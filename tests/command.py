"""The ``dr-lab`` command, called in the process of the tests."""

import sys

from dr_lib.cli import app as cli


def dr_lab(*arguments):
    """Run the command in this process; return its exit status."""
    before = sys.argv
    sys.argv = ["dr-lab", *map(str, arguments)]
    try:
        cli.main()
    except SystemExit as ended:
        return ended.code or 0
    finally:
        sys.argv = before
    return 0
