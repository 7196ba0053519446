"""Photographs as a run's network sees them: their features, made once a run, and those nearest to another."""

import hashlib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.neighbors import NearestNeighbors

from dr_lib.config import RunConfig
from dr_lib.data.crops import resize_for_testing, resize_for_training
from dr_lib.data.resize import resize_and_crop
from dr_lib.data.transforms import EvalTransform
from dr_lib.evaluation.predict import features
from dr_lib.explore.loaded_run import LoadedRun
from dr_lib.models.trained import TrainedNetwork
from dr_lib.storage.files import write_with
from dr_lib.system.terminal import logger
from dr_lib.training.device import resolve_device

log = logger("explore")

METHOD = 1
"""Raise when features come out differently, so that those kept are made again."""
BATCH = 32
"""Photographs that go through the network together."""


@dataclass(frozen=True)
class NeighborIndex:
    """The training photographs (``table``: image, grade, patient) and their features, float32 (N, D), row by row."""

    network: TrainedNetwork
    table: pd.DataFrame
    features: np.ndarray

    @classmethod
    def of(cls, run: LoadedRun, on_step: Callable[[int, int], None] = lambda done, total: None) -> "NeighborIndex":
        """Return the training photographs of a run; ``on_step`` hears how many of how many are done."""
        table = run.data.split("train")
        features = kept_features(run, table, on_step)
        return cls(run.network, table[["image", "grade", "patient"]], features)

    def nearest(self, pixels: np.ndarray, count: int) -> pd.DataFrame:
        """Return the ``count`` training photographs most like a photograph, uint8 (H, W, 3), nearest first.

        Columns ``image, grade, patient, distance``, the cosine distance of the features that the head decides on.
        """
        crop = as_tested(resize_for_training(self.network.config).make(pixels), self.network.config)
        batch = _normalized(self.network, [crop])
        where, distances = nearest_rows(self.features, features(self.network.model, [batch])[0], count)
        return self.table.iloc[where].assign(distance=distances).reset_index(drop=True)


def kept_features(
    run: LoadedRun, table: pd.DataFrame, on_step: Callable[[int, int], None] = lambda done, total: None
) -> np.ndarray:
    """Return the features of a run's photographs, rows of its table with ``image, split``: float32 (N, D).

    Their crops come from the pixel cache as training and testing have them, so that nothing is decoded again. The
    features are kept in ``cache_dir`` under the contents of the checkpoint, the fingerprint of the data and the splits.
    ``on_step`` hears how many of how many are done.
    """
    images, path = table["image"].tolist(), _kept_at(run, sorted(set(table["split"])))
    features = _read(path, images)
    if features is None:
        features = _features(run, table, lambda done: on_step(done, len(images)))
        _keep(path, images, features)
    return features


def nearest_rows(features: np.ndarray, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where the ``k`` rows of ``features`` nearest to each query are, and their cosine distances.

    ``features``: (N, D); ``query``: (D,), or (Q, D). Indices and distances have shape (k,) or (Q, k), nearest first,
    equals in the order of the rows (where more are equal than asked for, some of them); fewer than ``k`` where there
    are fewer rows. The distance is 1 less the cosine of the angle: 0 for the same direction, 1 for a right angle, 2
    for the opposite. What has no direction, all zeros, is at 1 from everything.
    """
    search = NearestNeighbors(n_neighbors=min(k, len(features)), metric="cosine", algorithm="brute").fit(features)
    distances, indices = search.kneighbors(np.atleast_2d(query))
    order = np.lexsort((indices, distances))
    indices, distances = (np.take_along_axis(values, order, axis=1) for values in (indices, distances))
    return (indices, distances) if query.ndim == 2 else (indices[0], distances[0])


def as_tested(crop: np.ndarray, config: RunConfig) -> np.ndarray:
    """Return a training crop, uint8 (resize, resize, 3), as testing shows it to the network, in views where it does.

    Where testing makes its crops at another size, they are made of the training crop. Measured on a ResNet18 and
    EyePACS photographs, 128 px of 144: features differ by a cosine distance of 0.0004 (median) from those of crops
    made of the file, a hundredth of the distance to the nearest other photograph.
    """
    transform = EvalTransform.of(config)
    side = transform.recipe.side
    return transform(crop if len(crop) == side else resize_and_crop(crop, side))


def _features(run: LoadedRun, table: pd.DataFrame, on_step: Callable[[int], None]) -> np.ndarray:
    """Return the features of photographs, made on the run's device, or on what there is."""
    device = resolve_device(run.config.device if torch.cuda.is_available() else "auto")
    network, rows = run.network, list(zip(table["image"], table["split"] == "train", strict=True))
    crops = {
        trained_on: run.data.crops(
            resize_for_training(run.config) if trained_on else resize_for_testing(run.config),
            [image for image, one in rows if one == trained_on],
        )
        for trained_on in {one for _, one in rows}
    }

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            stack = [as_tested(crops[trained_on].read(image), run.config) for image, trained_on in batch]
            yield _normalized(network, stack, device)

    try:
        network.normalization.to(device)
        model = network.model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in the stub
        return features(model, batches(), on_step)
    finally:
        network.model.to("cpu")
        network.normalization.to("cpu")


def _normalized(
    network: TrainedNetwork, stack: list[np.ndarray], device: torch.device | str = "cpu"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return photographs, each (S, S, 3) or (views, S, S, 3), as a batch of the network; their grades are of no use."""
    levels = torch.from_numpy(np.stack(stack)).to(device)
    images = network.normalization(levels.flatten(0, -4))
    return images.unflatten(0, levels.shape[:2]) if levels.ndim == 5 else images, torch.zeros(len(stack))


def _kept_at(run: LoadedRun, splits: list[str]) -> Path:
    digest = hashlib.blake2b(run.folder.best_checkpoint.read_bytes(), digest_size=16)
    digest.update(f"{run.data.fingerprint} {METHOD} {splits}".encode())
    return run.data.scanner.folder / f"features-{digest.hexdigest()}.npz"


def _read(path: Path, images: list[str]) -> np.ndarray | None:
    """Return the features kept at ``path``; None where there are none, or what is there is damaged or of others."""
    try:
        # np.load leaves a damaged file open that it has opened itself; it refuses pickles, which could run code.
        with path.open("rb") as stream, np.load(stream) as kept:
            return kept["features"] if kept["images"].tolist() == images else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _keep(path: Path, images: list[str], features: np.ndarray) -> None:
    try:
        write_with(path, lambda stream: np.savez(stream, features=features, images=np.array(images)))
    except OSError as error:  # a full disk costs the next session a minute, and this one nothing
        log.warning("%s: the features of the training photographs are not kept (%s)", path, error.strerror)
