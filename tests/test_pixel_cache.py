import errno
import os
import pickle

import numpy as np
import pytest

from dr_lib.data import pixel_cache as store_module
from dr_lib.data.crops import ResizeSpec
from dr_lib.data.pixel_cache import HEADER_BYTES, CachedCrops, PixelCache, Row, require_room, write_row
from dr_lib.errors import InputError

SIDE = 16
SQUARES = np.random.default_rng(0).integers(0, 256, (12, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture
def store(tmp_path):
    return PixelCache(tmp_path / "squares", ResizeSpec(SIDE), {"pillow": "1"})


def fill(store, names):
    first = store.reserve(len(names))
    rows = {
        name: Row(first + i, name, write_row(store.pixels, first + i, SQUARES[int(name)]))
        for i, name in enumerate(names)
    }
    store.note(rows)


def reader(store):
    return CachedCrops(store, {key: row.number for key, row in store.rows().items()})


def test_squares_come_back_and_numpy_reads_the_file(store):
    fill(store, ["0", "1", "2"])
    fill(store, ["3", "4"])
    crops = reader(store)
    for name in ("0", "2", "4"):
        np.testing.assert_array_equal(crops.read(name), SQUARES[int(name)])
    np.testing.assert_array_equal(np.load(store.pixels, mmap_mode="r"), SQUARES[:5])
    with pytest.raises(ValueError, match="read-only"):
        crops.read("0")[0, 0, 0] = 1


def test_a_reader_is_not_disturbed_by_growth_and_pickles_small(store):
    fill(store, ["0"])
    early = reader(store)
    fill(store, [str(n) for n in range(1, 12)])
    np.testing.assert_array_equal(early.read("0"), SQUARES[0])
    pickled = pickle.dumps(reader(store))
    assert len(pickled) < 2000 < SQUARES.nbytes
    np.testing.assert_array_equal(pickle.loads(pickled).read("11"), SQUARES[11])


def test_a_row_without_its_line_is_written_over(store):
    fill(store, ["0"])
    lost = store.reserve(2)  # killed before they were noted
    write_row(store.pixels, lost, SQUARES[7])
    fill(store, ["1"])
    assert store.rows()["1"].number == lost
    np.testing.assert_array_equal(reader(store).read("1"), SQUARES[1])


def test_checksums_tell_which_rows_are_damaged(store):
    fill(store, ["0", "1", "2"])
    assert sound(store) == {"0", "1", "2"}
    with store.pixels.open("r+b") as stream:
        stream.seek(HEADER_BYTES + store.row_bytes + 5)
        stream.write(bytes([SQUARES[1].ravel()[5] ^ 1]))
    assert sound(store) == {"0", "2"}
    os.truncate(store.pixels, HEADER_BYTES + store.row_bytes + 10)
    assert sound(store) == {"0"}


def sound(store):
    return reader(store).sound({key: row.crc for key, row in store.rows().items()})


@pytest.mark.parametrize("damage", ["the file is empty", "the file is cut", "the file is gone", "the journal is empty",
                                    "the journal is gone", "its last line is gone", "the header is gone"])  # fmt: skip
def test_no_damage_makes_a_row_that_is_read_another_one(store, damage):
    fill(store, ["0", "1", "2"])
    kept = reader(store)
    journal = store.pixels.with_name("rows.jsonl")
    match damage:
        case "the file is empty":
            store.pixels.write_bytes(b"")
        case "the file is cut":
            os.truncate(store.pixels, 100)
        case "the file is gone":
            store.pixels.unlink()
        case "the journal is empty":
            journal.write_bytes(b"")
        case "the journal is gone":
            journal.unlink()
        case "its last line is gone":
            journal.write_bytes(journal.read_bytes().replace(b'["2"', b'["?"'))
        case "the header is gone":
            with store.pixels.open("r+b") as stream:
                stream.write(bytes(HEADER_BYTES))
    assert sound(store) <= {"0", "1", "2"}
    fill(store, ["7", "8", "9"])
    assert {"7", "8", "9"} <= sound(store)
    for name in ("7", "8", "9"):
        np.testing.assert_array_equal(reader(store).read(name), SQUARES[int(name)])
    if damage not in ("the file is empty", "the file is cut"):  # what was there is gone then, and not another one
        for name in ("0", "1", "2"):
            np.testing.assert_array_equal(kept.read(name), SQUARES[int(name)])


def test_a_reader_in_another_process_refuses_a_file_made_anew(store):
    fill(store, ["0", "1"])
    kept, pickled = reader(store), pickle.dumps(reader(store))
    store.pixels.unlink()
    fill(store, ["5", "6"])
    with pytest.raises(InputError, match="made anew"):
        pickle.loads(pickled)
    np.testing.assert_array_equal(kept.read("1"), SQUARES[1])


def test_pages_are_given_back_while_reading(store, monkeypatch):
    monkeypatch.setattr(store_module, "READS_UNTIL_RELEASE", 3)
    fill(store, [str(n) for n in range(12)])
    crops = reader(store)
    for name in [*map(str, range(12))] * 2:
        np.testing.assert_array_equal(crops.read(name), SQUARES[int(name)])


def test_a_full_disk_is_met_before_writing_and_says_how_much_is_needed(store, tmp_path, monkeypatch):
    fill(store, ["0"])
    before = store.pixels.read_bytes()
    with pytest.raises(InputError, match=r"needs \d{3,}\.\d\d GB more and \d+\.\d\d GB are free; .*cache_dir") as error:
        require_room([(store, 10**9)], tmp_path)
    assert "\n" not in str(error.value)
    require_room([(store, 10)], tmp_path)

    def full(fd, offset, length):
        os.ftruncate(fd, offset + length // 2)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        store.reserve(5)
    assert store.pixels.read_bytes() == before
    np.testing.assert_array_equal(reader(store).read("0"), SQUARES[0])


def test_other_recipes_have_other_names():
    recipes = [
        ResizeSpec(256),
        ResizeSpec(224),
        ResizeSpec(256, fast=True),
        ResizeSpec(256, '["CropToRetina"]'),
    ]
    assert len({recipe.key for recipe in recipes}) == 4
    assert ResizeSpec(256).key == ResizeSpec(256).key
