"""How much of the machine a process may have: processor threads and GPUs of runs at the same time, and memory.

A shell may limit memory: libraries that get none wait for ever, or end without a word."""

import mmap
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from dr_lib.system.environment import named_gpus
from dr_lib.system.posix import cores, soft_limit

_TRIAL = """import torch
torch.nn.functional.conv2d(torch.ones(8, 3, 99, 99), torch.ones(8, 3, 3, 3))
torch.ones(999, 999) @ torch.ones(999, 999)
torch.empty(256_000_000, dtype=torch.uint8)"""
"""Loads torch, starts its threads, and asks for a little more."""

_SECONDS = 60
"""What that may take; it takes three."""


def threads_each(parallel: int) -> int:
    """Return the threads that each of ``parallel`` processes may compute with."""
    return max(1, cores() // parallel)


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    import torch  # where they are asked for: not every process that looks after runs needs it

    count = torch.cuda.device_count()
    return named_gpus()[:count] or [str(number) for number in range(count)]


class GpuShares:
    """Which of several GPUs the next run gets: those with the fewest runs on them."""

    def __init__(self, gpus: Sequence[str]):
        self._runs = dict.fromkeys(gpus, 0)

    def take(self, parameters: dict[str, Any]) -> tuple[str, ...]:
        """Return the GPUs for a run of ``parameters``; none where it is for the CPU or names its GPU itself."""
        if parameters.get("device", "auto") not in ("auto", "cuda"):
            return ()
        taken = sorted(self._runs, key=self._runs.__getitem__)[: parameters.get("devices", 1)]
        for gpu in taken:
            self._runs[gpu] += 1
        return tuple(taken)

    def give_back(self, gpus: Sequence[str]) -> None:
        """Let others have the GPUs of a run that has ended."""
        for gpu in gpus:
            self._runs[gpu] -= 1


def memory_limits() -> str:
    """Return the limits of the shell that bound memory, to be put behind a word; empty where there are none."""
    soft = {"-v": soft_limit("AS"), "-d": soft_limit("DATA")}
    set_here = [f"ulimit {flag} is {most // 1024}" for flag, most in soft.items() if most is not None]
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
