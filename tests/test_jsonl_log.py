import json

import pytest

from dr_lib.storage.jsonl_log import JsonlLog

BASIS = {"method": 1, "side": 256}


@pytest.fixture
def journal(tmp_path):
    return JsonlLog(tmp_path / "folder" / "journal.jsonl", BASIS)


def test_the_last_entry_of_a_key_counts(journal):
    assert journal.read() == {}
    journal.append({"a": {"n": 1}, "b": {"n": 2}})
    assert journal.read() == {"a": {"n": 1}, "b": {"n": 2}}
    journal.append({"a": {"n": 3}})
    assert journal.read() == {"a": {"n": 3}, "b": {"n": 2}}
    assert JsonlLog(journal.path, BASIS).read() == journal.read()
    assert json.loads(journal.path.read_text().partition("\n")[0])[:2] == ["basis", BASIS]


@pytest.mark.parametrize("torn", [b'["c", {"n', b'["c"', b"[", b"\x00\x00"])
def test_a_torn_line_is_passed_over_and_what_follows_is_not_lost(journal, torn):
    journal.append({"a": {"n": 1}})
    with journal.path.open("ab") as stream:
        stream.write(torn)
    assert journal.read() == {"a": {"n": 1}}
    journal.append({"b": {"n": 2}})
    assert journal.read() == {"a": {"n": 1}, "b": {"n": 2}}


@pytest.mark.parametrize(
    "damage",
    [lambda line: line.replace(b'"n": 1', b'"n": 7'), lambda line: b'["a", 5]\n', lambda line: b'["a", {"n": 7}]\n',
     lambda line: b"{}\n", lambda line: b"7\n", lambda line: line.replace(b"a", b"\xff"), lambda line: b"\n"],
)  # fmt: skip
def test_a_line_that_is_damaged_or_of_another_kind_is_passed_over(journal, damage):
    journal.append({"a": {"n": 1}})
    journal.append({"b": {"n": 2}})
    first, line, last = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(first + damage(line) + last)
    assert journal.read() == {"b": {"n": 2}}


def test_on_another_basis_it_is_begun_anew_with_a_word(journal, caplog):
    journal.append({"a": {"n": 1}})
    other = JsonlLog(journal.path, BASIS | {"method": 2})
    assert other.read() == {} and not caplog.text
    other.append({"b": {"n": 2}})
    assert "begun anew" in caplog.text
    assert other.read() == {"b": {"n": 2}} and journal.read() == {}


@pytest.mark.parametrize("content", [b"", b"{", b"[]\n", b"\xff\xfe\n", b'["a", {"n": 1}]\n'])
def test_what_is_no_journal_is_not_believed(journal, content):
    journal.path.parent.mkdir()
    journal.path.write_bytes(content)
    assert journal.read() == {}
    journal.append({"a": {"n": 5}})
    assert journal.read() == {"a": {"n": 5}}


def test_thousands_of_entries_are_read_but_for_the_damaged_ones(journal):
    entries = {f"photograph {number}": {"info": {"digest": f"{number}"}, "stamp": [number]} for number in range(2500)}
    journal.append(entries)
    assert JsonlLog(journal.path, BASIS).read() == entries
    lines = journal.path.read_bytes().split(b"\n")
    lines[1200] = lines[1200].replace(b"photograph", b"photograpH")
    journal.path.write_bytes(b"\n".join(lines))
    assert list(JsonlLog(journal.path, BASIS).read()) == [name for name in entries if name != "photograph 1199"]
    first, second = list(JsonlLog(journal.path, BASIS).read().values())[:2]
    assert next(iter(first)) is next(iter(second))  # one copy of the names
