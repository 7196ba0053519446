"""What the accuracies are worth: tests of all differences, the patients who are on both sides, and calibration."""

from html import escape

from dr_lib.evaluation import metrics
from dr_lib.evaluation.calibration import BINS
from dr_lib.evaluation.intervals import difference_of_groups
from dr_lib.report import markup
from dr_lib.report import merit_sentences as say
from dr_lib.report import wording as words
from dr_lib.report.comparisons import all_comparisons
from dr_lib.report.study import Run, Study


def corrected_differences(study: Study) -> str:
    """Return every comparison of two runs in words, with McNemar's exact test and Holm's correction for all of them."""
    found = all_comparisons(study)
    said = say.survivors([(one.found.accuracy, one.p) for one in found])
    known = [one for one in found if one.found.mcnemar is not None and one.p is not None]
    if not known:
        return markup.paragraphs(said, css="note")
    rows = []
    for one in known:
        test = one.found.mcnemar
        sentence = say.better(one.second.label, one.first.label, one.found.accuracy, one.p, len(known))
        rows.append(
            [escape(sentence), f"{test.only_second:,}", f"{test.only_first:,}", *map(say.p_value, (test.p, one.p))]
        )
    caption = (
        "All comparisons of this experiment. The first two numbers are photographs that only the one or only the other "
        "is right for. p: McNemar's exact test of these two, by itself and by Holm's correction. The test takes the "
        "eyes of a patient for independent; the intervals do not, and have the last word."
    )
    head = ["Comparison", "Only it is right", "Only the other is right", "p", "p, corrected"]
    table = markup.table(head, rows, caption, numeric=(1, 2, 3, 4), css="cards")
    return markup.paragraphs(said, css="says") + table


def other_eyes(study: Study) -> str:
    """Return how each run does on testing patients whose other eye is in training, against the other patients."""
    sides = (study.audit or {}).get("patients_on_both_sides") or {}
    patients = sides.get("patients")
    if patients is None or not sides.get("named", True):
        text = "Which testing patients have their other eye in training is not known here."
        return markup.paragraphs(text, css="note")
    said, seen = [], (0, 0)
    for run in study.done:
        known = run.predictions["patient"].isin(patients)  # type: ignore[index]
        with_it, without = run.predictions[known], run.predictions[~known]  # type: ignore[index]
        if with_it.empty or without.empty:
            continue
        seen = len(with_it), len(without)
        accuracies = [float((part["grade"] == part["predicted"]).mean()) for part in (with_it, without)]
        said.append(say.other_eye(run.label, *accuracies, difference_of_groups(without, with_it, metrics.accuracy)))
    if not said:
        text = "The testing patients are all of one kind: all, or none, have a photograph in training or validation."
        return markup.paragraphs(text, css="note")
    note = (
        f"{words.counted(seen[0], 'testing photograph')} of patients who have another in training or validation, "
        f"{seen[1]:,} of patients who have none. The two groups are different people, whose grades differ too: a "
        "difference is a sign that the split flatters, no proof, and none is no proof of the contrary."
    )
    return markup.bullets(said) + markup.paragraphs(note, css="note")


def calibration(study: Study) -> str:
    """Return whether each run is right as often as it says, the best run's table of it, and what a temperature does."""
    runs = [run for run in study.done if run.test.get("calibration")]
    if not runs:
        return markup.paragraphs("No finished run tells how sure it was.", css="note")
    said = [
        say.trust(run.label, _mean_confidence(run), run.test["accuracy"], run.test["calibration"]["ece"])
        for run in runs
    ]
    scaled = [(run, run.metrics["temperature_scaling"]) for run in runs if run.metrics.get("temperature_scaling")]  # type: ignore
    said += [
        say.cooled(run.label, found["temperature"], run.test["calibration"]["ece"], found["ece"])
        for run, found in scaled
    ]
    best = runs[0]
    rows = [
        [
            f"{100 * row['low']:.1f} to {words.percent(row['high'])}",
            f"{row['photographs']:,}",
            words.percent(row["confidence"]),
            words.percent(row["accuracy"]),
            words.signed(100 * (row["accuracy"] - row["confidence"])),
        ]
        for row in best.test["calibration"]["bins"]
        if row["photographs"]
    ]
    caption = (
        f"{best.label}: photographs by the probability that it gives its own answer, in {BINS} bins of equal width; "
        "empty ones are left out. The calibration error is the mean distance between the last two shares, each bin "
        "weighing as many photographs as it holds."
    )
    head = ["Confidence", "Photographs", "Mean confidence", "Accuracy", "Points apart"]
    table = markup.table(head, rows, caption, numeric=(1, 2, 3, 4), css="cards")
    return markup.bullets(said) + table


def _mean_confidence(run: Run) -> float:
    bins = [row for row in run.test["calibration"]["bins"] if row["photographs"]]
    return sum(row["photographs"] * row["confidence"] for row in bins) / sum(row["photographs"] for row in bins)
