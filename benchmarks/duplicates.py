"""Plant copies of real photographs among them, and count which of them the audit's search for duplicates finds.

    python benchmarks/duplicates.py /photos/eyepacs-1024/images

Prints the table of docs/data.md: for each kind of copy the share that is found with its original (recall), and of the
pairs that a copy is in, how many are of its original (precision). Then which of the photographs themselves are taken
for copies of each other, and how close those of different eyes and of the two eyes of a patient come.
"""

import argparse
import io
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from skimage.exposure import equalize_adapthist

from dr_lib.data.duplicates import near_duplicates, turned_duplicates
from dr_lib.data.patients import patient_of
from dr_lib.data.retina import find_retina
from dr_lib.data.scan_image import scan_image


def compressed(image: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


def cropped(image: Image.Image, share: float) -> Image.Image:
    """Return the photograph without this share of its width and height on each side."""
    x, y = round(share * image.width), round(share * image.height)
    return image.crop((x, y, image.width - x, image.height - y))


def graham(image: Image.Image) -> Image.Image:
    """Return the photograph as Graham (2015) processes it: less its local mean, gray beyond 0.9 of the circle."""
    pixels = np.asarray(image)
    circle = find_retina(pixels)
    x, y, radius = circle or (image.width / 2, image.height / 2, image.width / 2)
    mean = np.asarray(image.filter(ImageFilter.GaussianBlur(radius / 30))).astype(float)
    rows, columns = np.mgrid[: image.height, : image.width]
    inside = (np.hypot(columns - x, rows - y) < 0.9 * radius)[..., None]
    return Image.fromarray(np.where(inside, np.clip(4 * (pixels - mean) + 128, 0, 255), 128).astype(np.uint8))


def locally_equalized(image: Image.Image) -> Image.Image:
    return Image.fromarray((255 * equalize_adapthist(np.asarray(image), clip_limit=0.01)).astype(np.uint8))


TURN = Image.Transpose
KINDS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG of quality 30": lambda image: compressed(image, 30),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "64 px wide": lambda image: image.resize((64, round(64 * image.height / image.width))),
    "squashed to 512 x 512": lambda image: image.resize((512, 512)),
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "turned by 90°": lambda image: image.transpose(TURN.ROTATE_90),
    "turned by 180°": lambda image: image.transpose(TURN.ROTATE_180),
    "cropped by 3 % a side": lambda image: cropped(image, 0.03),
    "cropped by 8 % a side": lambda image: cropped(image, 0.08),
    "brighter, x 1.4": lambda image: ImageEnhance.Brightness(image).enhance(1.4),
    "darker, x 0.6": lambda image: ImageEnhance.Brightness(image).enhance(0.6),
    "equalized": ImageOps.equalize,
    "equalized locally (CLAHE)": locally_equalized,
    "Graham's processing": graham,
    "mirrored, cropped by 3 %, quality 50": lambda image: compressed(cropped(ImageOps.mirror(image), 0.03), 50),
}


def hashes_of(task: tuple[Path, str]) -> tuple[str, str]:
    """Return both hashes of a photograph, or of its copy of a kind."""
    path, kind = task
    data = path.read_bytes()
    if kind:
        stream = io.BytesIO()
        KINDS[kind](Image.open(path).convert("RGB")).save(stream, "JPEG", quality=90)
        data = stream.getvalue()
    info, _ = scan_image(data)
    return info.phash, info.disc_hashes


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--originals", type=int, default=150, help="photographs of which copies are planted")
    options = arguments.parse_args()
    paths = sorted(options.folder.iterdir())
    planted = [paths[at] for at in np.random.default_rng(0).choice(len(paths), options.originals, replace=False)]
    tasks = [(path, "") for path in paths] + [(path, kind) for kind in KINDS for path in planted]
    with ProcessPoolExecutor(int(os.environ.get("PROCESSES", "1"))) as pool:
        hashes = dict(zip(tasks, pool.map(hashes_of, tasks, chunksize=20), strict=True))
    print("| copies | recall, perceptual hash alone | recall | precision |\n|---|---|---|---|")
    for kind in KINDS:
        known = {f"{path.stem}|": hashes[path, ""] for path in paths}
        known |= {f"{path.stem}|{kind}": hashes[path, kind] for path in planted}
        plain = near_duplicates({name: one[0] for name, one in known.items()})
        turned = turned_duplicates({name: one[1] for name, one in known.items()})
        counts = []
        for pairs in (plain, [*plain, *turned]):
            of_copies = {frozenset(pair[:2]) for pair in pairs if pair.first[-1] != "|" or pair.second[-1] != "|"}
            right = {pair for pair in of_copies if len({name.partition("|")[0] for name in pair}) == 1}
            counts.append((len(right) / len(planted), len(right) / max(len(of_copies), 1)))
        print(f"| {kind} | {counts[0][0]:.1%} | {counts[1][0]:.1%} | {counts[1][1]:.1%} |")
    originals = {path.stem: hashes[path, ""] for path in paths}
    start = time.process_time()
    own = near_duplicates({name: one[0] for name, one in originals.items()})
    far = turned_duplicates({name: one[1] for name, one in originals.items()}, 72)
    print(f"\nAmong the {len(paths)} photographs themselves: {len(own)} pairs by the perceptual hash;")
    same = [pair for pair in far if patient_of(pair.first) == patient_of(pair.second)]
    others = [pair for pair in far if pair not in same]
    for title, pairs in (("of one patient", same), ("of two patients", others)):
        print(f"closest retinas {title}:", *(f"{a} {b} {distance} {how}," for a, b, distance, how in pairs[:8]))
    print(f"CPU time of both searches: {time.process_time() - start:.1f} s")


if __name__ == "__main__":
    main()
