import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from data_folders import eyes, jpeg, picture, pixels, real_data, write_course, write_photographs

from dr_lib.config import RunConfig
from dr_lib.data import damage
from dr_lib.data.audit import fingerprint
from dr_lib.data.prepare import prepare_data
from dr_lib.errors import InputError

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


def test_audit_has_the_agreed_form(prepare, folder):
    data = prepare()
    found = json.loads(json.dumps(data.audit, allow_nan=False))
    assert set(found) == {
        "data_dir", "form", "header", "fingerprint", "splits", "split_origin", "majority_accuracy",
        "patients_on_both_sides", "damage", "width", "height",
    }  # fmt: skip
    assert (found["data_dir"], found["form"], found["header"]) == (str(folder), "course", False)
    assert [found["splits"][split]["photographs"] for split in ("train", "validation", "test")] == [18, 2, 8]
    assert found["fingerprint"] == data.fingerprint == fingerprint(data.table, data.photographs.size)
    assert (found["split_origin"], found["width"], found["height"]) == ("given", [96, 96, 96], [80, 80, 80])


def test_damaged_photographs_are_decided_on_and_listed(prepare, folder, caplog):
    before = contents(folder)
    data = prepare()
    files = {entry.pop("image"): entry for entry in data.audit["damage"]["files"]}
    assert {name: (entry["verdict"], entry["action"]) for name, entry in files.items()} == {
        "20_left": ("end marker missing", "repaired"),
        "21_left": ("truncated", "dropped"),
        "22_left": ("unreadable", "dropped"),
    }
    assert 0.2 < files["21_left"]["lost"] < 0.9
    assert (data.audit["damage"]["checked"], data.audit["damage"]["intact"]) == (30, 27)
    assert {"21_left", "22_left"}.isdisjoint(data.table["image"]) and "20_left" in set(data.table["image"])
    whole = jpeg(picture([*TRAIN, *TEST].index("20_left")))
    np.testing.assert_array_equal(np.asarray(data.photographs.open("20_left")), pixels(whole))
    for line in ("20_left: end marker missing", "21_left: truncated", "22_left: unreadable"):
        assert line in caplog.text
    assert contents(folder) == before


def test_other_rules_for_truncated_photographs(prepare):
    kept = prepare(max_lost_share=0.95)
    assert "21_left" in set(kept.table["image"])
    assert kept.photographs.open("21_left").size == (96, 80)
    assert "21_left" not in set(prepare(max_lost_share=0.95, on_damage="drop").table["image"])
    message = refusal(prepare, on_damage="fail")
    assert "21_left" in message and "22_left" in message and "20_left" not in message


def test_verdicts_are_found_once(prepare, folder, monkeypatch):
    checked = []
    real_check = damage.check
    monkeypatch.setattr(damage, "check", lambda data: checked.append(len(data)) or real_check(data))
    first = prepare()
    assert len(checked) == 30
    second = prepare()
    assert len(checked) == 30 and second.audit == first.audit
    path = folder / "images" / "21_left.jpeg"
    path.write_bytes(jpeg(picture(3)))
    third = prepare()
    assert len(checked) == 31 and "21_left" in set(third.table["image"])
    assert third.fingerprint != first.fingerprint
    os.utime(path, ns=(1, 1))
    prepare()
    assert len(checked) == 32


def test_a_broken_cache_is_not_believed_and_an_unwritable_one_does_not_stop(prepare, tmp_path, caplog):
    first = prepare()
    (cache,) = (tmp_path / "cache" / "verdicts").iterdir()
    for text in ("{", "[]", '{"method": 0}', f'{{"method": {damage.METHOD}}}'):
        cache.write_text(text)
        assert prepare().audit == first.audit
    (tmp_path / "a file").write_text("")
    assert prepare(cache_dir=str(tmp_path / "a file")).audit == first.audit
    assert "cannot be written" in caplog.text


def test_several_at_once_agree(prepare):
    with ThreadPoolExecutor(4) as pool:
        several = list(pool.map(lambda _: prepare(), range(4)))
    assert len({data.fingerprint for data in several}) == 1


def test_an_interrupted_check_keeps_what_it_found(prepare, tmp_path, monkeypatch):
    real_check, checked = damage.check, []

    def interrupted(data):
        checked.append(data)
        if len(checked) == 20:
            raise KeyboardInterrupt
        return real_check(data)

    monkeypatch.setattr(damage, "check", interrupted)
    monkeypatch.setattr(damage, "_cores", lambda: 1)
    with pytest.raises(KeyboardInterrupt):
        prepare()
    prepare()
    assert len(checked) < 45


def test_limit_comes_before_the_check(prepare):
    data = prepare(limit=5)
    assert data.audit["damage"]["checked"] == 12  # 5 + the 2 of validation + 5
    assert data.table["split"].value_counts()["train"] == 5


def test_split_made_here(prepare, folder):
    for name in ("test_img.csv", "test_label.csv"):
        (folder / name).unlink()
    data = prepare(labels="course", test_share=0.3)
    assert data.audit["split_origin"] == "made here by patient"
    assert data.audit["patients_on_both_sides"] == {"test_patients": 3, "also_in_training": 0, "named": True}
    assert "test_share" in refusal(prepare, labels="course", test_share=0)


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
    assert "1 of 30 photographs are missing (5_left)" in refusal(prepare)
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
    assert (data.audit["form"], data.audit["header"], data.audit["split_origin"]) == ("medmnist", None, "given")
    assert data.audit["damage"] == {"checked": 30, "intact": 30, "files": []}
    assert data.audit["width"] == [28, 28, 28]
    assert len(prepare(labels="medmnist", limit=5).table) == 15
    assert "zenodo.org" in refusal(prepare, labels="medmnist", data_dir=str(folder / "none"))


def test_photographs_are_drawn_where_the_demo_folder_is_missing(prepare, tmp_path, caplog, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fields = {"data_dir": "data/demo", "generated_train": 40, "generated_test": 10, "generated_size": 96}
    data = prepare(**fields)
    assert data.audit["damage"]["checked"] == 50
    again = prepare(**fields)
    assert again.fingerprint == data.fingerprint and "used as it is" not in caplog.text
    prepare(**fields | {"generated_train": 60})
    assert "used as it is (train 40, test 10, size 96)" in caplog.text


def test_no_other_folder_is_drawn(prepare, tmp_path):
    assert "no such folder" in refusal(prepare, data_dir=str(tmp_path / "data" / "dmeo"))


@pytest.mark.real
def test_real_photographs(prepare):
    data = prepare(data_dir=str(real_data() / "eyepacs-1024"))
    splits = data.audit["splits"]
    assert splits["train"]["photographs"] + splits["validation"]["photographs"] == 775
    assert splits["test"]["photographs"] == 185
    assert data.audit["damage"] == {"checked": 960, "intact": 960, "files": []}


@pytest.mark.real
def test_real_retinamnist(prepare, tmp_path):
    (tmp_path / "mnist").mkdir()
    shutil.copy(real_data() / "retinamnist.npz", tmp_path / "mnist")
    splits = prepare(data_dir=str(tmp_path / "mnist")).audit["splits"]
    assert [splits[split]["photographs"] for split in ("train", "validation", "test")] == [1080, 120, 400]
    assert splits["train"]["counts"] == [486, 128, 206, 194, 66]
