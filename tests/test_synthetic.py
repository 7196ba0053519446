"""The generated photographs: form of the data set, truth of grades and damage, and what must not give them away."""

import csv
import json
import subprocess
import sys
import time
import warnings
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
import pytest
from command import dr_lab
from PIL import Image
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dr_lib.synthetic import LAB_GRADE_SHARES, LESION_KINDS, draw_fundus, make_data
from dr_lib.synthetic.lesions import MANY, Plan, plan
from dr_lib.synthetic.patients import assign_patients, grade_counts

ROOT = Path(__file__).parent.parent
TRAIN, TEST, SIZE = 60, 21, 96


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One small data set, drawn by one process; no test changes it."""
    folder = tmp_path_factory.mktemp("generated") / "data"
    make_data(folder, train=TRAIN, test=TEST, size=SIZE, seed=3, jobs=1)
    return folder


def read_split(folder, split):
    names = (folder / f"{split}_img.csv").read_text().splitlines()
    grades = [int(line) for line in (folder / f"{split}_label.csv").read_text().splitlines()]
    assert len(names) == len(grades)
    return names, grades


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_number_of_processes(folder, tmp_path):
    steps = []

    def watch(done, total):
        steps.append((done, total))

    make_data(tmp_path / "two", train=TRAIN, test=TEST, size=SIZE, seed=3, jobs=2, progress=watch)
    assert files(tmp_path / "two") == files(folder)
    assert steps[-1] == (TRAIN + TEST, TRAIN + TEST) and steps == sorted(steps)


def test_another_seed_gives_other_photographs():
    drawn = [draw_fundus(10, "left", 0, size=SIZE, seed=seed).pixels for seed in (0, 1)]
    assert drawn[0].shape != drawn[1].shape or (drawn[0] != drawn[1]).any()


def test_files_have_the_form_of_the_course(folder):
    train, _ = read_split(folder, "train")
    test, _ = read_split(folder, "test")
    assert (len(train), len(test)) == (TRAIN, TEST)
    assert {path.name for path in (folder / "images").iterdir()} == {f"{name}.jpeg" for name in train + test}
    assert train != sorted(train)
    patients = [{name.split("_")[0] for name in names} for names in (train, test)]
    assert not patients[0] & patients[1]
    eyes = Counter(name.split("_")[1] for name in train + test)
    assert eyes == {"left": 41, "right": 40}
    assert not [path for path in folder.parent.iterdir() if path != folder], "a temporary folder was left behind"


def test_without_test_split_there_are_no_test_files(tmp_path):
    make_data(tmp_path / "data", train=3, test=0, size=64, jobs=1)
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        "generated.json",
        "images",
        "lesions.csv",
        "train_img.csv",
        "train_label.csv",
    ]


def test_grade_counts_follow_the_lab(folder):
    assert grade_counts(28099, LAB_GRADE_SHARES) == list(LAB_GRADE_SHARES)
    assert grade_counts(1000, LAB_GRADE_SHARES) == [735, 69, 150, 25, 21]
    assert grade_counts(5, LAB_GRADE_SHARES) == [1, 1, 1, 1, 1]
    assert grade_counts(10, (1, 0, 0, 0, 1)) == [5, 0, 0, 0, 5]
    for split, total in (("train", TRAIN), ("test", TEST)):
        counts = Counter(read_split(folder, split)[1])
        assert [counts[grade] for grade in range(5)] == grade_counts(total, LAB_GRADE_SHARES)


def test_both_eyes_of_a_patient_are_graded_alike():
    train, _ = assign_patients(4000, 0, LAB_GRADE_SHARES, seed=0)
    pairs = [(left.grade, right.grade) for left, right in zip(train[::2], train[1::2], strict=True)]
    agreement = np.mean([left == right for left, right in pairs])
    assert 0.82 < agreement < 0.92  # 0.872 among the 17,563 pairs of EyePACS' training set


def findings(planned: Plan) -> int:
    """Return the grade that table 1 of the ICDR scale gives to a plan."""
    if planned.vessels_at_disc or planned.vessels_elsewhere or planned.preretinal:
        return 4
    if min(planned.hemorrhages) > MANY or len(planned.beaded) >= 2 or planned.irma:
        return 3
    if sum(planned.hemorrhages) or planned.exudate_groups or planned.cotton_wool_spots:
        return 2
    return 1 if planned.microaneurysms else 0


@pytest.mark.parametrize("grade", range(5))
def test_plans_meet_the_definition_of_their_grade(grade):
    rng = np.random.default_rng(0)
    for _ in range(300):
        planned = plan(grade, rng)
        assert findings(planned) == grade == planned.grade
        assert (planned.microaneurysms > 0) == (grade > 0)
        if grade == 2:
            assert max(planned.hemorrhages) <= MANY


def test_lesion_table_agrees_with_the_grades(folder):
    grades = {
        name: grade for split in ("train", "test") for name, grade in zip(*read_split(folder, split), strict=True)
    }
    with open(folder / "lesions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", *LESION_KINDS]
    assert {row["image"] for row in rows} == set(grades)
    for row in rows:
        counts = {kind: int(row[kind]) for kind in LESION_KINDS}
        present = {kind for kind, count in counts.items() if count}
        match grades[row["image"]]:
            case 0:
                assert not present
            case 1:
                assert present == {"microaneurysms"}
            case 2 | 3:
                assert "new_vessels" not in present
                assert present - {"microaneurysms"}


def test_lesions_are_drawn_where_the_grade_needs_them():
    """The same eye with and without lesions differs in few pixels for grade 1 and in many for the severe grades."""
    changed = []
    for grade in (1, 2, 3):
        shares = []
        for patient in (10, 11, 12):
            pictures = [draw_fundus(patient, "right", g, size=256).pixels.astype(int) for g in (0, grade)]
            shares.append((np.abs(pictures[0] - pictures[1]).max(axis=2) > 20).mean())
        changed.append(float(np.mean(shares)))
    assert 0 < changed[0] < changed[1] < changed[2] < 0.15  # the rest of the photograph stays as it is


def test_damage_is_what_was_recorded(folder):
    damaged = json.loads((folder / "generated.json").read_text())["damaged"]
    assert Counter(how["damage"] for how in damaged.values()) == {"end marker missing": 2, "truncated": 2}
    assert set(damaged) <= set(read_split(folder, "train")[0])
    for path in (folder / "images").iterdir():
        data, how = path.read_bytes(), damaged.get(path.stem)
        if how is None:
            assert data.endswith(b"\xff\xd9")
            Image.open(BytesIO(data)).verify()
            Image.open(BytesIO(data)).load()
        elif how["damage"] == "end marker missing":
            assert not data.endswith(b"\xff\xd9")
        else:
            with pytest.raises(OSError, match="truncated"):
                Image.open(BytesIO(data)).load()


def test_damaged_files_differ_from_intact_ones_by_their_end_alone(folder, tmp_path):
    make_data(tmp_path / "intact", train=TRAIN, test=TEST, size=SIZE, seed=3, jobs=1, damage=False)
    for name, how in json.loads((folder / "generated.json").read_text())["damaged"].items():
        data, intact = ((place / "images" / f"{name}.jpeg").read_bytes() for place in (folder, tmp_path / "intact"))
        assert intact.startswith(data)
        if how["damage"] == "end marker missing":
            assert data + b"\xff\xd9" == intact
        else:
            assert len(data) < len(intact) - 2


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="not empty"):
        make_data(tmp_path, train=2, test=0, size=64)
    assert files(tmp_path) == {"mine.txt": b"keep"}


def test_an_empty_folder_is_filled(tmp_path):
    make_data(tmp_path, train=1, test=0, size=64, jobs=1)
    assert read_split(tmp_path, "train") == (["10_left"], [0])


@pytest.mark.parametrize(
    "wrong",
    [
        {"train": 0},
        {"test": -1},
        {"size": 10},
        {"seed": -1},
        {"jobs": 0},
        {"train": 2.5},
        {"grade_shares": (1, 2, 3)},
        {"grade_shares": (0, 0, 0, 0, 0)},
        {"grade_shares": (1, 1, 1, 1, float("nan"))},
    ],
)
def test_numbers_out_of_range_are_refused_before_anything_is_written(tmp_path, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))) as error:
        make_data(tmp_path / "data", **({"train": 4, "test": 0, "size": 64} | wrong))
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_nothing_behind(tmp_path):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_data(tmp_path / "data", train=4, test=0, size=64, jobs=1, progress=interrupt)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("patient", [10, 11, 14])
def test_the_disc_is_on_the_nasal_side_and_both_eyes_are_alike(patient):
    left, right = (draw_fundus(patient, eye, 0, size=128) for eye in ("left", "right"))
    assert left.disc[0] < left.fovea[0] and right.disc[0] > right.fovea[0]
    # Mirrored, the two discs fall nearly on one another.
    width = right.pixels.shape[1]
    assert abs((width - left.disc[0]) - right.disc[0]) < 0.12 * width
    for fundus in (left, right):
        brightness = fundus.pixels.astype(float).mean(axis=2)
        at_disc, at_fovea = (brightness[round(y), round(x)] for x, y in (fundus.disc, fundus.fovea))
        assert at_disc > at_fovea


def test_formats_vary_and_the_surround_is_black():
    shapes, corners = set(), []
    for patient in range(10, 40):
        pixels = draw_fundus(patient, "left", 0, size=96).pixels
        shapes.add(pixels.shape)
        corners.append(pixels[:3, :3].max())
    assert len(shapes) > 8
    assert max(corners) < 25


def color_histograms(folder, split):
    names, grades = read_split(folder, split)
    rows = []
    for name in names:
        pixels = np.asarray(Image.open(folder / "images" / f"{name}.jpeg"))
        pixels = pixels.reshape(-1, 3)
        rows.append(np.concatenate([np.histogram(channel, 16, (0, 256))[0] / len(pixels) for channel in pixels.T]))
    return np.array(rows), np.array(grades)


@pytest.mark.slow
def test_colors_alone_do_not_give_the_grade_away(tmp_path):
    """A linear model on color histograms does no better than always answering the majority."""
    make_data(tmp_path / "data", train=300, test=100, size=64, damage=False)
    train, test = (color_histograms(tmp_path / "data", split) for split in ("train", "test"))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a rough fit is enough for an upper bound
        accuracy = model.fit(*train).score(*test)
    majority = float(np.mean(test[1] == 0))
    assert accuracy <= majority + 0.03


DRAW = "from dr_lib.synthetic import make_data; make_data({!r}, train=24, test=0, size=256, jobs=2)"


def drawing(folder):
    """Start to draw in a process of its own; return it and its workers once they are at work."""
    process = subprocess.Popen([sys.executable, "-c", DRAW.format(str(folder))], cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(folder.parent.glob(f".{folder.name}.*.part/images/*.jpeg")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    return process, psutil.Process(process.pid).children(recursive=True)


@pytest.mark.slow
def test_what_a_killed_drawing_leaves_ends_and_goes(tmp_path):
    folder = tmp_path / "drawn"
    process, workers = drawing(folder)
    assert len(workers) >= 2
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert not alive and not folder.exists() and len(list(tmp_path.iterdir())) == 1
    make_data(folder, train=4, test=0, size=96, jobs=1)
    assert list(tmp_path.iterdir()) == [folder] and len(list((folder / "images").iterdir())) == 4


def test_who_draws_into_a_folder_that_is_being_drawn_waits(tmp_path, caplog):
    folder = tmp_path / "drawn"
    process, _ = drawing(folder)
    with pytest.raises(FileExistsError, match="exists and is not empty"):
        make_data(folder, train=4, test=0, size=96, jobs=1)
    assert process.wait() == 0 and "another process draws these photographs" in caplog.text
    assert len(list((folder / "images").iterdir())) == 24 and list(tmp_path.iterdir()) == [folder]


def test_shares_of_grades_are_those_that_were_asked_for(tmp_path, capsys):
    command = ["make-data", str(tmp_path / "drawn"), "--train", "40", "--test", "10", "--size", "96"]
    assert dr_lab(*command, "--shares", "2,1,1,1,0") == 0
    grades = (tmp_path / "drawn" / "train_label.csv").read_text().split()
    assert sorted(Counter(grades).items()) == [("0", 16), ("1", 8), ("2", 8), ("3", 8)]
    for wrong in ("1,2,3", "a,b,c,d,e", "0,0,0,0,0"):
        assert dr_lab("make-data", str(tmp_path / "no"), "--shares", wrong) == 2
        assert "shares" in capsys.readouterr().err and not (tmp_path / "no").exists()
