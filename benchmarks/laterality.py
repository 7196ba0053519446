"""Fit the model that says on which side the optic disc is, and count how often it agrees with the photographs' names.

    python benchmarks/laterality.py /photos/eyepacs-1024/images --list --write

Names end in ``_left`` and ``_right``. Prints how many photographs get an answer, by folds of patients, and how many
answers contradict the name; whether those are mistakes is for eyes to say, so ``--list`` names them. The photographs
are also made smaller, to 64 px. With ``--write`` a model goes into dr_lib/data/laterality.json; those that contradict
their names are left out, which it would learn by heart.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from dr_lib.data import laterality
from dr_lib.data.decoding import decode_rgb
from dr_lib.data.patients import patient_of
from dr_lib.data.quality import quality
from dr_lib.data.retina import DISC_RADIUS, find_retina, reduced, retina_disc

STRENGTH = 0.1
"""Of the model's inverse penalty; ten times more or less changes agreement by a hundredth."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--list", action="store_true", help="name the photographs whose answer contradicts the name")
    arguments.add_argument("--write", action="store_true", help="keep the model in dr_lib/data/laterality.json")
    options = arguments.parse_args()
    paths = sorted(path for path in options.folder.iterdir() if path.stem.endswith(("_left", "_right")))
    named = np.array([1 if path.stem.endswith("_right") else -1 for path in paths])
    patients = [patient_of(path.stem) for path in paths]
    seen = {}
    for width in (0, 64):
        seen[width] = [measure(path, width) for path in paths]
    differences = np.array([one[0] for one in seen[0]])
    for width, measured in seen.items():
        scores, offsets, grades = np.zeros(len(paths)), *np.array([one[1:] for one in measured]).T
        for train, test in GroupKFold(5).split(differences, named, patients):
            scores[test] = np.array([one[0] for one in measured])[test] @ fit(differences[train], named[train])
        sure = (np.abs(scores) > laterality.LEAST_SCORE) & (np.abs(offsets) > laterality.LEAST_OFFSET)
        sure &= (scores * offsets > 0) & (grades >= laterality.LEAST_QUALITY)
        wrong = sure & (np.sign(scores) != named)
        size = f"{width} px wide" if width else "as they are"
        print(f"{size}: {len(paths)} photographs, {sure.sum()} answers, {wrong.sum()} contradict the name")
        if options.list:
            print(" ", *(path.stem for path, one in zip(paths, wrong, strict=True) if one))
        if not width:
            trusted = ~wrong
    if options.write:
        about = {"made_by": "benchmarks/laterality.py", "photographs": int(trusted.sum())}
        weights = [float(f"{weight:.4g}") for weight in fit(differences[trusted], named[trusted])]
        kept = Path(laterality.__file__).with_name("laterality.json")
        kept.write_text(json.dumps(about | {"weights": weights}) + "\n")


def measure(path: Path, width: int) -> tuple[np.ndarray, float, float]:
    """Return the mirror differences, the offset of the spot, and the quality of a photograph at that width, px."""
    pixels = decode_rgb(path.read_bytes())
    if width:
        whole = Image.fromarray(pixels)
        pixels = np.asarray(whole.resize((width, round(width * whole.height / whole.width)), Image.Resampling.BICUBIC))
    circle = find_retina(pixels)
    disc, mask = retina_disc(pixels, circle)
    gradable = quality(disc, mask, circle.radius) if circle else 0.0
    disc, mask = reduced(disc, mask, DISC_RADIUS // laterality.RADIUS)
    maps = laterality.disc_maps(disc, mask)
    return laterality.mirror_differences(maps), laterality.spot_offset(maps, mask), gradable


def fit(differences: np.ndarray, named: np.ndarray) -> np.ndarray:
    """Return the weights of a logistic model without intercept, since a mirrored photograph has the opposite answer."""
    scale = differences.std()
    return (
        LogisticRegression(C=STRENGTH, fit_intercept=False, max_iter=500).fit(differences / scale, named).coef_[0]
        / scale
    )


if __name__ == "__main__":
    main()
