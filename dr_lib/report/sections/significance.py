"""How much chance is in the figures: seeds, the patients who are on both sides, and what cannot be said."""

import numpy as np
from IPython.display import HTML

from dr_lib import GRADE_NAMES
from dr_lib.data.patients import patient_known
from dr_lib.evaluation import matrix_metrics as metrics
from dr_lib.evaluation.bootstrap import Difference
from dr_lib.evaluation.effects import compare_patients
from dr_lib.evaluation.predictions import ensemble
from dr_lib.evaluation.summary import summarize
from dr_lib.report import formatting, markup
from dr_lib.report.experiment_results import TOP, ExperimentResults
from dr_lib.report.findings import Finding
from dr_lib.report.sections.metrics_table import name_cell, over_what
from dr_lib.report.sections.results import optimism_of

FEW = 30
"""Testing photographs of a grade below which its recall is called little known."""


def seeds(experiment: ExperimentResults) -> HTML:
    """Return how far accuracy and kappa move from seed to seed, one row a configuration that has several.

    Beside it what its networks reach together, as an ensemble.
    """
    several = [one for one in experiment.configurations if one.several]
    if not several:
        text = (
            "Each configuration was run with one seed; how far another seed would move the figures is not known here. "
            "dr-lab run --seeds 0,1,2 tells."
        )
        return markup.shown(markup.paragraphs(text, css="note"))
    rows = []
    for one in several[:TOP]:
        accuracy, kappa = one.figure("accuracy"), experiment.kappas[one.name]
        every = ", ".join(formatting.percent(run.test["accuracy"]) for run in one.runs)
        together = summarize(ensemble([run.done_predictions for run in one.runs], one.first.parameters["head"]))
        of_kappa = together["intervals"]["kappa"]
        sure = f", {formatting.signed(of_kappa[0], 2)} to {formatting.signed(of_kappa[1], 2)}" if of_kappa else ""
        rows.append(
            [
                name_cell(one, experiment),
                f'{formatting.percent(accuracy.mean)} ± {100 * accuracy.sd:.1f}<span class="sub">{every}</span>',
                f"{formatting.percent(accuracy.low)} to {formatting.percent(accuracy.high)}",
                f"{formatting.signed(kappa.mean, 2)} ± {kappa.sd:.2f}",
                f"{formatting.signed(kappa.low, 2)} to {formatting.signed(kappa.high, 2)}",
                f'{formatting.percent(together["accuracy"])}<span class="sub">kappa '
                f"{formatting.signed(together['kappa'], 2)}{sure}</span>",
            ]
        )
    head = ["Run", "Testing accuracy", "95% interval", "Kappa", "95% interval of kappa", "Ensemble"]
    caption = (
        "Mean and standard deviation over seeds, and 95% intervals of the mean over seeds and patients: how far it "
        "would move with other seeds and other patients. The ensemble is all networks of a row answering together, by "
        "the mean of their probabilities: a grader of its own that costs as many networks, its interval over patients. "
        + (f"Majority {formatting.percent(experiment.majority)}." if experiment.majority is not None else "")
    )
    return markup.shown(markup.table(head, rows, caption, numeric=(1, 2, 3, 4, 5), css="cards"))


def other_eyes(experiment: ExperimentResults) -> HTML:
    """Return how each run does on testing patients whose other eye is in training, against the other patients."""
    sides = (experiment.audit or {}).get("patients_on_both_sides") or {}
    patients = sides.get("patients")
    if patients is None or not sides.get("named", True):
        text = "Which testing patients have their other eye in training is not known here."
        return markup.shown(markup.paragraphs(text, css="note"))
    rows, seen, pairs = [], (0, 0), []
    for one in experiment.top:
        tables = [run.done_predictions for run in one.runs]
        with_it = [table[table["patient"].isin(patients)] for table in tables]
        without = [table[~table["patient"].isin(patients) & patient_known(table)] for table in tables]
        if with_it[0].empty or without[0].empty:
            continue
        seen = len(with_it[0]), len(without[0])
        accuracies = [
            float(np.mean([(table["grade"] == table["predicted"]).mean() for table in group]))
            for group in (with_it, without)
        ]
        pairs.append((without, with_it))
        rows.append([name_cell(one, experiment), *map(formatting.percent, accuracies)])
    changes = compare_patients(pairs, metrics.accuracy)
    rows = [[*row, _in_points(change)] for row, change in zip(rows, changes, strict=True)]
    if not rows:
        text = "The known testing patients are all of one kind: all, or none, have a photograph in training."
        return markup.shown(markup.paragraphs(text, css="note"))
    caption = (
        f"Testing accuracy on {formatting.counted(seen[0], 'photograph')} of patients who have another in training, "
        f"and on {seen[1]:,} of known patients who have none, with the difference in points and its 95% "
        f"interval over {over_what(experiment)}, which holds for all rows together. The two groups are different "
        "people, whose grades differ too: a difference is a sign that the split flatters, no proof, and none is no "
        "proof of the contrary."
    )
    head = ["Run", "Other eye in training", "Other eye not in training", "Points"]
    table = markup.table(head, rows, caption, numeric=(1, 2, 3), css="cards")
    ways = [change.direction for change in changes if change]
    finding = Finding("other_eyes", {"n": len(ways), "better": ways.count("up"), "worse": ways.count("down")})
    folded = markup.fold("Accuracy on patients whose other eye is in training, and on the others", table)
    return markup.shown(markup.paragraphs(finding.text, css="says") + folded)


def limitations(experiment: ExperimentResults) -> HTML:
    """Return what this experiment cannot say, by its own numbers: a sentence or two each."""
    if not experiment.configurations:
        return markup.shown(markup.paragraphs("No run has finished, so there is nothing to limit.", css="note"))
    return markup.shown(markup.bullets(finding.text for finding in limits_of(experiment)))


def limits_of(experiment: ExperimentResults) -> list[Finding]:
    """Return the limits of an experiment that has a finished run."""
    groups, best = experiment.configurations, experiment.best
    seeds = [len(one.runs) for one in groups]
    drawn = any((run.config.get("data") or {}).get("generated") for run in experiment.runs)
    sides = (experiment.audit or {}).get("patients_on_both_sides") or {}
    support = best.first.test["support"]
    few = {GRADE_NAMES[grade]: n for grade, n in enumerate(support) if n < FEW}
    recalls = [best.figure(("recall", grade)) for grade, n in enumerate(support) if 0 < n < FEW]
    widest = max((one for one in recalls if one.known), key=lambda one: one.high - one.low, default=None)
    changes = [effect.change.accuracy for effect in experiment.all_effects]
    halves = [(change.high - change.low) / 2 for change in changes if change and change.high == change.high]
    sizes = sorted({run.parameters["image_size"] for run in experiment.done if "image_size" in run.parameters})
    failing = sum(not experiment.grades(one) for one in groups)
    return [
        Finding("limit_kind", {"drawn": drawn, "sizes": sizes}),
        Finding("limit_seeds", {"fewest": min(seeds), "most": max(seeds)}),
        Finding("limit_few", {"few": few, "below": FEW, "widest": widest}),
        Finding("limit_power", {"n": len(halves), "points": float(np.median(halves)) if halves else 0.0}),
        Finding(
            "limit_selection",
            {"n": len(groups), "chosen_on": experiment.chosen_on, "gain": max(map(optimism_of, experiment.done))},
        ),
        Finding(
            "limit_leak",
            {
                "named": bool(sides.get("named", False)),
                "known": bool(sides),
                "both": sides.get("also_in_training", 0),
                "of": sides.get("test_patients", 0),
            },
        ),
        Finding("limit_failed", {"n": failing, "of": len(groups)}),
        Finding("limit_unfinished", {"n": len(experiment.runs) - len(experiment.done), "of": len(experiment.runs)}),
    ]


def _in_points(change: Difference | None) -> str:
    """Return a difference of shares in points, above its interval."""
    if change is None:
        return "–"
    value, low, high = (formatting.signed(100 * share) for share in (change.value, change.low, change.high))
    return f'{value}<span class="sub">{low} to {high}</span>'
