"""The layer that is ours, and which part of a network learns."""

from torch import nn

from dr_lib.errors import InputError


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
