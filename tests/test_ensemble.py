"""An ensemble answers with the mean of its members' probabilities."""

import numpy as np
import pytest
from experiment_factory import photograph_table, simulated_predictions

from dr_lib import PROBABILITIES
from dr_lib.evaluation.predictions import ensemble
from dr_lib.evaluation.ranking import macro_auc


@pytest.fixture(scope="module")
def members():
    table = photograph_table(600)
    return [simulated_predictions(table, 1.0, seed=seed) for seed in range(5)]


def test_probabilities_are_averaged_photograph_by_photograph(members):
    shuffled = [members[0], *(table.sample(frac=1, random_state=1) for table in members[1:])]
    found = ensemble(shuffled)
    expected = np.mean([table[list(PROBABILITIES)] for table in members], axis=0)
    np.testing.assert_allclose(found[list(PROBABILITIES)], expected, rtol=0, atol=1e-15)
    assert found.predicted.tolist() == expected.argmax(axis=1).tolist()
    assert found[["image", "patient", "grade"]].equals(members[0][["image", "patient", "grade"]])
    assert list(found.columns) == list(members[0].columns)
    # Of independent errors much is averaged away.
    areas = [macro_auc(table.grade, table[list(PROBABILITIES)]) for table in (*members, found)]
    assert areas[-1] > max(areas[:-1]) + 0.02


def test_of_one_it_is_that_one(members):
    np.testing.assert_array_equal(ensemble(members[:1])[list(PROBABILITIES)], members[0][list(PROBABILITIES)])


def test_other_photographs_and_other_grades_are_refused(members):
    with pytest.raises(ValueError, match="same photographs"):
        ensemble([members[0], members[1].head(599)])
    with pytest.raises(ValueError, match="same photographs"):
        ensemble([members[0], members[1].assign(grade=(members[1].grade + 1) % 5)])
    with pytest.raises(ValueError, match="same photographs"):
        ensemble([members[0], members[1].assign(image=members[1].image + "x")])
