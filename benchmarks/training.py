"""Time training against the bare network and against the lab report's own loop, interleaved step by step.

    python benchmarks/training.py /photos/eyepacs-1024/images /photos/eyepacs-full/images [--threads 2] [--steps 12]
    python benchmarks/training.py --memory
    python benchmarks/training.py --precision [--threads 1]

The first prints the table of docs/performance.md: photographs a second, and ratios step by step with the middle half of
their spread. "bare" is the same network on one batch that stays in memory; "lab" is the loop of the lab report, which
decodes each photograph in each epoch. A few photographs are repeated as often as steps need them.
The second prints the peak memory of a training process for 1,000 and for 35,000 photographs in the store, the third
how much faster a step is in mixed precision, bf16, than in float32 on this processor.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice, product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import models, transforms

from dr_lib.config import RunConfig
from dr_lib.data.labels import Labels
from dr_lib.data.photographs import FolderPhotographs
from dr_lib.data.prepare import DataSplits
from dr_lib.data.scan import Scanner
from dr_lib.models.trained import new_head, new_network
from dr_lib.training.device import start_accelerator
from dr_lib.training.learner import Learner
from dr_lib.training.loaders import LoaderFactory, fit_normalization

BATCH = {"resnet18": 32, "resnet50": 16}


class LabDataset(Dataset):
    """``RetinopathyLoader`` of the lab report."""

    def __init__(self, files: list[Path]):
        self.files = files
        self.transform = transforms.Compose([
            transforms.Resize(256),
            transforms.CenterCrop(256),
            transforms.RandomCrop(224),
            transforms.RandomRotation(degrees=20),
            transforms.RandomHorizontalFlip(),
            transforms.RandomVerticalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
        ])  # fmt: skip

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.open(self.files[index]).convert("RGB")), index % 5


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("folders", nargs="*", type=Path, help="folders of photographs")
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--steps", type=int, default=12, help="steps of each way")
    arguments.add_argument("--memory", action="store_true", help="peak memory for 1,000 and 35,000 photographs")
    arguments.add_argument("--precision", action="store_true", help="bf16 against float32")
    arguments.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    if options.measure:
        measure_memory(options.measure)
    elif options.precision:
        print("| side | network | bf16 / float32 |\n|---|---|---|")
        for side, model in product((64, 224), BATCH):
            print(f"| {side} px | {model} | {precision_gain(model, side, options.steps)} |", flush=True)
    elif options.memory:
        for count in (1_000, 35_000):
            subprocess.run([sys.executable, __file__, "--measure", str(count)], check=True)
    else:
        print("| photographs | network | lab | dr-lab | dr-lab / lab | dr-lab / bare network |")
        print("|---|---|---|---|---|---|")
        for folder in options.folders:
            compare(folder, options.steps)


def compare(folder: Path, steps: int) -> None:
    """Print a row a network for the photographs in ``folder``."""
    name = folder.parent.name if folder.name == "images" else folder.name
    files = sorted(folder.iterdir())
    with tempfile.TemporaryDirectory() as cache:
        for model, batch_size in BATCH.items():
            repeated = list(islice(cycle(files), batch_size * (steps + 2)))
            ours, bare = our_ways(model, batch_size, repeated, Path(cache))
            times = interleaved([lab_way(model, batch_size, repeated), ours, bare], steps)
            lab, mine, network = times
            speed = [batch_size / np.median(way) for way in (lab, mine)]
            print(
                f"| {name} | {model} | {speed[0]:.1f}/s | {speed[1]:.1f}/s | {spread(lab / mine)} "
                f"| {spread(network / mine)} |",
                flush=True,
            )


def our_ways(model: str, batch_size: int, files: list[Path], cache: Path) -> tuple[Callable, Callable]:
    """Return a step as a run takes it, and the same step on one batch that stays in memory."""
    config = RunConfig(model=model, batch_size=batch_size, device="cpu")
    learner, batches = training(config, repeated_data(files, cache))
    stream = endless(batches)
    images, grades = next(stream)
    fixed = images.clone(memory_format=torch.channels_last), grades.clone()
    return lambda: learner.step(*next(stream), 0), lambda: learner.step(*fixed, 0)


def precision_gain(model: str, side: int, steps: int) -> str:
    """Return how many times as fast a step is in bf16, on one batch that stays in memory."""
    images = torch.randn(BATCH[model], 3, side, side).contiguous(memory_format=torch.channels_last)
    grades = torch.arange(BATCH[model]) % 5

    def way(precision: str) -> Callable[[], None]:
        config = RunConfig(model=model, batch_size=BATCH[model], device="cpu", precision=precision)
        learner = new_learner(config, start_accelerator(config))
        return lambda: learner.step(images, grades, 0)

    full, mixed = interleaved([way("float32"), way("bf16")], steps)
    return spread(full / mixed)


def training(config: RunConfig, data: DataSplits) -> tuple[Learner, object]:
    accelerator = start_accelerator(config)
    factory = LoaderFactory(config, data, fit_normalization(config, data), accelerator)
    return new_learner(config, accelerator), factory.training()


def new_learner(config: RunConfig, accelerator: Accelerator) -> Learner:
    network = new_network(config).to(memory_format=torch.channels_last)
    learner = Learner(config, network, new_head(config), accelerator, steps_an_epoch=10)
    learner.start_phase("fine-tuning")
    learner.train_mode()
    return learner


def lab_way(model: str, batch_size: int, files: list[Path]) -> Callable[[], None]:
    """Return a step of the lab report's loop."""
    network = models.get_model(model, weights=None)
    network.fc = nn.Linear(network.fc.in_features, 5)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)
    criterion = nn.CrossEntropyLoss()
    stream = endless(DataLoader(LabDataset(files), batch_size=batch_size, shuffle=True))
    network.train()

    def step() -> None:
        images, labels = next(stream)
        optimizer.zero_grad()
        outputs = network(images)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        (outputs.max(1)[1] == labels).sum().item()

    return step


def repeated_data(files: list[Path], cache: Path) -> DataSplits:
    """Return files as training data, one that comes again under another name; each is decoded once."""
    names = [f"{number}-{file.stem}" for number, file in enumerate(files)]
    table = pd.DataFrame({"image": names, "grade": np.arange(len(files)) % 5, "patient": names, "split": "train"})
    photographs = FolderPhotographs(dict(zip(names, files, strict=True)))
    return DataSplits(Labels(table), photographs, [], "", Scanner(photographs, files[0].parent, cache, progress=False))


def endless(batches) -> Iterator:
    while True:
        yield from batches


def interleaved(ways: list[Callable], steps: int) -> np.ndarray:
    """Return wall seconds (ways, steps); one step each way, turn by turn."""
    for way in ways:
        way()
    times = np.empty((len(ways), steps))
    for step in range(steps):
        for number, way in enumerate(ways):
            began = time.perf_counter()
            way()
            times[number, step] = time.perf_counter() - began
    return times


def spread(ratios: np.ndarray) -> str:
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def measure_memory(count: int) -> None:
    """Print the peak memory of this process after a few steps, and a pass over ``count`` photographs in a store."""
    side = 256
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as scratch:
        file = Path(scratch) / "one.png"
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)).save(file)
        links = [Path(scratch) / "links" / f"{number}.png" for number in range(count)]
        links[0].parent.mkdir()
        for link in links:
            link.symlink_to(file)
        data = repeated_data(links, Path(scratch) / "cache")
        # One decoding stands for all: the store gets as many rows.
        fill(data, count)
        config = RunConfig(device="cpu", batch_size=32)
        learner, batches = training(config, data)
        for number, (images, grades) in enumerate(batches):
            if number < 3:
                learner.step(images, grades, number)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{count:,} photographs, {count * side**2 * 3 / 1e9:.1f} GB of squares: peak memory {peak:.2f} GB")


def fill(data: DataSplits, count: int) -> None:
    """Give every photograph its row, without decoding the same file again and again."""
    from dr_lib.data.crops import resize_for_training
    from dr_lib.data.pixel_cache import Row, write_row

    scanner, recipe = data.scanner, resize_for_training(RunConfig())
    names = data.table["image"].tolist()
    info = scanner.scan(names[:1], {recipe: names[:1]})[names[0]]
    square = scanner.crops(recipe, names[:1]).read(names[0]).copy()
    store = scanner.store(recipe)
    first = store.reserve(count)
    store.note({
        data.photographs.key(name): Row(first + number, info.digest, write_row(store.pixels, first + number, square))
        for number, name in enumerate(names)
    })  # fmt: skip
    entry = {"stamp": data.photographs.stamp(names[0]), "info": info.as_json()}
    scanner._info_log.append({data.photographs.key(name): entry for name in names})


if __name__ == "__main__":
    main()
