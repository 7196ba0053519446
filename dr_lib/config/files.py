"""Params files and assignments, put together into one configuration; and YAML that others wrote.

Values are plain, no larger than they look, and text where text is meant.
"""

import difflib
import math
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from dr_lib.config.run_config import ABBREVIATIONS, TEXT_PARAMETERS, RunConfig
from dr_lib.errors import InputError, closest_path
from dr_lib.storage.bounded_read import read_bounded
from dr_lib.storage.folders import SHIPPED

_TEXT = "tag:yaml.org,2002:str"
_OTHER_KINDS = ("int", "float", "bool", "null", "timestamp", "value", "merge")
_READ_AS_OTHER = {f"tag:yaml.org,2002:{kind}" for kind in _OTHER_KINDS}
_ODD_NUMBER = re.compile(r"[-+]?0[0-9_]|.*:")


def read_parameters(path: Path) -> dict[str, Any]:
    """Return the mapping in a params file, abbreviations spelled out.

    Raises :class:`InputError` where the file is missing, is not YAML, or is not a mapping.
    """
    try:
        values = read_yaml(read_bounded(shipped_or_own(path)).decode(), TEXT_PARAMETERS | {"title", "question"})
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            raise InputError(f"{path}: cannot be read ({error.strerror}); name a params file") from None
        slip = _closest_parameters(path) or "; name one that is there, or a shipped one such as params/data/demo.yaml"
        raise InputError(f"{path}: no such params file{slip}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML: {describe_yaml_error(error)}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: no text in UTF-8 ({error}); save it as UTF-8") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds a {type(values).__name__}, needs lines of 'parameter: value'")
    return spelled_out(str(path), values)


def shipped_or_own(path: Path) -> Path:
    """Return ``path`` where there is such a file, else the one of that name that comes with the package, if any."""
    return path if path.exists() or not (SHIPPED / path).exists() else SHIPPED / path


def run_files() -> list[Path]:
    """Return the run files of ``params/runs`` here, or where there is no such folder the eight that are shipped."""
    folder = Path("params/runs")
    return [folder / file.name for file in sorted(shipped_or_own(folder).glob("*.yaml"))]


def _closest_parameters(path: Path) -> str:
    """Return what :func:`closest_path` does, of files here and of shipped ones, of which the stem is enough."""
    stems = {file.stem: file.relative_to(SHIPPED) for file in sorted(SHIPPED.glob("params/*/*.yaml"), reverse=True)}
    close = difflib.get_close_matches(path.stem, stems, n=1)
    shipped = closest_path(SHIPPED / path).replace(f"{SHIPPED}/", "")
    return closest_path(path) or shipped or (f" (did you mean '{stems[close[0]]}'?)" if close else "")


def spelled_out(where: str, values: Mapping[Any, Any]) -> dict[str, Any]:
    """Return ``values`` with abbreviated names in full; raises :class:`InputError` for one name in two spellings."""
    names = [ABBREVIATIONS.get(str(key), str(key)) for key in values]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"{where}: {twice} is there twice, in two spellings; leave one out")
    return dict(zip(names, values.values(), strict=True))


def parse_assignment(text: str) -> tuple[str, Any]:
    """Return key and value of ``KEY=VALUE``, the value read as YAML; where a text is meant, it is the text as given.

    Quotes around all of a text are left out, as YAML does.
    """
    key, equals, value = text.partition("=")
    key = ABBREVIATIONS.get(key, key)
    if not equals or not key:
        raise InputError(f"--set {text}: needs the form KEY=VALUE")
    try:
        if not value or (key in TEXT_PARAMETERS and not re.fullmatch(r"(['\"]).*\1", value)):
            return key, value
        return key, read_yaml(value)
    except yaml.YAMLError as error:
        raise InputError(f"--set {text}: the value is not YAML ({describe_yaml_error(error)})") from None


def combine(
    files: list[Path],
    assignments: Sequence[str] = (),
    *,
    base: dict[str, Any] | None = None,
    fixed: dict[str, Any] | None = None,
) -> RunConfig:
    """Return the configuration of ``files`` in order, later ones winning.

    They lie over ``base``; ``assignments`` (``KEY=VALUE``) win over all files, ``fixed`` over everything.
    """
    values, sources = dict(base or {}), {}
    for path in files:
        for key, value in read_parameters(path).items():
            values[key], sources[key] = value, str(path)
    for text in assignments:
        key, value = parse_assignment(text)
        values[key], sources[key] = value, f"--set {text}"
    return RunConfig.from_mapping(values | (fixed or {}), sources)


MOST_LETTERS, MOST_VALUES, MOST_LEVELS = 100_000, 100_000, 50
"""Letters in a file, values with what aliases repeat, and lists within lists: more than any params file has."""


def read_yaml(text: str, text_keys: Container[str] = ()) -> Any:
    """Return the value of ``text``; what stands unquoted under ``text_keys`` is the text that it is, such as ``007``.

    Raises :class:`yaml.YAMLError` also for more than :data:`MOST_LETTERS` letters, of which a million take half a
    minute, keys that are there twice, aliases that stand for more than :data:`MOST_VALUES` values, more than
    :data:`MOST_LEVELS` levels, and numbers that YAML reads in base 8 or 60.
    """
    if len(text) > MOST_LETTERS:
        raise yaml.YAMLError(f"{len(text):,} letters, more than the {MOST_LETTERS:,} that are read")
    loader = _Loader(text)
    loader.text_keys = text_keys
    try:
        return loader.get_single_data()
    except (ValueError, OverflowError) as error:  # a number of thousands of digits, a 13th month
        raise yaml.YAMLError(str(error).partition(";")[0]) from None
    finally:
        loader.dispose()


def as_line(name: str, value: Any) -> str:
    """Return the line of a params file that gives ``name`` this ``value``; control characters in it are escaped."""

    def dump(content: Any, **options: Any) -> str:
        return yaml.safe_dump(content, default_flow_style=True, width=math.inf, **options)

    line = dump({name: value}, allow_unicode=True).strip()[1:-1]
    return line if line.isprintable() else name + ": " + dump(value, default_style='"').strip()


def describe_yaml_error(error: yaml.YAMLError) -> str:
    """Return what is wrong in one line, with the number of the line where it is known."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    return f"line {mark.line + 1}: {problem}" if mark and problem else str(error)


class _Loader(yaml.SafeLoader):
    text_keys: Container[str] = ()

    def __init__(self, text: str):
        super().__init__(text)
        self._level = 0
        self._extents: dict[yaml.Node, tuple[int, int]] = {}  # values and levels of each node

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        event = self.peek_event()
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            node = self._composed(parent, index)
            _refuse(node not in self._extents, "an alias within what it stands for", mark)
            return node
        self._level += 1
        _refuse(self._level > MOST_LEVELS, f"more than {MOST_LEVELS} levels", mark)
        node = self._composed(parent, index)
        self._level -= 1
        children: Iterable[yaml.Node] = [] if isinstance(node, yaml.ScalarNode) else node.value
        if isinstance(node, yaml.MappingNode):
            children = chain.from_iterable(node.value)
        extents = [self._extents[child] for child in children]
        values, levels = 1 + sum(size for size, _ in extents), 1 + max((high for _, high in extents), default=0)
        _refuse(values > MOST_VALUES, f"aliases that stand for more than {MOST_VALUES:,} values", mark)
        _refuse(levels > MOST_LEVELS, f"more than {MOST_LEVELS} levels", mark)
        self._extents[node] = values, levels
        return node

    def _composed(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        node = super().compose_node(parent, index)
        assert node is not None  # PyYAML's composer either returns a node or raises
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            _refuse(key.value in seen, f"{key.value} is there twice; leave one out", key.start_mark)
            seen.add(key.value)
            if key.value in self.text_keys:
                for scalar in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if scalar.tag in _READ_AS_OTHER:
                        scalar.tag = _TEXT
        return node

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        odd = _ODD_NUMBER.match(node.value) is not None
        what = f"{node.value}: YAML reads it in base 8 or 60; write a plain number, or quotes around a text"
        _refuse(odd, what, node.start_mark)
        whole = node.tag.endswith("int")
        return self.construct_yaml_int(node) if whole else self.construct_yaml_float(node)


def _refuse(wrong: bool, what: str, mark: yaml.Mark) -> None:
    if wrong:
        raise ConstructorError(None, None, what, mark)


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_number)
