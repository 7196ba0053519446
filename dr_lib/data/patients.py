"""Whose eye a photograph shows, by its name: ``10_left``, ``265_l1``, ``P01_OD``, ``OS/P01``, ``P01/2019-05-01/OD``."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import pandas as pd

from dr_lib.data.label_values import EYE_NAMES, SPLIT_NAMES, eye_of, grade_of_words, split_of
from dr_lib.errors import InputError
from dr_lib.system.terminal import counted

_EYE = re.compile(rf"(?P<patient>.+)[_\- ](?P<eye>{'|'.join(EYE_NAMES)})\d{{0,2}}", re.IGNORECASE | re.DOTALL)
_EYE_ALONE = re.compile(rf"(?P<eye>{'|'.join(EYE_NAMES)})\d{{0,2}}", re.IGNORECASE)
_TOKENS = re.compile(r"[_\-. ]+|(?<=\d)(?=[A-Za-z]+$)")
_DATE = re.compile(r"\d{4}[-_.]?\d\d[-_.]?\d\d")
_OF_NO_PATIENT = {"images", "image", "imgs", "img", "photos", "photographs", "data", "original images"}

MOST_OF_A_FOLDER = 10
"""Photographs of an eye that a patient's own folder holds; more are those of several patients."""

MOST_VIEWS = 8
"""Values of that part of a name which tells photographs of one patient apart."""

PATTERN_EXAMPLE = "patient_pattern, such as '(?P<patient>.+)_(?P<eye>OD|OS)'"


def patient_of(image: str) -> str:
    """Return the patient of a photograph: ``10`` for ``10_left`` and ``10_right``, else the name itself."""
    return patients_and_eyes([image])[0][0]


def patient_known(table: pd.DataFrame) -> pd.Series:
    """Tell for each row whether its ``patient`` is known: whom neither labels nor name tell is called like the image.

    Such a photograph counts as a patient of its own where patients are drawn or kept together.
    """
    return table["patient"] != table["image"]


def patients_and_eyes(names: Sequence[str], pattern: str = "") -> tuple[list[str], list[str]]:
    """Return patient and eye (``left``, ``right`` or empty) of each name, a path in the data folder without ending.

    A name that tells no patient is one. ``pattern``: a regular expression with the group ``patient``, and ``eye`` where
    it tells one, that is looked for in the name instead; raises :class:`InputError` where it fits none.
    """
    if pattern:
        return _by_pattern(names, pattern)
    patients, eyes = list(names), [""] * len(names)
    in_eye_folders = []
    for at, name in enumerate(names):
        folder, _, stem = name.rpartition("/")
        if found := _EYE.fullmatch(stem):
            patients[at], eyes[at] = found["patient"], EYE_NAMES[found["eye"].lower()]
        elif folder:
            if found := _EYE_ALONE.fullmatch(stem):
                patients[at], eyes[at] = _patient_folder(folder) or name, EYE_NAMES[found["eye"].lower()]
            elif eye := eye_of(folder.rpartition("/")[2]):
                eyes[at] = eye
                in_eye_folders.append(at)
    if in_eye_folders:
        _name_by_eye_folders(in_eye_folders, names, patients)
    return patients, eyes


def _name_by_eye_folders(rows: Sequence[int], names: Sequence[str], patients: list[str]) -> None:
    """Write the patients of photographs in folders for an eye: the folder above, or their name where it holds many."""
    stems: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        folder, _, stem = names[row].rpartition("/")
        stems[folder.rpartition("/")[0]].add(stem)
    for row in rows:
        folder, _, stem = names[row].rpartition("/")
        above = folder.rpartition("/")[0]
        owner = _patient_folder(above) if len(stems[above]) <= MOST_OF_A_FOLDER else ""
        patients[row] = owner or stem


def _patient_folder(folder: str) -> str:
    """Return the nearest folder that may be called after a patient: no date, eye, split, grade or usual word."""
    for part in reversed(folder.split("/")):
        usual = part.lower() in _OF_NO_PATIENT or split_of(part) or eye_of(part)
        if part and not usual and not _DATE.fullmatch(part) and grade_of_words(part) is None:
            return part
    return ""


def _by_pattern(names: Sequence[str], pattern: str) -> tuple[list[str], list[str]]:
    where = f"patient_pattern {pattern!r}"
    try:
        expression = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise InputError(f"{where}: no regular expression ({error}); write {PATTERN_EXAMPLE}") from None
    if "patient" not in expression.groupindex:
        raise InputError(f"{where}: has no group called patient; write {PATTERN_EXAMPLE}")
    found = [expression.search(name) for name in names]
    if names and not any(found):
        raise InputError(
            f"{where}: fits none of {counted(len(names), 'name')}, such as {names[0]!r}; write {PATTERN_EXAMPLE}"
        )
    eyed = "eye" in expression.groupindex
    patients = [(match and match["patient"]) or name for match, name in zip(found, names, strict=True)]
    return patients, [eye_of(match["eye"] or "") if match and eyed else "" for match in found]


def names_that_look_paired(names: Iterable[str]) -> list[str]:
    """Return names that look like several photographs of one patient each, of ``names`` that tell no patient.

    They are alike but for one part, which has few values in all names, as ``P01_A`` and ``P01_B``. Empty where fewer
    than a fifth of the names have such a twin, or all have the same one.
    """
    names = list(names)
    split = []
    for name in names:
        folder, _, stem = name.rpartition("/")
        split.append((folder, _TOKENS.split(stem)))
    for position in (-1, -2, 0):
        values = {tokens[position] for _, tokens in split if len(tokens) >= abs(position)}
        if not 2 <= len(values) <= MOST_VIEWS or all(value.lower() in SPLIT_NAMES for value in values):
            continue
        keys = []
        for folder, tokens in split:
            rest = list(tokens)
            if len(rest) >= abs(position):
                rest[position] = ""
            keys.append((folder, *rest))
        sizes = Counter(keys)
        paired = [name for name, key in zip(names, keys, strict=True) if sizes[key] > 1]
        groups = len({key for key, size in sizes.items() if size > 1})
        if groups > 1 and 5 * len(paired) >= len(names):
            return paired
    return []
