"""MixUp: two photographs laid over each other, and their grades in the same shares."""

import numpy as np
import torch
from torch import Tensor


def mix(images: Tensor, shares: Tensor, *, alpha: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return ``images`` and ``shares`` of grades, each photograph mixed with the one before it in the batch.

    ``images``: float (B, 3, H, W), normalized. ``shares``: float (B, 5), rows sum to 1, as
    :func:`dr_lib.models.losses.grade_shares` makes them. One share lambda of the batch's own photographs is drawn
    from Beta(``alpha``, ``alpha``) by ``seed``, so that a step of a resumed run is mixed as it was: lambda of each and
    1 - lambda of its neighbor (Zhang et al. 2018, eq. 1; NVIDIA's ResNet v1.5 takes alpha = 0.2, by which most batches
    are mixed little). A training batch is in random order already, so that neighbors are random pairs; other than in a
    permutation nothing is mixed with itself, unless it is alone. Raises :class:`ValueError` for alpha of 0 or less.
    """
    own = np.random.default_rng(seed).beta(alpha, alpha)
    return _laid_over(images, own), _laid_over(shares, own)


def _laid_over(batch: Tensor, own: float) -> Tensor:
    neighbors = torch.empty_like(batch)  # torch.roll would lose channels_last on CUDA
    neighbors[0], neighbors[1:] = batch[-1], batch[:-1]
    return torch.lerp(neighbors, batch, own)
