"""The audit from a configuration to its files, on folders in whatever state."""

import os
import resource
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import odd_decoders
import pytest
from command import dr_lab
from data_folders import eyes, jpeg, picture, real_data, write_course, write_photographs
from PIL import ExifTags, Image

from dr_lib.config import RunConfig
from dr_lib.data import scan
from dr_lib.data.prepare import prepare_data
from dr_lib.errors import InputError
from dr_lib.report.audit_results import audit_data, write_audit
from dr_lib.report.audit_text import audit_text
from dr_lib.storage.checksums import read_sealed_json
from dr_lib.storage.folders import ExperimentFolder

pytestmark = pytest.mark.usefixtures("one_core")

TRAIN, TEST = eyes(range(8)), eyes(range(20, 24))


@pytest.fixture
def config(tmp_path):
    write_course(tmp_path / "data", TRAIN, TEST)
    write_photographs(tmp_path / "data" / "images", [*TRAIN, *TEST])
    return RunConfig(
        data_dir=str(tmp_path / "data"), cache_dir=str(tmp_path / "cache"), out_dir=str(tmp_path / "out"),
        resize=40, image_size=32,
    )  # fmt: skip


@pytest.mark.slow
def test_everything_is_found_in_a_folder_that_no_run_would_take(config, tmp_path):
    images = tmp_path / "data" / "images"
    (images / "1_left.jpeg").unlink()
    (images / "2_left.jpeg").write_text("<html>404</html>")
    (images / "3_left.jpeg").write_bytes((images / "3_left.jpeg").read_bytes()[:-2])
    (images / "20_left.jpeg").write_bytes((images / "4_left.jpeg").read_bytes())  # of grade 4, now also of grade 0
    (images / "new.jpeg").write_bytes(jpeg(picture(77)))
    with pytest.raises(InputError, match="missing"):
        prepare_data(config, progress=False)
    audit = audit_data(config, progress=False)
    found = audit.found
    assert audit.thumbnail("3_left").size == (96, 80) and audit.thumbnail("2_left") is None
    folders = [str(tmp_path / "data"), str(images)]
    label_files = ["test_img.csv", "test_label.csv", "train_img.csv", "train_label.csv"]
    assert found["files"] == {
        "missing": ["1_left"], "unlabeled": ["images/new.jpeg"], "several": {}, "respelled": {}, "dangling": [],
        "other_grade": {},
        "other_pictures": {}, "ignored": {"label files": label_files}, "folders": folders, "not_read": {},
    }  # fmt: skip
    assert {entry["image"]: entry["status"] for entry in found["damage"]["files"]} == {
        "2_left": "unreadable",
        "3_left": "end marker missing",
    }
    assert found["reconciliation"] == {
        "files": {"all": 28, "used": 22, "unlabeled": 1, "damaged": 1, "label files": 4},
        "rows": {"all": 24, "used": 22, "missing": 1, "ungradable": 0, "damaged": 1, "repeated": 0},
    }
    text = audit_text(found)
    assert "files 28 = used 22 + unlabeled 1 + damaged 1 + label files 4" in " ".join(text.split())
    assert "Labels: the course's pairs of files (train_img.csv" in text
    assert audit.reconciliation["count"].tolist()[:2] == [28, 22]
    (group,) = found["duplicates"]["exact"]
    assert {entry["image"] for entry in group["photographs"]} == {"4_left", "20_left"}


@pytest.mark.slow
def test_the_audit_names_what_cannot_be_read_now_and_opens_it_no_more(config, tmp_path, monkeypatch):
    images = tmp_path / "data" / "images"
    (images / "1_left.memory").touch()
    (images / "2_left.jpeg").write_bytes(b"")
    monkeypatch.setattr("dr_lib.data.scan.examine_one", odd_decoders.examine_or_die)
    audit = write_audit(config, progress=False)
    ((image, reason),) = audit.found["files"]["not_read"].items()
    assert image == "1_left" and "out of memory" in reason
    assert [entry["image"] for entry in audit.found["damage"]["files"]] == ["2_left"]
    opened = lambda *_: pytest.fail("opened again")  # noqa: E731
    monkeypatch.setattr("dr_lib.report.audit_results.IsolatedDecoder.thumbnail", opened)
    assert audit.thumbnail("1_left") is None and audit.thumbnail("2_left") is None
    assert "Cannot be read now: 1 photograph (1_left; of the first: out of memory" in audit_text(audit.found)
    assert "1_left (out of memory" in ExperimentFolder(Path(config.out_dir)).audit_page.read_text()


def test_a_sound_folder_has_the_fingerprint_of_its_runs_and_their_squares(config, tmp_path):
    found = audit_data(config, progress=False).found
    assert found["fingerprint"] == prepare_data(config, progress=False).fingerprint
    assert len(list((tmp_path / "cache").rglob("pixels.npy"))) == 2


@pytest.mark.slow
def test_an_interrupted_audit_goes_on_from_what_it_had_measured(config, monkeypatch):
    measured = []
    map_in_workers = scan.map_in_workers

    def noted(function, items, **options):
        for item, answer in map_in_workers(function, items, **options):
            measured.append(item)
            yield item, answer

    def interrupt(self, label, done, total):
        if done == 9:
            raise KeyboardInterrupt

    monkeypatch.setattr(scan, "map_in_workers", noted)
    with monkeypatch.context() as patches, pytest.raises(KeyboardInterrupt):
        patches.setattr(scan.Progress, "bar", interrupt)
        audit_data(config)
    assert len(measured) == 9
    found = audit_data(config, progress=False).found
    assert len(measured) == len(set(measured)) == len([*TRAIN, *TEST])  # none of them twice
    assert audit_data(config, progress=False).found == found and len(measured) == len([*TRAIN, *TEST])
    assert audit_data(config.model_copy(update={"cache_dir": config.cache_dir + "2"}), progress=False).found == found


def test_a_folder_is_listed_once_and_each_photograph_asked_after_once(config, tmp_path, monkeypatch):
    asked = Counter()

    def count(name):
        function = getattr(os, name)

        def counted(path, *arguments, **options):
            asked[name, str(path)] += 1
            return function(path, *arguments, **options)

        monkeypatch.setattr(os, name, counted)

    for name in ("scandir", "listdir", "stat", "lstat"):
        count(name)
    data, images = tmp_path / "data", tmp_path / "data" / "images"
    for _ in range(2):  # the second time nothing is measured
        asked.clear()
        audit_data(config, progress=False)
        assert [asked["scandir", str(folder)] + asked["listdir", str(folder)] for folder in (data, images)] == [1, 1]
        of_photographs = {key: count for key, count in asked.items() if key[1].startswith(f"{images}/")}
        assert len(of_photographs) == len([*TRAIN, *TEST]) and set(of_photographs.values()) == {1}


def test_without_photographs_the_labels_are_audited_alone(config, tmp_path):
    for path in (tmp_path / "data" / "images").iterdir():
        path.unlink()
    found = write_audit(config, progress=False).found
    looked_in = f"not looked at: none that the labels name is in {tmp_path / 'data'}, {tmp_path / 'data' / 'images'}; "
    text = " ".join(audit_text(found).split())
    assert f"{looked_in}put them below the data folder." in text
    assert "damage" not in found and found["splits"]["test"]["photographs"] == 8
    assert read_sealed_json(ExperimentFolder(Path(config.out_dir)).audit) == found
    assert "were not looked at: none" in ExperimentFolder(Path(config.out_dir)).audit_page.read_text()


def test_links_to_nothing_and_two_files_of_a_name_are_findings(config, tmp_path):
    images = tmp_path / "data" / "images"
    for name in TRAIN:
        (images / f"{name}.jpeg").unlink()
        (images / f"{name}.jpeg").symlink_to("../.git/annex/objects/gone")
    picture(1).save(images / "20_left.png")
    audit = audit_data(config, progress=False)
    assert audit.found["damage"]["checked"] == len(TEST) - 1
    assert audit.found["files"]["missing"] == list(TRAIN) and len(audit.found["files"]["dangling"]) == len(TRAIN)
    assert audit.found["files"]["several"] == {"20_left": [str(images / "20_left.jpeg"), str(images / "20_left.png")]}
    assert audit.thumbnail("1_left") is None


def test_where_all_have_two_files_none_is_said_to_be_missing(config, tmp_path):
    shutil.copytree(tmp_path / "data" / "images", tmp_path / "data" / "train")
    found = audit_data(config, progress=False).found
    assert not found["files"]["missing"] and len(found["files"]["several"]) == len(TRAIN) + len(TEST)
    text = " ".join(audit_text(found).split())
    assert "not looked at: each that the labels name has several files, or none." in text


@pytest.mark.slow
def test_the_command_prints_and_writes_the_same_audit(config, tmp_path):
    data = tmp_path / "data.yaml"
    data.write_text(f"data_dir: {config.data_dir}\ncache_dir: {config.cache_dir}\nimage_size: 32\nresize: 40\n")
    command = [sys.executable, "-m", "dr_lib.cli", "audit", "--data", data, "--out", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
    assert "24 photographs" in done.stdout and "GRADES" in done.stdout
    assert done.stdout.splitlines()[-1] == str(tmp_path / "out" / "audit.html")


@pytest.mark.slow
@pytest.mark.real
def test_labels_of_the_course_alone_are_quick(tmp_path):
    data = tmp_path / "data.yaml"
    data.write_text(f"data_dir: {real_data() / 'course-csv'}\n")
    command = [sys.executable, "-m", "dr_lib.cli", "audit", "--data", data, "--out", tmp_path / "out"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Processor time: 6 s on a core of its own, half of that for modules; others' work in its caches makes it more.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 20
    said = " ".join(done.stdout.split())
    assert "5,051 of 6,322 testing patients (79.9%) have their other eye among the photographs trained on" in said
    assert "567 more have their other eye among the validation photographs" in said
    assert "2576_right" in done.stdout and "3798_left" in done.stdout


def test_each_odd_kind_of_file_is_a_finding_that_names_it(config, tmp_path):
    images = tmp_path / "data" / "images"
    retina = np.zeros((80, 96, 3), np.uint8)
    y, x = np.mgrid[:80, :96] + 0.5
    retina[np.hypot(x - 48, y - 40) < 36] = (190, 110, 60)
    written, gray, whole = retina.copy(), retina.copy(), Image.fromarray(retina)
    written[3:9, 4:12] = 255
    gray[~retina.any(axis=2)] = 128
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    inks = np.array(whole.convert("CMYK"))
    inks[..., :3] = 255 - inks[..., :3]
    inverted = Image.frombytes("CMYK", whole.size, inks.tobytes())
    files = {
        "0_left.tif": lambda file: picture(1).save(file, save_all=True, append_images=[picture(2)]),
        "0_right.png": lambda file: whole.convert("RGBA").save(file),
        "1_left.tif": lambda file: inverted.save(file),
        "1_right.png": lambda file: Image.fromarray(np.full((80, 96), 4000, np.uint16)).save(file),
        "2_left.tif": lambda file: Image.fromarray(np.full((80, 96), 0.5, np.float32)).save(file),
        "2_right.jpeg": lambda file: whole.save(file, exif=exif),
        "3_left.png": lambda file: Image.fromarray(written).save(file),
        "3_right.png": lambda file: Image.fromarray(gray).save(file),
        "4_left.png": lambda file: Image.fromarray(retina[..., ::-1]).save(file),
        "4_right.png": lambda file: Image.fromarray(retina.transpose(1, 0, 2)[:, 20:60]).save(file),
    }  # fmt: skip
    for name, write in files.items():
        (images / f"{name.partition('.')[0]}.jpeg").unlink()
        write(images / name)
    audit = audit_data(config, progress=False)
    found = audit.findings.set_index("name")["photographs"]
    assert found["pages"] == ["0_left"] and found["alpha"] == ["0_right"] and found["inks"] == ["1_left"]
    assert found["deep"] == ["1_right"] and found["unreadable"] == ["2_left"] and found["turned"] == ["2_right"]
    assert found["marks"] == ["3_left"] and set(found["surround"]) == {"3_right", "1_left"}
    assert set(found["colors"]) == {"1_left", "4_left"} and found["odd-size"] == ["4_right"]
    assert "white is unknown" in audit.damaged.set_index("image").loc["2_left", "detail"]
    assert {"odd_size", "surround", "marks", "colors"} <= set(audit.unusual["kind"])


def test_the_command_fails_on_what_it_is_told_to_and_says_what_changed(config, tmp_path, capsys):
    data = tmp_path / "data.yaml"
    data.write_text(f"data_dir: {config.data_dir}\ncache_dir: {config.cache_dir}\nimage_size: 32\nresize: 40\n")
    audit = ("audit", "--data", data, "--out", tmp_path / "out")
    assert dr_lab(*audit, "--fail-on", "leak,unreadable") == 0
    assert dr_lab(*audit, "--fail-on", "leek") == 2
    assert "no check of that name" in capsys.readouterr().err
    (tmp_path / "data" / "images" / "2_left.jpeg").write_bytes(b"\xff\xd8 no more")
    assert dr_lab(*audit, "--fail-on", "unreadable", "--compare", tmp_path / "out" / "audit.json") == 3
    said = capsys.readouterr().out
    assert "New: unreadable." in said and "--fail-on: found unreadable" in said
    assert dr_lab(*audit, "--compare", tmp_path / "data.yaml") == 2
