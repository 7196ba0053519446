"""Odd parameters, drawn at random from a seed: params files and assignments, with what they come to."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from odd_inputs import pick

TEXTS = ("data_dir", "labels_file", "images_dir", "cache_dir", "pretrained_weights")
NUMBERS = ("epochs", "seed", "batch_size", "limit", "learning_rate", "momentum", "weight_decay", "checkpoint_minutes")


@dataclass
class Parameters:
    """Parameters to be: a params file, assignments over it, and the values they come to, None where refused."""

    file: bytes = b""
    sets: list[str] = field(default_factory=list)
    comes_to: dict[str, Any] | None = None
    name: str = "odd.yaml"
    may_be_refused: bool = False


Change = Callable[[np.random.Generator], Parameters]


def _text(values: list[str], **options) -> Change:
    """One of ``values`` under one of :data:`TEXTS`, assigned or quoted in a file, comes out as it is."""

    def change(rng: np.random.Generator) -> Parameters:
        key, value = pick(rng, TEXTS), pick(rng, values)
        if rng.integers(2):
            return Parameters(sets=[f"{key}={value}"], comes_to={key: value}, **options)
        return Parameters(file=yaml.safe_dump({key: value}).encode(), comes_to={key: value}, **options)

    return change


def _unquoted(values: list[str]) -> Change:
    def change(rng: np.random.Generator) -> Parameters:
        key, value = pick(rng, TEXTS), pick(rng, values)
        return Parameters(file=f"{key}: {value}\n".encode(), comes_to={key: value})

    return change


def _set(*choices: tuple[str, Any]) -> Change:
    """One of several assignments, with the value it comes to, None where it is refused."""

    def change(rng: np.random.Generator) -> Parameters:
        text, value = pick(rng, choices)
        key = text.partition("=")[0].replace("lr", "learning_rate")
        return Parameters(sets=[text], comes_to=None if value is None else {key: value})

    return change


def _refused(*texts: str) -> Change:
    return _set(*((text, None) for text in texts))


def _number(values: list[str]) -> Change:
    return lambda rng: Parameters(sets=[f"{pick(rng, NUMBERS)}={pick(rng, values)}"])


def _file(*choices: tuple[str | bytes, dict[str, Any] | None]) -> Change:
    def change(rng: np.random.Generator) -> Parameters:
        content, comes_to = pick(rng, choices)
        return Parameters(file=content.encode() if isinstance(content, str) else content, comes_to=comes_to)

    return change


def _files(*contents: str | bytes) -> Change:
    return _file(*((content, None) for content in contents))


def _place(rng: np.random.Generator) -> Parameters:
    return Parameters(name=pick(rng, ["none.yaml", "folder", "pipe", "loop", "/dev/zero", "/proc/self/mem", "x" * 300,
                                      "x/" * 2500, "a\x1b[31m.yaml", "folder/none/odd.yaml"]))  # fmt: skip


def _home(rng: np.random.Generator) -> Parameters:
    return pick(rng, [
        Parameters(sets=["data_dir=~/x"], comes_to={"data_dir": os.path.expanduser("~/x")}),
        Parameters(sets=["data_dir=~nobody-of-that-name/x"]),
        Parameters(sets=["labels_file=~"], comes_to={"labels_file": "~"}),
        Parameters(file=b"cache_dir: ~/x\n", comes_to={"cache_dir": "~/x"}),
    ])  # fmt: skip


_BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 15))
_SWEEP = "title: a\nquestion: b\nvary:\n"

PARAMETER_CHANGES: dict[str, Change] = {
    "like a number": _text(["007", "1e3", "0x1F", "1:30", "yes", "null", "2026-01-01", "3.10", "1_000", ".5", "0o7"]),
    "like a number, unquoted": _unquoted(["007", "1e3", "1:30", "no", "null", "2026-01-01", "3.10", "=", "<<"]),
    "like YAML": _text(
        [
            "#1",
            "a: b",
            "[1",
            "{x",
            "&a",
            "*a",
            "!x",
            "%x",
            "@x",
            "`x",
            "|",
            ">",
            "- a",
            "? a",
            "a #b",
            "a\\n",
            "it's",
            'a"b',
            "x,y",
            "-x",
            "a}",
            "--- a",
        ]
    ),
    "markup": _text([":smile:", "[red]x[/red]", "\\[b]", "%s {} $HOME", "*", "<b>", "a:warning:b", "[link=x]y[/link]"]),
    "Unicode": _text(["ü", "u\u0308", "网膜", "עין", "👁\u200d🗨", "a\u202eb", "a\u200bb", "\ufeffa", "ﬁ", "a\xa0b"]),
    "control characters": _text(
        ["a\x1b[31mb", "a\x07", "a\tb", "a\nb", "a\rb", "a\x85b", "a\u2028b", "a\x7fb", "a\x9b2Jb"]
    ),
    "a long text": _text(["x" * 300, "x y " * 1250, "ü" * 5000, "/x" * 20_000], may_be_refused=True),
    "a name of up to 200 bytes": _set(*((f"name={name}", name) for name in ("x" * 200, "ü" * 100, "=", "-x", "007"))),
    "no name of a folder": _refused(*(f"name={name}" for name in ("x" * 201, "é" * 150, "x" * 9000, "a/b", "..", " "))),
    "many digits": _number(["9" * 5000, "-" + "9" * 4000, "0." + "9" * 5000 + "x", "1e" + "9" * 5000]),
    "deep brackets": _number(["[" * 5000, "[" * 500 + "]" * 500, "{a: " * 60, "- " * 3000]),
    "an alias bomb": _files(_BOMB, "a: &a [*a]", f"augmentations: &a [{'[' * 30}*a{']' * 30}]"),
    "a key twice": _files("epochs: 3\nepochs: 4\n", "name: a\n'name': a\n", "augmentations: [{Pad: {x: 1, x: 1}}]"),
    "a key in two spellings": _files("lr: 1\nlearning_rate: 1\n", "learning_rate: .1\nseed: 1\nlr: .1\n"),
    "an unknown key": _files(
        "epoch: 3\n",
        "x" * 5000,
        '"a\\e[31m": 3\n',
        '"": 3\n',
        "1: 3\n",
        "null: 3\n",
        "[a]: 3\n",
        "EPOCHS: 3\n",
        "? {a: b}\n: 3\n",
        "y" * 900 + ": 1\n",
    ),
    "no KEY=VALUE": _refused(
        "epochs", "=3", "epochs:3", " epochs=3", "epochs =3", "", "x" * 5000, "epochs" * 900 + "=3"
    ),
    "another type": _refused(
        "epochs=many",
        "epochs=[3]",
        "epochs={a: 1}",
        "epochs=true",
        "epochs=null",
        "epochs=",
        "seed=1.5",
        "pretrained=2",
        "residual=null",
        "augmentations=Pad",
        "augmentations=null",
        "class_weights=5",
        "epochs=2026-01-01",
        "labels=" + "y" * 5000,
        "class_weights=[" + "1," * 3000 + "1]",
    ),
    "a file of another type": _files(
        "data_dir: [a]\n", "name: {a: b}\n", "seed: ''\n", "epochs: !!null\n", "lr: 1:30\n"
    ),
    "not finite": _number([".nan", ".inf", "-.inf", "nan", "inf", "-inf", "NaN", "Infinity", "1e999", "-1e999"]),
    "out of range": _number(["-1", "-1e308", "1e309", "-9999999999999999999999"]),
    "at the edge": _set(
        ("lr=5e-324", 5e-324),
        ("seed=2147483647", 2**31 - 1),
        ("lr=1e308", 1e308),
        ("momentum=.999", 0.999),
        ("epochs=2147483647", 2**31 - 1),
        ("limit=1", 1),
        ("num_workers=0", 0),
    ),
    "a number otherwise written": _set(
        ("epochs=1_000", 1000),
        ("epochs=+3", 3),
        ("epochs=0x10", 16),
        ("epochs=3.0", 3),
        ("epochs='3'", 3),
        ("epochs=!!int '3'", 3),
        ("lr=.5", 0.5),
        ("lr=1e-5", 1e-5),
        ("epochs=3 # c", 3),
        ("epochs=&a 3", 3),
        ("pretrained=on", True),
    ),
    "a tag": _files(
        "epochs: !!python/object/apply:os.system [touch gone]\n", "name: !foo a\n", "!!set {epochs}\n", "!!x {}"
    ),
    "no text": _files(
        "epochs: 3\n".encode("utf-16"),
        "name: ü\n".encode("latin-1"),
        bytes(100),
        b"\x89PNG\r\n\x1a\n\0",
        b"epochs: 3\0\n",
        b"data_dir: a\x1b[31m\n",
        np.random.default_rng(0).bytes(500),
    ),
    "harmless bytes": _file(
        (b"\xef\xbb\xbfepochs: 3\n", {"epochs": 3}),
        ("seed: 4\r\nepochs: 3\r\n", {"epochs": 3, "seed": 4}),
        ("epochs: 3\rseed: 4\r", {"epochs": 3, "seed": 4}),
        ("---\nepochs: 3\n...\n", {"epochs": 3}),
        ("<<: {epochs: 3}\n", {"epochs": 3}),
        ("#" * 90_000, {}),
        ("", {}),
        ("name: >-\n a\n", {"name": "a"}),
    ),
    "no parameters": _files(
        "epochs\n", "epochs=3\n", "[epochs, 3]\n", "3\n", "epochs: 3\n---\nseed: 4\n", "\tepochs: 3\n"
    ),
    "no file": _place,
    "a large file": _files("name: " + "y" * 3_000_000, "#" * 9_000_000, "".join(f"a{n}: 1\n" for n in range(300_000))),
    "too many runs": _files(
        f"{_SWEEP}  seed: {[*range(300)]}\n  split_seed: {[*range(300)]}\n",
        f"{_SWEEP}  seed: []\n",
        f"{_SWEEP}  seed: [1, 1]\n",
        f"{_SWEEP}  {'x' * 900}: [1]\n",
        f"{_SWEEP}  x: {{a: /dev/zero}}\n",
    ),
    "home": _home,
}


def odd_parameters(rng: np.random.Generator, folder: Path, change: str) -> Parameters:
    """Write a params file into ``folder``, beside a folder, a pipe and a link to itself, and say what it comes to."""
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    found = PARAMETER_CHANGES[change](rng)
    (folder / "odd.yaml").write_bytes(found.file)
    return found
