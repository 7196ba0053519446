"""Predict first, score afterwards: outputs, or features, out of a network and a loader."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn

from dr_lib.errors import check_finite
from dr_lib.models.builders import outputs_of
from dr_lib.models.weights import head


@torch.inference_mode()
def predict(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], on_step: Callable[[int], None] = lambda seen: None
) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(outputs, grades)``: float32 (N, outputs) and int64 (N,), in the order of ``batches``.

    What the outputs mean the network's head says (:mod:`dr_lib.models.heads`); a softmax has five logits.
    ``batches``: images and grades on the network's device. ``on_step`` hears how many photographs are done.
    """
    model.eval()
    outputs, grades, seen = [], [], 0
    for images, batch_grades in batches:
        # Kept on the device: fetching every batch would wait for it.
        outputs.append(outputs_of(model, images))
        grades.append(batch_grades)
        seen += len(batch_grades)
        on_step(seen)
    return torch.cat(outputs).cpu().numpy(), torch.cat(grades).cpu().numpy()


@torch.inference_mode()
def features(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], on_step: Callable[[int], None] = lambda seen: None
) -> np.ndarray:
    """Return what the last layer of ``model`` is given of each photograph, float32 (N, D), in the order of ``batches``.

    ``batches`` and ``on_step`` as for :func:`dr_lib.evaluation.predict.predict`; of several views of a photograph it is
    their mean, of which a linear head makes the mean of their outputs. The model is in eval mode afterwards.
    """
    model.eval()
    given: list[Tensor] = []
    hook = head(model).register_forward_pre_hook(lambda layer, inputs: given.append(inputs[0]))
    means, seen = [], 0
    try:
        for images, _ in batches:
            given.clear()
            outputs_of(model, images)
            of_views = given[0].float()
            means.append(of_views if images.ndim == 4 else of_views.unflatten(0, images.shape[:2]).mean(dim=1))
            seen += len(images)
            on_step(seen)
    finally:
        hook.remove()
    return check_finite(torch.cat(means).cpu(), "features of photographs")
