"""What the audit says of photographs, patients and grades, in sentences: numbers in, plain text out."""

from collections.abc import Mapping, Sequence
from typing import Any

from dr_lib.report.formatting import counted, listed, percent, tally


def damage(checked: int, files: Sequence[Mapping[str, Any]]) -> str:
    """Return how many of the files are damaged, how, and what was done about them."""
    if not files:
        return f"Each of {counted(checked, 'photograph')} was decoded to its last row; none is damaged."
    statuses = [entry["status"] for entry in files]
    actions = [entry["action"] for entry in files]
    return (
        f"Of {counted(checked, 'photograph')}, {len(files)} {'is' if len(files) == 1 else 'are'} damaged: "
        f"{tally(statuses)}. Of these, {tally(actions)}."
    )


def leak_of(both: Mapping[str, Any]) -> str:
    """Return :func:`leak` of an audit's ``patients_on_both_sides``, also of one that did not count unknown patients."""
    in_validation = both.get("also_in_validation", 0)
    said = leak(both["test_patients"], both["also_in_training"], both["named"], both.get("unknown", 0), in_validation)
    return f"{said} {both.get('note', '')}".strip()


def leak(
    test_patients: int, also_in_training: int, named: bool = True, unknown: int = 0, also_in_validation: int = 0
) -> str:
    """Return whether patients are on both sides of the split, and what that does to the figures.

    ``named``: whether the labels say which photographs are of the same patient. ``unknown``: photographs of which
    they do not. ``also_in_validation``: testing patients who are in validation, and not in training.
    """
    if not named:
        return (
            "The labels do not say which photographs are of the same patient: each counts as one of its own, and "
            "whether a patient is on both sides of the split is not known."
        )
    said = []
    if also_in_training:
        said.append(
            f"{also_in_training:,} of {counted(test_patients, 'testing patient')} "
            f"({percent(also_in_training / test_patients)}) have their other eye among the photographs trained on. "
            "The eyes of one patient resemble each other, so testing figures flatter every network here."
        )
    elif test_patients or not unknown:
        patient = "known testing patient" if unknown else "testing patient"
        none = f"None of the {test_patients:,} {patient}s" if test_patients > 1 else f"No {patient}"
        said.append(f"{none} was trained on.")
    if also_in_validation:
        more = "more have" if also_in_training and also_in_validation > 1 else "more has" if also_in_training else ""
        more = more or ("has" if also_in_validation == 1 else "have")
        said.append(
            f"{also_in_validation:,} {more} their other eye among the validation photographs, which choose the epoch "
            "and are not trained on."
        )
    if unknown:
        said.append(
            f"The patients of {counted(unknown, 'photograph')} are unknown: each counts as one of its own, and whether "
            "such a patient is on both sides of the split is not known."
        )
    return " ".join(said)


FIGURE_WORDS = {
    "accuracy": "accuracy", "referable_sensitivity": "sensitivity for referable retinopathy",
    "referable_specificity": "specificity for it", "referable_auc": "area under its ROC curve",
    **{f"recall_{grade}": f"recall of grade {grade}" for grade in range(5)},
}  # fmt: skip


def half_widths(expected: Sequence[Mapping[str, Any]]) -> str:
    """Return how exactly the testing patients will measure a network; empty where there are none."""
    said = [
        f"{FIGURE_WORDS[one['figure']]} {percent(one['value'], 0)} ± {100 * one['half_width']:.1f} "
        f"({counted(one['patients'], 'patient')})"
        for one in expected
        if one["half_width"] is not None
    ]
    if not said:
        return ""
    return (
        "What the testing patients will tell of a network, as half-widths of 95% intervals in points, were it as good "
        f"as this: {listed(said)}. A difference between two networks has to be about as large to be seen."
    )


def imbalance(counts: Sequence[int]) -> str:
    """Return how uneven the grades are among the training photographs."""
    total = sum(counts)
    common, rare = max(counts), min(counts)
    if not total:
        return "There are no training photographs."
    if not rare:
        absent = listed([f"grade {grade}" for grade, n in enumerate(counts) if not n])
        return f"The training photographs lack {absent}; grade {counts.index(common)} has {percent(common / total)}."
    if common / rare < 1.5:
        return f"The grades are about balanced: from {rare:,} to {common:,} training photographs each."
    return (
        f"Grade {counts.index(common)} has {percent(common / total)} of the training photographs, grade "
        f"{counts.index(rare)} has {percent(rare / total)}: {common / rare:.0f} to 1."
    )
