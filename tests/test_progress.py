import io
import subprocess
import sys
from types import SimpleNamespace

import IPython.display
import pytest

from dr_lib.system import progress
from dr_lib.system.progress import Progress


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
