"""Networks: torchvision's classifiers with a head for five grades, in the forms that the lab compares.

And what is known of one before it is trained: its blocks, its arithmetic, what its weights are said to reach.
"""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.ops import StochasticDepth

from dr_lib import GRADES
from dr_lib.config import nearest
from dr_lib.errors import InputError
from dr_lib.models.weights import freeze_backbone, head_place, load_imagenet_weights, train_mode

# These two initialize slowly by default and warn that they do.
_QUIET = {"googlenet": {"init_weights": True}, "inception_v3": {"init_weights": True}}
_BLOCKS = {BasicBlock: "basic block", Bottleneck: "bottleneck"}


def build_model(
    name: str,
    weights: str | None = None,
    num_classes: int = len(GRADES),
    *,
    last_layer: Callable[[int], nn.Linear] | None = None,
    version: str = "v1.5",
    residual: bool = True,
    zero_init_residual: bool = False,
) -> nn.Module:
    """Return torchvision's classifier ``name``, its last layer replaced by a new one with ``num_classes`` outputs.

    ``weights``: ``None`` for random values, or torchvision's ``DEFAULT``, ``IMAGENET1K_V1``, ..., which all layers but
    the last are loaded from. ``last_layer``: makes the last layer from the number of its inputs, instead of
    ``num_classes``.

    >>> model = dr_lib.build_model("resnet18", num_classes=5)
    >>> model.fc
    Linear(in_features=512, out_features=5, bias=True)

    ``version="v1"`` moves the stride of each downsampling bottleneck from its 3x3 convolution (v1.5, torchvision's)
    to its first 1x1 convolution, as in He et al. 2016; networks of basic blocks, such as ResNet18, have no bottleneck
    and are the same in both. ``residual=False`` takes the shortcuts out of a ResNet, which leaves the plain network
    of He et al. 2016, section 3.3. ``zero_init_residual`` is torchvision's: each block of a ResNet begins as the
    identity, its last BatchNorm at 0 (Goyal et al. 2017, section 5.1). Random values come from torch's global
    generator. Raises :class:`InputError` for a name that torchvision does not have, a network without a linear head, a
    form of ResNet of what is none, and a plain network that begins with zeros.
    """
    check_model(name, version, residual, zero_init_residual)
    initialized = {"zero_init_residual": True} if zero_init_residual else _QUIET.get(name, {})
    model = models.get_model(name, weights=None, **initialized)
    _drop_auxiliary_heads(model)
    parent, attribute = head_place(model, name)
    features = getattr(parent, attribute).in_features
    setattr(parent, attribute, last_layer(features) if last_layer else nn.Linear(features, num_classes))
    if weights is not None:
        load_imagenet_weights(model, name, weights)
    if version == "v1":
        _stride_in_first_convolution(model)
    if not residual:
        _take_shortcuts_out(model)
    return model


def check_model(name: str, version: str = "v1.5", residual: bool = True, zero_init_residual: bool = False) -> None:
    """Raise :class:`InputError` unless torchvision has a classifier ``name`` that exists in this form."""
    known = models.list_models(module=models)
    if name not in known:
        raise InputError(f"model: torchvision has no classifier {name!r}{nearest(name, known)}")
    if name.startswith("squeezenet"):
        raise InputError(f"model: {name} ends in a convolution, not in a linear head; choose another, such as resnet18")
    if version == "v1" and not is_resnet(name):
        raise InputError(f"resnet_version: v1 is a form of ResNet, {name} is none; use v1.5")
    if not residual and not is_resnet(name):
        raise InputError(f"residual: {name} is no ResNet, there are no shortcuts to take out; use residual: true")
    if zero_init_residual and not is_resnet(name):
        raise InputError(f"zero_init_residual: {name} is no ResNet, it has no residual blocks; use false")
    if zero_init_residual and not residual:
        raise InputError("zero_init_residual: without shortcuts zeros let nothing through; use false")


def is_resnet(name: str) -> bool:
    """Tell whether torchvision's network ``name`` is made of residual blocks."""
    return name.startswith(("resnet", "resnext", "wide_resnet"))


def draws_at_random(name: str) -> bool:
    """Tell whether network ``name`` drops outputs or layers at random while it trains."""
    modules = without_values(lambda: build_model(name)).modules()
    return any(isinstance(module, (nn.Dropout, StochasticDepth)) and module.p > 0 for module in modules)


def parameter_count(model: nn.Module) -> int:
    """Return the number of trainable values."""
    return sum(parameter.numel() for parameter in model.parameters())


@lru_cache(maxsize=64)
def training_problem(
    name: str, version: str, residual: bool, image_size: int, photographs: int, *, frozen: bool = False
) -> str:
    """Return why network ``name`` cannot take a training step on so many photographs of so many px; empty: it can.

    The network itself is asked, without values: where BatchNorm has a single value a channel, or a map shrinks to
    nothing, depends on its layers. ``frozen``: the backbone is.
    """
    model = without_values(lambda: build_model(name, version=version, residual=residual))
    if frozen:
        freeze_backbone(model)
    train_mode(model)
    try:
        with torch.device("meta"), torch.no_grad():
            model(torch.empty(photographs, 3, image_size, image_size))
    except NotImplementedError:  # of an operation that needs values
        pass
    except (ValueError, RuntimeError, AssertionError) as error:
        return str(error).splitlines()[0]
    return ""


def without_values(build: Callable[[], nn.Module]) -> nn.Module:
    """Return the network that ``build`` returns on torch's meta device: it takes no memory and computes nothing."""
    try:
        with torch.device("meta"):
            return build()
    except NotImplementedError:  # RegNet computes its widths with torch
        return build().to("meta")


def outputs_of(model: nn.Module, images: Tensor) -> Tensor:
    """Return float32 outputs of images (N, 3, H, W), or their mean over the views of (N, views, 3, H, W)."""
    if images.ndim == 4:
        return model(images).float()
    views = model(images.flatten(0, 1).contiguous(memory_format=torch.channels_last)).float()
    return views.unflatten(0, images.shape[:2]).mean(dim=1)


def _drop_auxiliary_heads(model: nn.Module) -> None:
    """Take away the extra classifiers of GoogLeNet and Inception, which return tuples in training."""
    if getattr(model, "aux_logits", False):
        model.aux_logits = False  # type: ignore[assignment]  # torch: each attribute a tensor or a module
        for attribute in ("AuxLogits", "aux1", "aux2"):
            if hasattr(model, attribute):
                setattr(model, attribute, None)


def _stride_in_first_convolution(model: nn.Module) -> None:
    for block in model.modules():
        if isinstance(block, Bottleneck):
            block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride


def _take_shortcuts_out(model: nn.Module) -> None:
    """Make every block of a ResNet the plain sequence of its layers."""
    for module in model.modules():
        if isinstance(module, (BasicBlock, Bottleneck)):
            module.__class__ = _PLAIN[type(module)]
            module.downsample = None


class _PlainBasicBlock(BasicBlock):
    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))


class _PlainBottleneck(Bottleneck):
    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        return self.relu(self.bn3(self.conv3(x)))


_PLAIN = {BasicBlock: _PlainBasicBlock, Bottleneck: _PlainBottleneck}


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
