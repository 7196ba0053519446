import time
import tracemalloc

import numpy as np
import pytest
from data_folders import jpeg
from PIL import Image, ImageEnhance

from dr_lib.data.duplicates import (
    MAX_DISC_DISTANCE,
    MAX_DISTANCE,
    POSITIONS,
    Pair,
    exact_duplicates,
    near_duplicates,
    turned_duplicates,
)
from dr_lib.data.scan_image import scan_image


def flipped(phash, bits, rng):
    """Return the hash with so many of its bits turned over."""
    for bit in rng.choice(256, bits, replace=False):
        phash = f"{int(phash, 16) ^ 1 << int(bit):064x}"
    return phash


def random_hashes(n, rng):
    return {f"{number}_left": rng.bytes(32).hex() for number in range(n)}


def test_files_of_the_same_bytes():
    digests = {"1_left": "aa", "2_left": "bb", "3_left": "aa", "4_left": "", "5_left": "", "6_left": "aa"}
    assert exact_duplicates(digests) == [["1_left", "3_left", "6_left"]]
    assert exact_duplicates({}) == []


def test_near_duplicates_are_those_of_brute_force():
    rng = np.random.default_rng(0)
    hashes = random_hashes(150, rng)
    for number, (name, phash) in enumerate(list(hashes.items())[:70]):
        hashes[f"copy_of_{name}"] = flipped(phash, 1 + number, rng)
    names = list(hashes)
    expected = {
        (one, other, (int(hashes[one], 16) ^ int(hashes[other], 16)).bit_count(), "")
        for i, one in enumerate(names)
        for other in names[i + 1 :]
    }
    expected = {pair for pair in expected if pair[2] <= MAX_DISTANCE}
    found = near_duplicates(hashes)
    assert len(expected) >= MAX_DISTANCE and set(found) == expected and len(found) == len(expected)
    assert [pair.distance for pair in found] == sorted(pair.distance for pair in found)


@pytest.mark.parametrize(("bits", "near"), [(MAX_DISTANCE, True), (MAX_DISTANCE + 1, False)])
def test_the_limit_belongs_to_the_duplicates(bits, near):
    rng = np.random.default_rng(1)
    phash = rng.bytes(32).hex()
    found = near_duplicates({"a": phash, "b": flipped(phash, bits, rng)})
    assert found == ([Pair("a", "b", bits)] if near else [])


def test_one_hash_for_many_makes_one_pair_each():
    rng = np.random.default_rng(2)
    phash = rng.bytes(32).hex()
    same = {f"{number}": phash for number in range(1000)}
    found = near_duplicates(same | {"other": flipped(phash, 5, rng)})
    assert found[:999] == [Pair("0", f"{number}", 0) for number in range(1, 1000)]
    assert found[999:] == [Pair("0", "other", 5)]


def test_what_has_no_hash_resembles_nothing():
    assert near_duplicates({"a": "", "b": "", "c": "0" * 64, "d": "0" * 64}) == []
    assert near_duplicates({}) == []


def test_hashes_of_different_length_are_refused():
    with pytest.raises(ValueError):
        near_duplicates({"a": "f" * 64, "b": "f" * 32})


def test_thousands_are_compared_at_once_in_little_memory():
    hashes = random_hashes(6000, np.random.default_rng(3))
    tracemalloc.start()
    started = time.process_time()
    assert near_duplicates(hashes) == []
    assert time.process_time() - started < 5
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


@pytest.fixture(scope="module")
def retinas(tmp_path_factory):
    """Three generated photographs of different eyes."""
    from dr_lib.synthetic import make_data

    folder = tmp_path_factory.mktemp("drawn") / "data"
    make_data(folder, train=5, test=0, size=256, seed=4)
    files = sorted(folder.rglob("*.jpeg"))
    return [Image.open(file).convert("RGB") for file in (files[0], files[2], files[4])]


def disc_hashes(image):
    return scan_image(jpeg(image, quality=92))[0].disc_hashes


TURNED = {
    "mirrored": Image.Transpose.FLIP_LEFT_RIGHT,
    "upside down and mirrored": Image.Transpose.FLIP_TOP_BOTTOM,
    "turned by 180°": Image.Transpose.ROTATE_180,
    "turned by 90° to the left": Image.Transpose.ROTATE_90,
    "turned by 90° to the right": Image.Transpose.ROTATE_270,
    "mirrored and turned by 90°": Image.Transpose.TRANSPOSE,
    "mirrored and turned by 270°": Image.Transpose.TRANSVERSE,
}


def test_copies_are_found_however_they_lie_and_strangers_are_not(retinas):
    hashes = {f"eye {number}": disc_hashes(image) for number, image in enumerate(retinas)}
    assert turned_duplicates(hashes) == []
    assert set(TURNED) | {""} == set(POSITIONS)
    for position, turn in TURNED.items():
        (pair,) = turned_duplicates(hashes | {"copy": disc_hashes(retinas[1].transpose(turn))})
        assert (pair.first, pair.second, pair.position) == ("eye 1", "copy", position)
        assert pair.distance < 0.75 * MAX_DISC_DISTANCE


def test_cropped_brighter_and_equalized_copies_are_found(retinas):
    hashes = {f"eye {number}": disc_hashes(image) for number, image in enumerate(retinas)}
    whole = retinas[2]
    width, height = whole.size
    copies = {
        "cropped": whole.crop((round(0.04 * width), round(0.04 * height), round(0.96 * width), round(0.96 * height))),
        "brighter": ImageEnhance.Brightness(whole).enhance(1.3),
        "with more contrast": ImageEnhance.Contrast(whole).enhance(1.5),
        "small": whole.resize((width // 2, height // 2)),
    }
    for name, copy in copies.items():
        pairs = turned_duplicates(hashes | {name: disc_hashes(copy)})
        assert [(pair.first, pair.second, pair.position) for pair in pairs] == [("eye 2", name, "")], name


def test_a_retina_without_structure_resembles_nothing():
    flat = disc_hashes(Image.new("RGB", (90, 80), (90, 60, 30)))
    black = disc_hashes(Image.new("RGB", (90, 80)))
    assert turned_duplicates({"a": flat, "b": flat, "c": black, "d": black}) == [] == turned_duplicates({})


@pytest.mark.slow
def test_the_index_is_not_quadratic():
    rng = np.random.default_rng(5)
    times = []
    for n in (5_000, 20_000):
        hashes = random_hashes(n, rng)
        copies = {f"copy {name}": flipped(hashes[name], MAX_DISTANCE, rng) for name in list(hashes)[:50]}
        started = time.process_time()
        found = near_duplicates(hashes | copies)
        times.append(time.process_time() - started)
        assert len(found) >= 48
    assert times[1] < 8 * times[0]  # a table of all pairs takes 16 times as long
