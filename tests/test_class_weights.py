import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from dr_lib.data.class_weights import class_counts, class_shares, class_weights
from dr_lib.errors import InputError

LAB_COUNTS = np.array([20655, 1955, 4210, 698, 581])
LAB_WEIGHTS = [1.0, 10.5652173913043, 4.9061757719714, 29.5916905444126, 35.5507745266781]
"""Section 5.C of the lab report."""


def test_majority_ratio_gives_the_lab_reports_weights():
    np.testing.assert_allclose(
        class_weights("majority_ratio", LAB_COUNTS), LAB_WEIGHTS, rtol=1e-13
    )  # 15 digits are printed there


def test_majority_ratio_is_over_grade_0_even_where_it_is_not_the_majority():
    assert class_weights("majority_ratio", [2, 8, 4, 1, 2]).tolist() == [1, 0.25, 0.5, 2, 1]


def test_balanced_is_scikit_learns():
    grades = np.repeat(np.arange(5), [40, 5, 9, 2, 1])
    expected = compute_class_weight("balanced", classes=np.arange(5), y=grades)
    np.testing.assert_allclose(class_weights("balanced", class_counts(grades)), expected, rtol=1e-15)


def test_none_and_five_numbers():
    assert class_weights("none", LAB_COUNTS).tolist() == [1] * 5
    assert class_weights("none", [0, 0, 1, 0, 0]).tolist() == [1] * 5
    assert class_weights([1, 2, 3, 4, 5.5], LAB_COUNTS).tolist() == [1, 2, 3, 4, 5.5]


@pytest.mark.parametrize("kind", ["majority_ratio", "balanced"])
def test_a_grade_without_photographs_is_refused_with_a_remedy(kind):
    with pytest.raises(InputError, match=rf"{kind}: no training photograph of grade 1, 4.*class_weights none"):
        class_weights(kind, [3, 0, 1, 1, 0])


@pytest.mark.parametrize("kind", ["squirrel", [1, 2, 3], [1, 1, 1, 1, 0], [1, 1, 1, 1, float("nan")]])
def test_other_kinds_are_refused(kind):
    with pytest.raises(InputError, match="class_weights"):
        class_weights(kind, LAB_COUNTS)


def test_counts_and_shares():
    grades = [0, 0, 0, 2, 4, 0, 2, 0]
    assert class_counts(grades).tolist() == [5, 0, 2, 0, 1]
    assert class_shares(class_counts(grades)).tolist() == [0.625, 0, 0.25, 0, 0.125]
    assert class_shares(class_counts([])).tolist() == [0] * 5


def test_the_lab_reports_table():
    shares = class_shares(class_counts(np.repeat(np.arange(5), LAB_COUNTS)))
    # The report has one photograph more of grade 0: a header that it did not have was taken for one, here undone.
    assert [round(100 * share, 2) for share in shares] == [73.51, 6.96, 14.98, 2.48, 2.07]
