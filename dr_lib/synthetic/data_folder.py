"""Write a whole data set of generated photographs: images, the course's CSVs, and the truth about what was drawn.

Some files are damaged on purpose, as downloads and card readers damage them. A JPEG ends with the marker FF D9. A file
that lacks only this has every row of its picture; one that is cut short has lost the rows from the cut downwards.
"""

from __future__ import annotations

import csv
import io
import json
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
from PIL import Image

from dr_lib import GRADES
from dr_lib.errors import InputError
from dr_lib.storage.files import beside_names, folder_beside, in_use
from dr_lib.synthetic.fundus import SMALLEST, draw_fundus
from dr_lib.synthetic.lesions import LESION_KINDS
from dr_lib.synthetic.patients import LAB_GRADE_SHARES, Patient, assign_patients
from dr_lib.system.process_pool import end_with_parent
from dr_lib.system.terminal import logger

END_MARKER = b"\xff\xd9"
SCAN_MARKER = b"\xff\xda"
SHARE = 0.005  # of the files, for each of the two kinds
KEPT_SHARES = (0.98, 0.35, 0.7, 0.12, 0.93, 0.5)
"""Share of the compressed picture that truncated files keep, in turn: some lose few rows, some nearly all."""

log = logger("data")
VERSION = 1
"""Raised whenever the same arguments give other photographs than before."""

DAMAGE_FROM = 40  # training photographs; in smaller sets two damaged files of each kind would be too many
SECONDS_BETWEEN_LOOKS = 0.5
BATCH = 4  # photographs per task: an interrupt waits for those under way


def choose_damage(names: list[str], at_least: int, rng: np.random.Generator) -> dict[str, dict]:
    """Return which of ``names`` are to be damaged and how: ``{"damage": "end marker missing"}`` or
    ``{"damage": "truncated", "kept_share": 0.98}``."""
    each = min(max(at_least, round(SHARE * len(names))), len(names) // 2)
    chosen = [names[i] for i in rng.permutation(len(names))[: 2 * each]]
    marked: dict[str, dict] = {name: {"damage": "end marker missing"} for name in chosen[:each]}
    for i, name in enumerate(chosen[each:]):
        marked[name] = {"damage": "truncated", "kept_share": KEPT_SHARES[i % len(KEPT_SHARES)]}
    return marked


def apply_damage(jpeg: bytes, how: dict | None) -> bytes:
    """Return the bytes of a damaged copy of ``jpeg`` (an intact file); ``None`` leaves it as it is."""
    if how is None:
        return jpeg
    if how["damage"] == "end marker missing":
        return jpeg.removesuffix(END_MARKER)
    scan = jpeg.rindex(SCAN_MARKER)  # unmistakable: within the compressed rows every FF is followed by 00
    return jpeg[: scan + 16 + int((len(jpeg) - scan - 16) * how["kept_share"])]


def make_data(
    folder: str | os.PathLike,
    *,
    train: int,
    test: int,
    size: int = 512,
    seed: int = 0,
    jobs: int | None = None,
    grade_shares: Iterable[float] = LAB_GRADE_SHARES,
    damage: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write ``train`` and ``test`` generated photographs of about ``size`` pixels width and their labels to ``folder``.

    ``images/<patient>_<eye>.jpeg``, ``{train,test}_{img,label}.csv`` without headers as in the course, ``lesions.csv``
    with the number of lesions of each kind, and ``generated.json`` with the arguments and the files damaged on purpose.
    The bytes depend on the arguments alone, not on ``jobs``, the number of processes (None: one per core). ``progress``
    is called with the photographs done and their total. The folder appears only once everything is in it; where another
    process draws it already, that is waited for.

    Raises FileExistsError if ``folder`` is there and not empty, InputError (a ValueError) for a number out of range.

    >>> dr_lib.make_data("drawn", train=4, test=2, size=96)
    >>> dr_lib.read_labels("drawn")["split"].tolist()
    ['train', 'train', 'train', 'train', 'test', 'test']
    """
    shares = _checked(train, test, size, seed, jobs, tuple(grade_shares))
    folder = Path(os.path.abspath(folder))  # a name beside which to work, even for "."
    hidden = beside_names(folder)
    _refuse_what_is_there(folder)
    if in_use(folder.parent, *hidden):
        log.warning("%s: another process draws these photographs; waiting for it", folder)
        while in_use(folder.parent, *hidden):
            time.sleep(SECONDS_BETWEEN_LOOKS)
        _refuse_what_is_there(folder)
    splits = dict(zip(("train", "test"), assign_patients(train, test, shares, seed), strict=True))
    damaged: dict[str, dict] = {}
    if damage:
        for split, at_least, purpose in (("train", 2 if train >= DAMAGE_FROM else 0, 91), ("test", 0, 92)):
            names = [sitter.name for sitter in splits[split]]
            damaged |= choose_damage(names, at_least, np.random.default_rng([seed, 0, purpose]))

    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder_beside(folder) as part:
        part.chmod(0o755)  # mkdtemp makes folders private
        (part / "images").mkdir()
        sitters = splits["train"] + splits["test"]
        counts = _draw_all(sitters, part / "images", damaged, size, seed, jobs, progress)
        _write_labels(part, splits, seed)
        with open(part / "lesions.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("image", *LESION_KINDS))
            writer.writerows((sitter.name, *counts[sitter.name]) for sitter in sitters)
        about = {
            "generator": "dr_lib.synthetic",
            "version": VERSION,
            "train": train,
            "test": test,
            "size": size,
            "seed": seed,
            "grade_shares": list(shares),
            "damage": damage,
            "damaged": dict(sorted(damaged.items())),
        }
        (part / "generated.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        _refuse_what_is_there(folder)
        if folder.exists():
            folder.rmdir()  # empty, as checked above; not every system renames onto a folder
        part.rename(folder)


def _refuse_what_is_there(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists and is not empty: choose another folder, or remove it first")


def _checked(train, test, size, seed, jobs, shares) -> tuple[float, ...]:
    """Return the shares, or raise InputError naming the argument that is out of range."""
    for name, value, least in (
        ("train", train, 1),
        ("test", test, 0),
        ("size", size, SMALLEST),
        ("seed", seed, 0),
        ("jobs", 1 if jobs is None else jobs, 1),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"{name} is {value!r}, expected an integer of at least {least}")
    if len(shares) != len(GRADES) or not all(math.isfinite(s) and s >= 0 for s in shares) or sum(shares) <= 0:
        raise InputError(f"grade_shares is {shares!r}, expected {len(GRADES)} numbers >= 0 that are not all 0")
    return shares


def _draw_all(
    sitters: list[Patient], images: Path, damaged: dict, size: int, seed: int, jobs: int | None, progress
) -> dict[str, tuple]:
    """Draw and write every photograph; return the lesion counts by name, in the order of LESION_KINDS."""
    batches = [sitters[i : i + BATCH] for i in range(0, len(sitters), BATCH)]
    jobs = min(jobs or os.cpu_count() or 1, len(batches))
    counts: dict[str, tuple] = {}

    def collect(batch_counts: dict[str, tuple]) -> None:
        counts.update(batch_counts)
        if progress is not None:
            progress(len(counts), len(sitters))

    if jobs == 1:
        for batch in batches:
            collect(_draw_batch(batch, images, damaged, size, seed))
        return counts
    # Spawned, not forked: a child forked off a process with threads (torch, a notebook) inherits locks nobody frees.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, spawn, initializer=end_with_parent, initargs=(os.getpid(),)) as pool:
        futures = [pool.submit(_draw_batch, batch, images, damaged, size, seed) for batch in batches]
        try:
            for future in as_completed(futures):
                collect(future.result())
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return counts


def _draw_batch(sitters: list[Patient], images: Path, damaged: dict, size: int, seed: int) -> dict[str, tuple]:
    """Draw and write some photographs; runs in a process of its own."""
    counts = {}
    for sitter in sitters:
        fundus = draw_fundus(sitter.patient, sitter.eye, sitter.grade, size=size, seed=seed)
        buffer = io.BytesIO()
        Image.fromarray(fundus.pixels).save(buffer, "JPEG", quality=fundus.quality, subsampling="4:2:0")
        (images / f"{sitter.name}.jpeg").write_bytes(apply_damage(buffer.getvalue(), damaged.get(sitter.name)))
        counts[sitter.name] = tuple(fundus.lesions[kind] for kind in LESION_KINDS)
    return counts


def _write_labels(folder: Path, splits: dict[str, list[Patient]], seed: int) -> None:
    """Write the course's pairs of files, a line per photograph, shuffled by ``seed``; none for an empty split."""
    for purpose, (split, sitters) in enumerate(splits.items()):
        if not sitters:
            continue
        order = np.random.default_rng([seed, 0, 95 + purpose]).permutation(len(sitters))
        names, grades = ([str(getattr(sitters[i], field)) for i in order] for field in ("name", "grade"))
        (folder / f"{split}_img.csv").write_text("\n".join(names) + "\n", encoding="utf-8")
        (folder / f"{split}_label.csv").write_text("\n".join(grades) + "\n", encoding="utf-8")
