"""Sentences on photographs, patients and grades follow the numbers: opposite numbers, opposite text."""

from dr_lib.report import data_sentences as said
from dr_lib.report import formatting


def test_damage_and_leak():
    file = {"status": "truncated", "action": "repaired"}
    assert said.damage(9, []) == "Each of 9 photographs was decoded to its last row; none is damaged."
    assert "Of 100 photographs, 1 is damaged: 1 truncated. Of these, 1 repaired." in said.damage(100, [file])
    assert "2 are damaged: 2 truncated" in said.damage(100, [file, file])
    assert "(88.9%)" in said.leak(6322, 5618) and "flatter" in said.leak(6322, 5618)
    assert said.leak(10, 0).startswith("None of the 10")
    assert "is not known" in said.leak(10, 0, named=False)
    assert "The patients of 39 photographs are unknown" in said.leak(0, 0, unknown=39)
    assert "None of" not in said.leak(0, 0, unknown=39)
    assert said.leak(8, 2, unknown=1).startswith("2 of 8 testing patients (25.0%)")
    apart = said.leak(8, 0, also_in_validation=3)
    assert apart.startswith(
        "None of the 8 testing patients was trained on. 3 have their other eye among the validation"
    )
    assert "flatter" not in apart and "1 more has their other eye" in said.leak(8, 2, also_in_validation=1)


def test_imbalance():
    assert "Grade 0 has 73.5%" in said.imbalance([20656, 1955, 4210, 698, 581])
    assert "36 to 1" in said.imbalance([20656, 1955, 4210, 698, 581])
    assert "Grade 3 has" in said.imbalance([10, 20, 30, 400, 50])
    assert "about balanced" in said.imbalance([100, 101, 99, 100, 100])
    assert "lack grade 4" in said.imbalance([10, 5, 5, 5, 0])


def test_numbers_as_text():
    assert formatting.signed(-0.04) == "0.0" and formatting.signed(-1.26) == "−1.3"
    assert formatting.points(-0.01) == "1.0 point" and formatting.points(0.02) == "2.0 points"
    assert formatting.listed(["a", "b", "c"]) == "a, b and c" and formatting.listed([]) == ""
