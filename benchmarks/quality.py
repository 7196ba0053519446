"""Fit the image-quality score and measure it: how well it tells photographs that cannot be graded.

    python benchmarks/quality.py /photos/eyepacs-1024/images eyeq.csv --write

``eyeq.csv`` has ``image,quality``: 0 good, 1 usable, 2 reject (Fu et al., MICCAI 2019; github.com/HzFu/EyeQ). Prints
the table of docs/data.md: AUC for reject against the rest by patient folds, five times five, on the photographs as they
are and as smaller copies, always by models that saw neither the patient nor a smaller copy; 95 % intervals from 2,000
bootstraps of the patients. With ``--write`` the models of all photographs go into dr_lib/data/quality.json.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageOps
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from dr_lib.data import quality
from dr_lib.data.decoding import decode_rgb
from dr_lib.data.patients import patient_of
from dr_lib.data.retina import DISC_RADIUS, find_retina, reduced, retina_disc

SIZES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as it is": lambda image: image,
    "512 px wide": lambda image: image.resize((512, round(512 * image.height / image.width)), Image.Resampling.BICUBIC),
    "256 px wide": lambda image: image.resize((256, round(256 * image.height / image.width)), Image.Resampling.BICUBIC),
    "64 px wide": lambda image: image.resize((64, round(64 * image.height / image.width)), Image.Resampling.BICUBIC),
    "64 x 64 px, squashed": lambda image: image.resize((64, 64), Image.Resampling.BICUBIC),
    "28 x 28 px, the middle": lambda image: ImageOps.fit(image, (28, 28), Image.Resampling.BICUBIC),
}
FOLDS, REPEATS, RESAMPLES = 5, 5, 2000


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("labels", type=Path, help="CSV with the columns image and quality")
    arguments.add_argument("--write", action="store_true", help="keep the models in dr_lib/data/quality.json")
    options = arguments.parse_args()
    labels = pd.read_csv(options.labels).dropna()
    rejected = (labels["quality"] == 2).to_numpy()
    patients = labels["image"].map(patient_of).to_numpy()
    files = {path.stem: path for path in options.folder.iterdir()}
    measured, trained, seconds = measure([files[image] for image in labels["image"]])
    folds = [
        fold
        for repeat in range(REPEATS)
        for fold in StratifiedGroupKFold(FOLDS, shuffle=True, random_state=repeat).split(rejected, rejected, patients)
    ]
    print(f"{len(labels)} photographs of {len(set(patients))} patients, {rejected.sum()} rejected")
    print("| photographs | AUC | 95 % interval |\n|---|---|---|")
    for size, (radii, values) in measured.items():
        scores = np.zeros((REPEATS, len(labels)))
        for number, (train, test) in enumerate(folds):
            for radius in set(radii):
                model = quality.fit_quality(trained[radius][train], rejected[train])
                rows = test[radii[test] == radius]
                scores[number // FOLDS, rows] = model.score(values[rows])
        auc = np.mean([roc_auc_score(~rejected, one) for one in scores])
        low, high = interval(scores.mean(axis=0), rejected, patients)
        print(f"| {size} | {auc:.3f} | {low:.3f} to {high:.3f} |")
    print(f"CPU time of the score: {1000 * seconds:.1f} ms a photograph, decoding and finding the retina apart")
    if options.write:
        models = {str(radius): vars(quality.fit_quality(trained[radius], rejected)) for radius in quality.RADII}
        about = {
            "made_by": "benchmarks/quality.py", "labels": "EyeQ (CC BY-NC-SA), 2 against 0 and 1",
            "photographs": len(labels), "rejected": int(rejected.sum()), "measures": quality.MEASURES,
        }  # fmt: skip
        Path(quality.__file__).with_name("quality.json").write_text(
            json.dumps(about | {"models": models}, indent=1) + "\n"
        )


def measure(paths: list[Path]) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], dict[int, np.ndarray], float]:
    """Return radius and measures by size, the measures by radius of photographs as they are, and CPU s each."""
    measured = {size: ([], []) for size in SIZES}
    trained = {radius: [] for radius in quality.RADII}
    seconds = 0.0
    for path in paths:
        whole = Image.fromarray(decode_rgb(path.read_bytes()))
        for size, made in SIZES.items():
            pixels = np.asarray(made(whole))
            circle = find_retina(pixels)
            start = time.process_time()
            disc, mask = retina_disc(pixels, circle)
            radius = quality.model_radius(circle.radius if circle else max(pixels.shape[:2]) / 2)
            values = quality.measures(*reduced(disc, mask, DISC_RADIUS // radius))
            seconds += (time.process_time() - start) * (size == "as it is")
            measured[size][0].append(radius)
            measured[size][1].append(values)
            if size == "as it is":
                for radius in quality.RADII:
                    trained[radius].append(quality.measures(*reduced(disc, mask, DISC_RADIUS // radius)))
    arrays = {size: (np.array(radii), np.array(values)) for size, (radii, values) in measured.items()}
    return arrays, {radius: np.array(values) for radius, values in trained.items()}, seconds / len(paths)


def interval(scores: np.ndarray, rejected: np.ndarray, patients: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the AUC over resamples of the patients."""
    rows = [np.flatnonzero(patients == patient) for patient in np.unique(patients)]
    random = np.random.default_rng(0)
    drawn = (np.concatenate([rows[at] for at in random.integers(len(rows), size=len(rows))]) for _ in range(RESAMPLES))
    return tuple(np.percentile([roc_auc_score(~rejected[one], scores[one]) for one in drawn], [2.5, 97.5]))


if __name__ == "__main__":
    main()
