"""Whether limits of the shell leave memory enough: libraries that get none wait for ever, or end without a word."""

import mmap
import os
import resource
import subprocess
import sys

_TRIAL = """import torch
torch.nn.functional.conv2d(torch.ones(8, 3, 99, 99), torch.ones(8, 3, 3, 3))
torch.ones(999, 999) @ torch.ones(999, 999)
torch.empty(256_000_000, dtype=torch.uint8)"""
"""Loads torch, starts its threads, and asks for a little more."""
_SECONDS = 60
"""What that may take; it takes three."""


def memory_limits() -> str:
    """Return the limits of the shell that bound memory, to be put behind a word; empty where there are none."""
    limits = {"-v": resource.RLIMIT_AS, "-d": resource.RLIMIT_DATA}
    found = {flag: resource.getrlimit(which)[0] for flag, which in limits.items()}
    set_here = [f"ulimit {flag} is {most // 1024}" for flag, most in found.items() if most != resource.RLIM_INFINITY]
    return f" ({', '.join(set_here)})" if set_here else ""


def check_memory_to_start() -> None:
    """Raise :class:`MemoryError` where numpy and scipy could not even begin.

    Their OpenBLAS takes 40 MB a processor each, and asks for it again for ever, deaf to signals, where it gets none.
    """
    least = 2**20 * (256 + 96 * (os.cpu_count() or 1))
    try:
        mmap.mmap(-1, least, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except OSError:
        raise MemoryError(f"{least // 1024} kB are the least") from None


def check_memory_for_torch() -> None:
    """Raise :class:`MemoryError` where limits leave too little for torch; to be called before it is imported.

    Another process tries: torch and what it computes with end theirs in words of their own, or without any. Without
    limits nothing is tried.
    """
    if memory_limits():
        try:  # that it fails, or for want of memory turns in circles
            subprocess.run([sys.executable, "-c", _TRIAL], capture_output=True, timeout=_SECONDS, check=True)
        except subprocess.SubprocessError:
            raise MemoryError("torch cannot compute with so little") from None
