"""Time the data path against the lab's own loader on the same photographs, one thread, interleaved.

    python benchmarks/data_path.py /photos/eyepacs-full/images /photos/eyepacs-1024/images

Prints the table of docs/performance.md: CPU time per photograph as medians over the photographs, and ratios with the
middle half of their spread. Ratios are formed photograph by photograph, so that noise of the machine meets both sides.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torchvision import transforms
from torchvision.models import resnet18

from dr_lib.config import RunConfig
from dr_lib.data.crop_dataset import CropDataset, identity_collate
from dr_lib.data.crops import ResizeSpec
from dr_lib.data.labels import Labels
from dr_lib.data.normalization import Normalization
from dr_lib.data.photographs import FolderPhotographs
from dr_lib.data.pixel_cache import write_row
from dr_lib.data.prepare import DataSplits
from dr_lib.data.scan import Scanner
from dr_lib.data.scan_image import scan_image
from dr_lib.data.transforms import TrainTransform
from dr_lib.training.loaders import Batches

LAB_SQUARE = [transforms.Resize(256), transforms.CenterCrop(256)]
LAB_DRAWS = [
    transforms.RandomCrop(224),
    transforms.RandomRotation(degrees=20),
    transforms.RandomHorizontalFlip(),
    transforms.RandomVerticalFlip(),
    transforms.ToTensor(),
    transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
]
"""The lab report's training transform, in the part that is the same in every epoch and the part that is drawn."""

BATCH = 32


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("folders", nargs="+", type=Path, help="folders of photographs")
    arguments.add_argument("--photographs", type=int, default=60, help="at most so many of each folder")
    arguments.add_argument("--rounds", type=int, default=3, help="passes over them; the quickest of each counts")
    arguments.add_argument("--steps", type=int, default=12, help="training steps of each kind; 0: none")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    print("| photographs | what | lab | dr-lab | ratio (middle half) |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for folder in options.folders:
            files = sorted(folder.iterdir())[: options.photographs]
            name = folder.parent.name if folder.name == "images" else folder.name
            compare_building(name, files, Path(scratch), options.rounds)
            data = stored(files, Path(scratch) / name)
            compare_samples(name, files, data, options.rounds)
        if options.steps:
            compare_training(data, options.steps)


def stored(files: list[Path], cache: Path) -> DataSplits:
    """Return the photographs as training data, their squares in a store."""
    table = pd.DataFrame({"image": [f.stem for f in files], "grade": 0, "patient": [f.stem for f in files]})
    table["split"] = "train"
    photographs = FolderPhotographs({file.stem: file for file in files})
    return DataSplits(Labels(table), photographs, [], "", Scanner(photographs, files[0].parent, cache, progress=False))


def compare_building(name: str, files: list[Path], scratch: Path, rounds: int) -> None:
    """Compare what the lab does in every epoch with what the store costs once: status, crop, writing."""
    lab_transform = transforms.Compose(LAB_SQUARE + LAB_DRAWS)
    pixels = scratch / "pixels.npy"
    pixels.touch()

    def lab(file: Path) -> None:
        lab_transform(Image.open(file).convert("RGB"))

    def build(recipe: ResizeSpec) -> Callable[[Path], None]:
        def one(file: Path) -> None:
            _, (square,) = scan_image(file.read_bytes(), [recipe])
            write_row(pixels, 0, square)

        return one

    times = interleaved([lab, build(ResizeSpec(256)), build(ResizeSpec(256, fast=True))], files, rounds)
    row(name, "building the store, exact", times[0], times[1])
    row(name, "building the store, `fast_decode`", times[0], times[2])


def compare_samples(name: str, files: list[Path], data: DataSplits, rounds: int) -> None:
    """Compare a training sample from the store with Pillow on the same squares, and with the lab's loader."""
    config = RunConfig()
    dataset = CropDataset(data, "train", TrainTransform.of(config))
    normalization = Normalization.fit("imagenet", [], config.image_size)
    draws, identity_collate = transforms.Compose(LAB_DRAWS), transforms.Compose(LAB_SQUARE + LAB_DRAWS)
    places = [list(range(start, min(start + BATCH, len(files)))) for start in range(0, len(files), BATCH)]

    memory = torch.empty(BATCH, config.image_size, config.image_size, 3)  # used again, as training does

    def ours(batch: list[int]) -> None:
        normalization(dataset.__getitems__(batch)[0], memory[: len(batch)])

    def pillow(batch: list[int]) -> None:
        torch.stack([draws(Image.fromarray(dataset.crops.read(files[index].stem))) for index in batch])

    def lab(batch: list[int]) -> None:
        torch.stack([identity_collate(Image.open(files[index]).convert("RGB")) for index in batch])

    # Epochs of samples, so that a few photographs make a time that can be measured.
    repeated = places * max(1, 600 // len(files))
    quick = interleaved([pillow, ours], repeated, rounds) / [[len(batch) for batch in repeated]]
    slow = interleaved([lab, ours], places, rounds) / [[len(batch) for batch in places]]
    row(name, "training sample, Pillow on the same store", quick[0], quick[1])
    row(name, "training sample, the lab's loader", slow[0], slow[1])


def compare_training(data: DataSplits, steps: int) -> None:
    """Compare ResNet18 at 224 px fed by the loader with the same network on one batch that stays in memory."""
    config = RunConfig()
    dataset = CropDataset(data, "train", TrainTransform.of(config))
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=BATCH, shuffle=True, drop_last=True, collate_fn=identity_collate
    )
    device = torch.device("cpu")
    batches = Batches(loader, Normalization.fit("imagenet", [], config.image_size), device)
    network = resnet18(num_classes=5).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)
    fixed = next(iter(batches))

    def step(images: torch.Tensor, grades: torch.Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(network(images), grades).backward()
        optimizer.step()

    def endless():
        while True:
            yield from batches

    source = endless()
    step(*fixed)
    times = interleaved([lambda _: step(*fixed), lambda _: step(*next(source))], list(range(steps)), rounds=1)
    row("", f"training step of {BATCH}, ResNet18, 224 px: a fixed batch, fed by the loader", times[0], times[1])


def interleaved(ways: list[Callable], items: list, rounds: int) -> np.ndarray:
    """Return CPU seconds (ways, items): each item one way after the other, the quickest of ``rounds``."""
    times = np.full((rounds, len(ways), len(items)), np.inf)
    for way in ways:
        way(items[0])  # compiled, loaded, in the system's cache
    for turn in range(rounds):
        for place, item in enumerate(items):
            for number, way in enumerate(ways):
                began = time.process_time()
                way(item)
                times[turn, number, place] = time.process_time() - began
    return times.min(axis=0)


def row(name: str, what: str, lab: np.ndarray, ours: np.ndarray) -> None:
    low, middle, high = np.quantile(ours / lab, [0.25, 0.5, 0.75])
    print(
        f"| {name} | {what} | {1e3 * np.median(lab):.2f} ms | {1e3 * np.median(ours):.2f} ms "
        f"| {middle:.3g} ({low:.3g} to {high:.3g}) |",
        flush=True,
    )


if __name__ == "__main__":
    main()
