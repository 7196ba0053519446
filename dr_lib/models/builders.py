"""Networks: torchvision's classifiers with a head for five grades, their weights, and what is frozen."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models import WeightsEnum
from torchvision.models.resnet import BasicBlock, Bottleneck

from dr_lib import GRADES
from dr_lib.config import nearest
from dr_lib.errors import InputError
from dr_lib.storage.checksums import damage, sha256


@dataclass(frozen=True)
class WeightsOrigin:
    """Where the starting weights of a network came from, in the words of the report."""

    kind: str
    """``none``, ``ImageNet``, ``generated`` or ``file``."""
    name: str
    description: str
    sha256: str = ""
    """Of the file, hex, where they are from one."""


def build_model(
    name: str,
    weights: str | None = None,
    num_classes: int = len(GRADES),
    *,
    last_layer: Callable[[int], nn.Linear] | None = None,
    version: str = "v1.5",
    residual: bool = True,
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
    of He et al. 2016, section 3.3. Random values come from torch's global generator. Raises :class:`InputError` for a
    name that torchvision does not have, a network without a linear head, and v1 or a plain form of what is no ResNet.
    """
    check_model(name, version, residual)
    model = models.get_model(name, weights=None, **_QUIET.get(name, {}))
    _drop_auxiliary_heads(model)
    parent, attribute = _head_place(model, name)
    features = getattr(parent, attribute).in_features
    setattr(parent, attribute, last_layer(features) if last_layer else nn.Linear(features, num_classes))
    if weights is not None:
        load_imagenet_weights(model, name, weights)
    if version == "v1":
        _stride_in_first_convolution(model)
    if not residual:
        _take_shortcuts_out(model)
    return model


# These two initialize slowly by default and warn that they do.
_QUIET = {"googlenet": {"init_weights": True}, "inception_v3": {"init_weights": True}}


def check_model(name: str, version: str = "v1.5", residual: bool = True) -> None:
    """Raise :class:`InputError` unless torchvision has a classifier ``name`` that exists in this form."""
    known = models.list_models(module=models)
    if name not in known:
        raise InputError(f"model: torchvision has no classifier {name!r}{nearest(name, known)}")
    if name.startswith("squeezenet"):
        raise InputError(f"model: {name} ends in a convolution, not in a linear head; choose another, such as resnet18")
    if version == "v1" and not name.startswith(("resnet", "resnext", "wide_resnet")):
        raise InputError(f"resnet_version: v1 is a form of ResNet, {name} is none; use v1.5")
    if not residual and not name.startswith(("resnet", "resnext", "wide_resnet")):
        raise InputError(f"residual: {name} is no ResNet, there are no shortcuts to take out; use residual: true")


def head(model: nn.Module) -> nn.Linear:
    """Return the layer that was replaced: the last linear one."""
    parent, attribute = _head_place(model, type(model).__name__)
    return getattr(parent, attribute)


def parameter_count(model: nn.Module) -> int:
    """Return the number of trainable values."""
    return sum(parameter.numel() for parameter in model.parameters())


def freeze_backbone(model: nn.Module) -> None:
    """Let only the head learn; with :func:`train_mode` the rest stays bit-equal."""
    model.requires_grad_(False)
    head(model).requires_grad_(True)


def unfreeze(model: nn.Module) -> None:
    """Let all weights learn."""
    model.requires_grad_(True)


def train_mode(model: nn.Module) -> None:
    """Set training mode on what learns.

    A frozen backbone stays in eval mode: ``requires_grad=False`` alone does not stop BatchNorm's running statistics.
    """
    frozen = not all(parameter.requires_grad for parameter in model.parameters())
    model.train(not frozen)
    head(model).train()


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


def imagenet_weights(name: str, weights: str) -> WeightsEnum:
    """Return torchvision's entry for ``DEFAULT``, ``IMAGENET1K_V1``, ...; :class:`InputError` where there is none."""
    choices = models.get_model_weights(name)
    if weights not in choices.__members__:
        known = ", ".join(choices.__members__)
        raise InputError(
            f"pretrained_weights: {weights!r} is no weights of {name} (torchvision has {known}), not 'generated', "
            "and no file of that name exists"
        )
    return choices[weights]


def fetch_imagenet_weights(name: str, weights: str) -> Path:
    """Return the path of torchvision's checkpoint, downloading it where it is not cached.

    Raises :class:`InputError` naming the file, where to put it, and the alternatives, where it cannot be had, and
    where the content of the file is not what its name says.
    """
    entry = imagenet_weights(name, weights)
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(entry.url).name
    if not cached.exists():
        try:
            entry.get_state_dict(progress=True, check_hash=True)
        except (URLError, OSError, RuntimeError) as error:
            reason = getattr(error, "reason", error)
            raise InputError(
                f"pretrained_weights: {weights} of {name} is not in the cache and cannot be downloaded ({reason}); "
                f"put {cached.name} from {entry.url} at {cached}, or set pretrained_weights=generated (weights "
                "learned on generated photographs, made here) or pretrained_weights=FILE"
            ) from None
    check_hash_in_name(cached)
    return cached


def check_hash_in_name(path: Path) -> None:
    """Raise :class:`InputError` unless the SHA-256 of ``path`` begins as its name ends, as torch.hub names files."""
    digest = sha256(path)
    if not digest.startswith(path.stem.rpartition("-")[2]):
        raise InputError(f"{path}: its content is not what its name says (SHA-256 {digest[:8]}); delete it, run again")


def load_imagenet_weights(model: nn.Module, name: str, weights: str) -> WeightsOrigin:
    """Load torchvision's ImageNet weights into all of ``model`` but its head."""
    entry = imagenet_weights(name, weights)
    state = read_state(fetch_imagenet_weights(name, weights))
    _load_backbone(model, state, f"weights {entry.name} of {name}")
    accuracy = next(iter(entry.meta["_metrics"].values()))["acc@1"]
    return WeightsOrigin(
        "ImageNet", entry.name, f"torchvision's {name} {entry.name}, trained on ImageNet ({accuracy} % top-1 there)"
    )


def load_weights_file(model: nn.Module, path: Path) -> None:
    """Load a state dict, or one of our checkpoints, from ``path`` into all of ``model`` but its head."""
    _load_backbone(model, read_state(path), str(path))


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the state dict in ``path``: a plain one, or that of one of our checkpoints."""
    content = read_checkpoint(path)
    state = content.get("model", content)
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path}: holds no weights; it needs a state dict or a checkpoint of a run")
    return state


def read_checkpoint(path: Path) -> dict:
    """Return the mapping saved in ``path``, tensors on the CPU; code in the file is refused, never run."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; checkpoints of a run are in its folder checkpoints/")
    if wrong := damage(path):
        raise InputError(f"{path}: {wrong}; restore it from a copy")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch.load raises whatever the damaged part of the file provokes
        raise InputError(
            f"{path}: not a checkpoint that torch can read safely (damaged, cut off, or not of weights alone)"
        ) from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}; it needs a state dict or a checkpoint of a run")
    return content


def load_weights(
    module: nn.Module,
    state: Mapping[str, Tensor],
    source: object,
    *,
    leave_out: Callable[[str], bool] = lambda name: False,
) -> None:
    """Load ``state`` into ``module``, all of both but the names that ``leave_out`` is true of.

    Raises :class:`InputError` that names ``source`` where a tensor is missing, is one too many, has another shape, or
    is not finite.
    """
    own, given = (
        {name: value for name, value in each.items() if not leave_out(name)} for each in (module.state_dict(), state)
    )
    wrong = sorted(own.keys() ^ given.keys())
    wrong += [name for name in own.keys() & given if getattr(given[name], "shape", None) != own[name].shape]
    if wrong:
        raise InputError(f"{source} does not fit the network: {len(wrong)} tensors differ, the first is {wrong[0]!r}")
    if name := not_finite(given):
        raise InputError(f"{source}: {name} is not finite, its network has diverged in training; use another one")
    module.load_state_dict(given, strict=False)


def not_finite(state: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first tensor with a value that is NaN or infinite, None where there is none."""
    numbers = ((name, value) for name, value in state.items() if value.is_floating_point())
    return next((name for name, value in numbers if not value.isfinite().all()), None)


def _load_backbone(model: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Load ``state`` without its head; every other tensor must be there and fit."""
    name = next(name for name, module in model.named_modules() if module is head(model))
    # Auxiliary classifiers (GoogLeNet, Inception) were dropped from the model; their weights go with them.
    left_out = lambda key: key.startswith(f"{name}.") or key.lower().startswith("aux")  # noqa: E731
    load_weights(model, state, source, leave_out=left_out)


def _head_place(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    """Return the parent module and attribute name of the last linear layer."""
    linear = [path for path, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise InputError(f"model: {name} has no linear head to replace; choose another, such as resnet18")
    parent, _, attribute = linear[-1].rpartition(".")
    return model.get_submodule(parent), attribute


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
