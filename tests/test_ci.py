"""What CI holds: `.ci/run` does not pass where browser tests cannot run, and benchmarks import what there is."""

import ast
import contextlib
import importlib.util
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command import fork

PROJECT = Path(__file__).parents[1]


@pytest.mark.parametrize("missing", ["chromium", "pdftotext"])
def test_it_fails_where_the_browser_is_missing_and_cannot_be_installed(missing, tmp_path):
    for tool in {"bash", "dirname", "env", "chromium", "pdftotext"} - {missing}:
        (tmp_path / tool).symlink_to(shutil.which(tool) or "/bin/true")
    for tool in ("apt-get", "make"):  # an apt-get without a network; a make that finds nothing wrong
        (tmp_path / tool).write_text(f"#!/bin/bash\necho called {tool}\nexit {int(tool == 'apt-get')}\n")
        (tmp_path / tool).chmod(0o755)
    run = subprocess.run(
        [PROJECT / ".ci" / "run"], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1 and "could not be installed" in run.stdout
    assert "called apt-get" in run.stdout and "called make" not in run.stdout


@pytest.mark.parametrize(("required", "status"), [("", 0), ("1", 1)])
def test_a_skipped_browser_test_fails_where_it_is_required(required, status, tmp_path):
    shutil.copy(PROJECT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    browser: x\n    real: x\n")
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "@pytest.mark.browser\n"
        "@pytest.mark.skipif(True, reason='no chromium')\n"
        "def test_in_browser(): pass\n"
        "@pytest.mark.browser\n"
        "@pytest.mark.real\n"
        "def test_real(): pytest.skip('no photographs')\n"
        "def test_other(): pytest.skip('something else')\n"
    )
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(tmp_path)],
        env=os.environ | {"DR_REQUIRE_BROWSER": required}, capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert run.returncode == status, run.stdout
    assert ("2 skipped, 1 error" in run.stdout) == bool(required)
    assert ("may not be skipped here" in run.stdout and "no chromium" in run.stdout) == bool(required)


SCRIPTS = sorted((PROJECT / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_benchmarks_import_what_there_is(script):
    """Their runs take too long to be tests; a name that has moved is found all the same."""
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("dr_lib"):
            module = importlib.import_module(node.module)
            for name in (alias.name for alias in node.names):
                assert hasattr(module, name) or importlib.util.find_spec(f"{node.module}.{name}"), name


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_benchmarks_say_what_they_measure(script, tmp_path):
    process = fork(show_help, script, tmp_path / "help")
    process.join(120)
    assert process.exitcode == 0 and "usage" in (tmp_path / "help").read_text()


def show_help(script, shown):
    sys.argv = [str(script), "--help"]
    with shown.open("w") as stream, contextlib.redirect_stdout(stream):
        runpy.run_path(str(script), run_name="__main__")
