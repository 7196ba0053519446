"""The machine that a run is on."""

import os
import platform
from pathlib import Path

import torch

from dr_lib.errors import InputError


def resolve_device(name: str) -> torch.device:
    """Return the device for ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device: {name} is not on this machine ({torch.cuda.device_count()} CUDA devices); use auto")
    return device


def describe_device(device: torch.device) -> dict[str, str | int]:
    """Return type, name and CPU threads of ``device``, for the record of a run."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name()
    return {"type": device.type, "name": name, "threads": torch.get_num_threads()}


def worker_count(requested: int, device: torch.device) -> int:
    """Return the number of loader processes; -1 asks for what suits the machine.

    A GPU wants the processors to itself feed it; on a CPU the network uses every core already.
    """
    if requested >= 0:
        return requested
    return min(8, os.cpu_count() or 1) if device.type == "cuda" else 0


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
