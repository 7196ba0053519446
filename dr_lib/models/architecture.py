"""What is known of a network before it is trained: its blocks, its arithmetic, what its weights are said to reach."""

from functools import lru_cache

import torch
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models
from torchvision.models.resnet import BasicBlock, Bottleneck

from dr_lib.models.builders import build_model, without_values

_BLOCKS = {BasicBlock: "basic block", Bottleneck: "bottleneck"}


@lru_cache(maxsize=32)
def blocks(name: str) -> str:
    """Return the residual blocks of torchvision's network ``name`` by stage: ``8 basic blocks (2, 2, 2, 2)``.

    Empty for a network that is not made of them.
    """
    model = without_values(lambda: models.get_model(name, weights=None))
    if not isinstance(model, models.ResNet):
        return ""
    stages = [model.layer1, model.layer2, model.layer3, model.layer4]
    counts = [len(stage) for stage in stages]
    return f"{sum(counts)} {_BLOCKS[type(model.layer1[0])]}s ({', '.join(map(str, counts))})"


@lru_cache(maxsize=32)
def multiplications(name: str, side: int, version: str = "v1.5", residual: bool = True) -> int:
    """Return the multiply-adds of a forward pass of one photograph of ``side`` px, the head for five grades included.

    Papers on ResNets call these FLOPs; as floating-point operations proper they are twice as many. Convolutions and
    linear layers count, as in torchvision's tables; what lies between them is a hundredth of that.
    """
    model = without_values(lambda: build_model(name, version=version, residual=residual)).eval()
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, 3, side, side))
    return counter.get_total_flops() // 2


def published_accuracies(name: str) -> dict[str, float]:
    """Return torchvision's top-1 accuracy on ImageNet, 0..1, for each set of its weights of network ``name``."""
    return {
        weights.name: weights.meta["_metrics"]["ImageNet-1K"]["acc@1"] / 100
        for weights in models.get_model_weights(name)
    }
