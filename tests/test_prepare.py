import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from data_folders import eyes, jpeg, picture, pixels, real_data, write_course, write_photographs

from dr_lib.config import RunConfig
from dr_lib.data.audit import fingerprint
from dr_lib.data.crops import resize_for_testing, resize_for_training
from dr_lib.data.inspection import FileStatus
from dr_lib.data.prepare import prepare_data, read_splits
from dr_lib.errors import InputError

pytestmark = pytest.mark.usefixtures("one_core")

TRAIN, TEST = eyes(range(10)), eyes(range(20, 25))


@pytest.fixture
def folder(tmp_path):
    """A course folder: ``20_left`` without end marker, ``21_left`` cut in half, ``22_left`` without image data."""
    folder = tmp_path / "data"
    write_course(folder, TRAIN, TEST)
    write_photographs(folder / "images", [*TRAIN, *TEST])
    for name, damage_it in (
        ("20_left", lambda data: data[:-2]),
        ("21_left", lambda data: data[: 600 + (len(data) - 600) // 2]),
        ("22_left", lambda data: data[:100]),
    ):
        path = folder / "images" / f"{name}.jpeg"
        path.write_bytes(damage_it(path.read_bytes()))
    return folder


@pytest.fixture
def prepare(tmp_path, folder):
    def prepared(**fields):
        config = {"data_dir": str(folder), "cache_dir": str(tmp_path / "cache")} | fields
        return prepare_data(RunConfig.from_mapping(config), progress=False)

    return prepared


def refusal(prepare, **fields):
    with pytest.raises(InputError) as error:
        prepare(**fields)
    assert "\n" not in str(error.value)
    return str(error.value)


def contents(folder):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def damaged(data):
    return {decision.image: decision for decision in data.decisions if decision.action}


def test_the_table_keeps_what_is_known_of_the_labels(prepare, folder):
    data = prepare()
    assert (data.labels.form, data.labels.header, data.labels.split_origin) == ("course", False, "given")
    assert [len(data.split(split)) for split in ("train", "validation", "test")] == [18, 2, 8]
    assert data.fingerprint == fingerprint(data.table, data.scanner.scan(data.table["image"]))


def test_damaged_photographs_are_decided_on_and_listed(prepare, folder, caplog):
    before = contents(folder)
    data = prepare()
    files = damaged(data)
    assert {name: (entry.status.kind, entry.action) for name, entry in files.items()} == {
        "20_left": ("end marker missing", "repaired"),
        "21_left": ("truncated", "dropped"),
        "22_left": ("unreadable", "dropped"),
    }
    assert 0.2 < files["21_left"].status.lost < 0.9 and len(data.decisions) == 30
    assert {"21_left", "22_left"}.isdisjoint(data.table["image"]) and "20_left" in set(data.table["image"])
    whole = jpeg(picture([*TRAIN, *TEST].index("20_left")))
    np.testing.assert_array_equal(np.asarray(data.photographs.open("20_left")), pixels(whole))
    lines = [line.split("  ")[0:1] + line.split() for line in caplog.text.splitlines()]
    for image, status, action in (("20_left", "end", "repaired"), ("21_left", "truncated", "dropped")):
        assert any(line[0] == image and line[2] == status and action in line for line in lines), caplog.text
    assert data.damaged["image"].tolist() == ["20_left", "21_left", "22_left"]
    assert contents(folder) == before


def test_other_rules_for_truncated_photographs(prepare):
    kept = prepare(max_lost_share=0.95)
    assert "21_left" in set(kept.table["image"])
    assert kept.photographs.open("21_left").size == (96, 80)
    assert "21_left" not in set(prepare(max_lost_share=0.95, on_damage="drop").table["image"])
    message = refusal(prepare, on_damage="fail")
    assert "21_left" in message and "22_left" in message and "20_left" not in message


@pytest.mark.slow
def test_a_changed_file_is_judged_anew(prepare, folder):
    first = prepare()
    (folder / "images" / "21_left.jpeg").write_bytes(jpeg(picture(3)))
    second = prepare()
    assert "21_left" in set(second.table["image"]) and set(damaged(second)) == {"20_left", "22_left"}
    assert second.fingerprint != first.fingerprint


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["bmp", "npz"])
def test_other_photographs_of_the_same_size_have_another_fingerprint(prepare, folder, ending):
    def write(seed):
        if ending == "npz":
            rng, arrays = np.random.default_rng(seed), {}
            for split in ("train", "val", "test"):
                arrays[f"{split}_images"] = rng.integers(0, 256, (10, 28, 28, 3), dtype=np.uint8)
                arrays[f"{split}_labels"] = np.arange(10, dtype=np.uint8).reshape(-1, 1) % 5
            np.savez(folder / "retinamnist.npz", **arrays)
        else:  # whatever a file's name ends with
            for number, name in enumerate([*TRAIN, *TEST]):
                picture(seed + number).save(folder / "images" / f"{name}.jpeg", "bmp")
        return {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}

    form = {"labels": "medmnist"} if ending == "npz" else {}
    sizes, first = write(0), prepare(**form).fingerprint
    assert write(100) == sizes
    assert prepare(**form).fingerprint != first
    assert write(0) == sizes
    assert prepare(**form).fingerprint == first  # the same contents, written later


def test_a_cache_that_cannot_be_written_is_an_error(prepare, tmp_path):
    (tmp_path / "a file").write_text("")
    assert "cache_dir" in refusal(prepare, cache_dir=str(tmp_path / "a file"))


def test_squares_are_in_the_store_or_decoded_each_time(prepare, tmp_path):
    stored, decoded = prepare(image_size=32, resize=40), prepare(image_size=32, resize=40, pixel_cache=False)
    config = RunConfig(image_size=32, resize=40)
    for split, recipe in (("train", resize_for_training(config)), ("test", resize_for_testing(config))):
        images = stored.split(split)["image"]
        one, other = stored.crops(recipe, images), decoded.crops(recipe, images)
        for image in images:
            np.testing.assert_array_equal(one.read(image), other.read(image))
    assert len(list((tmp_path / "cache").glob("*/crops-*/pixels.npy"))) == 2


def test_without_the_store_no_pixels_are_written(prepare, tmp_path):
    prepare(pixel_cache=False)
    assert list((tmp_path / "cache").rglob("*.npy")) == []


def test_several_at_once_agree(prepare):
    with ThreadPoolExecutor(4) as pool:
        several = list(pool.map(lambda _: prepare(), range(4)))
    assert len({data.fingerprint for data in several}) == 1


def test_limit_comes_before_the_check(prepare):
    data = prepare(limit=5)
    assert len(data.decisions) == 12  # 5 + the 2 of validation + 5
    assert data.table["split"].value_counts()["train"] == 5


def test_a_validation_split_drawn_anew_is_told(tmp_path):
    rows = [f"{image},{grade},{split}" for split, patients in (("train", range(20)), ("val", range(20, 24)),
            ("test", range(30, 34))) for image, grade in eyes(patients).items()]  # fmt: skip
    (tmp_path / "labels.csv").write_text("image,grade,split\n" + "\n".join(rows) + "\n")
    fields = {"data_dir": str(tmp_path), "labels": "table", "validation_share": 0.5}
    given, drawn = (
        read_splits(RunConfig(**fields, given_validation=given_validation)) for given_validation in (True, False)
    )
    assert given.split_origin == "given"
    assert drawn.split_origin == "given, but for the validation photographs, which were drawn anew"
    given, drawn = given.table, drawn.table
    assert (given.split == "validation").sum() == 8 and (drawn.split == "validation").sum() == 24
    assert drawn[drawn.split == "test"].equals(given[given.split == "test"])


def test_split_made_here(prepare, folder):
    for name in ("test_img.csv", "test_label.csv"):
        (folder / name).unlink()
    data = prepare(labels="course", test_share=0.3)
    assert data.labels.split_origin == "made here by patient"
    test, train = (set(data.split(split)["patient"]) for split in ("test", "train"))
    assert len(test) == 3 and not test & train
    assert "test_share" in refusal(prepare, labels="course", test_share=0)


@pytest.mark.slow
def test_same_fields_same_fingerprint_other_seed_another(prepare):
    marks = [prepare(split_seed=seed, validation_share=0.5).fingerprint for seed in (0, 0, 1, 2)]
    assert marks[0] == marks[1] and len(set(marks)) == 3


def test_a_file_that_is_no_image_is_refused_unless_dropped(prepare, folder):
    (folder / "images" / "1_left.jpeg").write_text("<html>404 not found</html>")
    message = refusal(prepare)
    assert str(folder / "images" / "1_left.jpeg") in message and "no image" in message and "on_damage=drop" in message
    assert "1_left" not in set(prepare(on_damage="drop").table["image"])


def test_one_grade_only_is_refused(prepare, folder):
    write_course(folder, dict.fromkeys(TRAIN, 2), TEST)
    message = refusal(prepare)
    assert "every training photograph has grade 2" in message and str(folder) in message


def test_nothing_left_is_refused(prepare, folder):
    for name in TEST:
        (folder / "images" / f"{name}.jpeg").write_bytes(b"")
    assert "no test photograph is left after 10 damaged ones were dropped" in refusal(prepare)


def test_missing_photographs_and_missing_folder(prepare, folder):
    (folder / "images" / "5_left.jpeg").unlink()
    assert "1 of 30 photographs is missing (5_left)" in refusal(prepare)
    assert "no such folder" in refusal(prepare, data_dir=str(folder / "none"))
    shutil.rmtree(folder / "images")
    assert "30 of 30" in refusal(prepare)


def test_medmnist(prepare, folder):
    arrays = {}
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = np.zeros((10, 28, 28, 3), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.arange(10, dtype=np.uint8).reshape(-1, 1) % 5
    np.savez_compressed(folder / "retinamnist.npz", **arrays)
    data = prepare(labels="medmnist")
    assert (data.labels.form, data.labels.header) == ("medmnist", None)
    assert {decision.status for decision in data.decisions} == {FileStatus("intact", 0.0, "", 28, 28)}
    assert len(prepare(labels="medmnist", limit=5).table) == 15
    assert "zenodo.org" in refusal(prepare, labels="medmnist", data_dir=str(folder / "none"))
    np.savez(folder / "retinamnist.npz", **arrays | {"val_images": arrays["val_images"][:7]})
    assert "val_images of shape (7, 28, 28, 3) for 10 val_labels" in refusal(prepare, labels="medmnist")
    whole = (folder / "retinamnist.npz").read_bytes()
    (folder / "retinamnist.npz").write_bytes(whole[: len(whole) // 2])
    assert "cannot be read as npz" in refusal(prepare, labels="medmnist")


@pytest.mark.slow
def test_photographs_are_drawn_where_the_demo_folder_is_missing(prepare, tmp_path, caplog, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fields = {"data_dir": "data/demo", "generated_train": 40, "generated_test": 10, "generated_size": 96}
    data = prepare(**fields)
    assert len(data.decisions) == 50
    again = prepare(**fields)
    assert again.fingerprint == data.fingerprint and "used as it is" not in caplog.text
    prepare(**fields | {"generated_train": 60})
    assert "used as it is (train 40, test 10, size 96, grade_shares" in caplog.text


def test_no_other_folder_is_drawn(prepare, tmp_path):
    assert "no such folder" in refusal(prepare, data_dir=str(tmp_path / "data" / "dmeo"))


@pytest.mark.slow
@pytest.mark.real
def test_real_photographs(prepare):
    data = prepare(data_dir=str(real_data() / "eyepacs-1024"))
    assert len(data.split("train")) + len(data.split("validation")) == 775 and len(data.split("test")) == 185
    assert len(data.decisions) == 960 and damaged(data) == {}


@pytest.mark.slow
@pytest.mark.real
def test_real_retinamnist(prepare, tmp_path):
    (tmp_path / "mnist").mkdir()
    shutil.copy(real_data() / "retinamnist.npz", tmp_path / "mnist")
    data = prepare(data_dir=str(tmp_path / "mnist"))
    assert [len(data.split(split)) for split in ("train", "validation", "test")] == [1080, 120, 400]
    assert data.split("train")["grade"].value_counts().sort_index().tolist() == [486, 128, 206, 194, 66]
