"""What an audit checks, and what it finds: each finding with its name, its weight, its photographs and what to do."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import pandas as pd

from dr_lib.data.audit import APART
from dr_lib.data.decoding import SEVERAL_PICTURES
from dr_lib.data.inspection import UNREADABLE
from dr_lib.data.matching import HOW_TO_FETCH
from dr_lib.data.patients import PATTERN_EXAMPLE
from dr_lib.errors import InputError
from dr_lib.report import data_sentences
from dr_lib.report.formatting import SPLIT_WORDS, counted, listed, percent
from dr_lib.system.terminal import printable

SHOWN = 4
"""Names, rows or values of a list that a sentence shows; the others are in ``audit.json``."""

MISSING, UNLABELED = "Without a file", "Without a row in the labels"
SEVERAL = "With more than one file of their name"
RESPELLED = "Found under another case or ending than in the labels"
DANGLING = "Links that lead to no file"
OTHER_PICTURES = "Pictures of other kinds, which are not looked at"
OTHER_GRADE = "In a folder named after another grade than the labels give"
UNGRADABLE, REPEATED = "Labeled as ungradable, and left out", "Rows that say again what another says"

Severity = Literal["fail", "look"]


class Check(NamedTuple):
    """Something that is checked: how much it weighs, the section of the page, what holds if it passes, what to do."""

    severity: Severity
    section: str
    passed: str
    advice: str


_LABELS = {
    "header": Check("look", "grades", "No line of the labels is lost to a header", "Read them with header=None."),
    "grades": Check("look", "grades", "Every split has every grade", "Add photographs, or draw the split anew."),
    "leak": Check(
        "fail", "patients", "No patient is on both sides of the split",
        "Take these patients out of training, or draw the split by patient.",
    ),
    "unknown-patients": Check(
        "look", "patients", "Every photograph's patient is known", "Add a patient column to the labels.",
    ),
    "paired-names": Check("fail", "patients", "No names look paired and are not understood", "Set patient_pattern."),
    "eyes": Check("look", "eyes", "The eyes of each patient have much the same grade", "Grade these again."),
    "balance": Check(
        "look", "patients", "No patient has most photographs, no grade too few patients", "Add patients.",
    ),
}  # fmt: skip
_FILES = {
    "missing": Check("fail", "account", "Every label has its file", "Get the files, or take their rows out."),
    "several": Check("fail", "account", "No name has two files", "Set images_dir, or name folder and ending."),
    "respelled": Check("look", "account", "Names and files are spelled alike", "Nothing, if these are the same."),
    "dangling": Check("fail", "account", "Every link leads to a file", "Fetch the files."),
    "other-pictures": Check("look", "account", "No picture is of another kind", "Save them as JPEG or PNG."),
    "other-grade": Check("look", "account", "No grade folder contradicts the labels", "Look which one is right."),
    "ungradable": Check("look", "account", "No label says ungradable", "Nothing: they are left out."),
    "repeated": Check("look", "account", "No row is repeated", "Nothing: each photograph is used once."),
    "unlabeled": Check("look", "account", "Every photograph has a label", "Label them; they are not used."),
}  # fmt: skip
_PHOTOGRAPHS = {
    "unread": Check("fail", "files", "Every file could be read", "Mend the disk or the permission; audit again."),
    "turned": Check("look", "files", "No photograph is to be turned by EXIF", "Turn the pixels, if it matters."),
    "pages": Check("look", "files", "No file holds several pictures", "Save the one that was graded alone."),
    "alpha": Check("look", "files", "No photograph is transparent", "Nothing, if the pictures look right."),
    "inks": Check("look", "files", "No photograph is in printing inks (CMYK)", "Look whether one is inverted."),
    "deep": Check("look", "files", "All samples have 8 bits", "Nothing, if the pictures look right."),
    "unreadable": Check("fail", "damage", "Every photograph can be decoded", "Get these files anew."),
    "damage": Check("look", "damage", "No file is damaged", "Get these files anew, or set on_damage."),
    "duplicates": Check("fail", "duplicates", "No file is there twice", "Keep one of each, with one grade."),
    "near-duplicates": Check(
        "fail", "duplicates", "No picture is there twice in another form", "Look at them; keep one, with one grade.",
    ),
    "quality": Check(
        "look", "quality", "Every photograph can be graded", "Look at the worst; min_quality leaves them out.",
    ),
    "dark": Check("look", "unusual", "No photograph is very dark", "Look at them."),
    "bright": Check("look", "unusual", "No photograph is very bright", "Look at them."),
    "no-retina": Check("look", "unusual", "A round retina is on every photograph", "Look at them."),
    "odd-size": Check("look", "unusual", "Sizes and aspects are those of fundus cameras", "Look whether they are cut."),
    "surround": Check("look", "unusual", "Every surround is black", "Nothing, if all have it; else use CropToRetina."),
    "marks": Check("look", "unusual", "No surround is written on", "Black it out, or use CropToRetina."),
    "colors": Check("look", "unusual", "No colors are exchanged or inverted", "Look at them; convert them anew."),
    "laterality": Check(
        "look", "laterality", "No optic disc is on the other eye's side",
        "Look whether they are turned, mirrored, or of the other eye.",
    ),
}  # fmt: skip
_SHORTCUTS = {
    "shortcuts": Check(
        "look", "shortcuts", "Size, aspect, camera, format and brightness do not tell the grade",
        "See whether grades come from different sources; test on another source.",
    ),
    "split-differs": Check(
        "look", "shortcuts", "Size, aspect, camera, format and brightness do not tell the split",
        "Draw the split anew, unless testing is meant to differ.",
    ),
}  # fmt: skip
TARGETS = {"grade": "shortcuts", "split": "split-differs"}
"""Checks by what traits of photographs tell."""
CHECKS = _LABELS | _FILES | _PHOTOGRAPHS | _SHORTCUTS
"""All checks by name, as ``--fail-on`` takes them."""


class Finding(NamedTuple):
    """Something worth a look: the ``section`` of the page that shows it, and a ``text`` of a sentence or two.

    ``name``: that of the check. ``severity``: ``fail`` where figures would be wrong or photographs lost, else ``look``.
    ``photographs``: names, of files where they have no label. ``advice``: what to do.
    """

    section: str
    text: str
    name: str
    severity: Severity
    photographs: list[str]
    advice: str


def findings_table(audit: Mapping[str, Any] | None) -> pd.DataFrame:
    """Return :func:`findings`, one row each, of no audit none: ``section``, ``finding``, ``name``, and so on."""
    columns = ["finding" if name == "text" else name for name in Finding._fields]
    return pd.DataFrame(findings(audit) if audit else [], columns=columns)


def findings(audit: Mapping[str, Any]) -> list[Finding]:
    """Return what is worth a look, what makes figures wrong first; empty where nothing is."""
    found = list(_in_labels(audit))
    if "files" in audit:
        found += [*_in_folders(audit["files"], all_missing="damage" not in audit), *_in_account(audit)]
    if "damage" in audit:
        found += [*_in_files(audit), *_in_duplicates(audit["duplicates"]), *_in_looks(audit), *_in_traits(audit)]
    return sorted(found, key=lambda finding: finding.severity != "fail")


def passed(audit: Mapping[str, Any]) -> list[str]:
    """Return what holds, in a sentence each, of what was checked."""
    checked = _LABELS | (_FILES if "files" in audit else {}) | (_PHOTOGRAPHS if "damage" in audit else {})
    asked = {TARGETS[row["target"]] for row in audit.get("shortcuts", ())}
    checked |= {name: check for name, check in _SHORTCUTS.items() if name in asked}
    found = {finding.name for finding in findings(audit)}
    return [check.passed for name, check in checked.items() if name not in found]


def failing(found: Iterable[Finding], names: str) -> list[Finding]:
    """Return the findings of the checks in ``names``, which commas separate; ``fail`` and ``look`` stand for a weight.

    ``duplicates`` stands for both kinds. Raises :class:`InputError` for a name that is no check.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in (*CHECKS, "fail", "look")]:
        raise InputError(f"--fail-on {unknown[0]}: no check of that name; there are {', '.join(CHECKS)}, fail and look")
    return [
        finding
        for finding in found
        if finding.name in wanted
        or finding.severity in wanted
        or (finding.name == "near-duplicates" and "duplicates" in wanted)
    ]


def compare_audits(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return in sentences what changed between two audits, as ``audit.json`` holds them; empty where nothing did.

    Raises :class:`InputError` where the earlier one was written by a version that kept no findings.
    """
    if "findings" not in before:
        raise InputError("--compare: that audit.json is of an earlier version; audit its folder again")
    lines = []
    for split, part in after["splits"].items():
        old = before["splits"].get(split, {}).get("photographs", 0)
        if part["photographs"] != old:
            lines.append(
                f"{SPLIT_WORDS[split].capitalize()}: {counted(old, 'photograph')}, now {part['photographs']:,}."
            )
    old_findings = {one["name"]: one for one in before["findings"]}
    new_findings = {one["name"]: one for one in after["findings"]}
    for name, one in new_findings.items():
        earlier = set(old_findings[name]["photographs"]) if name in old_findings else set()
        fresh = [image for image in one["photographs"] if image not in earlier]
        gone = len(earlier.difference(one["photographs"]))
        if name not in old_findings:
            lines.append(f"New: {name}. {one['text']}")
        elif fresh or gone:
            shown = f" ({some(fresh)})" if fresh else ""
            lines.append(f"Changed: {name}: {len(fresh):,} more{shown}, {gone:,} fewer.")
    lines += [f"Gone: {name}. It was: {one['text']}" for name, one in old_findings.items() if name not in new_findings]
    if not lines and before.get("fingerprint") != after.get("fingerprint"):
        lines.append("The findings are the same, but not all rows and files are: the fingerprints differ.")
    return lines


def no_retina_is_usual(audit: Mapping[str, Any]) -> bool:
    """Return whether most photographs show no round retina: tightly cropped ones, say, with which nothing is wrong."""
    return len(audit["no_retina"]) > (audit["damage"]["checked"]) / 2


def some(names: Sequence[str], most: int = SHOWN) -> str:
    """Return the first names of a list, and how many more there are."""
    rest = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(printable, names[:most])) + rest


def _found(name: str, text: str, photographs: Iterable[str] = ()) -> Finding:
    check = CHECKS[name]
    return Finding(check.section, text, name, check.severity, list(photographs), check.advice)


def _in_labels(audit: Mapping[str, Any]) -> Iterator[Finding]:
    if lost := audit["header_loss"]:
        names = listed([f"{printable(row['image'])} (grade {row['grade']}) of {row['image_file']}" for row in lost])
        yield _found(
            "header",
            "The label files have no header. Who reads them with pandas' default, header=0, loses the first line of "
            f"each: {names}. Here they are kept.",
            [row["image"] for row in lost],
        )
    for name, split in audit["splits"].items():
        absent = [str(grade) for grade, count in enumerate(split["counts"]) if not count]
        if split["photographs"] and absent:
            yield _found("grades", f"No {SPLIT_WORDS[name]} photograph is of grade {listed(absent)}.")
    if paired := audit.get("look_paired"):
        yield _found(
            "paired-names",
            f"Names that look like several photographs of one patient and are not understood: "
            f"{_counted_names(paired, 'photograph')}. Each counts as a patient of its own, and eyes of one patient may "
            f"be on both sides of the split; set {PATTERN_EXAMPLE}.",
            paired,
        )
    both, apart = audit["patients_on_both_sides"], audit["patients_apart"]
    shared = [*both["patients"], *both.get("in_validation", ())]
    if shared or both["unknown"]:
        yield _found("leak" if shared else "unknown-patients", data_sentences.leak_of(both), shared)
    if far := apart["apart"]:
        share = percent(len(far) / apart["patients"])
        yield _found(
            "eyes",
            f"Grades of one patient {APART} or more steps apart: {len(far):,} of {apart['patients']:,} patients with "
            f"more than one photograph ({share}). They are worth grading again.",
            [one["image"] for patient in far for one in patient["photographs"]],
        )
    if unbalanced := audit.get("unbalanced"):
        yield _found("balance", " ".join(unbalanced))


def _in_folders(files: Mapping[str, Any], *, all_missing: bool) -> Iterator[Finding]:
    if files["missing"] and not all_missing:
        yield _found("missing", f"{MISSING}: {_counted_names(files['missing'], 'photograph')}.", files["missing"])
    if files["several"]:
        yield _found(
            "several",
            f"{SEVERAL}: {_counted_names(list(files['several']), 'photograph')}. They are left out; set images_dir, or "
            "write folder and ending of their names in the labels.",
            files["several"],
        )
    if files["respelled"]:
        named = _counted_names(list(files["respelled"]), "photograph")
        yield _found("respelled", f"{RESPELLED}: {named}.", files["respelled"])
    if files["dangling"]:
        named = _counted_names(files["dangling"], "file")
        yield _found("dangling", f"{DANGLING}: {named}; {HOW_TO_FETCH}.", files["dangling"])
    if others := files.get("other_pictures"):
        kinds = Counter(others.values())
        said = "; ".join(f"{count} {kind}" for kind, count in kinds.most_common(SHOWN))
        named = _counted_names(list(others), "file")
        yield _found("other-pictures", f"{OTHER_PICTURES}: {named}. Of them {said}.", others)
    if elsewhere := files.get("other_grade"):
        named = _counted_names(list(elsewhere), "photograph")
        yield _found("other-grade", f"{OTHER_GRADE}: {named}. The labels count.", elsewhere)
    if files["unlabeled"]:
        yield _found("unlabeled", f"{UNLABELED}: {_counted_names(files['unlabeled'], 'file')}.", files["unlabeled"])


def _in_account(audit: Mapping[str, Any]) -> Iterator[Finding]:
    if names := [row["image"] for row in audit.get("ungradable", ())]:
        yield _found("ungradable", f"{UNGRADABLE}: {_counted_names(names, 'photograph')}.", names)
    if repeated := audit.get("repeated"):
        named = _counted_names(repeated, "row")
        yield _found("repeated", f"{REPEATED}: {named}. Each photograph is used once.", repeated)


def _counted_names(names: Sequence[str], noun: str) -> str:
    return f"{counted(len(names), noun)} ({some(names)})"


def _in_files(audit: Mapping[str, Any]) -> Iterator[Finding]:
    if not_read := audit["files"].get("not_read"):
        reason = next(iter(not_read.values()))
        names = f"{some(list(not_read))}; of the first: {printable(reason)}"
        yield _found("unread", f"Cannot be read now: {counted(len(not_read), 'photograph')} ({names}).", not_read)
    if turned := audit.get("turned"):
        named = _counted_names(turned, "photograph")
        yield _found("turned", f"To be turned, says EXIF: {named}. They are used as their pixels lie.", turned)
    if pages := [entry["image"] for entry in audit["notes"] if SEVERAL_PICTURES in entry["detail"]]:
        named = _counted_names(pages, "photograph")
        yield _found("pages", f"Several pictures in one file: {named}. The first is taken.", pages)
    if alpha := audit.get("alpha"):
        named = _counted_names(alpha, "photograph")
        yield _found("alpha", f"With transparency: {named}. It is dropped, not laid over white.", alpha)
    if inks := audit.get("inks"):
        named = _counted_names(inks, "photograph")
        yield _found("inks", f"In printing inks (CMYK): {named}, converted as Pillow does.", inks)
    if deep := audit.get("deep"):
        named = _counted_names(deep, "photograph")
        yield _found("deep", f"Samples of 16 bits: {named}. Of each, the upper 8 of the bits in use are taken.", deep)
    if files := audit["damage"]["files"]:
        unreadable = any(entry["status"] == UNREADABLE for entry in files)
        text = data_sentences.damage(audit["damage"]["checked"], files)
        yield _found("unreadable" if unreadable else "damage", text, [entry["image"] for entry in files])


def _in_duplicates(duplicates: Mapping[str, Any]) -> Iterator[Finding]:
    if exact := duplicates["exact"]:
        names = sum(len(group["photographs"]) for group in exact)
        photographs = counted(len(exact), "photograph")
        text = f"Byte for byte the same: {photographs} under {names:,} names{_reach(exact)}."
        yield _found("duplicates", text, _images(exact))
    if near := duplicates["near"]:
        text = f"Pictures much the same: {counted(len(near), 'pair')}{_reach(near)}."
        yield _found("near-duplicates", text, _images(near))


def _images(groups: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(one["image"] for group in groups for one in group["photographs"]))


def _reach(groups: Sequence[Mapping[str, Any]]) -> str:
    """Return what makes duplicates worse than a waste of time: they are tested on, or their grades contradict."""
    across, differ = (sum(group[key] for group in groups) for key in ("across_splits", "grades_differ"))
    said = [f"{across:,} on both sides of a split"] * bool(across) + [f"{differ:,} with different grades"] * bool(
        differ
    )
    return f"; {listed(said)}" if said else ""


def _in_looks(audit: Mapping[str, Any]) -> Iterator[Finding]:
    if poor := [entry["image"] for entry in audit["low_quality"]]:
        share = percent(len(poor) / audit["damage"]["checked"])
        yield _found(
            "quality",
            f"Probably not gradable: {counted(len(poor), 'photograph')} ({share}; the worst are {some(poor)}).",
            poor,
        )
    kinds = {
        "dark": ("Very dark", "What is to be graded may not be seen on them"),
        "bright": ("Very bright", "What is to be graded may have gone in the light"),
        "no_retina": ("No round retina found", "They may be torn, cut, or photographs of something else"),
        "odd_size": ("Much smaller than usual, or of an odd aspect", "They may be cut, turned, or thumbnails"),
        "surround": ("With a surround that is not black", "A network sees it; it may tell where they are from"),
        "marks": ("With writing or marks beside the retina", "It may name a patient, and tell where they are from"),
        "colors": ("With more blue than red in the retina", "Their channels may be exchanged, or their inks inverted"),
    }
    for kind, (words, because) in kinds.items():
        images = [entry["image"] for entry in audit.get(kind, ())]
        if images and not (kind == "no_retina" and no_retina_is_usual(audit)):
            text = f"{words}: {counted(len(images), 'photograph')} ({some(images)}). {because}."
            yield _found(kind.replace("_", "-"), text, images)
    if wrong := audit["wrong_side"]:
        images, both = [entry["image"] for entry in wrong], sum(entry["both_eyes"] for entry in wrong)
        eyes = f" Of {both:,} of them the patient's other eye is, too." if both else ""
        yield _found(
            "laterality",
            f"Optic disc on the other eye's side: {counted(len(images), 'photograph')} ({some(images)}).{eyes}",
            images,
        )


def _in_traits(audit: Mapping[str, Any]) -> Iterator[Finding]:
    because = {
        "grade": ("referable DR", "A network may learn that instead of lesions, and fail on other sources."),
        "split": ("testing photographs from the others", "The split is not random."),
    }
    for target, (what, why) in because.items():
        rows = [row for row in audit.get("shortcuts", ()) if row["shortcut"] and row["target"] == target]
        if rows:
            areas = listed(
                [f"{row['trait']} (AUC {row['auc']:.2f}, {row['low']:.2f} to {row['high']:.2f})" for row in rows]
            )
            yield _found(TARGETS[target], f"What has nothing to do with the retina tells {what}: {areas}. {why}")
