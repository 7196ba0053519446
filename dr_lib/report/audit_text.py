"""The audit of a data set in words: what deserves a look first, then the numbers, as ``dr-lab audit`` prints them."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from dr_lib import GRADE_NAMES
from dr_lib.data import folder as kinds
from dr_lib.data.audit import APART
from dr_lib.data.labels import GIVEN
from dr_lib.data.matching import HOW_TO_FETCH, LABEL_FILES, UNDECIDED, USUAL_FOLDERS
from dr_lib.data.patients import PATTERN_EXAMPLE
from dr_lib.report import data_sentences
from dr_lib.report.formatting import SPLIT_WORDS, counted, listed, percent
from dr_lib.system.terminal import printable

WIDTH = 110
SHOWN = 4
"""Names, rows or values of a list that the text shows; the others are in ``audit.json``."""


MISSING, UNLABELED = "Without a file", "Without a row in the labels"
SEVERAL = "With more than one file of their name"
RESPELLED = "Found under another case or ending than in the labels"
DANGLING = "Links that lead to no file"
OTHER_PICTURES = "Pictures of other kinds, which are not looked at"
OTHER_GRADE = "In a folder named after another grade than the labels give"
UNGRADABLE, REPEATED = "Labeled as ungradable, and left out", "Rows that say again what another says"


_TOLD = (LABEL_FILES, kinds.DANGLING, kinds.OTHER_PICTURES, UNDECIDED)
"""Kinds of ignored files that are told otherwise."""


class Finding(NamedTuple):
    """Something worth a look: the section of the page that shows it, and a sentence or two."""

    section: str
    text: str


def audit_text(audit: Mapping[str, Any]) -> str:
    """Return what ``audit.json`` holds as text, 60 lines or so of at most :data:`WIDTH` columns; long lists are cut."""
    found = findings(audit)
    lines = [f"Audit of {printable(audit.get('data_dir') or 'a data set')}", *_wrapped(overview(audit))]
    lines += [*_wrapped(f"Labels: {printable(audit['recognized'])}")] if audit.get("recognized") else []
    lines += [""]
    lines += [f"{counted(len(found), 'thing')} to look at:" if found else "Nothing wrong found."]
    for number, finding in enumerate(found, start=1):
        lines += _wrapped(finding.text, f"{number:3}. ")
    lines += ["", *_grades(audit), "", *_eyes(audit["patients_apart"])]
    if "damage" in audit:
        lines += ["", *_files(audit), "", *_damage(audit["damage"]), *_duplicates(audit["duplicates"])]
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
        said.append(data_sentences.leak(both["test_patients"], 0))
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


def findings(audit: Mapping[str, Any]) -> list[Finding]:
    """Return what is worth a look, in the order of the page's sections; empty where nothing is."""
    found = list(_in_labels(audit))
    if "damage" in audit:
        found += [*_in_files(audit), *_in_duplicates(audit["duplicates"]), *_in_looks(audit)]
    if "files" in audit:
        found += [*_in_folders(audit["files"], all_missing="damage" not in audit), *_in_account(audit)]
    return found


def no_retina_is_usual(audit: Mapping[str, Any]) -> bool:
    """Return whether most photographs show no round retina: tightly cropped ones, say, with which nothing is wrong."""
    return len(audit["no_retina"]) > (audit["damage"]["checked"]) / 2


def _in_labels(audit: Mapping[str, Any]) -> Iterator[Finding]:
    if lost := audit["header_loss"]:
        names = listed([f"{printable(row['image'])} (grade {row['grade']}) of {row['image_file']}" for row in lost])
        yield Finding(
            "grades",
            "The label files have no header. Who reads them with pandas' default, header=0, loses the first line of "
            f"each: {names}. Here they are kept.",
        )
    for name, split in audit["splits"].items():
        absent = [str(grade) for grade, count in enumerate(split["counts"]) if not count]
        if split["photographs"] and absent:
            yield Finding("grades", f"No {SPLIT_WORDS[name]} photograph is of grade {listed(absent)}.")
    if paired := audit.get("look_paired"):
        yield Finding(
            "patients",
            f"Names that look like several photographs of one patient and are not understood: "
            f"{_counted_names(paired, 'photograph')}. Each counts as a patient of its own, and eyes of one patient may "
            f"be on both sides of the split; set {PATTERN_EXAMPLE}.",
        )
    both, apart = audit["patients_on_both_sides"], audit["patients_apart"]
    if both["also_in_training"] or both["unknown"]:
        yield Finding("patients", data_sentences.leak_of(both))
    if far := apart["apart"]:
        share = percent(len(far) / apart["patients"])
        yield Finding(
            "eyes",
            f"Grades of one patient {APART} or more steps apart: {len(far):,} of {apart['patients']:,} patients with "
            f"more than one photograph ({share}). They are worth grading again.",
        )


def _in_account(audit: Mapping[str, Any]) -> Iterator[Finding]:
    if ungradable := audit.get("ungradable"):
        photographs = _counted_names([row["image"] for row in ungradable], "photograph")
        yield Finding("account", f"{UNGRADABLE}: {photographs}.")
    if repeated := audit.get("repeated"):
        yield Finding("account", f"{REPEATED}: {_counted_names(repeated, 'row')}. Each photograph is used once.")


def _in_folders(files: Mapping[str, Any], *, all_missing: bool) -> Iterator[Finding]:
    if files["missing"] and not all_missing:
        yield Finding("account", f"{MISSING}: {_counted_names(files['missing'], 'photograph')}.")
    if files["several"]:
        yield Finding(
            "account",
            f"{SEVERAL}: {_counted_names(list(files['several']), 'photograph')}. They are left out; set images_dir, or "
            "write folder and ending of their names in the labels.",
        )
    if files["respelled"]:
        yield Finding("account", f"{RESPELLED}: {_counted_names(list(files['respelled']), 'photograph')}.")
    if files["dangling"]:
        yield Finding("account", f"{DANGLING}: {_counted_names(files['dangling'], 'file')}; {HOW_TO_FETCH}.")
    if others := files.get("other_pictures"):
        kinds = Counter(others.values())
        said = "; ".join(f"{count} {kind}" for kind, count in kinds.most_common(SHOWN))
        yield Finding("account", f"{OTHER_PICTURES}: {_counted_names(list(others), 'file')}. Of them {said}.")
    if elsewhere := files.get("other_grade"):
        photographs = _counted_names(list(elsewhere), "photograph")
        yield Finding("account", f"{OTHER_GRADE}: {photographs}. The labels count.")
    if files["unlabeled"]:
        yield Finding("account", f"{UNLABELED}: {_counted_names(files['unlabeled'], 'file')}.")


def _counted_names(names: Sequence[str], noun: str) -> str:
    return f"{counted(len(names), noun)} ({some(names)})"


def _in_files(audit: Mapping[str, Any]) -> Iterator[Finding]:
    turned = sum(count for value, count in audit["orientations"].items() if value not in ("0", "1"))
    if not_read := audit["files"].get("not_read"):
        reason = next(iter(not_read.values()))
        names = f"{some(list(not_read))}; of the first: {printable(reason)}"
        yield Finding("files", f"Cannot be read now: {counted(len(not_read), 'photograph')} ({names}).")
    if turned:
        photographs = counted(turned, "photograph")
        yield Finding("files", f"To be turned, says EXIF: {photographs}. They are used as their pixels lie.")
    if deep := sum(count for mode, count in audit["modes"].items() if ";16" in mode):
        photographs = counted(deep, "photograph")
        yield Finding("files", f"Samples of 16 bits: {photographs}. Of each, the upper 8 of the bits in use are taken.")
    if audit["damage"]["files"]:
        yield Finding("damage", data_sentences.damage(audit["damage"]["checked"], audit["damage"]["files"]))


def _in_duplicates(duplicates: Mapping[str, Any]) -> Iterator[Finding]:
    if exact := duplicates["exact"]:
        names = sum(len(group["photographs"]) for group in exact)
        photographs = counted(len(exact), "photograph")
        yield Finding("duplicates", f"Byte for byte the same: {photographs} under {names:,} names{_reach(exact)}.")
    if near := duplicates["near"]:
        yield Finding("duplicates", f"Pictures much the same: {counted(len(near), 'pair')}{_reach(near)}.")


def _reach(groups: Sequence[Mapping[str, Any]]) -> str:
    """Return what makes duplicates worse than a waste of time: they are tested on, or their grades contradict."""
    across, differ = (sum(group[key] for group in groups) for key in ("across_splits", "grades_differ"))
    said = [f"{across:,} on both sides of a split"] * bool(across) + [f"{differ:,} with different grades"] * bool(
        differ
    )
    return f"; {listed(said)}" if said else ""


def _in_looks(audit: Mapping[str, Any]) -> Iterator[Finding]:
    kinds = {
        "dark": ("Very dark", "What is to be graded may not be seen on them"),
        "bright": ("Very bright", "What is to be graded may have gone in the light"),
        "no_retina": ("No round retina found", "They may be torn, cut, or photographs of something else"),
    }
    for kind, (words, because) in kinds.items():
        images = [entry["image"] for entry in audit[kind]]
        if images and not (kind == "no_retina" and no_retina_is_usual(audit)):
            yield Finding("unusual", f"{words}: {counted(len(images), 'photograph')} ({some(images)}). {because}.")


def some(names: Sequence[str], most: int = SHOWN) -> str:
    """Return the first names of a list, and how many more there are."""
    rest = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(printable, names[:most])) + rest


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
    for look in ("brightness", "contrast"):
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


def _and_more(rows: Sequence[Any]) -> Iterable[str]:
    return [f"  and {len(rows) - SHOWN:,} more in audit.json"] if len(rows) > SHOWN else []


def _wrapped(text: str, first: str = "") -> list[str]:
    # Names and folders stay whole, so that they can be copied.
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=" " * len(first),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
