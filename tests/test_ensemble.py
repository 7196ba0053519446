"""An ensemble answers with the mean of its members' probabilities."""

import numpy as np
import pandas as pd
import pytest
import torch
from experiment_factory import photograph_table, simulated_predictions

from dr_lib import PROBABILITIES
from dr_lib.evaluation.predictions import answer, ensemble
from dr_lib.evaluation.ranking import macro_auc
from dr_lib.models.heads import build_head


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


@pytest.mark.parametrize("kind", ["softmax", "coral", "corn", "regression"])
def test_it_decides_by_the_rule_of_its_head(kind):
    head = build_head(kind)
    outputs = 2 * torch.randn(2, 400, head.outputs, generator=torch.Generator().manual_seed(0))
    own = [head.probabilities(one).numpy() for one in outputs]
    assert answer(own[0], kind).tolist() == head.predicted(outputs[0]).tolist()
    table = pd.DataFrame({"image": range(400), "patient": "x", "grade": 0, "predicted": 0})
    members = [table.assign(**dict(zip(PROBABILITIES, shares.T, strict=True))) for shares in own]
    together, worse_than = ensemble(members, kind), np.mean(own, axis=0)[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
    expected = np.mean(own, axis=0).argmax(axis=1) if kind == "softmax" else (worse_than > 0.5).sum(axis=1)
    assert together.predicted.tolist() == expected.tolist()
    assert kind == "softmax" or together.predicted.tolist() != ensemble(members).predicted.tolist()


def test_other_photographs_and_other_grades_are_refused(members):
    with pytest.raises(ValueError, match="same photographs"):
        ensemble([members[0], members[1].head(599)])
    with pytest.raises(ValueError, match="same photographs"):
        ensemble([members[0], members[1].assign(grade=(members[1].grade + 1) % 5)])
    with pytest.raises(ValueError, match="same photographs"):
        ensemble([members[0], members[1].assign(image=members[1].image + "x")])
