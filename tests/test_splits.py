import numpy as np
import pandas as pd
import pytest
from data_folders import eyes, real_data

from dr_lib.data.labels import read_labels
from dr_lib.data.patients import patient_of
from dr_lib.data.splits import assign_splits, limit_splits, unbalanced
from dr_lib.errors import InputError

LAB_SHARES = (0.7351, 0.0696, 0.1498, 0.0248, 0.0207)


def table_of(grades, split=""):
    rows = [(image, grade, patient_of(image), split) for image, grade in grades.items()]
    return pd.DataFrame(rows, columns=["image", "grade", "patient", "split"])


def lab_like(patients=1000):
    grades = np.random.default_rng(0).choice(5, size=patients, p=np.array(LAB_SHARES) / sum(LAB_SHARES))
    return table_of(eyes(range(patients), lambda patient: int(grades[patient])))


def split(table, seed=0, validation_share=0.1, test_share=0.2, **options):
    return assign_splits(table, validation_share=validation_share, test_share=test_share, seed=seed, **options)


def patients(table, name):
    return set(table.loc[table["split"] == name, "patient"])


def test_patients_stay_together_and_shares_are_met():
    table = split(lab_like())
    train, validation, test = (patients(table, name) for name in ("train", "validation", "test"))
    assert not train & validation and not train & test and not validation & test
    assert (len(test), len(validation), len(train)) == (200, 80, 720)  # 10 % of the 800 that are not tested on


def test_grades_keep_their_shares():
    table = split(lab_like())
    whole = table["grade"].value_counts(normalize=True)
    for name in ("train", "validation", "test"):
        part = table.loc[table["split"] == name, "grade"].value_counts(normalize=True)
        assert (part - whole).abs().max() < 0.01


def test_row_order_changes_nothing_and_the_seed_does():
    table = lab_like(200)
    shuffled = table.sample(frac=1, random_state=1)
    once, again, other = split(table), split(shuffled), split(table, seed=1)
    assert dict(zip(again["image"], again["split"], strict=True)) == dict(
        zip(once["image"], once["split"], strict=True)
    )
    assert again["image"].tolist() == shuffled["image"].tolist()
    assert (once["split"] != other["split"]).any()
    assert set(table["split"]) == {""}  # the argument is not changed


def test_a_given_validation_split_is_kept_or_drawn_anew_from_it_and_training():
    parts = [table_of(eyes(range(start, stop)), name) for start, stop, name in
             ((0, 80, "train"), (80, 100, "validation"), (100, 120, "test"))]  # fmt: skip
    given = pd.concat(parts, ignore_index=True)
    assert split(given)["split"].tolist() == given["split"].tolist()
    drawn = split(given, validation_share=0.3, given_validation=False)
    assert patients(drawn, "test") == patients(given, "test")
    assert len(patients(drawn, "validation")) == 30 and len(patients(drawn, "train")) == 70
    assert patients(drawn, "validation") != patients(split(given, 1, 0.3, given_validation=False), "validation")


def test_a_given_split_is_kept_and_validation_comes_from_training():
    given = pd.concat([table_of(eyes(range(50)), "train"), table_of({"0_x": 1, "3_y": 0}, "test")], ignore_index=True)
    table = split(given)
    assert (table["split"] == "test").tolist() == (given["split"] == "test").tolist()
    assert len(patients(table, "validation")) == 5
    assert (split(given, validation_share=0)["split"] == given["split"]).all()


def test_where_labels_bring_no_testing_photographs_patients_of_training_are_held_out():
    parts = [table_of(eyes(range(80)), "train"), table_of(eyes(range(80, 100)), "validation")]
    table = split(pd.concat(parts, ignore_index=True))
    assert len(patients(table, "test")) == 16 and len(patients(table, "train")) == 64
    assert patients(table, "validation") == {str(patient) for patient in range(80, 100)}


def test_given_validation_is_kept():
    given = table_of(eyes(range(6)))
    given["split"] = ["train", "train", "validation", "test"] * 3
    assert (split(given, validation_share=0.5)["split"] == given["split"]).all()


def test_the_only_patient_of_a_grade_stays_in_training():
    grades = eyes(range(20), lambda patient: 4 if patient == 7 else 0)
    for seed in range(20):
        table = split(table_of(grades), seed, validation_share=0.3, test_share=0.4)
        assert "7" in patients(table, "train")
        assert patients(table, "validation") and patients(table, "test")


def test_few_patients_still_give_one_to_each_split():
    table = split(table_of(eyes(range(4), lambda patient: patient % 2)), validation_share=0.1, test_share=0.1)
    assert [len(patients(table, name)) for name in ("train", "validation", "test")] == [2, 1, 1]


def test_a_split_that_stays_empty_is_refused():
    with pytest.raises(InputError, match=r"'test'.*raise test_share"):
        split(table_of(eyes(range(10))), test_share=0)
    with pytest.raises(InputError, match="'train'"):
        split(table_of(eyes(range(3)), "test"))


def test_limit_keeps_shares_and_every_grade():
    table = split(lab_like())
    small = limit_splits(table, 60, seed=0)
    assert small["split"].value_counts().to_dict() == {"train": 60, "validation": 60, "test": 60}
    train = small.loc[small["split"] == "train", "grade"].value_counts()
    exact = table.loc[table["split"] == "train", "grade"].value_counts(normalize=True) * 60
    assert set(train.index) == {0, 1, 2, 3, 4}
    assert (train - exact).abs().max() <= 1.5
    assert small["image"].tolist() == [name for name in table["image"] if name in set(small["image"])]


@pytest.mark.parametrize("limit", range(1, 12))
def test_tiny_limits(limit):
    table = limit_splits(table_of(eyes(range(100), lambda patient: max(patient - 95, 0)), "train"), limit, seed=3)
    assert len(table) == limit
    assert table["grade"].nunique() == 5 if limit >= 5 else table["grade"].iloc[0] == 0


def test_limit_is_deterministic_and_zero_or_more_than_there_is_keeps_all():
    table = split(lab_like(100))
    pd.testing.assert_frame_equal(limit_splits(table, 20, seed=0), limit_splits(table, 20, seed=0))
    assert set(limit_splits(table, 20, seed=0)["image"]) != set(limit_splits(table, 20, seed=1)["image"])
    pd.testing.assert_frame_equal(limit_splits(table, 0, seed=0), table)
    pd.testing.assert_frame_equal(limit_splits(table, 10_000, seed=0), table)


def test_limit_keeps_both_eyes_of_the_patients_it_draws():
    table = table_of(eyes(range(1000), lambda patient: patient % 5)).assign(split="train")
    table.loc[::2, "grade"] = (table["grade"] + 1) % 5  # eyes that differ
    kept = limit_splits(table, 200, seed=0)
    assert len(kept) == 200
    assert kept["patient"].duplicated(keep=False).mean() > 0.8


def test_what_could_not_be_balanced_is_said():
    grades = (
        eyes(range(20), lambda patient: 0)
        | {f"77_left{n}": 0 for n in range(60)}
        | {"90_left": 4, "91_left": 4, "91_right": 4}
    )
    table = split(table_of(grades))
    many, few = unbalanced(table)
    place = table.loc[table["patient"] == "77", "split"].iloc[0]
    assert many.startswith(f"Patient 77 has 60 of 103 photographs, all in {place}: the shares of photographs are train")
    assert few.startswith("Grade 4 is of 2 patients, so it is in ")
    assert unbalanced(split(lab_like())) == []


@pytest.mark.real
def test_the_courses_split_is_kept():
    labels = read_labels(real_data() / "course-csv").table
    table = split(labels)
    assert (table["split"] == "test").sum() == 7026
    training = labels[labels["split"] == "train"]["patient"].nunique()
    assert len(patients(table, "validation")) == round(0.1 * training)
    assert not patients(table, "train") & patients(table, "validation")
