"""Weights of networks: torchvision's, those in files, whether they fit and are finite; the head, and what learns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models import WeightsEnum

from dr_lib.errors import InputError, closest_path
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
        raise InputError(
            f"{path}: no such file{closest_path(path)}; checkpoints of a run are in its folder checkpoints/"
        )
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


def head(model: nn.Module) -> nn.Linear:
    """Return the layer that was replaced: the last linear one."""
    parent, attribute = head_place(model, type(model).__name__)
    return getattr(parent, attribute)


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


def head_place(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    """Return the parent module and attribute name of the last linear layer."""
    linear = [path for path, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise InputError(f"model: {name} has no linear head to replace; choose another, such as resnet18")
    parent, _, attribute = linear[-1].rpartition(".")
    return model.get_submodule(parent), attribute
