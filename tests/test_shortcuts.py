import json

import numpy as np
import pandas as pd
import pytest

from dr_lib.evaluation.shortcuts import LEAST_PATIENTS, TOGETHER, find_shortcuts
from dr_lib.report.audit_findings import CHECKS, TARGETS


def photographs(patients, seed=0):
    """Return photographs of both eyes of patients, with traits that say nothing of grade and split."""
    random = np.random.default_rng(seed)

    def of_patients(values):
        return np.repeat(values, 2)

    return pd.DataFrame(
        {
            "grade": of_patients(random.choice(5, patients)),
            "patient": of_patients(np.arange(patients).astype(str)),
            "split": of_patients(np.where(random.random(patients) < 0.3, "test", "train")),
            "width": of_patients(random.choice([1024, 2048], patients)),
            "height": 768,
            "format": "JPEG",
            "mode": "RGB",
            "camera": of_patients(random.choice(["Canon", "Topcon", ""], patients)),
            "brightness": of_patients(random.normal(0.4, 0.1, patients)) + random.normal(0, 0.02, 2 * patients),
        }
    )


def by_pair(table):
    return {(row["target"], row["trait"]): row for row in find_shortcuts(table)}


def test_a_camera_that_has_the_sicker_patients_is_found_and_nothing_else():
    table = photographs(300)
    sick = table["grade"] >= 2
    table["camera"] = np.where(sick, "Topcon", "Canon")
    table.loc[table["patient"].astype(int) % 4 == 0, "camera"] = "Nidek"
    found = by_pair(table)
    camera = found["grade", "camera"]
    assert camera["shortcut"] and 0.8 < camera["low"] < camera["auc"] < camera["high"] <= 1
    assert {pair for pair, row in found.items() if row["shortcut"]} == {("grade", "camera"), ("grade", TOGETHER)}
    assert all(0 <= row["low"] <= row["auc"] <= row["high"] <= 1 for row in found.values())
    assert json.loads(json.dumps(list(found.values()))) == list(found.values())


def test_testing_photographs_of_another_brightness_are_found():
    table = photographs(300)
    table["brightness"] += 0.3 * (table["split"] == "test")
    found = by_pair(table)
    assert found["split", "brightness"]["shortcut"] and not found["grade", "brightness"]["shortcut"]


def test_what_is_the_same_everywhere_is_no_trait_and_few_patients_are_no_answer():
    table = photographs(300).assign(width=1024, camera="")
    assert set(by_pair(table)) == {("grade", "brightness"), ("split", "brightness")}
    assert find_shortcuts(table.assign(brightness=0.4)) == []
    assert find_shortcuts(photographs(LEAST_PATIENTS)) == []
    assert {target for target, _ in by_pair(table.assign(split="train"))} == {"grade"}


def test_both_eyes_of_a_patient_do_not_make_it_surer():
    table = photographs(300)
    table["camera"] = np.where(table["grade"] >= 2, "Topcon", "Canon")
    table.loc[table["patient"].astype(int) % 2 == 0, "camera"] = "Nidek"
    once = by_pair(table.drop_duplicates("patient"))["grade", "camera"]
    twice = by_pair(table)["grade", "camera"]
    assert twice["high"] - twice["low"] == pytest.approx(once["high"] - once["low"], rel=0.15)


@pytest.mark.slow
def test_where_there_is_none_one_is_found_in_few_data_sets():
    """Of 100 sets without a shortcut, 5 or so have one of ten intervals above chance."""
    false_alarms = sum(any(row["shortcut"] for row in find_shortcuts(photographs(400, seed))) for seed in range(60))
    assert false_alarms <= 8


def test_each_target_has_a_check():
    assert set(TARGETS) == {"grade", "split"} and set(TARGETS.values()) <= set(CHECKS)
