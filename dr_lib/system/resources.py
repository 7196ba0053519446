"""How runs at the same time share the machine: processor threads and GPUs."""

import os
from collections.abc import Sequence
from typing import Any

from dr_lib.system.environment import named_gpus


def threads_each(parallel: int) -> int:
    """Return the threads that each of ``parallel`` processes may compute with."""
    return max(1, len(os.sched_getaffinity(0)) // parallel)


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
