"""YAML that others wrote is refused in one line, soon, or means what it says."""

import os
import time

import pytest
import yaml

from dr_lib.config import TEXT_PARAMETERS, combine, parse_assignment, read_parameters
from dr_lib.config.files import as_line, read_yaml
from dr_lib.errors import InputError
from dr_lib.experiment.plan import parse_seeds, with_seeds
from dr_lib.experiment.sweeps import expand, read_sweep

BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 15))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOMB, "aliases that stand for more than"),
        ("a: &a [*a]", "alias within what it stands for"),
        ("a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 500)), "more than 50 levels"),
        ("epochs: " + "[" * 500 + "]" * 500, "more than 50 levels"),
        ("epochs: " + "[" * 500, "more than 50 levels"),
        ("seed: " + "9" * 5000, "4300 digits"),
        ("seed: 2020-13-45", "month must be"),
        ("epochs: 3\nseed: 1\nepochs: 4", "epochs is there twice"),
        ("augmentations: [{CenterCrop: {size: 1, size: 2}}]", "size is there twice"),
        ("lr: 0.1\nlearning_rate: 0.2", "learning_rate is there twice, in two spellings"),
        ("seed: 010", "base 8 or 60"),
        ("epochs: 1:30", "base 8 or 60"),
        ("learning_rate: 1:30.5", "base 8 or 60"),
        ("? [a]\n: b", "unhashable"),
        ("name: " + "x" * 3_000_000, "3,000,006 letters"),
    ],
)
def test_a_params_file_is_refused_in_one_line_and_soon(tmp_path, text, words):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    started = time.process_time()
    with pytest.raises(InputError) as error:
        read_parameters(file)
    assert time.process_time() - started < 5
    assert str(error.value).startswith(str(file)) and words in str(error.value) and "\n" not in str(error.value)


def test_a_sweep_names_a_parameter_once(tmp_path):
    file = tmp_path / "mine.yaml"
    for part in (
        "runs: {lr: 0.1, learning_rate: 0.2}\nvary: {seed: [0, 1]}",
        "vary: {lr: [0.1], learning_rate: [0.2]}",
    ):
        file.write_text(f"title: a\nquestion: b\n{part}\n")
        with pytest.raises(InputError, match="learning_rate is there twice"):
            read_sweep(file)


def test_aliases_and_merges_of_a_usual_size_are_read():
    text = "base: &base {epochs: 3, seed: 1}\nother: {<<: *base, seed: 2}\nlist: [*base, *base]"
    assert read_yaml(text) == yaml.safe_load(text)


@pytest.mark.parametrize("text", ["007", "1e3", "yes", "2026-01-01", "0x1F", "1:30", "null", "~", "3.10", "=", "<<"])
def test_a_text_is_what_it_says_in_files_assignments_and_sweeps(tmp_path, text):
    file = tmp_path / "mine.yaml"
    file.write_text(f"labels_file: {text}\n")  # data_dir would make the home folder of a ~
    assert combine([file]).labels_file == text
    assert combine([], [f"labels_file={text}"]).labels_file == text
    file.write_text(f"title: {text}\nquestion: b\nruns: {{data_dir: {text}}}\nvary: {{images_dir: [{text}, b]}}\n")
    sweep = read_sweep(file)
    assert (sweep.title, sweep.shared, sweep.vary) == (text, {"data_dir": text}, {"images_dir": [text, "b"]})


@pytest.mark.parametrize(
    ("given", "value"),
    [("#1", "#1"), ("/p/a: b", "/p/a: b"), ("[1", "[1"), ("&a", "&a"), ("%x", "%x"), ("", ""), ("'#1'", "#1"),
     ('"a b"', "a b")],
)  # fmt: skip
def test_an_assigned_text_needs_no_quotes(given, value):
    assert parse_assignment(f"data_dir={given}") == ("data_dir", value)


@pytest.mark.parametrize(
    "assignment", ["epochs=99999999999999999999", f"limit={'9' * 4000}", f"learning_rate={'9' * 400}", "momentum=.nan",
                   "split_seed=4294967296", "data_dir=a\0b", "images_dir=a\0b", f"augmentations=[{'9' * 5000}]"],
)  # fmt: skip
def test_numbers_and_places_that_nothing_can_take_are_refused(assignment):
    with pytest.raises(InputError, match=assignment.partition("=")[0]):
        combine([], [assignment])


def test_an_empty_text_in_a_file_is_empty(tmp_path):
    (tmp_path / "mine.yaml").write_text("name:\nimages_dir: # none\n")
    config = combine([tmp_path / "mine.yaml"])
    assert (config.name, config.images_dir) == ("", "")


def test_what_is_no_text_stays_what_it_is():
    assert {"data_dir", "name", "model", "labels"} < TEXT_PARAMETERS
    assert not {"epochs", "class_weights", "augmentations", "pretrained"} & TEXT_PARAMETERS
    config = combine([], ["epochs=7", "pretrained=true", "lr=1e-3", "class_weights=[1, 2, 3, 4, 5]"])
    assert (config.epochs, config.pretrained, config.learning_rate) == (7, True, 1e-3)


@pytest.mark.parametrize(
    "value", ["007", "#1", "a: b", "x" * 5000, ":smile:", "a\x1b[31m", "a\nb", "a\u202eb", "网膜", "", 3, 1e-5, True,
              ["a\x1b", {"b": {"c": [1, 2.5]}}], {"x": "a\u202eb"}],
)  # fmt: skip
def test_a_value_is_written_as_one_harmless_line_that_reads_the_same(value):
    line = as_line("images_dir", value)
    assert line.isprintable() and line.startswith("images_dir: ")
    assert read_yaml(line, ["images_dir"] if isinstance(value, str) else ()) == {"images_dir": value}


def test_a_params_file_that_is_read_once_only_is_refused(tmp_path):
    """A pipe is empty when a command reads it again, and waits for ever where nobody writes."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(InputError, match="no regular file"):
            read_parameters(path)


@pytest.mark.parametrize(("name", "is_sound"), [("x" * 200, True), ("x" * 201, False), ("é" * 101, False)])
def test_a_run_is_named_as_a_folder_can_be(name, is_sound):
    if is_sound:
        assert combine([], [f"name={name}"]).run_name == name
    else:
        with pytest.raises(InputError, match="bytes long, a folder's name may be 200"):
            combine([], [f"name={name}"])


def test_an_experiment_has_so_many_runs_at_most(tmp_path):
    vary = {"seed": [*range(200)], "split_seed": [*range(100)]}
    (tmp_path / "mine.yaml").write_text(f"title: a\nquestion: b\nvary: {vary}\n")
    with pytest.raises(InputError, match="20,000 combinations"):
        expand(read_sweep(tmp_path / "mine.yaml"), [], [], "out")
    with pytest.raises(InputError, match="20,000 runs"):
        with_seeds([combine([])], parse_seeds(",".join(map(str, range(20000)))))
