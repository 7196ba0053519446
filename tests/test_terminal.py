import csv
import io
import os
from pathlib import Path

import pandas as pd
import pytest

from dr_lib.data.jpeg import Verdict
from dr_lib.deployment.grading import GradedPhotograph
from dr_lib.deployment.wording import as_text
from dr_lib.errors import InputError
from dr_lib.progress import Progress
from dr_lib.runs import PREDICTION_COLUMNS, RunFolder
from dr_lib.spreadsheet import as_cell, from_cell
from dr_lib.terminal import printable

STEERING = "a\x1b[2J\x07\x9b31m\u202eb" + os.fsdecode(b"\xff")
FORMULAS = ["=1+1", "+1|x", "-1+cmd|'C calc'!A0", "@SUM(A1)", "\t=1", "'=1", "''-x"]
ORDINARY = ["10_left", "O'Brien", "'quoted'", "ä_left", "a=b", "a-b", "", "'"]


def test_what_a_terminal_would_obey_is_written_out():
    assert printable(STEERING) == r"a\x1b[2J\x07\x9b31m\u202eb\udcff"
    assert printable("Müller 10_left.jpeg") == "Müller 10_left.jpeg"


def test_messages_and_lines_do_not_steer_the_terminal(capsys):
    assert str(InputError(f"{STEERING}: no such file")).isprintable()
    with Progress() as progress:
        progress.line(f"{STEERING}\nsecond")
    first, second = capsys.readouterr().out.splitlines()
    assert first.isprintable() and second == "second"


def test_text_for_spreadsheets_comes_back_as_it_was():
    for text in FORMULAS + ORDINARY:
        assert from_cell(as_cell(text)) == text
        assert (as_cell(text) == text) == (text in ORDINARY)
        assert not as_cell(text).startswith(("=", "+", "-", "@", "\t", "\r"))


def test_predictions_hold_no_formula_and_keep_their_names(tmp_path):
    names = FORMULAS + ORDINARY
    rows = [(name, name, 1, 2, 0.1, 0.2, 0.4, 0.2, 0.1) for name in names]
    folder = RunFolder(tmp_path)
    folder.write_predictions(pd.DataFrame(rows, columns=list(PREDICTION_COLUMNS)))
    found = folder.read_predictions()
    assert list(found["image"]) == list(found["patient"]) == names and list(found["grade"]) == [1] * len(names)
    _, *cells = csv.reader(io.StringIO(folder.predictions.read_bytes().decode(), newline=""))
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in cells for cell in row)


@pytest.mark.parametrize("name", FORMULAS)
def test_the_csv_of_predict_holds_no_formula(name):
    found = GradedPhotograph(Path(name), Verdict("intact", 0.0, "", 1, 1), 0, (1.0, 0.0, 0.0, 0.0, 0.0), (0.0,))
    _, row = csv.reader(io.StringIO(as_text([found], "csv"), newline=""))
    assert row[0] == f"'{name}"
