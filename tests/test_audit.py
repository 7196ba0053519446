import hashlib
import time

import pandas as pd
import pytest
from data_folders import real_data

from dr_lib.data.audit import audit_labels, audit_photographs, fingerprint
from dr_lib.data.damage_rule import Decision, decide
from dr_lib.data.jpeg import INTACT, NO_END_MARKER, TRUNCATED, UNREADABLE, Verdict
from dr_lib.data.labels import patient_of, read_labels
from dr_lib.errors import InputError
from dr_lib.files import write_json


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
VERDICTS = {
    "a": Verdict(INTACT, 0.0, "", 100, 80),
    "b": Verdict(NO_END_MARKER, 0.0, "all rows are there", 110, 80),
    "c": Verdict(TRUNCATED, 0.1, "10.0 % of the rows are lost", 120, 90),
    "d": Verdict(TRUNCATED, 0.2, "20.0 % of the rows are lost", 120, 90),
    "e": Verdict(UNREADABLE, 1.0, "no image format that Pillow knows", 0, 0),
}


def test_labels_alone():
    found = audit_labels(TABLE, form="course", header=False)
    assert found["splits"]["train"] == {
        "photographs": 4, "patients": 3, "counts": [3, 0, 0, 0, 1], "shares": [0.75, 0, 0, 0, 0.25],
    }  # fmt: skip
    assert found["splits"]["test"]["patients"] == 3
    assert found["majority_accuracy"] == 0.5  # grade 0 is the commonest in training
    # 2 is in training and 4 in validation; both are leaks, 5 is none.
    assert found["patients_on_both_sides"] == {"test_patients": 3, "also_in_training": 2, "named": True}
    assert (found["form"], found["header"], found["split_origin"]) == ("course", False, "given")


def test_the_majority_is_that_of_training():
    found = audit_labels(table_of(train={"1": 2, "2": 2, "3": 0}, test={"4": 0, "5": 0, "6": 2, "7": 0}))
    assert found["majority_accuracy"] == 0.25


def test_empty_splits_are_zeros_that_json_can_hold(tmp_path):
    found = audit_labels(table_of(train={"1": 0}))
    assert found["splits"]["test"] == {"photographs": 0, "patients": 0, "counts": [0] * 5, "shares": [0] * 5}
    assert found["majority_accuracy"] is None
    write_json(tmp_path / "audit.json", found | audit_photographs([], []))


def test_photographs():
    decisions = decide(VERDICTS, on_damage="repair", max_lost_share=0.1)
    found = audit_photographs(decisions, [(100, 80), (110, 80), (120, 90), (130, 90)])
    assert found["width"] == [100, 115, 130] and found["height"] == [80, 85, 90]
    damage = found["damage"]
    assert (damage["checked"], damage["intact"], len(damage["files"])) == (5, 1, 4)
    assert damage["files"][1] == {
        "image": "c",
        "verdict": "truncated",
        "lost": 0.1,
        "action": "repaired",
        "detail": "10.0 % of the rows are lost",
    }


@pytest.mark.parametrize(
    ("on_damage", "max_lost_share", "actions"),
    [
        ("repair", 0.1, ["", "repaired", "repaired", "dropped", "dropped"]),
        ("repair", 0.0, ["", "repaired", "dropped", "dropped", "dropped"]),
        ("repair", 0.99, ["", "repaired", "repaired", "repaired", "dropped"]),
        ("drop", 0.99, ["", "repaired", "dropped", "dropped", "dropped"]),
    ],
)
def test_rule(on_damage, max_lost_share, actions):
    decisions = decide(VERDICTS, on_damage=on_damage, max_lost_share=max_lost_share)
    assert [decision.action for decision in decisions] == actions
    assert [decision.image for decision in decisions] == list(VERDICTS)


def test_fail_names_the_files_and_lets_a_missing_marker_pass():
    with pytest.raises(
        InputError, match=r"3 photographs are damaged: c \(10.0 % of rows lost\), d .*, e \(unreadable\)"
    ):
        decide(VERDICTS, on_damage="fail", max_lost_share=0.99)
    passed = decide({name: VERDICTS[name] for name in "ab"}, on_damage="fail", max_lost_share=0)
    assert passed == [Decision("a", VERDICTS["a"], ""), Decision("b", VERDICTS["b"], "repaired")]


def test_fingerprint_is_over_rows_and_sizes_in_any_order():
    sizes = {image: 1000 + number for number, image in enumerate(TABLE["image"])}
    mark = fingerprint(TABLE, sizes.get)
    lines = sorted(
        f"{row.image}\t{row.grade}\t{row.patient}\t{row.split}\t{sizes[row.image]}\n" for row in TABLE.itertuples()
    )
    assert mark == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert fingerprint(TABLE.sample(frac=1, random_state=0), sizes.get) == mark
    for column, value in (("grade", 3), ("split", "test"), ("patient", "9"), ("image", "9_left")):
        other = TABLE.copy()
        other.loc[0, column] = value
        assert fingerprint(other, {**sizes, "9_left": 1000}.get) != mark
    assert fingerprint(TABLE, {**sizes, "1_left": 1}.get) != mark


@pytest.mark.real
def test_the_courses_leak():
    started = time.process_time()
    table = read_labels(real_data() / "course-csv")
    found = audit_labels(table)
    assert time.process_time() - started < 5
    assert [found["splits"][split]["photographs"] for split in ("train", "validation", "test")] == [28097, 0, 7026]
    assert found["patients_on_both_sides"] == {"test_patients": 6322, "also_in_training": 5618, "named": True}
    # Three rows fewer than in the lab report's table (28100): the published files have shrunk since.
    assert found["splits"]["train"]["counts"] == [20655, 1954, 4209, 698, 581]
