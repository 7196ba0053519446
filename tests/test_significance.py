"""McNemar's exact test and Holm's correction agree with counting, and are wrong as seldom as they promise."""

from math import comb

import numpy as np
import pytest
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests

from dr_lib.evaluation.paired import holm, mcnemar


def answers(only_first, only_second, both=10, neither=5):
    first = [True] * only_first + [False] * only_second + [True] * both + [False] * neither
    second = [False] * only_first + [True] * only_second + [True] * both + [False] * neither
    return first, second


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 1), (2, 9), (9, 2), (6, 6), (5, 6), (0, 20), (43, 80)])
def test_mcnemar_counts_the_tails_of_a_fair_coin(only_first, only_second):
    found = mcnemar(*answers(only_first, only_second))
    assert (found.only_first, found.only_second) == (only_first, only_second)
    n = only_first + only_second
    tail = sum(comb(n, k) for k in range(min(only_first, only_second) + 1)) / 2**n
    assert found.p == pytest.approx(min(1, 2 * tail), abs=1e-12)
    assert found.p == pytest.approx(binomtest(only_first, n, 0.5).pvalue, abs=1e-12)
    reference = reference_mcnemar([[10, only_first], [only_second, 5]], exact=True)
    assert found.p == pytest.approx(min(1, reference.pvalue), abs=1e-12)


def test_runs_that_never_disagree_are_not_told_apart():
    assert mcnemar(*answers(0, 0)).p == 1
    assert mcnemar([], []).p == 1


def test_thousands_of_photographs_do_not_overflow():
    assert 0 <= mcnemar(*answers(100, 3000)).p < 1e-300 or mcnemar(*answers(100, 3000)).p == 0
    assert mcnemar(*answers(2500, 2500)).p == 1


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.04: times 4, 3, 2, 1, and never smaller than the one before.
    assert holm([0.02, 0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.06, 0.04, 0.06], abs=1e-12)
    assert holm([0.5, 0.9]) == [1, 1]
    assert holm([0.03]) == [0.03] and holm([]) == []


def test_holm_is_that_of_statsmodels():
    rng = np.random.default_rng(2)
    for number in (1, 2, 7, 28):
        p_values = rng.random(number) ** 4
        assert np.allclose(holm(p_values.tolist()), multipletests(p_values, method="holm")[1], rtol=0, atol=1e-12)


def test_holm_rejects_what_going_down_step_by_step_does():
    rng = np.random.default_rng(0)
    for _ in range(200):
        p_values = (rng.random(8) ** 3).tolist()
        rejected, left = set(), sorted(range(8), key=p_values.__getitem__)
        while left and p_values[left[0]] * len(left) < 0.05:
            rejected.add(left.pop(0))
        assert {i for i, p in enumerate(holm(p_values)) if p < 0.05} == rejected


def test_holm_is_wrong_at_all_in_5_of_100_families():
    families = np.random.default_rng(1).random((4000, 10))
    assert np.mean([min(family) < 0.05 for family in families]) > 0.35
    assert np.mean([min(holm(family.tolist())) < 0.05 for family in families]) == pytest.approx(0.049, abs=0.008)
