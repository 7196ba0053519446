import csv
import io
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import dr_lab
from rich.table import Table

from dr_lib.cli.entry import run_command
from dr_lib.data.inspection import FileStatus
from dr_lib.errors import InputError
from dr_lib.inference.model import GradedPhotograph
from dr_lib.inference.output_formats import as_text
from dr_lib.storage.files import as_cell, from_cell
from dr_lib.storage.run_folder import PREDICTION_COLUMNS, RunFolder
from dr_lib.system import terminal
from dr_lib.system.progress import Progress
from dr_lib.system.terminal import PlainConsole, logger, printable

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


def test_log_messages_do_not_steer_the_terminal(caplog):
    log = logger("data")
    log.warning("%s: %d of %.1f\n%s", Path(STEERING), np.int64(3), 0.5, "a\nb")
    log.warning("%s", {STEERING: 1})
    first, second = caplog.messages
    assert first == f"{printable(STEERING)}: 3 of 0.5\na\\nb" and second.isprintable()


def test_the_console_takes_text_as_it_is_and_lets_none_steer_the_terminal(capsys):
    console = PlainConsole()
    console.print(f"{STEERING} [red]:eyes:[/red]\nsecond", style="red", soft_wrap=True)
    table = Table(box=None, show_header=False)
    table.add_row(STEERING)
    console.print(table)
    first, second, third = map(str.strip, capsys.readouterr().out.splitlines())
    assert first == f"{printable(STEERING)} [red]:eyes:[/red]" and second == "second" and third == printable(STEERING)


def test_one_rule_for_all_that_reaches_the_terminal():
    """Loggers and consoles come from two functions, and commands print with say, but for text that is escaped already.

    Of predict these are its table, CSV, whose names other programs read, and JSON.
    """
    package = Path(terminal.__file__).parents[1]
    texts = {path.name: path.read_text(encoding="utf-8") for path in package.rglob("*.py")}
    assert [name for name, text in texts.items() if 'getLogger("dr_lib' in text] == []
    consoles = re.compile(r"(?<!class Plain)Console\((?!Console)")
    assert {name for name, text in texts.items() if consoles.search(text)} == {"app.py", "run_experiment.py"}
    printed = [line.strip() for name in ("app.py", "network_commands.py", "entry.py", "runner.py")
               for line in re.findall(r"^ *print\(.*", texts[name], re.MULTILINE)]  # fmt: skip
    escaped = re.compile(r'print\((f"\\n\{)?(printable|json|text, end|f"interr)')
    assert len(printed) > 3 and [line for line in printed if not escaped.match(line)] == []


def test_commands_print_what_params_files_say_without_obeying_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where there are no photographs, whose labels would be looked for
    params = tmp_path / "run.yaml"
    params.write_text('labels_file: "\\e[2J\\u202ea\\nsound"\n', encoding="utf-8")
    assert dr_lab("check", params) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all(map(str.isprintable, lines)) and r'labels_file: "\e[2J\u202Ea\nsound"' in lines


def test_what_a_message_quotes_does_not_drown_it(capsys):
    line = str(InputError(f"--set seed={'[' * 9000}: the value is not YAML"))
    assert len(line) < 2000 and line.startswith("--set seed=[[") and line.endswith("[[: the value is not YAML")
    assert str(InputError(line)) == line
    with pytest.raises(SystemExit):
        run_command(lambda **options: Path("x" * 9000).stat())
    assert len(capsys.readouterr().err) < 2000


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
    found = GradedPhotograph(Path(name), FileStatus("intact", 0.0, "", 1, 1), 0, (1.0, 0.0, 0.0, 0.0, 0.0), (0.0,))
    _, row = csv.reader(io.StringIO(as_text([found], "csv"), newline=""))
    assert row[0] == f"'{name}"
