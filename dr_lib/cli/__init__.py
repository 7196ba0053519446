"""The ``dr-lab`` command: its options, its subcommands, and how it starts and ends."""

from dr_lib.cli.app import main

__all__ = ["main"]
