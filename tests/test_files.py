import json

import pytest

from dr_lib.files import write_json, write_text, write_with


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


def test_written_whole_and_readable(tmp_path):
    write_text(tmp_path / "x.txt", "ü\n")
    assert (tmp_path / "x.txt").read_bytes() == "ü\n".encode()
    assert (tmp_path / "x.txt").stat().st_mode & 0o777 == 0o644


def test_nan_is_no_json(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())
