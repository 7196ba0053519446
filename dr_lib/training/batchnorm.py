"""BatchNorm over the whole batch where several processes share one."""

import torch
import torch.distributed
from torch import Tensor, nn


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
        return centered * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)


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
