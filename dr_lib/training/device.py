"""The machine that a run is on: its device, and the processes that share the work."""

import os
from datetime import timedelta

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch.distributed.constants import default_pg_timeout

from dr_lib.config import RunConfig
from dr_lib.errors import InputError
from dr_lib.system.environment import RENDEZVOUS, is_one_of_several, rendezvous, train_on
from dr_lib.system.posix import processor_name

_MIXED = {"float32": "no", "bf16": "bf16", "fp16": "fp16"}
"""What accelerate calls our precisions."""

_WAIT_FOR_THE_OTHERS = timedelta(minutes=5)


def resolve_device(name: str) -> torch.device:
    """Return the device for ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device: {name} is not on this machine ({torch.cuda.device_count()} CUDA devices); use auto")
    return device


def check_machine(config: RunConfig) -> None:
    """Raise :class:`InputError` for a device, a precision or a number of devices that this machine has not."""
    device = resolve_device(config.device)
    if device.type == "cpu" and config.precision == "fp16":
        raise InputError("precision: fp16 is for CUDA, the device is a CPU; use float32 or bf16")
    if device.type == "cpu" and config.precision == "bf16" and not cpu_multiplies_bf16():
        raise InputError("precision: this CPU has no instructions for bf16 and would be slower with it; use float32")
    if config.devices > 1 and device.type == "cuda" and config.devices > torch.cuda.device_count():
        raise InputError(f"devices: {config.devices} asked for and {torch.cuda.device_count()} CUDA devices are here")


def cpu_multiplies_bf16() -> bool:
    """Tell whether this processor has instructions for bf16, such as Intel's AMX or those of AVX-512."""
    return any(supported for name, supported in torch.cpu.get_capabilities().items() if name.endswith("bf16"))


def start_accelerator(config: RunConfig) -> Accelerator:
    """Return what carries device, precision and processes of a run.

    Started by ``torchrun`` or ``accelerate launch`` this is one of several processes, else the only one. Raises
    :class:`InputError` where the others do not come.
    """
    check_machine(config)
    device = resolve_device(config.device)
    if is_one_of_several():
        _meet_the_others(device)
    else:
        # accelerate keeps its state for the process; a notebook may train one run after the other, each its own way.
        AcceleratorState._reset_state(reset_partial_state=True)
        if device.type == "cuda":
            torch.cuda.set_device(device)
            train_on(str(device))
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = config.tf32
    return Accelerator(cpu=device.type == "cpu", mixed_precision=_MIXED[config.precision])


def _meet_the_others(device: torch.device) -> None:
    """Join the processes of this run; accelerate would wait for half an hour and end with torch's own words."""
    if dist.is_initialized():
        return
    address = rendezvous()
    if missing := [name for name in RENDEZVOUS if name not in address]:
        raise InputError(
            f"WORLD_SIZE is set, as for one of several processes, and {', '.join(missing)} not; start all of them with "
            "torchrun, or unset WORLD_SIZE"
        )
    try:
        store, rank, size = next(dist.rendezvous("env://", timeout=_WAIT_FOR_THE_OTHERS))
    except (dist.DistError, OSError, ValueError) as error:
        rank, size, host, port = (address[name] for name in RENDEZVOUS)
        raise InputError(
            f"process {rank} of {size}: the others have not come to {host}:{port} within "
            f"{_WAIT_FOR_THE_OTHERS.total_seconds():g} s ({str(error).splitlines()[0]}); start all of them with "
            "torchrun, or unset WORLD_SIZE"
        ) from None
    store.set_timeout(default_pg_timeout)  # others may be at something that takes long, such as decoding
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", store=store, rank=rank, world_size=size)


def describe_device(device: torch.device) -> dict[str, str | int]:
    """Return type, name and CPU threads of ``device``, for the record of a run."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()
    return {"type": device.type, "name": name, "threads": torch.get_num_threads()}


def worker_count(requested: int, device: torch.device) -> int:
    """Return the number of loader processes; -1 asks for what suits the machine.

    A GPU wants the processors to itself feed it; on a CPU the network uses every core already.
    """
    if requested >= 0:
        return requested
    return min(8, os.cpu_count() or 1) if device.type == "cuda" else 0
