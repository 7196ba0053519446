import errno
import fcntl
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dr_lib.storage.files import folder_beside, remove_leftovers, scratch_folder, write_json, write_text, write_with

ROOT = Path(__file__).parent.parent


def test_a_failing_write_leaves_what_was_there_and_nothing_else(tmp_path):
    file = tmp_path / "deep" / "result.json"
    write_json(file, {"a": 1})

    def half(stream):
        stream.write(b"half of i")
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_with(file, half)
    assert json.loads(file.read_text()) == {"a": 1}
    assert list(file.parent.iterdir()) == [file]


def full(stream):
    raise OSError(errno.ENOSPC, "No space left on device")


def full_and_confused(stream):
    """As ``torch.save``, which closes what it could not write."""
    try:
        full(stream)
    finally:
        raise RuntimeError("unexpected pos 683968 vs 683864")


@pytest.mark.parametrize("write", [full, full_and_confused])
def test_a_full_disk_is_called_so_with_the_name_of_the_file(tmp_path, write):
    with pytest.raises(OSError, match=r"No space left on device: .*result\.json") as found:
        write_with(tmp_path / "result.json", write)
    assert found.value.errno == errno.ENOSPC


def test_a_full_disk_names_what_a_folder_was_to_become(tmp_path):
    for name in (lambda folder: folder / "images" / "a.jpeg", lambda folder: None):
        refused = pytest.raises(OSError, match=f"No space left on device: '{tmp_path}/drawn'")
        with refused, folder_beside(tmp_path / "drawn") as folder:
            raise OSError(errno.ENOSPC, "No space left on device", name(folder))
    with pytest.raises(OSError, match="'/elsewhere'"), folder_beside(tmp_path / "drawn"):
        raise OSError(errno.EACCES, "Permission denied", "/elsewhere")
    assert not any(tmp_path.iterdir())


def test_an_error_that_is_being_handled_is_not_taken_for_that_of_writing(tmp_path):
    try:
        full(None)
    except OSError:
        with pytest.raises(ValueError, match="JSON"):
            write_json(tmp_path / "x.json", {"a": float("nan")})
        with pytest.raises(KeyError):
            write_with(tmp_path / "x", lambda stream: {}["a"])


def test_what_a_killed_writer_has_left_can_be_removed(tmp_path):
    write_text(tmp_path / "deep" / "kept.part", "a file of that name")
    for left in (tmp_path / ".status.json.x1.part", tmp_path / "deep" / ".last.new.x2.part"):
        left.write_text("half")
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["kept.part"]


def test_written_whole_and_readable(tmp_path):
    write_text(tmp_path / "x.txt", "ü\n")
    assert (tmp_path / "x.txt").read_bytes() == "ü\n".encode()
    assert (tmp_path / "x.txt").stat().st_mode & 0o777 == 0o644


def test_nan_is_no_json(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())


def killed_while_it_writes(code):
    """Let a process of its own run ``code`` and be killed where that calls ``die()``."""
    head = "import os; from pathlib import Path; from dr_lib.storage import files\n"
    head += "die = lambda *_: os.kill(os.getpid(), 9)\n"
    assert subprocess.run([sys.executable, "-c", head + code], cwd=ROOT).returncode == -signal.SIGKILL


def test_the_next_writing_removes_what_a_killed_one_left(tmp_path):
    file = tmp_path / "status.json"
    killed_while_it_writes(f"files.write_with(Path({str(file)!r}), die)")
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
    write_text(file, "{}")
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_being_written_is_no_leftover(tmp_path):
    def write(stream):
        remove_leftovers(tmp_path)
        write_text(tmp_path / "x", "by another")
        stream.write(b"by the first, which ends last")

    write_with(tmp_path / "x", write)
    assert (tmp_path / "x").read_text().startswith("by the first") and len(list(tmp_path.iterdir())) == 1


def test_scratch_folders_of_killed_processes_are_removed_and_others_are_not(tmp_path):
    killed_while_it_writes(f"with files.scratch_folder(Path({str(tmp_path)!r})) as new: (new / 'x').touch(); die()")
    somebodys = tmp_path / ".dr-lab-notes"
    somebodys.mkdir()
    assert len(list(tmp_path.iterdir())) == 2
    with scratch_folder(tmp_path) as one, scratch_folder(tmp_path) as other:
        (one / "x").touch()
        assert set(tmp_path.iterdir()) == {somebodys, one, other}
    assert list(tmp_path.iterdir()) == [somebodys]


def test_where_there_are_no_locks_nothing_is_removed(tmp_path, monkeypatch):
    def refuse(handle, kind):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    left = tmp_path / ".x.1.part"
    left.touch()
    write_text(tmp_path / "x", "new")
    assert left.exists() and (tmp_path / "x").read_text() == "new"
