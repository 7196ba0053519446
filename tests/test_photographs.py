import pickle

import numpy as np
import pandas as pd
import pytest
from data_folders import jpeg, picture, pixels, write_photographs
from PIL import Image

from dr_lib.data.decoding import decode_rgb
from dr_lib.data.photographs import find_photographs, open_photographs
from dr_lib.errors import InputError


def table_of(*names, form="table"):
    table = pd.DataFrame({"image": names})
    table.attrs["form"] = form
    return table


@pytest.mark.parametrize("folder", [".", "images", "train", "test", "train_images", "test_images"])
def test_photographs_are_found_in_the_usual_folders(tmp_path, folder):
    write_photographs(tmp_path / folder, ["1_left"])
    assert open_photographs(tmp_path, table_of("1_left")).path("1_left") == tmp_path / folder / "1_left.jpeg"


def test_each_photograph_is_looked_for_by_itself(tmp_path):
    write_photographs(tmp_path / "train_images", ["a"])
    write_photographs(tmp_path / "test_images", ["b"])
    write_photographs(tmp_path / "sub", ["c"])
    photographs = open_photographs(tmp_path, table_of("a", "b", "sub/c"))
    assert [photographs.path(name).parent.name for name in ("a", "b", "sub/c")] == [
        "train_images",
        "test_images",
        "sub",
    ]


def test_endings(tmp_path):
    for suffix in ("jpeg", "jpg", "png", "tif"):
        picture().save(tmp_path / f"as_{suffix}.{suffix}")
    picture().save(tmp_path / "loud.JPG")
    picture().save(tmp_path / "v1.2.jpg")
    names = ["as_jpeg", "as_jpg", "as_png", "as_tif", "loud", "v1.2"]
    photographs = open_photographs(tmp_path, table_of(*names))
    assert all(photographs.open(name).size == (96, 80) for name in names)
    picture().save(tmp_path / "as_png.jpeg")
    assert open_photographs(tmp_path, table_of("as_png")).path("as_png").suffix == ".jpeg"


def test_missing_photographs_are_counted_and_named(tmp_path):
    write_photographs(tmp_path / "images", ["a"])
    with pytest.raises(InputError) as error:
        open_photographs(tmp_path, table_of("a", *(f"b{number}" for number in range(7))))
    message = str(error.value)
    assert message.startswith("7 of 8 photographs are missing (b0, b1, b2, b3, b4, ...)")
    assert str(tmp_path / "images") in message and "images_dir" in message


def test_images_dir(tmp_path):
    write_photographs(tmp_path / "mine", ["a"])
    write_photographs(tmp_path / "images", ["a", "b"])
    assert open_photographs(tmp_path, table_of("a"), "mine").path("a").parent.name == "mine"
    with pytest.raises(InputError, match="1 of 1 photographs are missing"):
        open_photographs(tmp_path, table_of("b"), "mine")
    with pytest.raises(InputError, match="none: no such folder"):
        open_photographs(tmp_path, table_of("a"), "none")


def test_repaired_in_memory_and_never_on_the_disk(tmp_path):
    whole = jpeg(picture())
    (tmp_path / "a.jpeg").write_bytes(whole[:-2])
    (tmp_path / "b.jpeg").write_bytes(whole)
    photographs = open_photographs(tmp_path, table_of("a", "b"))
    with pytest.raises(OSError, match="truncated"):
        photographs.open("a")
    repaired = photographs.with_repaired({"a"})
    for name in ("a", "b"):
        np.testing.assert_array_equal(repaired.pixels(name), pixels(whole))
    np.testing.assert_array_equal(np.asarray(repaired.open("a")), pixels(whole))
    assert (tmp_path / "a.jpeg").read_bytes() == whole[:-2]
    assert repaired.size("a") == len(whole) - 2


def test_metadata_that_pillow_remarks_on_is_read_in_silence(tmp_path):
    image = picture().quantize(16)
    image.save(tmp_path / "a.png", transparency=bytes(range(16)))  # "should be converted to RGBA", says Pillow
    decoded = open_photographs(tmp_path, table_of("a")).open("a")
    assert decoded.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(decoded), np.asarray(image.convert("RGB")))


def write_medmnist(path):
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 4), ("val", 2), ("test", 2)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, 28, 28, 3), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.zeros((count, 1), dtype=np.uint8)
    np.savez_compressed(path, **arrays)
    return arrays


def test_medmnist(tmp_path):
    arrays = write_medmnist(tmp_path / "retinamnist.npz")
    photographs = open_photographs(tmp_path, table_of("train_0003", "val_0001", form="medmnist"))
    for copy in (photographs, pickle.loads(pickle.dumps(photographs))):
        np.testing.assert_array_equal(np.asarray(copy.open("train_0003")), arrays["train_images"][3])
        np.testing.assert_array_equal(decode_rgb(copy.read_as_is("val_0001")), arrays["val_images"][1])
    assert photographs.path("val_0001") == tmp_path / "retinamnist.npz"
    assert photographs.size("val_0001") == 28 * 28 * 3
    assert len(pickle.dumps(photographs)) < 1000


def test_medmnist_with_arrays_of_another_kind(tmp_path):
    write_medmnist(tmp_path / "retinamnist.npz")
    grey = {f"{split}_images": np.zeros((4, 28, 28), dtype=np.uint8) for split in ("train", "val", "test")}
    np.savez_compressed(tmp_path / "retinamnist.npz", **grey)
    with pytest.raises(InputError, match="needs uint8"):
        open_photographs(tmp_path, table_of("train_0000", form="medmnist")).open("train_0000")


def test_open_gives_what_the_lab_report_opens(tmp_path):
    picture(mode="CMYK").save(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(np.asarray(open_photographs(tmp_path, table_of("a")).open("a")), expected)


def test_missing_photographs_and_files_without_a_row_are_found(tmp_path):
    write_photographs(tmp_path / "images", ["a", "b", "c"])
    write_photographs(tmp_path / "elsewhere", ["e"])  # no folder that photographs are looked for in
    (tmp_path / "images" / "notes.txt").write_text("no photograph")
    search = find_photographs(tmp_path, table_of("a", "d", "b"))
    assert (search.missing, search.unlabelled) == (["d"], ["images/c.jpeg"])
    assert search.photographs.open("b").size == (96, 80)
