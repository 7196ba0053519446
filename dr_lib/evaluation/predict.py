"""Predict first, score afterwards: arrays out of a network and a loader."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader

from dr_lib import GRADES


@torch.inference_mode()
def predict(
    model: nn.Module, loader: DataLoader, device: torch.device, on_step: Callable[[int], None] = lambda seen: None
) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(logits, grades)``: float32 (N, 5) and int64 (N,), in the loader's order.

    ``on_step`` hears how many photographs are done.
    """
    model.eval()
    logits, grades, seen = [], [], 0
    for images, batch_grades in loader:
        images = images.to(device, non_blocking=True, memory_format=torch.channels_last)
        # Kept on the device: fetching every batch would wait for it.
        logits.append(model(images).float())
        grades.append(batch_grades)
        seen += len(batch_grades)
        on_step(seen)
    return torch.cat(logits).cpu().numpy(), torch.cat(grades).numpy()


def prediction_table(photographs: pd.DataFrame, logits: np.ndarray) -> pd.DataFrame:
    """Return the rows of ``predictions.csv``: ``photographs`` (image, patient, grade) beside what was predicted.

    ``logits``: (N, 5) in the order of ``photographs``; probabilities are their softmax in float64.
    """
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    probabilities = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    table = photographs[["image", "patient", "grade"]].reset_index(drop=True)
    return table.assign(predicted=logits.argmax(axis=1), **{f"p{grade}": probabilities[:, grade] for grade in GRADES})
