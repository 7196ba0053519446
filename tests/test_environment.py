import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parent.parent


def pins():
    lines = (PROJECT / "constraints.txt").read_text().splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert len(requirements) > 50
    return {canonicalize_name(item.name): str(item.specifier).removeprefix("==") for item in requirements}


def needed(name, extra=""):
    """Return the names of all packages that ``name`` needs on this machine, however indirectly."""
    found, waiting = set(), [(name, extra)]
    while waiting:
        package, extra = waiting.pop()
        for text in distribution(package).requires or []:
            item = Requirement(text)
            if item.marker and not item.marker.evaluate({"extra": extra}):
                continue
            key = canonicalize_name(item.name)
            if key not in found:
                found.add(key)
                waiting += [(key, more) for more in ("", *item.extras)]
    return found


def test_everything_that_is_needed_is_pinned_at_the_version_that_is_tested():
    names = needed("dr-lab") | needed("dr-lab", "test")
    assert {"torch", "numpy", "pytest", "ipykernel"} <= names
    names -= {"setuptools", "pip", "dr-lab"}  # tools of the installation, and the project itself
    assert {name: version(name) for name in sorted(names)} == {name: pins().get(name) for name in sorted(names)}


def test_environment_and_makefile_install_the_same():
    parts = yaml.safe_load((PROJECT / "environment.yml").read_text())["dependencies"]
    assert parts[-1] == {"pip": ["-c constraints.txt", "-e .[test]"]}
    assert re.search(r"pip install .*-c constraints.txt -e \"\.\[test\]\"", (PROJECT / "Makefile").read_text())
    oldest = next(part for part in parts if str(part).startswith("python=")).removeprefix("python=")
    assert tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["requires-python"] == f">={oldest}"
    assert f"newest of Python {oldest} to" in (PROJECT / "Makefile").read_text()


@pytest.mark.slow
def test_pip_section_resolves_to_the_pins(tmp_path):
    """What conda hands to pip, asked of pip itself: of the versions that are tested, none would be replaced.

    That these are those of ``constraints.txt`` is another test's; asking an index for all of them takes a minute.
    """
    for name in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, tmp_path)
    shutil.copytree(PROJECT / "dr_lib", tmp_path / "dr_lib")
    section = yaml.safe_load((PROJECT / "environment.yml").read_text())["dependencies"][-1]["pip"]
    (tmp_path / "requirements.txt").write_text("\n".join(section) + "\n")
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-build-isolation", "--no-index", "--quiet"]
    command += ["--report", "report.json", "-r", "requirements.txt"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    chosen = json.loads((tmp_path / "report.json").read_text())["install"]
    assert [canonicalize_name(item["metadata"]["name"]) for item in chosen] == ["dr-lab"]


VARIABLES = PROJECT / "dr_lib" / "system" / "environment.py"


def reads_of_the_environment(source):
    """Return the lines that use ``os.environ`` or ``os.getenv``, other than to hand it on to another process."""
    tree = ast.parse(source)
    handed_on = [node.left for node in ast.walk(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)]
    handed_on += [
        argument
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "without_editor"
        for argument in node.args
    ]
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb") and node not in handed_on
    ]


def test_the_scan_for_variables_finds_what_it_is_to_find():
    assert reads_of_the_environment("import os\nx = os.environ['A']\ny = os.getenv('B')\nrun(env=os.environ | {})") == [
        2,
        3,
    ]


def test_the_environment_is_read_in_one_place():
    modules = [path for path in (PROJECT / "dr_lib").rglob("*.py") if path != VARIABLES]
    assert len(modules) > 100
    found = {path: lines for path in modules if (lines := reads_of_the_environment(path.read_text()))}
    assert found == {}
    assert not [path for path in modules if re.search(r"from os import .*(environ|getenv)", path.read_text())]


def test_the_page_of_variables_names_each_one():
    constants = [node.value for node in ast.walk(ast.parse(VARIABLES.read_text())) if isinstance(node, ast.Constant)]
    read = {
        value for value in constants if isinstance(value, str) and re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", value)
    }
    rows = [line for line in (PROJECT / "docs" / "environment.md").read_text().splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named == read and len(read) > 10
