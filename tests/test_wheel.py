"""What is installed from a wheel: it has all it needs, and finds it from any folder."""

import os
import shutil
import subprocess
import sys
import tomllib
import venv
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dr_lib.config import combine, read_parameters, run_files
from dr_lib.errors import InputError
from dr_lib.experiment.sweeps import read_sweep
from dr_lib.notebook.process import ShippedNotebooks
from dr_lib.training import provenance

PROJECT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
EXTRAS = PYPROJECT["optional-dependencies"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder of the programs of an environment with the wheel in it, beside the packages of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("dr_lib", "params", "notebooks"):
        shutil.copytree(PROJECT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source], check=True)
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "--python", python, "install", "--no-deps", "--no-index", wheel], check=True)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    others = [path for path in sys.path if path.endswith("site-packages")]  # the checkout is not among them
    (site / "tests.pth").write_text("\n".join(others))
    shutil.rmtree(source)
    return python.parent


def call(program, *arguments, cwd):
    """Return what a program printed; it must end well."""
    ended = subprocess.run(
        [program, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.slow
def test_a_wheel_holds_every_file_of_the_package(installed):
    (package,) = (installed.parent / "lib").glob("python*/site-packages/dr_lib")
    wanted = {path.relative_to(PROJECT / "dr_lib") for path in (PROJECT / "dr_lib").rglob("*") if path.is_file()}
    wanted |= {
        Path("shipped") / path.relative_to(PROJECT)
        for top in ("params", "notebooks")
        for path in (PROJECT / top).rglob("*")
        if path.is_file()
    }
    assert not [path for path in sorted(wanted) if "__pycache__" not in path.parts and not (package / path).exists()]


@pytest.mark.slow
def test_a_wheel_runs_an_experiment_from_an_empty_folder(installed, tmp_path):
    assert str(installed.parent) in call(
        installed / "python", "-c", "import dr_lib; print(dr_lib.__file__)", cwd=tmp_path
    )
    dr_lab = installed / "dr-lab"
    call(dr_lab, "make-data", "drawn", "--train", 24, "--test", 10, "--size", 96, cwd=tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "data.yaml").write_text("data_dir: drawn\nlabels: course\ncache_dir: cache\n")
    (tmp_path / "mine" / "small.yaml").write_text(
        "title: Mine\nquestion: Is it found?\nrecipe: params/recipes/few-ill.yaml\n"
        "runs: {model: shufflenet_v2_x0_5, image_size: 32, resize: 36, epochs: 1, batch_size: 8, num_workers: 0}\n"
        "vary: {seed: [0]}\n"
    )
    call(dr_lab, "check", "params/data/demo.yaml", "params/runs/resnet50-pretrained.yaml", cwd=tmp_path)
    call(dr_lab, "run", "--data", "mine/data.yaml", "mine/small.yaml", "--out", "out", cwd=tmp_path)
    assert (tmp_path / "out" / "index.html").exists() and (tmp_path / "cache").is_dir()
    assert str(PROJECT) not in (tmp_path / "out" / "index.html").read_text()
    assert "1 done" in call(dr_lab, "status", "out", cwd=tmp_path)
    call(dr_lab, "report", "out", cwd=tmp_path)
    call(dr_lab, "notebooks", "work", cwd=tmp_path)
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ShippedNotebooks.listdir("")
    papermill = [installed / "python", "-m", "papermill"]
    for notebook in ("work/report.ipynb", "dr-lab://report.ipynb"):
        call(*papermill, notebook, "again.ipynb", "-p", "experiment_dir", "out", cwd=tmp_path)


def test_what_is_shipped_is_found_from_any_folder_and_files_there_win(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert combine([Path("params/data/demo.yaml")]).data_dir == "data/demo"
    assert [path.name for path in run_files()] == sorted(path.name for path in (PROJECT / "params" / "runs").iterdir())
    assert all(isinstance(read_parameters(path), dict) for path in run_files())
    (tmp_path / "sweep.yaml").write_text(
        "title: T\nquestion: Q?\nvary: {recipe: {a: params/recipes/strong.yaml, b: mine.yaml}}\n"
    )
    (tmp_path / "mine.yaml").write_text("epochs: 7\n")
    settings = read_sweep(Path("sweep.yaml")).settings["recipe"]
    assert settings == {"a": read_parameters(PROJECT / "params" / "recipes" / "strong.yaml"), "b": {"epochs": 7}}
    (tmp_path / "params" / "data").mkdir(parents=True)
    (tmp_path / "params" / "data" / "demo.yaml").write_text("data_dir: own\n")
    assert combine([Path("params/data/demo.yaml")]).data_dir == "own"
    assert combine([Path("params/data/course.yaml")]).labels == "course"  # of which there is none beside it


def test_the_commit_is_that_of_the_library_not_of_the_folder_around_its_environment(tmp_path, monkeypatch):
    git = ["git", "-C", tmp_path, "-c", "user.name=x", "-c", "user.email=x"]
    (tmp_path / "provenance.py").touch()
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    assert provenance.git_commit() is None
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "of the user's"]):
        subprocess.run([*git, *command], check=True)
    assert provenance.git_commit() is None
    subprocess.run([*git, "add", "provenance.py"], check=True)
    assert provenance.git_commit().endswith("-dirty")


def test_papermill_reads_notebooks_by_name_and_never_writes_over_them():
    assert '"nbformat"' in ShippedNotebooks.read("dr-lab://train.ipynb")
    with pytest.raises(InputError, match=r"dr-lab://trian\.ipynb: no such notebook; there are audit\.ipynb, "):
        ShippedNotebooks.read("dr-lab://trian.ipynb")
    with pytest.raises(InputError, match="stays as it is"):
        ShippedNotebooks.write("{}", "dr-lab://train.ipynb")


def test_every_requirement_has_a_lower_bound_that_the_pinned_version_keeps():
    pins = dict(
        line.strip().split("==")
        for line in (PROJECT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    )
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    required = map(Requirement, chain(PYPROJECT["dependencies"], *EXTRAS.values()))
    for requirement in required:
        if requirement.name == "dr-lab":
            assert requirement.extras <= EXTRAS.keys()
            continue
        assert [one.operator for one in requirement.specifier] == [">="], requirement
        pinned = pins.get(canonicalize_name(requirement.name))
        assert pinned is None or requirement.specifier.contains(pinned), (requirement, pinned)


@pytest.mark.parametrize(
    ("there", "wheels", "chosen"),
    [
        ({11: "", 13: ""}, (11, 13), "python3.13"),
        ({11: "", 13: ""}, (11,), "python3.11"),  # no PyTorch for 3.13 yet
        ({11: "", 12: "", 14: "exit 127"}, (11, 12), "python3.12"),  # a shim of pyenv's
        ({11: "", 12: ""}, (), "python3.12"),  # pip cannot tell
        ({}, (), ""),
    ],
)
def test_make_takes_the_newest_python_that_can_have_pytorch(tmp_path, there, wheels, chosen):
    torch = next(line for line in (PROJECT / "constraints.txt").read_text().splitlines() if line.startswith("torch=="))
    for minor, does in there.items():
        listed = f"echo 'Available versions: 9.9, {torch[7:]}'" if minor in wheels else "exit 1"
        python = tmp_path / f"python3.{minor}"
        python.write_text(f"#!/bin/sh\n{does}\ncase $1 in -m) {listed};; esac\n")
        python.chmod(0o755)
    for tool in ("sed", "dirname", "grep", "sh"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    found = subprocess.run(
        [PROJECT / ".ci" / "find-python"], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert found.stdout.strip() == chosen
    assert (found.returncode, "make PYTHON=" in found.stderr) == ((0, False) if chosen else (1, True))
