import numpy as np
import pandas as pd
import pytest

from dr_lib.errors import InputError
from dr_lib.evaluation.contradiction import contradiction, out_of_fold, rank_labels


def set_with_mistakes(patients=300, wrong=0.05, seed=0):
    """Return photographs of both eyes with features that tell the grade roughly, and which labels are wrong."""
    random = np.random.default_rng(seed)
    true = np.repeat(random.choice(5, patients, p=[0.5, 0.15, 0.2, 0.1, 0.05]), 2)
    features = np.zeros((2 * patients, 40))
    features[:, :8] = true[:, None] * np.linspace(1, 0.2, 8)
    features += random.normal(0, 1, features.shape)
    is_wrong = np.zeros(2 * patients, bool)
    is_wrong[random.permutation(2 * patients)[: round(wrong * 2 * patients)]] = True
    grades = np.where(is_wrong, (true + random.integers(1, 5, 2 * patients)) % 5, true)
    table = pd.DataFrame(
        {"image": [f"{n}" for n in range(2 * patients)], "patient": np.repeat(np.arange(patients), 2), "grade": grades}
    )
    return table.assign(wrong=is_wrong), features.astype(np.float32)


def test_a_contradiction_is_counted_in_grades():
    certain = np.eye(5)
    assert contradiction(certain[[0, 0, 0, 2]], [0, 1, 4, 1]).tolist() == [0, 1, 4, 1]
    unsure = np.array([[0.5, 0, 0, 0, 0.5]] * 2)
    assert contradiction(unsure, [0, 2]).tolist() == [0, 0]  # any label between is as near
    assert contradiction([[0.6, 0.4, 0, 0, 0]], [1]) == pytest.approx(0.2)


def test_wrong_labels_come_first():
    table, features = set_with_mistakes()
    ranked = rank_labels(table, features)
    wrong = int(table["wrong"].sum())
    assert ranked["wrong"].head(wrong).mean() >= 5 * table["wrong"].mean()
    assert ranked["contradiction"].is_monotonic_decreasing and ranked["contradiction"].between(0, 4).all()
    assert sorted(ranked["image"]) == sorted(table["image"])
    assert ranked[["p0", "p1", "p2", "p3", "p4"]].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-3)


def test_no_answer_has_seen_a_label_of_its_patient():
    """Labels without any relation to the features: who had seen them would agree with them."""
    table, _ = set_with_mistakes()
    random = np.random.default_rng(1)
    features = np.repeat(random.normal(0, 1, (300, 40)), 2, axis=0)  # both eyes alike, and no two patients
    grades = np.repeat(random.choice(5, 300), 2)
    answers = out_of_fold(features, grades, table["patient"])
    assert answers[np.arange(600), grades].mean() == pytest.approx(0.2, abs=0.02)
    apart = out_of_fold(features, grades, np.arange(600))
    assert apart[np.arange(600), grades].mean() > 0.21  # the other eye tells


def test_grades_that_a_fold_lacks_and_sets_that_are_too_small():
    table, features = set_with_mistakes()
    grades = np.where(table["grade"] == 4, 3, table["grade"])
    grades[0] = 4  # one patient alone: no other fold has it
    answers = out_of_fold(features, grades, table["patient"])
    assert np.isfinite(answers).all() and (answers >= 0).all() and answers[0, 4] == 0
    with pytest.raises(InputError, match="6 patients, 3 grades: label errors need 10 patients"):
        out_of_fold(features[:6], [0, 1, 2] * 2, range(6))
    with pytest.raises(InputError, match="two grades"):
        out_of_fold(features, np.zeros(600), table["patient"])
