"""Params files and assignments, put together into one configuration."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from dr_lib.config.run_config import ABBREVIATIONS, TEXT_PARAMETERS, RunConfig
from dr_lib.config.yaml_values import describe, read_yaml
from dr_lib.errors import InputError
from dr_lib.storage.bounded_read import read_bounded


def read_parameters(path: Path) -> dict[str, Any]:
    """Return the mapping in a params file, abbreviations spelled out.

    Raises :class:`InputError` where the file is missing, is not YAML, or is not a mapping.
    """
    try:
        values = read_yaml(read_bounded(path).decode(), TEXT_PARAMETERS | {"title", "question"})
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); params files are in params/") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML: {describe(error)}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: no text in UTF-8 ({error}); save it as UTF-8") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds a {type(values).__name__}, needs lines of 'parameter: value'")
    return spelled_out(str(path), values)


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
        raise InputError(f"--set {text}: the value is not YAML ({describe(error)})") from None


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
