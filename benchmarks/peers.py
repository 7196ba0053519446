"""Train the same network on the same photographs with other people's tools, in turn, beside ours.

    pip install -e ".[peers]" -c constraints.txt
    python benchmarks/peers.py /photos/eyepacs-1024 [--seeds 0,1,2] [--epochs 5] [--threads 2]

ResNet18 from random weights, 224 px, batches of 32, AdamW at a constant rate, the epoch with the highest kappa on
validation patients; training, validation and testing photographs are the same for all, and so are the figures, which
are computed from each tool's own probabilities:

* dr-lab: ``dr_lib.training.run.train`` with an empty pixel cache, so that decoding is in its time, as is what it alone
  does: a status of every file, testing after every epoch, checkpoints.
* torchvision: its ResNet18 and its transforms in the loop of its documentation. Its reference scripts, like timm's
  ``train.py``, are not in the packages.
* timm: its ResNet18, ``create_loader`` and ``create_optimizer_v2`` in the same minimal loop. Its loader has flips and
  random crops of 70 to 100 %, no rotation without RandAugment.
* fastai: ``vision_learner`` and ``fit``, with its own head, ``aug_transforms``, its own best-epoch callback.

Loaders of the others have one process for each thread. Each training is a process of its own, and who goes first
changes from seed to seed. Figures, predictions and costs are kept in ``benchmarks/results/peers``.
"""

import argparse
import gzip
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

from dr_lib.config import RunConfig
from dr_lib.data.matching import open_photographs
from dr_lib.data.prepare import read_splits
from dr_lib.evaluation.matrix_metrics import confusion_matrix, quadratic_weighted_kappa
from dr_lib.evaluation.predictions import prediction_table
from dr_lib.evaluation.summary import summarize
from dr_lib.storage.files import write_json
from dr_lib.storage.folders import ExperimentFolder

RESULTS = Path(__file__).parent / "results" / "peers"
SIDE, RESIZE, BATCH = 224, 256, 32
RATE, DECAY = 3e-4, 0.05
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Loop = tuple[nn.Module, DataLoader, DataLoader, DataLoader, torch.optim.Optimizer]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("data_dir", type=Path)
    arguments.add_argument("--seeds", default="0,1,2")
    arguments.add_argument("--epochs", type=int, default=5)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--limit", type=int, default=0, help="photographs of each split; nothing is kept")
    arguments.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.way:
        train_one(options)
        return
    for number, seed in enumerate(map(int, options.seeds.split(","))):
        names = [*WAYS]
        for name in names[number % len(names) :] + names[: number % len(names)]:
            measure(name, seed, options)


def configuration(options: argparse.Namespace, seed: int, scratch: Path) -> RunConfig:
    """Return our parameters; of them the others take which photograph is in which split."""
    return RunConfig(
        data_dir=str(options.data_dir), limit=options.limit, validation_share=0.15, model="resnet18", resize=RESIZE,
        image_size=SIDE, batch_size=BATCH, epochs=options.epochs, optimizer="adamw", learning_rate=RATE,
        weight_decay=DECAY, seed=seed, device="cpu", cache_dir=str(scratch / "cache"), out_dir=str(scratch / "runs"),
    )  # fmt: skip


def measure(way: str, seed: int, options: argparse.Namespace) -> None:
    """Train in a process of its own, and keep figures, predictions and what it cost."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [
            sys.executable, __file__, str(options.data_dir), "--way", way, "--seeds", str(seed),
            "--epochs", str(options.epochs), "--threads", str(options.threads), "--limit", str(options.limit),
        ]  # fmt: skip
        environment = os.environ | {"PEERS_SCRATCH": scratch, "OMP_NUM_THREADS": str(options.threads)}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        with peak_memory(process.pid) as peak:
            _, status, used = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{way}, seed {seed}: it ended with status {status}; its message is above")
        predictions = pd.read_csv(Path(scratch) / "predictions.csv", dtype={"image": str, "patient": str})
        seconds = float((Path(scratch) / "seconds").read_text())
    table = read_splits(configuration(options, seed, Path(scratch)), progress=False).table
    cost = {
        "images_per_second": options.epochs * int((table.split == "train").sum()) / seconds,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_bytes": peak[0],
        "threads": options.threads,
        "epochs": options.epochs,
    }
    figures = summarize(predictions, table.grade[table.split == "train"])
    print(
        f"{way}, seed {seed}: {cost['images_per_second']:.1f} images/s, {cost['cpu_seconds']:.0f} s of processor time, "
        f"{cost['peak_bytes'] / 2**30:.2f} GiB, kappa {figures['kappa']:.3f}, AUC {figures['macro_auc']:.3f}",
        flush=True,
    )
    if options.limit:
        return
    kept = ExperimentFolder(RESULTS).run(f"{way}-seed{seed}")
    kept.path.mkdir(parents=True, exist_ok=True)
    write_json(kept.metrics, {"test": figures, "cost": cost})
    packed = gzip.compress(predictions.to_csv(index=False).encode(), mtime=0)
    (kept.path / "predictions.csv.gz").write_bytes(packed)


@contextmanager
def peak_memory(pid: int) -> Iterator[list[int]]:
    """Give a list whose one number becomes the highest memory, bytes, of a process and those that it has started.

    What processes share is counted once, each having its part of it (PSS). To ask costs tens of milliseconds for each
    of them, so it is asked seldom: twice a second took a twentieth of two cores from those with several processes.
    """
    peak, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(5):
            try:
                main_process = psutil.Process(pid)
                family = [main_process, *main_process.children(recursive=True)]
                peak[0] = max(peak[0], sum(member.memory_full_info().pss for member in family))
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue  # one of them has just ended

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


def train_one(options: argparse.Namespace) -> None:
    """Train one way in this process; write what it predicts and the seconds from the first photograph on."""
    torch.set_num_threads(options.threads)
    seed, scratch = int(options.seeds), Path(os.environ["PEERS_SCRATCH"])
    config = configuration(options, seed, scratch)
    torch.manual_seed(seed)
    seconds, predictions = WAYS[options.way](config, options)
    predictions.to_csv(scratch / "predictions.csv", index=False)
    (scratch / "seconds").write_text(str(seconds))


def photograph_table(config: RunConfig) -> pd.DataFrame:
    """Return image, patient, grade, split and path of every photograph."""
    labels = read_splits(config, progress=False)
    photographs = open_photographs(Path(config.data_dir), labels, config.images_dir, config.labels_file)
    table = labels.table
    return table.assign(path=[str(photographs.path(image)) for image in table.image])


def dr_lab(config: RunConfig, options: argparse.Namespace) -> tuple[float, pd.DataFrame]:
    from dr_lib.training.run import train_run

    began = time.monotonic()
    folder = train_run(config)
    return time.monotonic() - began, folder.read_predictions()


class Photographs(Dataset):
    """Files with their grades; ``transform`` is what each tool makes of a picture."""

    def __init__(self, table: pd.DataFrame, transform: Callable | None = None):
        self.files, self.grades = table.path.tolist(), table.grade.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int):
        with Image.open(self.files[index]) as picture:
            return self.transform(picture.convert("RGB")), self.grades[index]


def torchvision_loop(table: pd.DataFrame, config: RunConfig, options: argparse.Namespace) -> Loop:
    from torchvision import models, transforms

    to_input = [transforms.ToTensor(), transforms.Normalize(MEAN, DEVIATION)]
    training = transforms.Compose([
        transforms.Resize(RESIZE), transforms.CenterCrop(RESIZE), transforms.RandomCrop(SIDE),
        transforms.RandomRotation(20), transforms.RandomHorizontalFlip(), transforms.RandomVerticalFlip(), *to_input,
    ])  # fmt: skip
    testing = transforms.Compose([transforms.Resize(SIDE), transforms.CenterCrop(SIDE), *to_input])
    loaders = [
        DataLoader(
            Photographs(table[table.split == split], training if split == "train" else testing),
            batch_size=BATCH, shuffle=split == "train", num_workers=options.threads,
        )
        for split in ("train", "validation", "test")
    ]  # fmt: skip
    model = models.resnet18(num_classes=5)
    return model, *loaders, torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)


def timm_loop(table: pd.DataFrame, config: RunConfig, options: argparse.Namespace) -> Loop:
    import timm
    from timm.data import create_loader
    from timm.optim import create_optimizer_v2

    loaders = [
        create_loader(
            Photographs(table[table.split == split]), SIDE, BATCH, is_training=split == "train", scale=(0.7, 1.0),
            ratio=(1.0, 1.0), hflip=0.5, vflip=0.5, color_jitter=0.0, num_workers=options.threads,
            use_prefetcher=False, persistent_workers=False, device=torch.device("cpu"),
        )
        for split in ("train", "validation", "test")
    ]  # fmt: skip
    model = timm.create_model("resnet18", num_classes=5)
    return (
        model,
        *loaders,
        create_optimizer_v2(model, opt="adamw", lr=RATE, weight_decay=DECAY, filter_bias_and_bn=False),
    )


def looped(
    make: Callable[[pd.DataFrame, RunConfig, argparse.Namespace], Loop], config: RunConfig, options: argparse.Namespace
) -> tuple[float, pd.DataFrame]:
    """Train in the loop of torch's documentation and keep the epoch with the highest kappa on validation."""
    table = photograph_table(config)
    began = time.monotonic()
    model, training, validation, testing, optimizer = make(table, config, options)
    best, kept = -np.inf, {}
    for _ in range(options.epochs):
        model.train()
        for images, grades in training:
            loss = nn.functional.cross_entropy(model(images), grades)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        kappa = kappa_of(table[table.split == "validation"], probabilities(model, validation))
        if kappa > best:
            best, kept = kappa, {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(kept)
    found = probabilities(model, testing)
    return time.monotonic() - began, predicted(table, found)


@torch.inference_mode()
def probabilities(model: nn.Module, batches: DataLoader) -> np.ndarray:
    model.eval()
    return torch.cat([model(images).softmax(1) for images, _ in batches]).numpy().astype(float)


def fastai(config: RunConfig, options: argparse.Namespace) -> tuple[float, pd.DataFrame]:
    from fastai.vision.all import (
        CohenKappa,
        CrossEntropyLossFlat,
        ImageDataLoaders,
        OptimWrapper,
        Resize,
        SaveModelCallback,
        aug_transforms,
        set_seed,
        vision_learner,
    )  # fmt: skip
    from torchvision.models import resnet18

    set_seed(config.seed, reproducible=True)
    table = photograph_table(config)
    began = time.monotonic()
    fitted = table[table.split != "test"].assign(is_valid=lambda rows: rows.split == "validation")
    loaders = ImageDataLoaders.from_df(
        fitted, path="/", fn_col="path", label_col="grade", valid_col="is_valid", item_tfms=Resize(RESIZE),
        batch_tfms=aug_transforms(
            size=SIDE, flip_vert=True, max_rotate=20, max_zoom=1.1, max_lighting=0, max_warp=0
        ),
        bs=BATCH, num_workers=options.threads, device=torch.device("cpu"),
    )  # fmt: skip
    learner = vision_learner(
        loaders, resnet18, pretrained=False, n_out=5, loss_func=CrossEntropyLossFlat(),
        opt_func=partial(OptimWrapper, opt=torch.optim.AdamW), lr=RATE, wd=DECAY,
        metrics=CohenKappa(weights="quadratic"), model_dir=Path(config.out_dir).parent,
    )  # fmt: skip
    with learner.no_bar():
        learner.fit(options.epochs, RATE, wd=DECAY, cbs=SaveModelCallback(monitor="cohen_kappa_score"))
        testing = loaders.test_dl(table[table.split == "test"])
        found, _ = learner.get_preds(dl=testing)
    seconds = time.monotonic() - began
    return seconds, predicted(table, found.numpy().astype(float))


def kappa_of(table: pd.DataFrame, found: np.ndarray) -> float:
    kappa = float(quadratic_weighted_kappa(confusion_matrix(table.grade.to_numpy(), found.argmax(axis=1))))
    return -1.0 if np.isnan(kappa) else kappa


def predicted(table: pd.DataFrame, found: np.ndarray) -> pd.DataFrame:
    return prediction_table(table[table.split == "test"], found, found.argmax(axis=1))


WAYS: dict[str, Callable[[RunConfig, argparse.Namespace], tuple[float, pd.DataFrame]]] = {
    "dr-lab": dr_lab,
    "torchvision": partial(looped, torchvision_loop),
    "timm": partial(looped, timm_loop),
    "fastai": fastai,
}


if __name__ == "__main__":
    main()
