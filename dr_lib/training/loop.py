"""One pass over the training photographs."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from dr_lib.models import train_mode


def train_epoch(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    criterion: nn.Module,
    optimizer: torch.optim.Optimizer,
    on_step: Callable[[int], None] = lambda seen: None,
) -> tuple[float, float]:
    """Return ``(loss, accuracy)`` per photograph over one pass, as it went: augmented, with the weights of the moment.

    ``batches``: images and grades on the network's device. ``on_step`` hears how many photographs are done. Raises
    :class:`FloatingPointError` on a loss that is not finite.
    """
    train_mode(model)
    # Summed on the device: reading a value back would wait for every step.
    sums, seen = torch.zeros(2, dtype=torch.float64, device=next(model.parameters()).device), 0
    for images, grades in batches:
        logits = model(images)
        loss = criterion(logits, grades)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        sums += torch.stack([loss.detach() * len(grades), (logits.argmax(dim=1) == grades).sum()])
        seen += len(grades)
        on_step(seen)
    loss_sum, correct = sums.tolist()
    if loss_sum != loss_sum or abs(loss_sum) == float("inf"):
        raise FloatingPointError(f"the training loss is {loss_sum / seen}; lower learning_rate")
    return loss_sum / seen, correct / seen
