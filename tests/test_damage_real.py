"""Photographs damaged in every way that we could think of, judged in processes that may die over them."""

import os
import random
import re
from collections import Counter
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from data_folders import jpeg, picture, real_data
from PIL import Image

from dr_lib.data.decoding import decode_rgb
from dr_lib.data.inspection import CORRUPT, INTACT, NO_END_MARKER, NO_IMAGE, STATUSES, TRUNCATED, UNREADABLE, inspect
from dr_lib.data.jpeg_structure import MARKER
from dr_lib.system.process_pool import WorkerDied, map_in_workers

OF_THE_SAME_PIXELS = ("cut", "flipped in the scan", "flipped in the end marker", "hole", "tail", "png RGB")
"""Damage that leaves sizes and tables as they were."""


def damaged(whole, rng):
    """Yield a name of the damage and the data: every kind of place to cut, and every other damage, once."""
    at, segments = 2, []
    while (marker := MARKER.search(whole, at)) and whole[marker.start() + 1] != 0xDA:
        at = marker.end() + int.from_bytes(whole[marker.end() : marker.end() + 2])
        segments.append((marker.start(), at))
    start, scan = marker.start(), marker.end() + int.from_bytes(whole[marker.end() : marker.end() + 2])
    frame = re.search(rb"\xff[\xc0\xc2]", whole).start()

    for begin, end in segments:
        for place in {begin, begin + 1, begin + 2, begin + 3, rng.randrange(begin, end), end - 1}:
            yield "cut in a segment", whole[:place]
    for place in (start, start + 1, start + 2, start + 5, scan - 1, scan, scan + 1):
        yield "cut at the scan", whole[:place]
    for _ in range(4):
        cut = whole[: rng.randrange(scan, len(whole) - 2)]
        yield "cut in the scan", cut
        yield "cut and marked", cut + b"\xff\xd9"
        yield "cut and zeros", cut + bytes(rng.randrange(16, 5000))
    for left in (1, 2, 3, 4, 10, 30):
        yield f"cut {left} before the end", whole[:-left]
    for _ in range(8):
        yield "flipped in the scan", flip(whole, rng.randrange(scan, len(whole) - 2), rng)
        yield "flipped in the header", flip(whole, rng.randrange(start), rng)
    yield "flipped in the end marker", flip(whole, len(whole) - rng.randrange(1, 3), rng)
    hole = rng.randrange(scan, max(len(whole) - 600, scan + 1))
    yield "hole", whole[:hole] + bytes(len(whole[hole : hole + 512])) + whole[hole + 512 :]
    yield "noise", whole[:hole] + rng.randbytes(50) + whole[hole + 50 :]
    yield "missing in the middle", whole[:hole] + whole[hole + 100 :]
    yield "wrong magic", rng.choice([b"GI", b"PK", b"\0\0", b"<h", b"II"]) + whole[2:]
    yield "zero length", b""
    yield "12 bits", whole[: frame + 4] + b"\x0c" + whole[frame + 5 :]
    yield "arithmetic", whole[: frame + 1] + b"\xc9" + whole[frame + 2 :]
    yield "huge", whole[: frame + 5] + b"\xea\x60\xea\x60" + whole[frame + 9 :]
    yield "larger than it is", whole[: frame + 5] + b"\x04\0\x04\0" + whole[frame + 9 :]
    yield "tail", whole + rng.randbytes(100)
    with Image.open(BytesIO(whole)) as image:
        for form, mode in (("png", "RGB"), ("jpeg", "CMYK"), ("tiff", "L")):
            stream = BytesIO()
            image.convert(mode).save(stream, form)
            yield f"{form} {mode}", stream.getvalue()
            yield f"{form} {mode} cut", stream.getvalue()[: rng.randrange(stream.tell())]


def flip(data, at, rng):
    changed = bytearray(data)
    changed[at] ^= 1 << rng.randrange(8)
    return bytes(changed)


def judge_case(noise, case):
    """Judge one damaged file, its process heard in the file ``noise``.

    Returns the status, whether it is honest, and the process's peak memory in MB.
    """
    hear(noise)
    damage, data, whole = case
    judged = inspect(data)
    found, honest = judged.status, True
    assert (judged.pixels is None) == (found.kind == UNREADABLE)
    if damage.startswith(OF_THE_SAME_PIXELS) and judged.pixels is not None:
        truth = decode_rgb(whole)
        kept = round((1 - found.lost) * len(truth))
        silent = damage.startswith(("flipped in the scan", "hole")) and found.kind == INTACT
        honest = silent or np.array_equal(judged.pixels[:kept], truth[:kept])
        assert (kept == len(truth)) == (found.kind in (INTACT, NO_END_MARKER))
    return found, honest, peak_megabytes()


def peak_megabytes():
    """Return the peak memory of this process; that of ``getrusage`` begins with its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1e3


def hear(path):
    """Send what the worker, and the C libraries in it, print into a file."""
    noise = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(noise, 1)
    os.dup2(noise, 2)
    os.close(noise)


def judge_all(cases, tmp_path):
    """Judge every case in isolation, check what holds for all of them, and return the statuses counted by damage."""
    noise = tmp_path / "noise"
    counts, cases = Counter(), list(cases)
    numbered = [(f"{damage}#{number}", data, whole) for number, (damage, data, whole) in enumerate(cases)]
    for (damage, *_), answer in map_in_workers(partial(judge_case, str(noise)), numbered, workers=2, timeout=60):
        assert not isinstance(answer, WorkerDied), f"{damage}: {answer.reason}"
        found, honest, megabytes = answer
        assert honest, f"{damage}: {found}"
        assert found.kind in STATUSES and 0 <= found.lost <= 1 and megabytes < 1000
        assert "\n" not in found.detail and (found.detail or found.kind == INTACT)
        counts[damage.partition("#")[0], found.kind] += 1
    assert sum(counts.values()) == len(cases)
    assert noise.read_bytes() == b""
    return counts


def check_counts(counts):
    """Hold the statuses against what each damage must come to."""
    allowed = {
        "cut in a segment": {UNREADABLE},
        "cut at the scan": {UNREADABLE, TRUNCATED},
        "cut in the scan": {TRUNCATED},
        "cut and marked": {TRUNCATED, CORRUPT},
        "cut and zeros": {TRUNCATED},
        "cut 1 before the end": {NO_END_MARKER},
        "cut 2 before the end": {NO_END_MARKER},
        "flipped in the end marker": {NO_END_MARKER},
        "wrong magic": {UNREADABLE},
        "zero length": {UNREADABLE},
        "12 bits": {UNREADABLE},
        "arithmetic": {CORRUPT},
        "huge": {UNREADABLE},
        "larger than it is": {TRUNCATED},
        "tail": {INTACT},
        "png RGB": {INTACT},
        "jpeg CMYK": {INTACT},
        "tiff L": {INTACT},
        "png RGB cut": {UNREADABLE, TRUNCATED, INTACT},  # what follows the pixels may be missing
    }
    for damage, statuses in allowed.items():
        assert {status for name, status in counts if name == damage} <= statuses, damage
    assert counts["flipped in the scan", CORRUPT] > 0.1 * counts["flipped in the scan", INTACT]


def test_generated_photographs_damaged_in_every_way(tmp_path):
    rng = random.Random(0)
    cases = []
    for options in ({}, {"progressive": True}, {"restart_marker_rows": 1, "exif": b"Exif\0\0"}):
        whole = jpeg(picture(3, (260, 200)), **options)
        cases += [(damage, data, whole) for damage, data in damaged(whole, rng)]
    assert len(cases) > 200
    counts = judge_all(cases, tmp_path)
    assert counts["12 bits", UNREADABLE] == counts["huge", UNREADABLE] == 3


@pytest.mark.real
@pytest.mark.slow
def test_five_thousand_damaged_photographs(tmp_path):
    rng = random.Random(1)
    cases = []
    for folder, step in (("eyepacs-64", 80), ("eyepacs-1024", 80)):
        for path in sorted((real_data() / folder / "images").iterdir())[::step]:
            whole = path.read_bytes()
            cases += [(damage, data, whole) for damage, data in damaged(whole, rng)]
    assert len(cases) > 5000
    check_counts(judge_all(cases, tmp_path))


@pytest.mark.real
@pytest.mark.slow
def test_odd_and_broken_files_of_public_suites(tmp_path):
    files = [path for path in sorted((real_data() / "odd-jpegs").rglob("*")) if path.is_file()]
    assert len(files) == 413
    counts = judge_all([(path.name, path.read_bytes(), b"") for path in files], tmp_path)
    for name, status in {
        "Tests_images_hopper_bad_exif.jpg": CORRUPT,  # a picture full of stripes
        "Tests_images_junk_jpeg_header.jpg": INTACT,
        "Tests_images_frame_size.mpo": INTACT,
        "Tests_images_pil_sample_cmyk.jpg": INTACT,
        "tests_crashtest_images_extraneous-bytes-after-sos.jpg": INTACT,  # more rows than its header says
        "tests_crashtest_images_dc-predictor-overflow.jpg": TRUNCATED,
        "tests_reftest_images_lossless_1_jpeg_lossless_sel1-8bit.jpg": INTACT,
        "bugs_decompress_8bit_testorig_hflip_2x4_q1_rst16.jpg": INTACT,  # rare sampling factors
    }.items():
        assert counts[name, status] == 1, name


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"progressive": True, "subsampling": 0}])
def test_the_largest_sizes_that_are_decoded_stay_below_a_gigabyte(tmp_path, options):
    whole = jpeg(picture(3, (64, 64)), **options)
    frame = re.search(rb"\xff[\xc0\xc2]", whole).start()
    side = int(Image.MAX_IMAGE_PIXELS**0.5).to_bytes(2)
    judge_all([("largest", whole[: frame + 5] + side + side + whole[frame + 9 :], whole)], tmp_path)


def test_what_is_no_photograph_is_told_from_a_damaged_one():
    whole = jpeg(picture())
    assert inspect(b"<html>" + whole).status.detail.startswith(NO_IMAGE)
    assert inspect(whole[:50]).status.detail.startswith(NO_IMAGE) is False
