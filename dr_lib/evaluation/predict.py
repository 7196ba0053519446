"""Predict first, score afterwards: arrays out of a network and a loader."""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from dr_lib import GRADES


@torch.inference_mode()
def predict(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], on_step: Callable[[int], None] = lambda seen: None
) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(logits, grades)``: float32 (N, 5) and int64 (N,), in the order of ``batches``.

    ``batches``: images and grades on the network's device. ``on_step`` hears how many photographs are done.
    """
    model.eval()
    logits, grades, seen = [], [], 0
    for images, batch_grades in batches:
        # Kept on the device: fetching every batch would wait for it.
        logits.append(logits_of(model, images))
        grades.append(batch_grades)
        seen += len(batch_grades)
        on_step(seen)
    return torch.cat(logits).cpu().numpy(), torch.cat(grades).cpu().numpy()


def logits_of(model: nn.Module, images: Tensor) -> Tensor:
    """Return float32 logits (N, 5) of images (N, 3, H, W), or the mean over the views of (N, views, 3, H, W)."""
    if images.ndim == 4:
        return model(images).float()
    views = model(images.flatten(0, 1).contiguous(memory_format=torch.channels_last)).float()
    return views.unflatten(0, images.shape[:2]).mean(dim=1)


def prediction_table(photographs: pd.DataFrame, logits: np.ndarray) -> pd.DataFrame:
    """Return the rows of ``predictions.csv``: ``photographs`` (image, patient, grade) beside what was predicted.

    ``logits``: (N, 5) in the order of ``photographs``; probabilities are their softmax in float64.
    """
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    probabilities = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    table = photographs[["image", "patient", "grade"]].reset_index(drop=True)
    return table.assign(predicted=logits.argmax(axis=1), **{f"p{grade}": probabilities[:, grade] for grade in GRADES})
