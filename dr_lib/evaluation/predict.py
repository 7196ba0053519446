"""Predict first, score afterwards: arrays out of a network and a loader."""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from dr_lib import PROBABILITIES
from dr_lib.errors import check_finite
from dr_lib.models.builders import outputs_of


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


def prediction_table(photographs: pd.DataFrame, probabilities: np.ndarray, predicted: np.ndarray) -> pd.DataFrame:
    """Return the rows of ``predictions.csv``: ``photographs`` (image, patient, grade) beside what was predicted.

    ``probabilities``: float64 (N, 5), ``predicted``: int64 (N,), in the order of ``photographs``.
    """
    probabilities = check_finite(probabilities, "probabilities")
    table = photographs[["image", "patient", "grade"]].reset_index(drop=True)
    return table.assign(predicted=predicted, **dict(zip(PROBABILITIES, probabilities.T, strict=True)))
