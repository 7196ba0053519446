import hashlib
import json
import subprocess
import sys
import time
from functools import partial

import pandas as pd
import pytest
from data_folders import real_data, write_course

from dr_lib.data.appearance import BRIGHT, DARK
from dr_lib.data.audit import audit_labels, audit_photographs, fingerprint, patients_apart
from dr_lib.data.inspection import CORRUPT, INTACT, NO_END_MARKER, TRUNCATED, UNREADABLE, FileStatus
from dr_lib.data.labels import Labels, read_labels
from dr_lib.data.patients import patient_of
from dr_lib.data.repair_policy import Decision, decide
from dr_lib.data.scan_image import ImageInfo
from dr_lib.errors import InputError
from dr_lib.report.data_sentences import leak_of
from dr_lib.storage.files import write_json

usual = partial(
    ImageInfo,
    status=FileStatus(INTACT, 0.0, "", 100, 80),
    format="JPEG",
    mode="RGB",
    brightness=0.4,
    contrast=0.1,
    retina=(0.5, 0.5, 0.4),
)
"""Facts of a file with which nothing is wrong, and what a test changes of them."""


def table_of(**splits):
    rows = [
        (image, grade, patient_of(image), split) for split, grades in splits.items() for image, grade in grades.items()
    ]
    return pd.DataFrame(rows, columns=["image", "grade", "patient", "split"])


TABLE = table_of(
    train={"1_left": 0, "1_right": 0, "2_left": 0, "3_left": 4},
    validation={"4_left": 1},
    test={"2_right": 0, "4_right": 1, "5_left": 4, "5_right": 0},
)
STATUSES = {
    "a": FileStatus(INTACT, 0.0, "", 100, 80),
    "b": FileStatus(NO_END_MARKER, 0.0, "all rows are there", 110, 80),
    "c": FileStatus(TRUNCATED, 0.1, "10.0 % of the rows are lost", 120, 90),
    "d": FileStatus(TRUNCATED, 0.2, "20.0 % of the rows are lost", 120, 90),
    "e": FileStatus(UNREADABLE, 1.0, "no image format that Pillow knows", 0, 0),
    "f": FileStatus(CORRUPT, 0.1, "libjpeg: corrupt data", 120, 90),
}


def look_at(infos, table=None):
    """Return the audit of photographs with these infos, all in training and of grade 0 unless ``table`` says else."""
    if table is None:
        table = table_of(train=dict.fromkeys(infos, 0))
    decisions = decide({image: one.status for image, one in infos.items()}, on_damage="repair", max_lost_share=0.1)
    return audit_photographs(table, infos, decisions)


def names(entries):
    return [entry["image"] for entry in entries]


def test_labels_alone():
    found = audit_labels(Labels(TABLE, "course", header=False, split_origin="made here by patient"))
    assert found["splits"]["train"] == {
        "photographs": 4, "patients": 3, "unknown_patients": 0,
        "counts": [3, 0, 0, 0, 1], "shares": [0.75, 0, 0, 0, 0.25],
    }  # fmt: skip
    assert found["splits"]["test"]["patients"] == 3
    assert found["majority_accuracy"] == 0.5  # grade 0 is the commonest in training
    # 2 is in training, 4 in validation alone, which is not trained on; 5 is in neither.
    assert found["patients_on_both_sides"] == {
        "test_patients": 3, "also_in_training": 1, "also_in_validation": 1, "named": True, "unknown": 0,
        "patients": ["2"], "in_validation": ["4"], "note": "",
    }  # fmt: skip
    assert (found["form"], found["header"], found["split_origin"]) == ("course", False, "made here by patient")
    assert found["samples"] == [["1_left", "2_left"], [], [], [], ["3_left"]]


def test_retinamnist_is_said_to_be_of_patients_with_four_photographs():
    table = table_of(train={"a": 0, "b": 2}, test={f"t{number}": 2 * (number % 2) for number in range(80)})
    found = audit_labels(Labels(table, "medmnist"))
    assert "100 patients, four each" in leak_of(found["patients_on_both_sides"])
    other = audit_labels(Labels(table, "table"))
    assert "four each" not in leak_of(other["patients_on_both_sides"])
    first, second = (audit["half_widths"][0] for audit in (found, other))
    assert (first["patients"], second["patients"]) == (20, 80) and first["half_width"] > 1.8 * second["half_width"]


def test_the_majority_is_that_of_training():
    found = audit_labels(Labels(table_of(train={"1": 2, "2": 2, "3": 0}, test={"4": 0, "5": 0, "6": 2, "7": 0})))
    assert found["majority_accuracy"] == 0.25
    assert not found["patients_on_both_sides"]["named"]


def test_patients_are_unknown_where_neither_the_labels_nor_a_name_tell_them():
    found = audit_labels(Labels(table_of(train={"a": 0, "b": 1, "1_left": 0}, test={"c": 0, "2_left": 1})))
    both = found["patients_on_both_sides"]
    assert (both["test_patients"], both["also_in_training"], both["named"], both["unknown"]) == (1, 0, True, 3)
    assert both["patients"] == both["in_validation"] == [] and both["also_in_validation"] == 0
    assert [found["splits"][split]["patients"] for split in ("train", "test")] == [1, 1]
    assert [found["splits"][split]["unknown_patients"] for split in ("train", "test")] == [2, 1]


def test_empty_splits_are_zeros_that_json_can_hold(tmp_path):
    found = audit_labels(Labels(table_of(train={"1": 0})))
    assert found["splits"]["test"] == {
        "photographs": 0, "patients": 0, "unknown_patients": 0, "counts": [0] * 5, "shares": [0] * 5,
    }  # fmt: skip
    assert found["majority_accuracy"] is None
    write_json(tmp_path / "audit.json", found | look_at({}))


@pytest.mark.parametrize("both", [True, False])
def test_pandas_default_loses_the_first_photograph_of_each_pair(tmp_path, both):
    train, test = {"9_left": 3, "10_left": 0, "10_right": 1}, {"7_right": 2, "7_left": 0}
    write_course(tmp_path, train, test)
    if not both:
        (tmp_path / "test_img.csv").unlink()
        (tmp_path / "test_label.csv").unlink()
    lost = read_labels(tmp_path, "course").header_loss
    for number, prefix in enumerate(["train", "test"][: 1 + both]):
        image, grade = (pd.read_csv(tmp_path / f"{prefix}_{part}.csv").columns[0] for part in ("img", "label"))
        assert lost[number] == {
            "image_file": f"{prefix}_img.csv", "grade_file": f"{prefix}_label.csv", "image": image, "grade": int(grade),
        }  # fmt: skip
    assert len(lost) == 1 + both


def test_nothing_is_lost_where_there_is_a_header(tmp_path):
    write_course(tmp_path / "course", {"9_left": 3}, {"7_right": 2}, header=True)
    assert read_labels(tmp_path / "course").header_loss == ()
    (tmp_path / "kaggle").mkdir()
    (tmp_path / "kaggle" / "trainLabels.csv").write_text("image,level\n1_left,0\n")
    assert read_labels(tmp_path / "kaggle").header_loss == ()


def test_patients_apart():
    found = patients_apart(
        table_of(
            train={"1_left": 0, "1_right": 2, "2_left": 1, "2_right": 2, "10_right": 0, "4_left": 4, "5_left": 1},
            test={"3_left": 3, "3_right": 3, "10_left": 4},
        )
    )
    assert (found["patients"], found["by_difference"]) == (4, [1, 1, 1, 0, 1])
    assert [(patient["patient"], patient["difference"]) for patient in found["apart"]] == [("10", 4), ("1", 2)]
    assert found["apart"][0]["photographs"] == [
        {"image": "10_left", "grade": 4, "split": "test"},
        {"image": "10_right", "grade": 0, "split": "train"},
    ]


def test_nobody_is_apart_where_each_patient_has_one_photograph():
    assert patients_apart(table_of(train={"1": 0, "2": 4})) == {"patients": 0, "by_difference": [0] * 5, "apart": []}


def test_damage_and_sizes():
    found = look_at({image: usual(status=status) for image, status in STATUSES.items()})
    assert found["width"] == [100, 120, 120] and found["height"] == [80, 90, 90]
    assert found["sizes"][0] == {"width": 120, "height": 90, "photographs": 3}
    damage = found["damage"]
    assert (damage["checked"], damage["intact"]) == (6, 1)
    assert damage["kinds"] == {"truncated": 2, "intact": 1, "end marker missing": 1, "unreadable": 1, "corrupt": 1}
    assert names(damage["files"]) == ["b", "c", "d", "e", "f"]
    assert damage["files"][1] == {
        "image": "c", "grade": 0, "patient": "c", "split": "train", "status": "truncated", "lost": 0.1,
        "action": "repaired", "detail": "10.0 % of the rows are lost",
    }  # fmt: skip


def test_kinds_of_files():
    found = look_at({
        "1": usual(format="JPEG", mode="RGB", orientation=0, camera="Canon CR-1"),
        "2": usual(format="PNG", mode="L", orientation=6),
        "3": usual(format="PNG", mode="L", orientation=6),
        "4": usual(status=STATUSES["e"], format="", mode=""),
    })  # fmt: skip
    assert found["formats"] == {"PNG": 2, "JPEG": 1} and found["modes"] == {"L": 2, "RGB": 1}
    assert list(found["orientations"].items()) == [("6", 2), ("0", 1)]
    assert found["cameras"] == {"": 2, "Canon CR-1": 1}


def test_unusual_photographs_in_order_of_brightness():
    found = look_at({
        "usual": usual(), "limits": usual(brightness=DARK), "limit": usual(brightness=BRIGHT),
        "dark": usual(brightness=DARK - 0.01), "black": usual(brightness=0.0, retina=None),
        "white": usual(brightness=0.95, retina=None), "gone": usual(status=STATUSES["e"], brightness=0.0, retina=None),
    })  # fmt: skip
    assert names(found["dark"]) == ["black", "dark"]
    assert names(found["bright"]) == ["white"]
    assert names(found["no_retina"]) == ["black", "white"]  # what is unreadable is damaged, and no more


def test_duplicates_within_and_across_splits():
    rng_hash = hashlib.sha256(b"one").hexdigest()
    near_hash = f"{int(rng_hash, 16) ^ 0b1011:064x}"
    other_hash = hashlib.sha256(b"other").hexdigest()
    table = table_of(train={"1_left": 0, "2_left": 0, "3_left": 4, "5_left": 1}, test={"4_left": 0, "6_left": 2})
    found = look_at(
        {
            "1_left": usual(digest="aa", phash=rng_hash),
            "2_left": usual(digest="aa", phash=rng_hash),
            "3_left": usual(digest="bb", phash=other_hash),
            "4_left": usual(digest="bb", phash=other_hash),
            "5_left": usual(digest="cc", phash=near_hash),
            "6_left": usual(digest="dd", phash=hashlib.sha256(b"alone").hexdigest()),
        },
        table,
    )["duplicates"]
    first, second = found["exact"]
    assert (names(first["photographs"]), first["across_splits"], first["grades_differ"]) == (["1_left", "2_left"], 0, 0)
    assert (names(second["photographs"]), second["across_splits"], second["grades_differ"]) == (
        ["3_left", "4_left"],
        1,
        1,
    )
    (near,) = found["near"]  # of the first two, which are the same file, one stands for both
    assert (names(near["photographs"]), near["distance"]) == (["1_left", "5_left"], 3)
    assert (near["across_splits"], near["grades_differ"]) == (False, True)
    assert near["photographs"][1] == {"image": "5_left", "grade": 1, "patient": "5", "split": "train"}


def test_files_that_are_dropped_are_nobodys_duplicates():
    empty = usual(status=STATUSES["e"], digest="00")
    gray = usual(status=STATUSES["d"], digest="11", phash="f" * 64)
    found = look_at({"1": empty, "2": empty, "3": gray, "4": gray})["duplicates"]
    assert found == {"exact": [], "near": []}


def test_all_of_it_is_json(tmp_path):
    table = TABLE.copy()
    infos = {
        image: usual(status=STATUSES["abcdef"[number % 6]], digest="aa") for number, image in enumerate(table["image"])
    }
    found = audit_labels(Labels(table)) | look_at(infos, table)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize(
    ("on_damage", "max_lost_share", "actions"),
    [
        ("repair", 0.1, ["", "repaired", "repaired", "dropped", "dropped", "kept"]),
        ("repair", 0.0, ["", "repaired", "dropped", "dropped", "dropped", "dropped"]),
        ("repair", 0.99, ["", "repaired", "repaired", "repaired", "dropped", "kept"]),
        ("drop", 0.99, ["", "repaired", "dropped", "dropped", "dropped", "dropped"]),
    ],
)
def test_rule(on_damage, max_lost_share, actions):
    decisions = decide(STATUSES, on_damage=on_damage, max_lost_share=max_lost_share)
    assert [decision.action for decision in decisions] == actions
    assert [decision.image for decision in decisions] == list(STATUSES)


def test_fail_names_the_files_and_lets_a_missing_marker_pass():
    with pytest.raises(
        InputError, match=r"4 photographs are damaged: c \(truncated, 10.0 % of rows lost\), d .*, e \(unreadable\), f "
    ):
        decide(STATUSES, on_damage="fail", max_lost_share=0.99)
    passed = decide({name: STATUSES[name] for name in "ab"}, on_damage="fail", max_lost_share=0)
    assert passed == [Decision("a", STATUSES["a"], ""), Decision("b", STATUSES["b"], "repaired")]


def test_fingerprint_is_over_rows_and_contents_in_any_order():
    digests = {image: f"{number:032x}" for number, image in enumerate(TABLE["image"])}
    infos = {image: usual(digest=digest) for image, digest in digests.items()}
    mark = fingerprint(TABLE, infos)
    lines = sorted(
        f"{row.image}\t{row.grade}\t{row.patient}\t{row.split}\t{digests[row.image]}\n" for row in TABLE.itertuples()
    )
    assert mark == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert fingerprint(TABLE.sample(frac=1, random_state=0), infos) == mark
    for column, value in (("grade", 3), ("split", "test"), ("patient", "9"), ("image", "9_left")):
        other = TABLE.copy()
        other.loc[0, column] = value
        assert fingerprint(other, infos | {"9_left": infos[TABLE["image"][0]]}) != mark
    assert fingerprint(TABLE, infos | {"1_left": usual(digest="of another")}) != mark


def test_the_audit_of_labels_loads_nothing_heavy():
    heavy = ("torch", "torchvision", "matplotlib", "scipy", "sklearn", "papermill", "nbconvert", "numba")
    code = f"import sys, dr_lib.data.audit, dr_lib.report.audit_text; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.real
def test_the_courses_labels():
    started = time.process_time()
    labels = read_labels(real_data() / "course-csv")
    table, found = labels.table, audit_labels(labels)
    assert time.process_time() - started < 5
    assert [found["splits"][split]["photographs"] for split in ("train", "validation", "test")] == [28097, 0, 7026]
    both = found["patients_on_both_sides"]
    assert (both["test_patients"], both["also_in_training"], both["named"]) == (6322, 5618, True)
    # Three rows fewer than in the lab report's table (28100): the published files have shrunk since.
    assert found["splits"]["train"]["counts"] == [20655, 1954, 4209, 698, 581]
    assert [(lost["image"], lost["grade"]) for lost in found["header_loss"]] == [("2576_right", 0), ("3798_left", 0)]

    eyes = table.assign(eye=table["image"].str.rpartition("_")[2]).pivot(index="patient", columns="eye", values="grade")
    steps = (eyes["left"] - eyes["right"]).abs().dropna().astype(int)
    assert found["patients_apart"]["by_difference"] == [int((steps == step).sum()) for step in range(5)]
    assert {patient["patient"] for patient in found["patients_apart"]["apart"]} == set(steps[steps >= 2].index)
