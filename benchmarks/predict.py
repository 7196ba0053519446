"""Time ``dr-lab predict`` against the loop that one writes first, on the same photographs, interleaved.

    python benchmarks/predict.py /photos/eyepacs-1024/images /photos/eyepacs-full/images [--photographs 64] [--rounds 5]

Prints the table of docs/performance.md: photographs a second, and ratios round by round with the middle half of their
spread. "loop" opens each photograph with Pillow, has torchvision's Compose make its tensor, and calls the network in
inference mode: one photograph at a time, or in batches of 16. "dr-lab" is what the command does once its network is
loaded, statuses on the files included: from an exported network, its workers' start counted. Wall time needs a quiet
machine; processor time, of this process and its workers, does not. Largest difference: of outputs, from the loop's.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision import transforms

from dr_lib.config import RunConfig
from dr_lib.data.normalization import IMAGENET_MEAN, IMAGENET_STD, Normalization
from dr_lib.inference.backends import OnnxBackend
from dr_lib.inference.inputs import photographs_in
from dr_lib.inference.model import grade_photographs
from dr_lib.inference.onnx_export import export_onnx
from dr_lib.models.trained import new_head, new_network
from dr_lib.system.resources import threads_each
from dr_lib.training.checkpoint import save_network

BATCH = 16


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("folders", nargs="+", type=Path, help="folders of photographs")
    arguments.add_argument("--photographs", type=int, default=64, help="at most so many of each folder")
    arguments.add_argument("--rounds", type=int, default=5, help="passes of each way over them")
    arguments.add_argument("--networks", nargs="+", default=["resnet18", "resnet50"])
    options = arguments.parse_args()
    torch.set_num_threads(threads_each(1))
    print("| photographs | network | against | time | loop | dr-lab | ratio (middle half) | largest difference |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for network in options.networks:
            model, grader = trained(network, Path(scratch))
            for folder in options.folders:
                name = folder.parent.name if folder.name == "images" else folder.name
                files = list(islice(photographs_in(folder), options.photographs))
                compare(f"{name} | {network}", model, grader, files, options.rounds)


def trained(name: str, scratch: Path) -> tuple[torch.nn.Module, OnnxBackend]:
    """Return a network with random weights, whose BatchNorm has seen something, and the same one exported."""
    config = RunConfig(model=name, data_dir=str(scratch / "nowhere"))
    torch.manual_seed(0)
    model = new_network(config)
    with torch.no_grad():
        for _ in range(4):
            model(torch.randn(8, 3, 64, 64))
    model.eval()
    checkpoint = scratch / f"{name}.pt"
    save_network(checkpoint, model, new_head(config), Normalization.fit("imagenet", [], config.image_size), config)
    return model, OnnxBackend(export_onnx(checkpoint, checkpoint.with_suffix(".onnx")), parallel=threads_each(1))


def compare(name: str, model: torch.nn.Module, grader: OnnxBackend, files: list[Path], rounds: int) -> None:
    """Print a row for each loop and each kind of time."""
    ways = {
        "one at a time": lambda: loop(model, files, 1),
        f"batches of {BATCH}": lambda: loop(model, files, BATCH),
        "dr-lab": lambda: np.array([photograph.outputs for photograph in grade_photographs(grader, files)]),
    }
    answers = [way() for way in ways.values()]
    worst = max(np.abs(answers[-1] - answer).max() for answer in answers)
    times = interleaved(list(ways.values()), rounds)
    for number, against in enumerate(list(ways)[:-1]):
        for kind, clock in enumerate(("wall", "processor")):
            theirs, ours = times[kind, number], times[kind, -1]
            speeds = " | ".join(f"{len(files) / np.median(one):.1f}/s" for one in (theirs, ours))
            low, middle, high = np.quantile(theirs / ours, [0.25, 0.5, 0.75])
            ratio = f"{middle:.2f} ({low:.2f} to {high:.2f})"
            print(f"| {name} | {against} | {clock} | {speeds} | {ratio} | {worst:.1e} |", flush=True)


@torch.inference_mode()
def loop(model: torch.nn.Module, files: list[Path], size: int) -> np.ndarray:
    """Return outputs, float32 (N, 5), as one gets them with what torchvision has."""
    transform = transforms.Compose([
        transforms.Resize(224),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
    ])  # fmt: skip
    outputs = []
    for start in range(0, len(files), size):
        images = [transform(Image.open(file).convert("RGB")) for file in files[start : start + size]]
        outputs.append(model(torch.stack(images)))
    return torch.cat(outputs).numpy()


def interleaved(ways: list[Callable], rounds: int) -> np.ndarray:
    """Return seconds (2, ways, rounds), of the wall's clock and of processors; all ways in every round."""
    times = np.empty((2, len(ways), rounds))
    for turn in range(rounds):
        for number, way in enumerate(ways):
            before = time.perf_counter(), processor_seconds()
            way()
            times[:, number, turn] = time.perf_counter() - before[0], processor_seconds() - before[1]
    return times


def processor_seconds() -> float:
    """Return what this process and its workers that have ended used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main()
