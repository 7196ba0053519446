"""How fast photographs are generated, and how little their colors give away.

    python benchmarks/generated.py [--size 512] [--train 1000] [--test 300] [--jobs N]

Prints JSON: seconds and photographs per second, and the test accuracy of a linear model on color histograms (3
channels of 16 bins) beside the share of the majority. A useful data set keeps the two close, so that grades must be
read from lesions.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dr_lib.synthetic import make_data


def color_histograms(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the histograms float (N, 48), each channel's share per bin, and the grades (N,) of one split."""
    names = (folder / f"{split}_img.csv").read_text().splitlines()
    grades = np.array((folder / f"{split}_label.csv").read_text().split(), dtype=int)
    rows = []
    for name in names:
        with Image.open(folder / "images" / f"{name}.jpeg") as image:
            pixels = np.asarray(image).reshape(-1, 3)
        rows.append(np.concatenate([np.histogram(channel, 16, (0, 256))[0] / len(pixels) for channel in pixels.T]))
    return np.array(rows), grades


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("size", 512), ("train", 1000), ("test", 300), ("seed", 0), ("jobs", None)):
        parser.add_argument(f"--{name}", type=int, default=value)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "data"
        start, before = time.perf_counter(), os.times()
        make_data(folder, **vars(arguments), damage=False)
        seconds, after = time.perf_counter() - start, os.times()
        train, test = color_histograms(folder, "train"), color_histograms(folder, "test")
    processor = sum(after[:4]) - sum(before[:4])  # user and system, of this process and of its children
    photographs = arguments.train + arguments.test
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(*train)
    predicted = model.predict(test[0])
    print(
        json.dumps(
            {
                **vars(arguments),
                "cores": os.cpu_count(),
                "python": platform.python_version(),
                "seconds": round(seconds, 1),
                "photographs_per_second": round(photographs / seconds, 1),
                "processor_seconds_per_photograph": round(processor / photographs, 3),
                "histogram_accuracy": round(float(np.mean(predicted == test[1])), 4),
                "histogram_kappa": round(float(cohen_kappa_score(test[1], predicted, weights="quadratic")), 4),
                "majority_accuracy": round(float(np.mean(test[1] == 0)), 4),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
