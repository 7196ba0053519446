"""Plant copies of real photographs among them, and count which of them the audit's search for duplicates finds.

    python benchmarks/duplicates.py /photos/eyepacs-1024/images --peers /tmp/peers/bin/python

Prints the tables of docs/data.md: for each kind of copy the share that is found with its original (recall), and of the
pairs that a copy is in, how many are of its original (precision). The peers are CleanVision and imagededup (its
perceptual hash) with their own limits, in an environment of their own: ``pip install cleanvision imagededup``. Then how
far photographs are from what the camera would have seen of the same eye on another day; which of the photographs
themselves are taken for copies of each other; and how close different eyes and the two eyes of a patient come.
"""

import argparse
import io
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from skimage.exposure import equalize_adapthist

from dr_lib.data.duplicates import MAX_DISC_DISTANCE, near_duplicates, turned_duplicates
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


DAYS = ((0.0, 0.01), (1.0, 0.01), (1.0, 0.03), (2.0, 0.03), (3.0, 0.05), (5.0, 0.1))
"""Degrees by which an eye is turned, and shares of the retina's radius by which it is moved, on another day."""

PEERS = """
import contextlib, json, sys
from pathlib import Path
with contextlib.redirect_stdout(sys.stderr):
    from cleanvision import Imagelab
    from imagededup.methods import PHash
    lab = Imagelab(data_path=sys.argv[1], verbose=False)
    lab.find_issues({"exact_duplicates": {}, "near_duplicates": {}}, verbose=False)
    sets = [sets for kind in ("exact_duplicates", "near_duplicates") for sets in lab.info[kind]["sets"]]
    hashes = PHash(verbose=False).encode_images(image_dir=sys.argv[1])
print(json.dumps({
    "sets": [[Path(path).stem for path in one] for one in sets],
    "hashes": {Path(name).stem: value for name, value in hashes.items()},
}))
"""
IMAGEDEDUP_DISTANCE = 10
"""Bits of 64 up to which imagededup calls two photographs duplicates, by default."""

Pairs = set[frozenset[str]]


def on_another_day(image: Image.Image, degrees: float, share: float) -> Image.Image:
    """Return the photograph with the eye turned and moved behind the camera's circle, which stays."""
    circle = find_retina(np.asarray(image))
    x, y, radius = circle or (image.width / 2, image.height / 2, image.width / 2)
    move = (share * radius * np.sqrt(0.5),) * 2
    moved = image.rotate(degrees, Image.Resampling.BICUBIC, center=(x, y), translate=move)
    rows, columns = np.mgrid[: image.height, : image.width]
    inside = (np.hypot(columns - x, rows - y) < 0.98 * radius)[..., None]
    moved_pixels, pixels = np.asarray(moved), np.asarray(image)
    seen = inside & (moved_pixels.max(axis=2, keepdims=True) > 0)
    return Image.fromarray(np.where(seen, moved_pixels, pixels))


def prepared(task: tuple[Path, str, Path]) -> tuple[str, str]:
    """Return both hashes of a photograph, or of its copy of a kind, which is left in a file."""
    path, kind, file = task
    if kind in KINDS:
        KINDS[kind](Image.open(path).convert("RGB")).save(file, "JPEG", quality=90)
    elif kind:
        degrees, share = map(float, kind.split())
        on_another_day(Image.open(path).convert("RGB"), degrees, share).save(file, "JPEG", quality=90)
    else:
        file.symlink_to(path.resolve())
    info, _ = scan_image(file.read_bytes())
    return info.phash, info.disc_hashes


def rated(pairs: Pairs, copies: int) -> str:
    """Return recall and precision as cells of the table; names are those of :func:`name_of`."""
    of_copies = {pair for pair in pairs if any("--" in name for name in pair)}
    right = {pair for pair in of_copies if len({name.partition("--")[0] for name in pair}) == 1}
    return f"{len(right) / copies:.0%} | " + (f"{len(right) / len(of_copies):.0%}" if of_copies else "-")


def name_of(path: Path, kind: str) -> str:
    """Return a name for a photograph's copy of a kind, the original's own for none."""
    return f"{path.stem}--{[*KINDS].index(kind)}" if kind in KINDS else f"{path.stem}{kind and '--' + kind}"


def close_by_imagededup(hashes: dict[str, str]) -> Pairs:
    names = list(hashes)
    bits = np.array([int(value, 16) for value in hashes.values()], np.uint64)
    firsts, seconds = np.nonzero(np.bitwise_count(bits[:, None] ^ bits) <= IMAGEDEDUP_DISTANCE)
    return {frozenset((names[a], names[b])) for a, b in zip(firsts.tolist(), seconds.tolist(), strict=True) if a < b}


def bits_apart(first: str, second: str) -> int:
    """Return the distance of two retinas that lie alike, by :func:`dr_lib.data.appearance.disc_hashes`."""
    if not first or not second:
        return 256
    squares = [int(second[at : at + 64], 16) for at in range(0, len(second), 64)]
    return min((int(first[:64], 16) ^ square).bit_count() for square in squares)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--originals", type=int, default=100, help="photographs of which copies are planted")
    arguments.add_argument("--peers", help="Python that has cleanvision and imagededup; none: the audit alone")
    options = arguments.parse_args()
    paths = sorted(options.folder.iterdir())
    planted = [paths[at] for at in np.random.default_rng(0).choice(len(paths), options.originals, replace=False)]
    days = [f"{degrees} {share}" for degrees, share in DAYS]
    with tempfile.TemporaryDirectory() as scratch:
        tasks = [(path, "") for path in paths] + [(path, kind) for kind in (*KINDS, *days) for path in planted]
        files = [Path(scratch) / f"{name_of(*task)}.jpeg" for task in tasks]
        with ProcessPoolExecutor(int(os.environ.get("PROCESSES", "1"))) as pool:
            made = pool.map(prepared, [(*task, file) for task, file in zip(tasks, files, strict=True)], chunksize=20)
            hashes = {name_of(*task): both for task, both in zip(tasks, made, strict=True)}
        answer = "{}"
        if options.peers:
            answer = subprocess.run(
                [options.peers, "-c", PEERS, scratch], check=True, stdout=subprocess.PIPE, text=True
            ).stdout
        peers = json.loads(answer)
    names = ["dr-lab", *(["CleanVision", "imagededup"] if peers else [])]
    print("| copies | perceptual hash alone | " + " | ".join(f"{name}: recall | precision" for name in names) + " |")
    print("|---" * (2 + 2 * len(names)) + "|")
    for kind in KINDS:
        known = {name_of(path, ""): hashes[path.stem] for path in paths}
        known |= {name: hashes[name] for path in planted if (name := name_of(path, kind))}
        near = {frozenset(pair[:2]) for pair in near_duplicates({name: one[0] for name, one in known.items()})}
        turned = {frozenset(pair[:2]) for pair in turned_duplicates({name: one[1] for name, one in known.items()})}
        cells = [rated(near, len(planted)).partition(" |")[0], rated(near | turned, len(planted))]
        if peers:
            sets = [[name for name in group if name in known] for group in peers["sets"]]
            alike = {frozenset((a, b)) for group in sets for a in group for b in group if a < b}
            close = close_by_imagededup({name: peers["hashes"][name] for name in known})
            cells += [rated(alike, len(planted)), rated(close, len(planted))]
        print(f"| {kind} | {' | '.join(cells)} |", flush=True)
    print("\n| the eye on another day | bits apart, of 256 | taken for copies |\n|---|---|---|")
    for degrees, share in DAYS:
        of_day = [hashes[name_of(path, f"{degrees} {share}")] for path in planted]
        apart = [bits_apart(one[1], hashes[path.stem][1]) for one, path in zip(of_day, planted, strict=True)]
        taken = sum(bits <= MAX_DISC_DISTANCE for bits in apart) / len(planted)
        low, middle, high = np.quantile(apart, [0.05, 0.5, 0.95])
        print(
            f"| turned by {degrees:g}°, moved by {share:.0%} of the radius | {middle:.0f} ({low:.0f} to {high:.0f}) "
            f"| {taken:.0%} |"
        )
    report_strangers({path.stem: hashes[path.stem] for path in paths})


def report_strangers(originals: dict[str, tuple[str, str]]) -> None:
    """Print how close photographs come that are no copies."""
    start = time.process_time()
    own = near_duplicates({name: one[0] for name, one in originals.items()})
    far = turned_duplicates({name: one[1] for name, one in originals.items()}, 72)
    print(f"\nAmong the {len(originals)} photographs themselves: {len(own)} pairs by the perceptual hash;")
    same = [pair for pair in far if patient_of(pair.first) == patient_of(pair.second)]
    others = [pair for pair in far if pair not in same]
    for title, pairs in (("of one patient", same), ("of two patients", others)):
        print(f"closest retinas {title}:", *(f"{a} {b} {distance} {how}," for a, b, distance, how in pairs[:8]))
    print(f"CPU time of both searches: {time.process_time() - start:.1f} s")


if __name__ == "__main__":
    main()
