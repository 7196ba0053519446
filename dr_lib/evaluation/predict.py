"""Predict first, score afterwards: outputs, or features, out of a network and a loader; and the nearest features."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
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


def nearest(features: np.ndarray, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where the ``k`` rows of ``features`` nearest to each query are, and their cosine distances.

    ``features``: (N, D); ``query``: (D,), or (Q, D). Indices and distances have shape (k,) or (Q, k), nearest first,
    equals in the order of the rows (where more are equal than asked for, some of them); fewer than ``k`` where there
    are fewer rows. The distance is 1 less the cosine of the angle: 0 for the same direction, 1 for a right angle, 2
    for the opposite. What has no direction, all zeros, is at 1 from everything.
    """
    search = NearestNeighbors(n_neighbors=min(k, len(features)), metric="cosine", algorithm="brute").fit(features)
    distances, indices = search.kneighbors(np.atleast_2d(query))
    order = np.lexsort((indices, distances))
    indices, distances = (np.take_along_axis(found, order, axis=1) for found in (indices, distances))
    return (indices, distances) if query.ndim == 2 else (indices[0], distances[0])
