"""What a data set holds and what is wrong with it, in names and numbers for ``audit.json``, and a fingerprint of it."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dr_lib import GRADES
from dr_lib.data.appearance import ASPECTS, BLUER, BRIGHT, DARK, MARKED, SMALL, SURROUND, UNGRADABLE
from dr_lib.data.class_weights import class_counts, class_shares
from dr_lib.data.duplicates import exact_duplicates, near_duplicates, turned_duplicates
from dr_lib.data.inspection import INTACT, UNREADABLE
from dr_lib.data.labels import Labels
from dr_lib.data.medmnist import CLUSTERED, PHOTOGRAPHS_EACH
from dr_lib.data.patients import patient_known
from dr_lib.data.repair_policy import Decision
from dr_lib.data.sample_size import expected_half_widths
from dr_lib.data.splits import SPLITS, unbalanced

if TYPE_CHECKING:
    from dr_lib.data.scan_image import ImageInfo  # brings numba, which labels alone do without

APART = 2
"""Grades between two photographs of one patient from which on they are worth a second look."""

SMALLEST_JUDGED = 48
"""Shorter side, px, of the photographs whose quality is a finding: of smaller ones the score is hardly calibrated."""

SAMPLES = 5
"""Training photographs of each grade that are named, to be looked at."""


def audit_labels(labels: Labels) -> dict[str, Any]:
    """Return what the labels alone tell; the photographs need not be there.

    ``form``, ``recognized``, ``header``, ``header_loss``, ``split_origin``, ``look_paired``, ``ungradable`` (image and
    label) and ``repeated`` are those of ``labels``. ``splits``: photographs,
    known patients, photographs of unknown ones, counts and shares of the grades in each. ``majority_accuracy``: share
    of the commonest training grade in the test split, which a network must beat (None without test photographs).
    ``patients_on_both_sides``: known patients of the test split, how many of them are in training too, and which, and
    how many are in validation alone (``also_in_validation``, ``in_validation``): not trained on, but the epoch was
    chosen by them; ``named``: whether any patient is known; ``note``: what is known of them
    from elsewhere; ``unknown``: photographs, of all splits, whose patient is
    not. ``unbalanced``: see :func:`dr_lib.data.splits.unbalanced`. ``half_widths``: see
    :func:`dr_lib.data.sample_size.expected_half_widths`. ``patients_apart``: see :func:`patients_apart`.
    ``samples``: training photographs of grade 0 to 4, of different patients, the first by name.
    """
    table = labels.table
    parts = {split: table[table["split"] == split] for split in SPLITS}
    train, test = parts["train"], parts["test"]
    known = table[patient_known(table)]
    test_counts, train_counts = class_counts(test["grade"]), class_counts(train["grade"])
    of_split = {split: set(known.loc[known["split"] == split, "patient"]) for split in SPLITS}
    tested, leaked = of_split["test"], of_split["test"] & of_split["train"]
    chosen_by = (tested & of_split["validation"]) - leaked
    return {
        "form": labels.form,
        "recognized": labels.recognized,
        "look_paired": list(labels.look_paired),
        "ungradable": labels.ungradable[["image", "label"]].to_dict("records"),
        "repeated": list(labels.repeated),
        "header": labels.header,
        "header_loss": list(labels.header_loss),
        "splits": {split: _describe(part) for split, part in parts.items()},
        "split_origin": labels.split_origin,
        "majority_accuracy": float(class_shares(test_counts)[train_counts.argmax()]) if test_counts.sum() else None,
        "patients_on_both_sides": {
            "test_patients": len(tested),
            "also_in_training": len(leaked),
            "also_in_validation": len(chosen_by),
            "named": not known.empty,
            "unknown": len(table) - len(known),
            "patients": sorted(leaked, key=_by_number),
            "in_validation": sorted(chosen_by, key=_by_number),
            "note": CLUSTERED if labels.form == "medmnist" else "",
        },
        "unbalanced": unbalanced(table),
        "half_widths": expected_half_widths(test, PHOTOGRAPHS_EACH if labels.form == "medmnist" else 1),
        "patients_apart": patients_apart(table),
        "samples": [_samples(train[train["grade"] == grade]) for grade in GRADES],
    }


def patients_apart(table: pd.DataFrame) -> dict[str, Any]:
    """Return how far the grades of one patient's photographs, as a rule of the two eyes, lie apart.

    ``patients``: those with two photographs or more. ``by_difference``: how many of them have a largest difference of
    0 to 4 grades. ``apart``: the patients with :data:`APART` or more, the farthest first: ``patient``, ``difference``,
    ``photographs`` (image, grade, split).
    """
    grades = table.groupby("patient")["grade"].agg(["size", "min", "max"])
    several = grades[grades["size"] > 1]
    difference = several["max"] - several["min"]
    far = difference[difference >= APART]
    photographs: dict[str, list[dict[str, Any]]] = {patient: [] for patient in far.index}
    rows: Iterable[Any] = table[table["patient"].isin(far.index)].sort_values("image").itertuples()
    for row in rows:
        photographs[row.patient].append({"image": row.image, "grade": int(row.grade), "split": row.split})
    return {
        "patients": len(several),
        "by_difference": np.bincount(difference, minlength=len(GRADES)).tolist(),
        "apart": [
            {"patient": patient, "difference": int(far[patient]), "photographs": photographs[patient]}
            for patient in sorted(far.index, key=lambda patient: (-far[patient], _by_number(patient)))
        ],
    }


def audit_photographs(
    table: pd.DataFrame,
    infos: Mapping[str, ImageInfo],
    decisions: Sequence[Decision],
) -> dict[str, Any]:
    """Return what decoding the photographs told. Lists are complete; text and page show their beginnings.

    ``table``: rows of all photographs looked at, those that are dropped among them. ``infos``: by photograph.
    ``decisions``: one a photograph.

    ``damage``: photographs ``checked``, ``intact``, of all ``kinds`` (by status), and
    ``files``: one entry a damaged one, the decision and the label. ``formats``, ``modes``, ``orientations``,
    ``cameras``: photographs by value, the commonest first, an empty or 0 one where the file says nothing; ``notes``:
    intact photographs of which something was left out or changed, as of several pictures in a file; ``sizes``: the
    same as width, height, photographs. ``width``, ``height`` in px, ``brightness`` and ``contrast``: smallest,
    median and largest. ``duplicates``: see :func:`find_duplicates`. ``dark``, ``bright``, ``no_retina``: photographs,
    of those that are used, whose brightness is extreme or on which no round retina was found, with their brightness.
    ``quality``: smallest, median and largest; ``low_quality``: photographs that are more likely than not of no use for
    grading, the worst first. ``wrong_side``: see :func:`wrong_sides`. ``turned``, ``alpha``, ``inks``, ``deep``: names
    of those that EXIF says to turn, with transparency, in printing inks, of 16 bits. ``surround``, ``marks``,
    ``colors``, ``odd_size``: those with a surround that is not black, with writing in it, with more blue than red, and
    of an aspect or a size that a fundus camera hardly makes, with ``surround``, ``marks``, ``redness``, ``aspect``.
    """
    labels = _labels_of(table)
    readable = [info for info in infos.values() if info.status.kind != UNREADABLE]
    sizes = Counter((info.status.width, info.status.height) for info in readable)
    used = {decision.image: infos[decision.image] for decision in decisions if decision.action != "dropped"}

    sides = {image: (one.status.width, one.status.height) for image, one in used.items()}
    least = SMALL * float(np.median([min(side) for side in sides.values()])) if sides else 0.0
    odd = {
        image: round(width / height, 2)
        for image, (width, height) in sides.items()
        if not ASPECTS[0] <= width / height <= ASPECTS[1] or min(width, height) < least
    }

    def named(wanted: Callable[[ImageInfo], bool]) -> list[str]:
        return [image for image, one in used.items() if wanted(one)]

    def listed(wanted: Callable[[ImageInfo], bool], by: str = "brightness") -> list[dict[str, Any]]:
        measured = {image: getattr(one, by) for image, one in used.items() if wanted(one)}
        return [labels[image] | {by: measured[image]} for image in sorted(measured, key=measured.__getitem__)]

    return {
        "damage": {
            "checked": len(decisions),
            "intact": sum(decision.status.kind == INTACT for decision in decisions),
            "kinds": _counted(decision.status.kind for decision in decisions),
            "files": [
                labels[decision.image] | decision.as_json() for decision in decisions if decision.status.kind != INTACT
            ],
        },
        "formats": _counted(one.format for one in readable),
        "modes": _counted(one.mode for one in readable),
        "orientations": _counted(str(one.orientation) for one in readable),
        "cameras": _counted(one.camera for one in readable),
        "notes": [
            labels[image] | {"detail": info.status.detail}
            for image, info in used.items()
            if info.status.kind == INTACT and info.status.detail
        ],
        "sizes": [
            {"width": width, "height": height, "photographs": count} for (width, height), count in sizes.most_common()
        ],
        "width": _spread([info.status.width for info in readable]),
        "height": _spread([info.status.height for info in readable]),
        "brightness": _spread([one.brightness for one in readable]),
        "contrast": _spread([one.contrast for one in readable]),
        "duplicates": find_duplicates(used, labels),
        "dark": listed(lambda one: one.brightness < DARK),
        "bright": listed(lambda one: one.brightness > BRIGHT),
        "no_retina": listed(lambda one: one.retina is None),
        "quality": _spread([one.quality for one in readable]),
        "low_quality": listed(
            lambda one: one.quality < UNGRADABLE and min(one.status.width, one.status.height) >= SMALLEST_JUDGED,
            by="quality",
        ),
        "wrong_side": wrong_sides(table, used),
        "turned": named(lambda one: one.orientation > 1),
        "alpha": named(lambda one: one.mode.partition(";")[0] in ("RGBA", "LA", "PA")),
        "inks": named(lambda one: one.mode.partition(";")[0] == "CMYK"),
        "deep": named(lambda one: ";16" in one.mode),
        "surround": listed(lambda one: one.surround > SURROUND, by="surround")[::-1],
        "marks": listed(lambda one: one.marks > MARKED, by="marks")[::-1],
        "colors": listed(lambda one: one.redness < BLUER, by="redness"),
        "odd_size": [labels[image] | {"aspect": odd[image]} for image in sorted(odd, key=odd.__getitem__)],
    }


def wrong_sides(table: pd.DataFrame, infos: Mapping[str, ImageInfo]) -> list[dict[str, Any]]:
    """Return the photographs with the optic disc on the side that the other eye has it: in a right eye it is right.

    They are turned by 180 degrees, as some cameras leave them, mirrored, or of the other eye. Beside the label:
    ``disc_side``, and ``both_eyes``, whether the other eye's photograph has it wrong, too. Where no photograph names
    an eye, there is none.
    """
    if "eye" not in table:
        return []
    eyes = dict(zip(table["image"], table["eye"], strict=True))
    labels = _labels_of(table)
    wrong = [image for image, info in infos.items() if info.disc_side and eyes[image] and info.disc_side != eyes[image]]
    eyes_wrong: dict[str, set[str]] = {}
    for image in wrong:
        eyes_wrong.setdefault(labels[image]["patient"], set()).add(eyes[image])
    found = [
        labels[image] | {
            "disc_side": infos[image].disc_side, "both_eyes": len(eyes_wrong[labels[image]["patient"]]) > 1,
        }
        for image in wrong
    ]  # fmt: skip
    return sorted(found, key=lambda entry: (not entry["both_eyes"], _by_number(entry["image"])))


def find_duplicates(
    infos: Mapping[str, ImageInfo], labels: Mapping[str, dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Return ``exact`` duplicates, files of the same bytes, in groups, and ``near`` ones, much the same picture.

    ``infos``: of the photographs that are used; what is dropped, half gray or empty, would be all alike. ``labels``:
    what a group tells of its ``photographs`` (image, grade, patient, split), beside ``across_splits`` and
    ``grades_differ``. A near group is a pair, with the ``distance`` of its hashes in bits
    and the ``position`` of the second, such as ``mirrored``. Of exact duplicates only the
    first is compared with other photographs.
    """
    exact = exact_duplicates({image: info.digest for image, info in infos.items()})
    repeats = {image for group in exact for image in group[1:]}
    compared = {image: info for image, info in infos.items() if image not in repeats}
    near = near_duplicates({image: info.phash for image, info in compared.items()})
    known = {frozenset(pair[:2]) for pair in near}
    turned = turned_duplicates({image: info.disc_hashes for image, info in compared.items()})
    near += [pair for pair in turned if frozenset(pair[:2]) not in known]
    return {
        "exact": [_group([labels[image] for image in images]) for images in exact],
        "near": [
            _group([labels[pair.first], labels[pair.second]]) | {"distance": pair.distance, "position": pair.position}
            for pair in near
        ],
    }


def fingerprint(table: pd.DataFrame, infos: Mapping[str, ImageInfo]) -> str:
    """Return the SHA-256 of the sorted rows (image, grade, patient, split) and the digest of each photograph's file."""
    digest = hashlib.sha256()
    columns = (table[name].tolist() for name in ("image", "grade", "patient", "split"))
    for image, grade, patient, split in sorted(zip(*columns, strict=True)):
        digest.update(f"{image}\t{grade}\t{patient}\t{split}\t{infos[image].digest}\n".encode())
    return digest.hexdigest()


def _describe(part: pd.DataFrame) -> dict[str, Any]:
    counts = class_counts(part["grade"])
    known = patient_known(part)
    return {
        "photographs": len(part),
        "patients": int(part.loc[known, "patient"].nunique()),
        "unknown_patients": int((~known).sum()),
        "counts": counts.tolist(),
        "shares": class_shares(counts).tolist(),
    }


def _samples(part: pd.DataFrame) -> list[str]:
    in_order = part.sort_values("image", key=lambda images: images.map(_by_number))
    return in_order.drop_duplicates("patient")["image"].head(SAMPLES).tolist()


def _labels_of(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return image, grade, patient and split by image."""
    labels = table[["image", "grade", "patient", "split"]].to_dict("records")
    return {row["image"]: {str(name): value for name, value in row.items()} for row in labels}


def _group(photographs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "photographs": photographs,
        "across_splits": len({one["split"] for one in photographs}) > 1,
        "grades_differ": len({one["grade"] for one in photographs}) > 1,
    }


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _spread(values: Sequence[int | float]) -> list[int | float]:
    if not values:
        return [0, 0, 0]
    return [min(values), float(np.median(values)), max(values)]


def _by_number(name: str) -> tuple[list[int], str]:
    """Return what sorts names by the numbers in them: ``9_left`` before ``10_left``."""
    return [int(digits) for digits in re.findall(r"\d+", name)], name
