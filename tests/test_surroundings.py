"""The command in surroundings that are not the usual ones: no home, full or closed outputs, odd folders and locales."""

import errno
import importlib
import io
import os
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from command import dr_lab
from data_folders import eyes, write_course, write_photographs

from dr_lib.cli import entry as command_line
from dr_lib.cli.entry import check_output, describe_system_error
from dr_lib.config import CACHE_DIR, RunConfig
from dr_lib.data import cache_folder as module
from dr_lib.data import compiled as compiler
from dr_lib.data.cache_folder import cache_folder
from dr_lib.errors import InputError
from dr_lib.inference.inputs import photographs_named
from dr_lib.notebook import cells as notebook
from dr_lib.report.collect import collect
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.system import resources
from dr_lib.system.environment import EDITORS

PROJECT = Path(__file__).parents[1]


@pytest.fixture
def params(tmp_path):
    (tmp_path / "run.yaml").write_text("epochs: 9\n", encoding="utf-8")
    return tmp_path / "run.yaml"


def shell(line, folder):
    """Run a line of a shell in ``folder`` with ``DR`` for the command."""
    command = f"{sys.executable} -m dr_lib.cli"
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    return subprocess.run(
        ["bash", "-c", line.replace("DR", command)], cwd=folder, env=environment, capture_output=True, timeout=120
    )


# Homes


def test_home_stands_for_its_sign_in_every_place(monkeypatch, params, capsys):
    monkeypatch.setenv("HOME", "/h")
    places = ("data_dir", "out_dir", "pretrained_weights")
    config = RunConfig(**{place: f"~/{place}" for place in places})
    assert [getattr(config, place) for place in places] == [f"/h/{place}" for place in places]
    # That of the machine that uses it, which may be another one of a cluster.
    assert RunConfig(cache_dir="~/cache").cache_dir == "~/cache" and cache_folder("~/cache") == Path("/h/cache")
    monkeypatch.setenv("HOME", str(params.parent))
    assert dr_lab("check", "~/run.yaml") == 0 and "epochs: 9" in capsys.readouterr().out


def test_home_stands_for_its_sign_in_experiments_of_notebooks_and_in_lists(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ExperimentFolder(Path("~/lab")).path == tmp_path / "lab"
    with pytest.raises(InputError, match=re.escape(f"{tmp_path}/lab/runs: no runs")):
        collect("~/lab")
    (tmp_path / "a.jpeg").touch()
    assert photographs_named([Path("-")], io.BytesIO(b"~/a.jpeg\n")) == [tmp_path / "a.jpeg"]


def test_without_a_home_a_path_in_it_is_refused(monkeypatch):
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(InputError, match="no such home folder"):
        RunConfig.from_mapping({"data_dir": "~/photographs"})
    with pytest.raises(InputError, match="no such home folder"):
        cache_folder("~/cache")
    with pytest.raises(InputError, match="no such home folder"):
        ExperimentFolder(Path("~/lab"))
    assert RunConfig().cache_dir == CACHE_DIR


def test_without_a_home_the_cache_is_private_among_temporary_files(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/proc/none")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = cache_folder(RunConfig().cache_dir)
    assert folder.parent == tmp_path and folder.stat().st_mode & 0o777 == 0o700
    assert cache_folder("/proc/elsewhere") == Path("/proc/elsewhere"), "a folder that was chosen stays"
    folder.chmod(0o755)
    with pytest.raises(InputError, match="not yours alone"):
        cache_folder(RunConfig().cache_dir)


def test_a_home_that_can_be_written_keeps_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder(RunConfig().cache_dir) == tmp_path / ".cache" / "dr-lab"
    assert module.cache_folder(str(tmp_path / "mine")) == tmp_path / "mine"


@pytest.mark.parametrize("home", ["home", "gone", "home/file"])
def test_to_ask_where_the_cache_is_writes_nothing(monkeypatch, tmp_path, home):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / home))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(tmp_path.rglob("*"))
    assert cache_folder(RunConfig().cache_dir, make=False) == tmp_path / home / ".cache" / "dr-lab"
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("home", ["home", "gone"])
def test_without_a_home_fonts_are_listed_once_and_no_process_speaks_of_it(monkeypatch, tmp_path, home):
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / home))
    for name in ("XDG_CONFIG_HOME", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    command_line._find_place_for_fonts()
    place = os.environ.get("MPLCONFIGDIR")
    assert place == (None if home == "home" else str(tmp_path / f"dr-lab-{os.getuid()}" / "matplotlib"))


@pytest.fixture
def anew():
    """Have the place for machine code looked for once more when the test has put everything back."""
    yield
    importlib.reload(compiler)


def test_without_a_place_for_machine_code_functions_are_compiled_all_the_same(anew, monkeypatch, caplog):
    from numba.core.caching import CacheImpl

    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    importlib.reload(compiler)
    total = compiler.compiled(lambda values: values.sum())
    assert total(np.ones(3)) == 3 and "NUMBA_CACHE_DIR" in caplog.text


def test_machine_code_is_kept_among_temporary_files_where_the_usual_places_cannot_be_written(
    anew, monkeypatch, tmp_path
):
    from numba.core.caching import CacheImpl, UserProvidedCacheLocator

    monkeypatch.setattr(CacheImpl, "_locator_classes", [UserProvidedCacheLocator])
    monkeypatch.setattr("numba.config.CACHE_DIR", "/proc/none")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    importlib.reload(compiler)
    total = compiler.compiled(lambda values: values.sum())
    assert total(np.ones(3)) == 3 and list(tmp_path.glob("dr-lab-*/numba/*/*.nbc"))


# Where relative paths count from


@pytest.mark.parametrize("jupyter", [True, False])
def test_only_an_editor_goes_from_notebooks_to_the_project(monkeypatch, tmp_path, jupyter):
    (tmp_path / "notebooks").mkdir()
    for name in EDITORS:
        monkeypatch.delenv(name, raising=False)
    if jupyter:
        monkeypatch.setenv("JPY_SESSION_NAME", "train.ipynb")
    monkeypatch.chdir(tmp_path / "notebooks")
    notebook.enter_project()
    assert Path.cwd() == (tmp_path if jupyter else tmp_path / "notebooks")


def test_a_kernel_whose_starter_is_outside_of_its_container_stays(monkeypatch, tmp_path):
    monkeypatch.setattr("os.getppid", lambda: 0)
    for name in EDITORS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    notebook.enter_project()
    assert Path.cwd() == tmp_path


@pytest.mark.notebooks
@pytest.mark.parametrize("program", ["nbconvert", "jupyter"])
def test_nbconvert_counts_paths_from_where_the_user_stands(tmp_path, program):
    """Its kernels start in the folder of the notebook."""
    cell = nbformat.v4.new_code_cell(
        "from dr_lib.notebook.cells import enter_project\nenter_project()\nopen('here', 'x').close()"
    )
    (tmp_path / "notebooks").mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "notebooks" / "a.ipynb")
    command = {"nbconvert": ["-m", "nbconvert"], "jupyter": ["-m", "jupyter", "nbconvert"]}[program]
    subprocess.run(
        [sys.executable, *command, "--to", "notebook", "--execute", "--inplace", "notebooks/a.ipynb"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(PROJECT)}, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    assert (tmp_path / "here").exists()


# Outputs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("DR check run.yaml >/dev/full", 1, "cannot be written: No space left on device"),
        ("DR check run.yaml >&-", 0, ""),
        ("DR check run.yaml <&-", 0, ""),
        ("mkdir gone && cd gone && rmdir ../gone && DR check ../run.yaml", 2, "the current folder has been deleted"),
        ("PYTHONIOENCODING=ascii DR check run.yaml --set name=ü", 0, ""),
        # Where OpenBLAS would wait for memory without end.
        ("ulimit -d 200000; DR audit --data run.yaml", 1, "not enough memory (ulimit -d is 200000): "),
        ("ulimit -v 300000; DR check run.yaml", 1, "not enough memory (ulimit -v is 300000): "),
    ],
)
def test_odd_outputs_and_folders_are_one_line_at_most(params, line, status, said):
    ended = shell(line, params.parent)
    assert ended.returncode == status, ended.stderr
    lines = ended.stderr.decode().splitlines()
    assert len(lines) == bool(said) and all(said in line and line.startswith("dr-lab: ") for line in lines)


@pytest.mark.slow
def test_a_reader_who_leaves_ends_the_command_without_a_word(params):
    ended = shell("DR check run.yaml | true; exit ${PIPESTATUS[0]}", params.parent)
    assert ended.returncode in (0, 1, 141) and not ended.stderr


def test_places_that_cannot_be_written_are_refused_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for path, folder, said in [
        (tmp_path / "file", True, "is a file"),
        (tmp_path / "file" / "below", False, "is a file"),
        (tmp_path, False, "is a folder"),
        (tmp_path / ("x" * 250), True, "too long"),
    ]:
        with pytest.raises(InputError, match=said):
            check_output(path, folder=folder)
    (tmp_path / "link").symlink_to("gone")
    with pytest.raises(InputError, match="link is a file"):  # mkdir would fail over it
        check_output(tmp_path / "link", folder=True)
    check_output(tmp_path / "new" / "folder", folder=True)
    check_output(tmp_path / "file", folder=False)
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(InputError, match="cannot be written"):
        check_output(tmp_path / "new", folder=True)


def test_a_disk_without_room_is_said_to_be_full_before_the_work(tmp_path, monkeypatch):
    full = SimpleNamespace(f_blocks=16, f_bfree=0, f_bavail=0, f_frsize=4096)
    monkeypatch.setattr("os.statvfs", lambda path: full)
    with pytest.raises(InputError, match="no space is left on the disk of"):
        check_output(tmp_path / "new", folder=True)
    full.f_blocks = 0  # where there is no such number
    check_output(tmp_path / "new", folder=True)


@pytest.mark.parametrize(
    ("command", "option", "place"),
    [
        (("audit", "--data", "run.yaml"), "--out", "file"),
        (("run", "--data", "run.yaml"), "--out", "file"),
        (("predict", "lost.pt", "lost.jpeg"), "--out", "."),
        (("predict", "lost.pt", "."), "--cache", "file/below"),
        (("export", "lost.pt", "--onnx"), "--out", "file/net.onnx"),
        (("make-data",), "", "file"),
        (("make-data",), "", "file/below"),
        (("audit", "--data", "run.yaml", "--out", "new"), "--set", "cache_dir=file"),
        (("report",), "", "file"),
        (("status",), "", "x" * 300),
        (("predict", "lost.pt"), "", "x" * 300),
    ],
)
def test_commands_ask_for_their_places_first(command, option, place, tmp_path, params, monkeypatch, capsys):
    (tmp_path / "file").touch()
    write_course(tmp_path / "data", eyes(range(8)), eyes(range(8, 12)))
    write_photographs(tmp_path / "data", [*eyes(range(12))], (40, 32))
    (tmp_path / "run.yaml").write_text("data_dir: data", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert dr_lab(*command, *[option] * bool(option), place) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("dr-lab: ") and ("file" in line or "xxx" in line or "is a folder" in line)


def test_what_the_machine_refuses_is_said_with_the_right_verb(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.touch()
    refused = PermissionError(errno.EACCES, "Permission denied", str(path))
    assert "cannot be written" in describe_system_error(refused)
    monkeypatch.setattr("os.access", lambda *_: False)
    assert "cannot be read: Permission denied" in describe_system_error(refused)
    assert "cannot be written" in describe_system_error(OSError(errno.EDQUOT, "Disk quota exceeded", str(path)))
    assert "cannot be used" in describe_system_error(OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300))
    assert "raise ulimit -n" in describe_system_error(OSError(errno.EMFILE, "Too many open files"))
    assert "not enough memory" in describe_system_error(MemoryError())
    assert "not enough memory" in describe_system_error(ImportError("x.so: failed to map segment from shared object"))
    with pytest.raises(OSError) as hidden:  # as llvmlite hides it
        try:
            raise OSError("x.so: failed to map segment from shared object")
        except OSError:
            raise OSError("Could not find/load shared object file 'x.so'")  # noqa: B904
    assert "not enough memory" in describe_system_error(hidden.value)
    assert not describe_system_error(FileNotFoundError(errno.ENOENT, "No such file", "a")), "a bug, not the machine"
    assert not describe_system_error(RuntimeError("size mismatch"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limits", "trial", "refused"),
    [
        ("", "raise MemoryError", False),
        (" (ulimit -v is 9)", "pass", False),
        (" (ulimit -v is 9)", "raise MemoryError", True),
        (" (ulimit -v is 9)", "while True: pass", True),
    ],
)
def test_limits_that_leave_torch_no_memory_are_told_before_it_is_loaded(monkeypatch, limits, trial, refused):
    monkeypatch.setattr(resources, "memory_limits", lambda: limits)
    monkeypatch.setattr(resources, "_TRIAL", trial)
    monkeypatch.setattr(resources, "_SECONDS", 5)
    with pytest.raises(MemoryError, match="torch cannot compute") if refused else nullcontext():
        resources.check_memory_for_torch()


def test_each_command_looks_at_the_limits_before_it_loads_torch(params):
    """Of what is imported before, nothing brings torch either."""
    (params.parent / "best.pt").write_bytes(b"a network")
    code = """
import sys
from dr_lib.cli import app, network_commands
from dr_lib.inference import backends
def refuse(): raise MemoryError("looked")
for module in (app, network_commands, backends): module.check_memory_for_torch = refuse
for line in sys.argv[1:]:
    try: app.app(args=line.split(), standalone_mode=False)
    except MemoryError: pass
    else: print(line)
print("torch" in sys.modules)
"""
    data = params.name
    lines = [
        f"run --data {data} {data} --dry-run", f"run --data {data} {data} --out out", "report out", f"check {data}",
        f"evaluate best.pt --data {data}", "export best.pt --onnx", "predict best.pt best.pt",
    ]  # fmt: skip
    command = [sys.executable, "-c", code, *lines]
    done = subprocess.run(command, cwd=params.parent, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["False"], done.stdout + done.stderr


# Encodings


@pytest.mark.slow
def test_names_of_files_are_text_where_the_locale_knows_ascii_alone(params):
    ascii_alone = "LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0"
    ended = shell(f"mv run.yaml ä.yaml && {ascii_alone} DR check ä.yaml --set out_dir=ü/ö", params.parent)
    assert (ended.returncode, ended.stderr) == (0, b"") and "out_dir: ü/ö" in ended.stdout.decode()
    ended = shell(f"{ascii_alone} DR check ö.yaml", params.parent)
    assert ended.returncode == 2 and ended.stderr.decode().startswith("dr-lab: ö.yaml: no such params file")


def test_every_text_file_is_read_and_written_in_an_encoding_that_is_named():
    """Without one, Python takes that of the locale."""
    calls = re.compile(r"\.(?:read_text|write_text)\(|(?<![\w.])open\(|(?:path|log|lock)\.open\(|text=True")
    named = re.compile(r"encoding=|\"[rwa]\+?b\"|def open|self\.open")
    lines = [
        f"{path.name}: {line.strip()}"
        for path in sorted((PROJECT / "dr_lib").rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if calls.search(line)
    ]
    assert len(lines) > 20
    assert [line for line in lines if not named.search(line)] == []
