"""One run in several processes: started from one that says ``devices: N``, with BatchNorm over the whole batch."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import torch
import torch.distributed
import yaml
from torch import Tensor, nn

from dr_lib.config import RunConfig
from dr_lib.errors import InputError
from dr_lib.storage.files import scratch_folder
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.system.process_pool import stop_with_parent
from dr_lib.system.signals import Interrupted, Interruption
from dr_lib.system.terminal import printable_lines


def launch(config: RunConfig, *, fresh: bool = False) -> None:
    """Do the run of ``config`` in ``config.devices`` processes of ``torchrun``, and print what they print.

    The processes are new ones, so a notebook may have used the GPU before. They end with this one, after a checkpoint.
    Raises what ended the run.
    """
    with scratch_folder() as scratch:
        parameters = scratch / "parameters.yaml"
        parameters.write_text(yaml.safe_dump(config.model_dump()), encoding="utf-8")
        command = [
            sys.executable, "-X", "utf8", "-m", "dr_lib.training.distributed",
            "--standalone", "--nproc-per-node", str(config.devices), "--log-dir", str(scratch),
            "-m", "dr_lib.training", str(parameters), *(["--fresh"] if fresh else []),
        ]  # fmt: skip
        last = ""
        with (
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            ) as process,
            Interruption(lambda: os.killpg(process.pid, signal.SIGTERM)) as interruption,
        ):
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("dr_lib.training: "):
                    last = line.removeprefix("dr_lib.training: ").strip()
                print(printable_lines(line), end="", flush=True)
    interruption.raise_if_requested()
    if process.returncode:
        if last.startswith("interrupted"):
            raise Interrupted(signal.SIGTERM)
        if last:
            raise InputError(last)
        status = ExperimentFolder(Path(config.out_dir)).run(config.run_name).read_status()
        if status["state"] == "failed":
            raise RuntimeError(status["reason"])
        raise RuntimeError(f"torchrun ended with status {process.returncode}; see above")


def over_all_processes(model: nn.Module, device: torch.device) -> nn.Module:
    """Return ``model`` with BatchNorm statistics of the whole batch, so that processes change nothing but the speed.

    torch's ``SyncBatchNorm`` does so on CUDA and refuses CPUs, where :class:`ProcessBatchNorm` stands in.
    """
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = ProcessBatchNorm
    return model


class ProcessBatchNorm(nn.BatchNorm2d):
    """BatchNorm whose mean and variance are those of the batches of all processes together (Ioffe and Szegedy 2015)."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        # In float32 at least, as torch's: bf16 counts to 256.
        given, input = input.dtype, input.to(torch.promote_types(input.dtype, torch.float32))
        count = _Sum.apply(input.new_tensor(input.numel() / input.shape[1]))
        mean = _Sum.apply(input.sum(dim=(0, 2, 3))) / count
        centered = input - mean.view(1, -1, 1, 1)
        variance = _Sum.apply(centered.square().sum(dim=(0, 2, 3))) / count
        # What this stands in for, ResNet's BatchNorm, keeps running figures and has a momentum.
        assert self.num_batches_tracked is not None and self.momentum is not None
        assert self.running_mean is not None and self.running_var is not None
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight / torch.sqrt(variance + self.eps)
        return (centered * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(given)


class _Sum(torch.autograd.Function):
    """The sum over all processes; what each of them gains by its share is the sum of what all gain by the whole."""

    @staticmethod
    def forward(context, share: Tensor) -> Tensor:
        whole = share.clone()
        torch.distributed.all_reduce(whole)
        return whole

    @staticmethod
    def backward(context, gradient: Tensor) -> Tensor:
        return _Sum.forward(context, gradient)


if __name__ == "__main__":  # torchrun that ends with who has started it
    stop_with_parent()
    from torch.distributed.run import main

    main()
