"""Using a trained network: on a data set, as in the lab's demo, and on single photographs."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader

from dr_lib.config import DATA_PARAMETERS, combine, read_parameters
from dr_lib.data.dataset import RetinopathyDataset
from dr_lib.data.jpeg import INTACT, NO_END_MARKER, check, repair
from dr_lib.data.photographs import decode
from dr_lib.data.prepare import prepare_data
from dr_lib.data.splits import SPLITS
from dr_lib.data.transforms import EvalTransform
from dr_lib.errors import InputError
from dr_lib.evaluation.predict import predict, prediction_table
from dr_lib.evaluation.summary import summarise
from dr_lib.progress import Progress
from dr_lib.training.checkpoint import load_trained
from dr_lib.training.device import resolve_device, worker_count


def evaluate_checkpoint(checkpoint: Path, data_file: Path, assignments: list[str], split: str) -> dict[str, Any]:
    """Return the figures of a run's checkpoint on one split of a data set, as :func:`summarise` gives them.

    From ``data_file`` come the parameters that say which photographs there are; sizes and network are the run's own,
    so the run's data give the run's accuracy to the bit. ``assignments`` (``KEY=VALUE``) win over both.
    """
    if split not in SPLITS:
        raise InputError(f"--split {split}: needs one of {', '.join(SPLITS)}")
    model, trained = load_trained(checkpoint)
    combine([data_file])  # refuses what is not sound with the file's name
    where = {key: value for key, value in read_parameters(data_file).items() if key in DATA_PARAMETERS}
    config = combine([], assignments, base=trained.model_dump() | where)
    device = resolve_device(config.device)
    data = prepare_data(config)
    photographs = RetinopathyDataset(data, split, EvalTransform(config.image_size))
    if not len(photographs):
        raise InputError(f"{data_file}: no {split} photographs; choose another --split, or set {split}_share above 0")
    # The run's own batch size: sums of floats depend on the shapes that they are computed in.
    workers = worker_count(config.num_workers, device)
    loader = DataLoader(photographs, batch_size=config.batch_size, num_workers=workers)
    with Progress() as progress:
        logits, _ = predict(
            model.to(device, memory_format=torch.channels_last),
            loader,
            device,
            lambda seen: progress.bar(f"evaluating {split}", seen, len(photographs)),
        )
    return summarise(prediction_table(photographs.table, logits), data.split("train").grade)


def predict_files(checkpoint: Path, images: list[Path]) -> list[dict[str, Any]]:
    """Return one row a file: ``image``, ``verdict`` of the damage check, ``grade`` and ``probabilities`` of 0-4.

    A file with only its end marker missing is repaired in memory; one with rows missing, or that is no image, gets
    its verdict and ``None`` for the rest. Raises :class:`InputError` for a file that is not there.
    """
    for path in images:
        if not path.is_file():
            raise InputError(f"{path}: no such file; give the paths of photographs")
    model, config = load_trained(checkpoint)
    transform = EvalTransform(config.image_size)
    rows = []
    for path in images:
        data = path.read_bytes()
        found = check(data)
        row = {"image": str(path), "verdict": found.verdict, "grade": None, "probabilities": None}
        if found.verdict in (INTACT, NO_END_MARKER):
            whole = repair(data) if found.verdict == NO_END_MARKER else data
            probabilities = grade_probabilities(model, transform, decode(whole))
            row |= {"grade": int(probabilities.argmax()), "probabilities": probabilities.tolist()}
        rows.append(row)
    return rows


@torch.inference_mode()
def grade_probabilities(model: nn.Module, transform: EvalTransform, image: Image.Image) -> np.ndarray:
    """Return the probability of each grade of one RGB photograph, float64 (5,)."""
    logits = model.eval()(transform(image)[None])[0]
    return torch.softmax(logits.double(), dim=0).numpy()
