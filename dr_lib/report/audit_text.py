"""The audit of a data set in words: what deserves a look first, then the numbers, as ``dr-lab audit`` prints them."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dr_lib import GRADE_NAMES
from dr_lib.data import folder as kinds
from dr_lib.data.labels import GIVEN
from dr_lib.data.matching import LABEL_FILES, UNDECIDED, USUAL_FOLDERS
from dr_lib.report import data_sentences
from dr_lib.report.audit_findings import (
    DANGLING,
    MISSING,
    OTHER_GRADE,
    OTHER_PICTURES,
    REPEATED,
    RESPELLED,
    SEVERAL,
    SHOWN,
    UNGRADABLE,
    UNLABELED,
    findings,
    some,
)
from dr_lib.report.formatting import SPLIT_WORDS, counted, percent
from dr_lib.system.terminal import printable

WIDTH = 110
_TOLD = (LABEL_FILES, kinds.DANGLING, kinds.OTHER_PICTURES, UNDECIDED)
"""Kinds of ignored files that are told otherwise."""


def audit_text(audit: Mapping[str, Any]) -> str:
    """Return what ``audit.json`` holds as text, 60 lines or so of at most :data:`WIDTH` columns; long lists are cut."""
    found = findings(audit)
    lines = [f"Audit of {printable(audit.get('data_dir') or 'a data set')}", *_wrapped(overview(audit))]
    lines += [*_wrapped(f"Labels: {printable(audit['recognized'])}")] if audit.get("recognized") else []
    lines += [""]
    lines += [f"{counted(len(found), 'thing')} to look at:" if found else "Nothing wrong found."]
    for number, finding in enumerate(found, start=1):
        lines += _wrapped(f"{'FAIL: ' * (finding.severity == 'fail')}{finding.text}", f"{number:3}. ")
    lines += ["", *_grades(audit), "", *_eyes(audit["patients_apart"])]
    if "damage" in audit:
        lines += ["", *_files(audit), "", *_damage(audit["damage"]), *_duplicates(audit["duplicates"])]
        lines += _shortcuts(audit.get("shortcuts", ()))
    if "reconciliation" in audit:
        lines += ["", *_account(audit["reconciliation"])]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def overview(audit: Mapping[str, Any]) -> str:
    """Return how much there is, how it is labeled, and who is on both sides of the split where nobody is."""
    header = {True: " with a header", False: " without a header", None: ""}[audit["header"]]
    form = f" of form {audit['form']}{header}" if audit["form"] else ""
    photographs = counted(sum(part["photographs"] for part in audit["splits"].values()), "photograph")
    said = [f"{photographs}, labels{form}; the split is {audit['split_origin']}."]
    both = audit["patients_on_both_sides"]
    if both["test_patients"] and not both["unknown"] and not both["also_in_training"]:
        said.append(data_sentences.leak_of(both))
    if "damage" not in audit:
        said.append(f"The photographs themselves were not looked at{why_not_looked_at(audit)}.")
    elif not audit["damage"]["files"]:
        said.append(data_sentences.damage(audit["damage"]["checked"], []))
    return " ".join(said)


def file_problems(audit: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what names and files do not fit each other, and how, by kind; only kinds that there are."""
    files = audit["files"]
    problems = {
        MISSING: files["missing"],
        SEVERAL: [f"{image}: {' or '.join(paths)}" for image, paths in files["several"].items()],
        RESPELLED: [f"{name} is {file}" for name, file in files["respelled"].items()],
        DANGLING: files["dangling"],
        OTHER_PICTURES: [f"{file} is {kind}" for file, kind in files.get("other_pictures", {}).items()],
        UNLABELED: files["unlabeled"],
        OTHER_GRADE: [f"{image} is in {folder}" for image, folder in files.get("other_grade", {}).items()],
        UNGRADABLE: [f"{row['image']} ({row['label'] or 'blank'})" for row in audit.get("ungradable", ())],
        REPEATED: audit.get("repeated", []),
        "Files that cannot be read now": [f"{image} ({why})" for image, why in files.get("not_read", {}).items()],
    }
    ignored = {f"Left out, {kind}": names for kind, names in files.get("ignored", {}).items() if kind not in _TOLD}
    return {problem: names for problem, names in (problems | ignored).items() if names}


def why_not_looked_at(audit: Mapping[str, Any]) -> str:
    """Return why there was none to look at, or where they were looked for; empty in an audit of labels alone."""
    if "files" not in audit:
        return ""
    if audit["files"]["several"]:
        return ": each that the labels name has several files, or none"
    folders = some(audit["files"]["folders"], len(USUAL_FOLDERS))
    return f": none that the labels name is in {folders}; put them below the data folder"


def majority(audit: Mapping[str, Any]) -> str:
    """Return the accuracy of always answering the commonest training grade; empty without testing photographs."""
    if audit["majority_accuracy"] is None:
        return ""
    counts = audit["splits"]["train"]["counts"]
    answer = GRADE_NAMES[counts.index(max(counts))]
    return f"Always answering “{answer}” is right for {percent(audit['majority_accuracy'])} in testing."


def held_out(audit: Mapping[str, Any]) -> str:
    """Return what the validation photographs were taken from; empty where labels may have brought them.

    The course's files name training and testing photographs, never validation ones.
    """
    train, validation = (audit["splits"][split]["photographs"] for split in ("train", "validation"))
    if audit["form"] != "course" or audit["split_origin"] != GIVEN or not validation:
        return ""
    return f"Validation photographs are held out of the {train + validation:,} given for training (validation_share)."


def values_of(counts: Mapping[str, int], *, nothing: str = "", most: int = SHOWN) -> str:
    """Return values with the number of photographs of each in brackets; ``nothing`` is the value of those without."""
    cells = [f"{printable(value) if value != nothing else 'none'} ({count:,})" for value, count in counts.items()]
    return ", ".join(cells[:most]) + (f", and {len(cells) - most:,} more" if len(cells) > most else "")


def spread_of(values: Sequence[float]) -> str:
    """Return smallest, largest and median of a share."""
    low, median, high = values
    return f"{low:.2f} to {high:.2f}, median {median:.2f}"


def rows_lost(entry: Mapping[str, Any]) -> str:
    """Return how much of a damaged photograph is gone."""
    some_or_none = f"{percent(entry['lost'])} of its rows lost" if entry["lost"] else "no row lost"
    return "all rows lost" if entry["lost"] == 1 else some_or_none


def _grades(audit: Mapping[str, Any]) -> Iterator[str]:
    splits = {name: split for name, split in audit["splits"].items() if split["photographs"]}
    yield f"{'GRADES':20}" + "".join(f"{SPLIT_WORDS[name]:>16}" for name in splits)
    for grade, name in enumerate(GRADE_NAMES):
        cells = (f"{split['counts'][grade]:>9,}{percent(split['shares'][grade]):>7}" for split in splits.values())
        yield f"  {grade} {name:16}" + "".join(cells)
    rows = {"photographs": "photographs", "patients": "patients", "of unknown patients": "unknown_patients"}
    for name, key in rows.items():
        if key != "unknown_patients" or any(split[key] for split in splits.values()):
            yield f"  {name:18}" + "".join(f"{split[key]:>9,}{'':7}" for split in splits.values())
    yield from (f"  {said}" for said in (majority(audit), held_out(audit)) if said)
    yield from _wrapped(data_sentences.half_widths(audit.get("half_widths", ())), "  ")


def _eyes(apart: Mapping[str, Any]) -> Iterator[str]:
    yield "EYES OF ONE PATIENT"
    if not apart["patients"]:
        yield "  No patient is known to have more than one photograph."
        return
    steps = [f"{count:,} by {step}" for step, count in enumerate(apart["by_difference"]) if count and step]
    agree = f"{apart['by_difference'][0]:,} of {apart['patients']:,} patients have one grade for all photographs"
    yield f"  {agree}{'; apart ' + ', '.join(steps) if steps else ''}"
    for patient in apart["apart"][:SHOWN]:
        eyes = ", ".join(f"{printable(one['image'])} grade {one['grade']}" for one in patient["photographs"][:SHOWN])
        yield f"  {patient['difference']} apart  {eyes}"
    yield from _and_more(apart["apart"])


def _files(audit: Mapping[str, Any]) -> Iterator[str]:
    sizes = {f"{size['width']} x {size['height']}": size["photographs"] for size in audit["sizes"]}
    (narrow, _, wide), (low, _, high) = audit["width"], audit["height"]
    yield "FILES"
    yield f"  {'format':18}{values_of(audit['formats'])}"
    yield f"  {'mode':18}{values_of(audit['modes'])}"
    yield f"  {'size, px':18}{values_of(sizes)}"
    if len(sizes) > 1:
        yield f"  {'':18}{narrow} to {wide} px wide, {low} to {high} px high"
    yield f"  {'EXIF orientation':18}{values_of(audit['orientations'], nothing='0')}"
    yield f"  {'EXIF camera':18}{values_of(audit['cameras'])}"
    for look in ("quality", "brightness", "contrast"):
        yield f"  {look:18}{spread_of(audit[look])}"


def _account(account: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    yield "FILES AND ROWS"
    for of, counts in account.items():
        parts = [f"{what} {count:,}" for what, count in counts.items() if what != "all" and count]
        yield from _wrapped(f"{counts['all']:,} = {' + '.join(parts) or 0}", f"  {of:6}")


def _damage(damage: Mapping[str, Any]) -> Iterator[str]:
    yield "DAMAGE"
    yield "  " + ", ".join(f"{kind} {count:,}" for kind, count in damage["kinds"].items())
    worst = sorted(damage["files"], key=lambda entry: -entry["lost"])
    for entry in worst[:SHOWN]:
        yield f"  {printable(entry['image']):20} {entry['status']}, {rows_lost(entry)}: {entry['action']}"
    yield from _and_more(worst)


def _duplicates(duplicates: Mapping[str, Any]) -> Iterator[str]:
    groups = [("same bytes", group) for group in duplicates["exact"]]
    groups += [(f"{group['distance']} bits apart", group) for group in duplicates["near"]]
    if groups:
        yield from ("", "DUPLICATES")
    # Those that mislead come first: on both sides of a split, or with contradicting grades.
    groups.sort(key=lambda entry: not (entry[1]["across_splits"] or entry[1]["grades_differ"]))
    for how, group in groups[:SHOWN]:
        ones = (
            f"{printable(one['image'])} ({SPLIT_WORDS[one['split']]}, grade {one['grade']})"
            for one in group["photographs"]
        )
        yield f"  {how:14} {' = '.join(list(ones)[:SHOWN])}"
    yield from _and_more(groups)


def _shortcuts(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if rows:
        yield from ("", "WHAT TELLS GRADE AND SPLIT WITHOUT THE RETINA (AUC, 0.5 is chance)")
    for trait in dict.fromkeys(row["trait"] for row in rows):
        cells = [
            f"{row['target']} {row['auc']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
            for row in rows
            if row["trait"] == trait
        ]
        yield f"  {trait:18}{', '.join(cells)}"


def _and_more(rows: Sequence[Any]) -> Iterable[str]:
    return [f"  and {len(rows) - SHOWN:,} more in audit.json"] if len(rows) > SHOWN else []


def _wrapped(text: str, first: str = "") -> list[str]:
    # Names and folders stay whole, so that they can be copied.
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=" " * len(first),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
