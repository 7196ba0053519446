import io
import subprocess
import sys
from types import SimpleNamespace

import IPython.display
import pandas as pd
import pytest

from dr_lib.system import progress
from dr_lib.system.progress import Progress, show_table
from dr_lib.system.terminal import logger


class Terminal(io.StringIO):
    def isatty(self):
        return True


def work(show):
    with show as bars:
        bars.bar("drawing", 1, 10)
        bars._drawn = 0  # as if the time between two drawings had passed
        bars.bar("drawing", 5, 10)
        bars.line("half is done")


def test_a_file_gets_the_lines_and_nothing_else(capsys):
    work(Progress())
    shown = capsys.readouterr()
    assert shown.out == "half is done\n" and shown.err == ""


def test_a_terminal_is_left_clean(monkeypatch, capsys):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    work(Progress())
    assert "drawing" in terminal.getvalue() and "50%" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


@pytest.fixture
def cell(monkeypatch):
    """The texts that a notebook cell's one output shows, one after another."""
    texts = []
    handle = SimpleNamespace(update=lambda text: texts.append(repr(text)))

    def display(text, display_id):
        texts.append(repr(text))
        return handle

    monkeypatch.setattr(progress, "_notebook_shell", lambda: SimpleNamespace(kernel=None))
    monkeypatch.setattr(IPython.display, "display", display)
    return texts


def test_a_notebook_keeps_the_lines_alone(cell, capsys):
    work(Progress())
    assert any("50%" in text for text in cell)
    assert cell[-1] == "half is done"
    assert capsys.readouterr().out == ""


def train(show):
    with show as progress:
        progress.line("going on after epoch 0")
        for epoch in (1, 2):
            progress._drawn = 0
            progress.bar(f"epoch {epoch}", 5, 10, lambda: "loss 0.7")
            progress.line(f"epoch {epoch}: done", passing=True)
        progress.line("epoch 2 is chosen")


def test_in_an_editor_one_line_lives_and_the_next_takes_its_place(cell, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "train.ipynb")
    train(Progress())
    first, bar, done, bar2, done2, last, _ = cell
    assert first == "going on after epoch 0" and "50%|" in bar and bar.endswith("| loss 0.7")
    assert [text.splitlines()[1:] for text in (done, done2, last)] == [
        ["epoch 1: done"], ["epoch 2: done"], ["epoch 2 is chosen"],
    ]  # fmt: skip
    assert len(bar2.splitlines()) == 2 and "epoch 2:  50%" in bar2


def test_papermill_keeps_a_line_an_epoch(cell, monkeypatch):
    for name in ("JPY_SESSION_NAME", "VSCODE_PID", "VSCODE_CWD"):
        monkeypatch.delenv(name, raising=False)
    train(Progress())
    assert cell[-1].splitlines() == ["going on after epoch 0", "epoch 1: done", "epoch 2: done", "epoch 2 is chosen"]


def test_what_stands_behind_a_bar_is_asked_for_only_where_it_is_seen():
    with Progress() as progress:
        progress.bar("training", 1, 2, lambda: 1 / 0)


def test_a_notebook_gets_no_output_where_nothing_was_said(cell):
    with Progress():
        pass
    assert cell == []


def test_lines_that_nobody_reads_any_more_stop_no_work():
    lines = "p.line('first'); input(); p.line('x'); p.line('y')"
    code = f"from dr_lib.system.progress import Progress; p = Progress(); {lines}"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "first\n"
    process.stdout.close()
    assert process.communicate("\n")[1] == "" and process.returncode == 0


def test_a_table_is_one_in_a_notebook_and_aligned_lines_in_a_log(monkeypatch, capsys, caplog):
    table = pd.DataFrame({"image": ["a", "long_name"], "status": ["truncated", "no\x1b"]})
    log = logger("tests")
    show_table("2 of 3 photographs are damaged", table, log)
    (record,) = caplog.records
    assert record.getMessage().split("\n") == [
        "2 of 3 photographs are damaged", "image      status", "a          truncated", r"long_name  no\x1b",
    ]  # fmt: skip
    shown = []
    monkeypatch.setattr("dr_lib.system.progress._notebook_shell", object)
    monkeypatch.setattr("IPython.display.display", shown.append)
    show_table("2 of 3 photographs are damaged", table, log)
    assert shown[0] is table and len(caplog.records) == 1
    stdout, stderr = capsys.readouterr()
    assert stdout == "2 of 3 photographs are damaged\n" and not stderr
