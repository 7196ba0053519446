"""How large the gradient is in each layer: where it vanishes, a layer learns nothing."""

from typing import Any

import torch
from torch import nn


class GradientNorms:
    """The norm of the gradient of each convolution and linear layer, averaged over the steps of an epoch.

    ``rows``: one a layer and epoch: ``epoch``, ``depth`` (counted from the input, 1), ``layer``, ``norm`` (L2).
    """

    def __init__(self, model: nn.Module):
        self._layers = {
            name: module.weight for name, module in model.named_modules() if isinstance(module, (nn.Conv2d, nn.Linear))
        }
        self.rows: list[dict[str, Any]] = []
        self._clear()

    def add(self) -> None:
        """Count the gradients of a step that has just been taken; a layer that is frozen counts as 0.

        Not of one whose gradients are too large for fp16: the scaler has left that step out.
        """
        zero = torch.zeros(())
        norms = [weight.grad.norm().cpu() if weight.grad is not None else zero for weight in self._layers.values()]
        if (together := torch.stack(norms).double()).isfinite().all():
            self._sums += together
            self._steps += 1

    def close_epoch(self, epoch: int) -> None:
        """Enter the means of ``epoch``."""
        for depth, (layer, total) in enumerate(zip(self._layers, self._sums.tolist(), strict=True), start=1):
            self.rows.append({"epoch": epoch, "depth": depth, "layer": layer, "norm": total / max(1, self._steps)})
        self._clear()

    def _clear(self) -> None:
        self._sums, self._steps = torch.zeros(len(self._layers), dtype=torch.float64), 0

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "sums": self._sums, "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self._sums, self._steps = state["rows"], state["sums"], state["steps"]
