import os
import pickle
import unicodedata
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from data_folders import jpeg, picture, pixels, write_photographs
from PIL import Image

from dr_lib.data.crops import ResizeSpec
from dr_lib.data.decoding import decode_rgb
from dr_lib.data.labels import Labels
from dr_lib.data.matching import find_photographs, open_photographs
from dr_lib.errors import InputError
from dr_lib.inference.inputs import photographs_named
from dr_lib.inference.model import inspect_and_crop


def table_of(*names, form="table"):
    return Labels(pd.DataFrame({"image": names}), form)


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


def found(folder, images_dir="", **suffixes):
    """Return the file that is found for each name of a table, names with the endings that the labels give."""
    table = Labels(pd.DataFrame({"image": list(suffixes), "suffix": list(suffixes.values())}))
    search = find_photographs(folder, table, images_dir)
    return {image: str(search.photographs.path(image).relative_to(folder)) for image in suffixes}


def refusal(folder, table):
    with pytest.raises(InputError) as error:
        open_photographs(folder, table)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_ending_that_the_labels_give_counts(tmp_path, caplog):
    for name in ("P1.png", "P1.jpeg", "P2.jpeg", "P3.PNG"):
        picture().save(tmp_path / name)
    assert found(tmp_path, P1=".png") == {"P1": "P1.png"}
    assert found(tmp_path, P1=".jpeg") == {"P1": "P1.jpeg"}
    assert caplog.text == ""
    assert found(tmp_path, P2=".png", P3=".png") == {"P2": "P2.jpeg", "P3": "P3.PNG"}
    assert "2 photographs are spelled otherwise in the labels: P2.png is" in caplog.text


def test_two_files_of_a_name_are_refused_and_never_chosen_from_by_order(tmp_path):
    picture().save(tmp_path / "P1.png")
    picture().save(tmp_path / "P1.jpeg")
    for folder in ("train", "test"):
        write_photographs(tmp_path / folder, ["1_left"])
    message = refusal(tmp_path, table_of("P1"))
    assert message.startswith("1 of 1 photograph has several files (P1: ") and "P1.jpeg or " in message
    message = refusal(tmp_path, table_of("1_left"))
    assert "train/1_left.jpeg or " in message and "test/1_left.jpeg" in message and "images_dir" in message
    search = find_photographs(tmp_path, table_of("1_left"))
    assert search.several == {"1_left": [tmp_path / "train/1_left.jpeg", tmp_path / "test/1_left.jpeg"]}
    assert search.missing == [] and search.unlabeled == ["P1.jpeg", "P1.png"]
    # The labels, or images_dir, may name the folder.
    assert found(tmp_path, **{"train/1_left": "", "test/1_left": ""}) == {
        "train/1_left": "train/1_left.jpeg", "test/1_left": "test/1_left.jpeg"
    }  # fmt: skip
    assert found(tmp_path, "test", **{"1_left": ""}) == {"1_left": "test/1_left.jpeg"}


def test_a_folder_that_is_a_link_to_another_is_no_second_candidate(tmp_path):
    write_photographs(tmp_path / "train", ["1_left"])
    (tmp_path / "images").symlink_to("train")
    assert open_photographs(tmp_path, table_of("1_left")).open("1_left").size == (96, 80)


def test_names_in_another_case_or_unicode_form_are_found_where_they_are_clear(tmp_path, caplog):
    decomposed = unicodedata.normalize("NFD", "Müller_1")
    write_photographs(tmp_path, ["10_left", decomposed, "20_LEFT", "20_Left", "30_left", "30_LEFT"])
    assert found(tmp_path, **{"10_LEFT": "", "Müller_1": ""}) == {
        "10_LEFT": "10_left.jpeg", "Müller_1": f"{decomposed}.jpeg"
    }  # fmt: skip
    assert "1 photograph is spelled otherwise in the labels: 10_LEFT is" in caplog.text
    assert "20_left: " in refusal(tmp_path, table_of("20_left"))
    assert found(tmp_path, **{"30_LEFT": "", "30_left": ""}) == {"30_LEFT": "30_LEFT.jpeg", "30_left": "30_left.jpeg"}


@pytest.mark.parametrize("names", [("1_left", "1_LEFT"), ("1_left", "train/1_left")])
def test_two_names_of_one_file_are_refused(tmp_path, names):
    write_photographs(tmp_path / "train", ["1_left"])
    message = refusal(tmp_path, table_of(*names))
    assert f"{names[0]!r} and {names[1]!r} are one photograph" in message and "train/1_left.jpeg" in message


def test_links_to_nothing_are_missing_photographs(tmp_path):
    write_photographs(tmp_path, ["a"])
    (tmp_path / "linked.jpeg").symlink_to("a.jpeg")
    (tmp_path / "gone.jpeg").symlink_to(".git/annex/objects/SHA256E-s1--00.jpeg")
    (tmp_path / "ring.jpeg").symlink_to("ring.jpeg")
    (tmp_path / "folder.jpeg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpeg")
    search = find_photographs(tmp_path, table_of("linked", "gone", "ring", "folder", "pipe"))
    assert search.missing == ["gone", "ring", "folder", "pipe"]
    assert search.dangling == ["gone.jpeg", "ring.jpeg"] and search.unlabeled == ["a.jpeg"]
    message = refusal(tmp_path, table_of("linked", "gone", "ring"))
    assert "2 of 3 photographs are missing (gone, ring)" in message
    assert "2 links lead to no file" in message and "datalad get" in message


@pytest.mark.parametrize("images_dir", ["..", "../other", "/etc", "a/../../b", r"C:\pictures", "a\0b"])
def test_images_dir_stays_in_the_data_folder(tmp_path, images_dir):
    write_photographs(tmp_path / "data", ["a"])
    with pytest.raises(InputError, match=r"images_dir: .* leads out of the data folder"):
        open_photographs(tmp_path / "data", table_of("a"), images_dir)
    (tmp_path / "data" / "link").symlink_to(tmp_path / "data")
    assert open_photographs(tmp_path / "data", table_of("a"), "link").open("a").size == (96, 80)


def test_missing_photographs_are_counted_and_named(tmp_path):
    write_photographs(tmp_path / "images", ["a"])
    with pytest.raises(InputError) as error:
        open_photographs(tmp_path, table_of("a", *(f"b{number}" for number in range(7))))
    message = str(error.value)
    assert message.startswith("7 of 8 photographs are missing (b0, b1, b2, b3, b4, ...)")
    assert str(tmp_path / "images") in message and f"put them below {tmp_path}," in message


def test_images_dir(tmp_path):
    write_photographs(tmp_path / "mine", ["a"])
    write_photographs(tmp_path / "images", ["a", "b"])
    assert open_photographs(tmp_path, table_of("a"), "mine").path("a").parent.name == "mine"
    with pytest.raises(InputError, match="1 of 1 photograph is missing"):
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
    assert photographs.read_as_is("val_0001") == b"".join(
        [photographs.read_as_is("val_0001")[:54], arrays["val_images"][1][::-1, :, ::-1].tobytes()]
    )  # nothing in it depends on a version of Pillow or zlib
    assert len(pickle.dumps(photographs)) < 1000


def test_medmnist_with_arrays_of_another_kind(tmp_path):
    write_medmnist(tmp_path / "retinamnist.npz")
    gray = {f"{split}_images": np.zeros((4, 28, 28), dtype=np.uint8) for split in ("train", "val", "test")}
    np.savez_compressed(tmp_path / "retinamnist.npz", **gray)
    with pytest.raises(InputError, match="needs uint8"):
        open_photographs(tmp_path, table_of("train_0000", form="medmnist")).open("train_0000")


def test_open_gives_what_the_lab_report_opens(tmp_path):
    picture(mode="CMYK").save(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(np.asarray(open_photographs(tmp_path, table_of("a")).open("a")), expected)


def test_missing_photographs_and_files_without_a_row_are_found(tmp_path):
    write_photographs(tmp_path / "images", ["a", "b", "c"])
    write_photographs(tmp_path / "elsewhere", ["e"])
    (tmp_path / "images" / "notes.txt").write_text("no photograph")
    search = find_photographs(tmp_path, table_of("a", "d", "b"))
    assert (search.missing, search.unlabeled) == (["d"], ["elsewhere/e.jpeg", "images/c.jpeg"])
    assert search.photographs.open("b").size == (96, 80)


HEIC, DICOM = b"\0\0\0\x18ftypheic\0\0\0\0", bytes(128) + b"DICM" + bytes(99)


def test_pictures_of_other_kinds_in_the_folder_are_named(tmp_path):
    write_photographs(tmp_path, ["a"])
    picture().save(tmp_path / "e.bmp")
    for name, data in {
        "b.heic": HEIC, "c.DCM": DICOM, "1.2.840.113619": DICOM, "d.jp2": b"?", "README": b"BM text", "x.txt": HEIC,
        "f.jfif": (tmp_path / "a.jpeg").read_bytes(),
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(data)
    os.mkfifo(tmp_path / "pipe")
    # A folder that is to be graded: all of them get a grade, or a status that names them.
    assert [path.name for path in photographs_named([tmp_path], BytesIO())] == [
        "1.2.840.113619", "a.jpeg", "b.heic", "c.DCM", "d.jp2", "e.bmp", "f.jfif"
    ]  # fmt: skip
    assert "HEIC: save it as" in inspect_and_crop((tmp_path / "b.heic", ResizeSpec(32)))[0].detail
    found = find_photographs(tmp_path, table_of("a", "b")).other_pictures
    assert list(found) == ["1.2.840.113619", "b.heic", "c.DCM", "d.jp2", "e.bmp", "f.jfif"]
    assert found["b.heic"] == "HEIC: save it as JPEG or PNG first, with heif-convert"
    assert found["c.DCM"] == found["1.2.840.113619"] and found["c.DCM"].startswith("DICOM: ")
    assert found["d.jp2"].startswith("of an unknown kind") and "let its name end in" in found["e.bmp"]
    message = refusal(tmp_path, table_of("a", "b"))
    assert (
        "missing (b)" in message and "is a picture of another kind, DICOM: save it" in message and "5 more" in message
    )
