"""What the cells of label files mean: grades as numbers or words, splits, eyes."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "crossval": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
"""Words for splits in columns, and in names of files and folders."""

EYE_NAMES = {
    **dict.fromkeys(("left", "l", "os", "le"), "left"),
    **dict.fromkeys(("right", "r", "od", "re"), "right"),
}
"""Words for eyes in columns, and in names of photographs and folders; OS is oculus sinister, the left one."""

_NUMBER = re.compile(r"([0-4])([.,]0*)?", re.ASCII)
_SEVERITIES = {
    **dict.fromkeys(("no", "nodr", "normal", "healthy"), 0), "mild": 1, "moderate": 2, "severe": 3,
    **dict.fromkeys(("proliferative", "proliferate", "pdr"), 4),
}  # fmt: skip
_RETINOPATHY = {"diabetic", "retinopathy", "dr", "npdr", "apparent", "grade", "level", "class", "icdr", "stage"}
"""Words beside the severity that change nothing."""


def grade_of(text: str) -> int | None:
    """Return the grade that a number is, such as ``2``, ``2.0`` or ``2,0``; None for anything else."""
    number = _NUMBER.fullmatch(text)
    return int(number[1]) if number else None


def grade_of_words(text: str) -> int | None:
    """Return the ICDR grade that words name, such as ``Moderate``, ``No_DR`` or ``grade 2``; None for others.

    A list such as ``['mild diabetic retinopathy', 'drusen']`` has the grade of the one entry that names any.
    """
    if text.startswith("["):
        grades = _grades_in(text)
        return grades.pop() if len(grades) == 1 else None
    words = re.sub(r"[\W_]+", " ", text.lower()).strip()
    words = re.sub(r"\bnon ?proliferative\b", "npdr", words)
    core = [word for word in words.split() if word not in _RETINOPATHY]
    if len(core) != 1:
        return None
    return _SEVERITIES.get(core[0], grade_of(core[0]))


def number_text(value: Any) -> str:
    """Return how a value is compared: ``5``, ``5.0`` and ``5,0`` are one, and so are words in any case."""
    text = "" if value is None else str(value).strip().casefold()
    return re.sub(r"(?<=\d)[.,]0*$", "", text)


def grades_of(texts: Iterable[str], grade_map: Mapping[str, int], ungradable: Iterable[Any]) -> dict[str, int | None]:
    """Return the grade of each text that has one, None for what is ungradable; a text that is neither is left out.

    ``grade_map``, by the user, wins over all else. Words count only where no number does: a word among numbers is a
    slip of the keyboard. In a column of lists, as FLAIR's, those without a grade of retinopathy are ungradable.
    """
    given = {number_text(key): grade for key, grade in grade_map.items()}
    left_out = {number_text(value) for value in ungradable}
    meanings: dict[str, int | None] = {}
    words, numbers = [], False
    for text in dict.fromkeys(texts):
        key = number_text(text)
        if key in given:
            meanings[text] = given[key]
        elif key in left_out:
            meanings[text] = None
        elif (grade := grade_of(text)) is not None:
            meanings[text], numbers = grade, True
        else:
            words.append(text)
    if not numbers:
        named = {text: grade_of_words(text) for text in words}
        meanings |= {text: grade for text, grade in named.items() if grade is not None}
        if any(text.startswith("[") and grade is not None for text, grade in named.items()):
            lists = [text for text in named if text.startswith("[") and not _grades_in(text)]
            meanings |= dict.fromkeys(lists)
    return meanings


def _grades_in(text: str) -> set[int]:
    entries = (entry for pair in re.findall(r"'([^']*)'|\"([^\"]*)\"", text) for entry in pair)
    return {grade for entry in entries if (grade := grade_of_words(entry)) is not None}


def split_of(name: str) -> str:
    """Return the split that a name of a file or folder tells, such as ``b. Testing Set``; empty where it tells none.

    A name of several splits, such as ``train_and_test``, tells none.
    """
    splits = {SPLIT_NAMES[word] for word in re.split(r"[\W_\d]+", name.lower()) if word in SPLIT_NAMES}
    return splits.pop() if len(splits) == 1 else ""


def eye_of(text: str) -> str:
    """Return ``left`` or ``right`` of a word for an eye in any case; empty for others."""
    return EYE_NAMES.get(text.strip().lower(), "")
