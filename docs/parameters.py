"""Write docs/parameters.md from RunConfig: ``python docs/parameters.py``; a test fails where they disagree."""

import json
from pathlib import Path
from typing import Any

from dr_lib.config import RunConfig

PAGE = Path(__file__).with_name("parameters.md")
GROUPS = {
    "data_dir": "Where the photographs are",
    "model": "The network",
    "resize": "What a sample is",
    "batch_size": "How it learns",
    "device": "The machine, and where results go",
}
"""The first parameter of each group, in the order of ``RunConfig``."""

INTRODUCTION = """# Parameters

Every parameter of a run, as `RunConfig` has it: in Python, in a params file, with `--set NAME=VALUE`, and in
`notebooks/train.ipynb`. Later files win over earlier ones, `--set` over all. Unknown names, wrong
types and values out of range are refused before anything starts. `dr-lab check FILE...` prints the merged parameters.
`lr` is accepted for `learning_rate`.
"""


def page() -> str:
    """Return the page."""
    parts = [INTRODUCTION]
    for name, field in RunConfig.model_fields.items():
        if name in GROUPS:
            parts.append(f"\n## {GROUPS[name]}\n\n| parameter | default | values | meaning |\n|---|---|---|---|\n")
        cells = [f"`{name}`", f"`{json.dumps(field.default)}`", _values(name, field), field.description or ""]
        parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return "".join(parts)


def _values(name: str, field: Any) -> str:
    """Return what a parameter may be, from its type and limits."""
    schema = RunConfig.model_json_schema()["properties"][name]
    options = schema.get("anyOf", [schema])
    words = []
    for option in options:
        if "enum" in option or "const" in option:
            words += [f"`{value}`" for value in option.get("enum", [option.get("const")])]
        elif option["type"] == "object":
            words.append("mapping")
        elif option["type"] == "array":
            items = option.get("items", {}).get("type")
            words.append("list of numbers" if items == "number" else "list")
        else:
            words.append({"boolean": "true, false", "string": "text"}.get(option["type"]) or _range(option))
    return ", ".join(words)


def _range(option: dict[str, Any]) -> str:
    kind = {"integer": "whole number", "number": "number"}[option["type"]]
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    signs |= {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}  # what pydantic leaves of limits behind a validator
    # The largest whole number that torch and numpy can count with is no limit worth telling.
    limits = [f"{sign} {option[key]:g}" for key, sign in signs.items() if option.get(key, 2**31) != 2**31]
    return " ".join([kind, *limits])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
