import time
import tracemalloc

import numpy as np
import pytest

from dr_lib.data.duplicates import MAX_DISTANCE, Pair, exact_duplicates, near_duplicates


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
        (one, other, (int(hashes[one], 16) ^ int(hashes[other], 16)).bit_count())
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
