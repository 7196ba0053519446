"""Using a trained network: on a data set, as in the lab's demo, and on single photographs."""

from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from dr_lib.config import DATA_PARAMETERS, combine, read_parameters
from dr_lib.data.dataset import RetinopathyDataset, whole
from dr_lib.data.jpeg import INTACT, NO_END_MARKER, judge
from dr_lib.data.prepare import prepare_data
from dr_lib.data.splits import SPLITS
from dr_lib.data.transforms import EvalTransform
from dr_lib.errors import InputError
from dr_lib.evaluation.predict import predict, prediction_table
from dr_lib.evaluation.summary import summarise
from dr_lib.progress import Progress
from dr_lib.training.checkpoint import load_trained
from dr_lib.training.device import resolve_device, worker_count
from dr_lib.training.loaders import Batches


def evaluate_checkpoint(checkpoint: Path, data_file: Path, assignments: list[str], split: str) -> dict[str, Any]:
    """Return the figures of a run's checkpoint on one split of a data set, as :func:`summarise` gives them.

    From ``data_file`` come the parameters that say which photographs there are; sizes and network are the run's own,
    so the run's data give the run's accuracy to the bit. ``assignments`` (``KEY=VALUE``) win over both.
    """
    if split not in SPLITS:
        raise InputError(f"--split {split}: needs one of {', '.join(SPLITS)}")
    trained = load_trained(checkpoint)
    combine([data_file])  # refuses what is not sound with the file's name
    where = {key: value for key, value in read_parameters(data_file).items() if key in DATA_PARAMETERS}
    config = combine([], assignments, base=trained.config.model_dump() | where)
    device = resolve_device(config.device)
    data = prepare_data(config)
    photographs = RetinopathyDataset(data, split, EvalTransform.of(config))
    if not len(photographs):
        raise InputError(f"{data_file}: no {split} photographs; choose another --split, or set {split}_share above 0")
    # The run's own batch size: sums of floats depend on the shapes that they are computed in.
    workers = worker_count(config.num_workers, device)
    loader = DataLoader(photographs, batch_size=config.batch_size, collate_fn=whole, num_workers=workers)
    with Progress() as progress:
        outputs, _ = predict(
            trained.model.to(device, memory_format=torch.channels_last),
            Batches(loader, trained.normalisation.to(device), device),
            lambda seen: progress.bar(f"evaluating {split}", seen, len(photographs)),
        )
    outputs = torch.from_numpy(outputs)
    table = prediction_table(
        photographs.table, trained.head.probabilities(outputs).numpy(), trained.head.predicted(outputs).numpy()
    )
    return summarise(table, data.split("train").grade)


def predict_files(checkpoint: Path, images: list[Path]) -> list[dict[str, Any]]:
    """Return one row a file: ``image``, ``verdict`` of the damage check, ``grade`` and ``probabilities`` of 0-4.

    A file with only its end marker missing is repaired in memory; one with rows missing, or that is no image, gets
    its verdict and ``None`` for the rest. Raises :class:`InputError` for a file that is not there.
    """
    for path in images:
        if not path.is_file():
            raise InputError(f"{path}: no such file; give the paths of photographs")
    network = load_trained(checkpoint)
    rows = []
    for path in images:
        found = judge(path.read_bytes())
        row = {"image": str(path), "verdict": found.verdict.verdict, "grade": None, "probabilities": None}
        if found.verdict.verdict in (INTACT, NO_END_MARKER):
            probabilities = network.probabilities(found.pixels).tolist()
            row |= {"grade": network.predicted(found.pixels), "probabilities": probabilities}
        rows.append(row)
    return rows
