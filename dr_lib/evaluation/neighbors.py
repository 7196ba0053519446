"""What a network takes for alike: the features that its head decides on, and the nearest of them."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn

from dr_lib.errors import check_finite
from dr_lib.models.builders import outputs_of
from dr_lib.models.freezing import head


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
    found, seen = [], 0
    try:
        for images, _ in batches:
            given.clear()
            outputs_of(model, images)
            of_views = given[0].float()
            found.append(of_views if images.ndim == 4 else of_views.unflatten(0, images.shape[:2]).mean(dim=1))
            seen += len(images)
            on_step(seen)
    finally:
        hook.remove()
    return check_finite(torch.cat(found).cpu(), "features of photographs")


def nearest(features: np.ndarray, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where the ``k`` rows of ``features`` nearest to each query are, and their cosine distances.

    ``features``: (N, D); ``query``: (D,), or (Q, D). Indices are int64 and distances float64 of shape (k,) or (Q, k),
    nearest first, equals in the order of the rows; fewer than ``k`` where there are fewer rows. The distance is 1 less
    the cosine of the angle: 0 for the same direction, 1 for a right angle, 2 for the opposite. What has no direction,
    all zeros, is at 1 from everything.
    """
    rows, queries = _directions(features), _directions(np.atleast_2d(query))
    distances = np.clip(1 - queries @ rows.T, 0, 2).astype(np.float64)
    k = min(k, len(rows))
    if 0 < k < len(rows):
        # All that are no farther than the k-th, so that of equals the first rows are taken.
        bounds = np.partition(distances, k - 1, axis=1)[:, k - 1]
        near = [np.flatnonzero(row <= bound) for row, bound in zip(distances, bounds, strict=True)]
        first = [some[np.argsort(row[some], kind="stable")] for row, some in zip(distances, near, strict=True)]
        indices = np.stack([some[:k] for some in first])
    else:
        indices = np.argsort(distances, axis=1, kind="stable")[:, :k]
    chosen = np.take_along_axis(distances, indices, axis=1)
    return (indices, chosen) if query.ndim == 2 else (indices[0], chosen[0])


def _directions(vectors: np.ndarray) -> np.ndarray:
    """Return vectors (N, D) at length 1; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)
