"""Errors that are one line on the command line."""

from dr_lib.terminal import one_line


class InputError(ValueError):
    """Bad input in one line: what is wrong, where, and what to do.

    The command line prints the message alone and exits with status 2; everything else that is raised is a bug.
    """

    def __init__(self, message: str):
        super().__init__(one_line(message))


class Failure(RuntimeError):
    """What has failed though the input was sound, in one line: exit status 1."""
