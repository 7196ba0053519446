"""Every number of the report's page is that of the files: read out of the HTML, and computed again from the runs."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from experiment_factory import made_up_audit, photograph_table, recorded, write_experiment, write_run
from sklearn.metrics import accuracy_score, average_precision_score, cohen_kappa_score, confusion_matrix, roc_auc_score

from dr_lib import GRADE_NAMES
from dr_lib.report.collect import collect
from dr_lib.report.report_page import report_page
from dr_lib.report.results_files import write_results
from dr_lib.storage.checksums import write_sealed_json
from dr_lib.storage.files import read_json
from dr_lib.storage.folders import ExperimentFolder

MINUS = "−"
LABELS = {
    f"{model}{'-pretrained' * pretrained}{'-weighted' * weighted}": (
        model.replace("resnet", "ResNet"),
        ("pretrained (ImageNet V2)" if pretrained else "from scratch") + ", weighted" * weighted,
    )
    for model in ("resnet18", "resnet50")
    for pretrained in (False, True)
    for weighted in (False, True)
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eight runs whose audit counts one photograph more in each split than the runs used."""
    home = write_experiment(tmp_path_factory.mktemp("numbers") / "lab", photographs=161)
    audit = made_up_audit(photograph_table(161))
    for split in audit["splits"].values():
        split["photographs"] += 1
        split["counts"] = [split["counts"][0] + 1, *split["counts"][1:]]
        split["shares"] = [n / split["photographs"] for n in split["counts"]]
    audit["majority_accuracy"] = audit["splits"]["test"]["shares"][0]
    write_sealed_json(home / "audit.json", audit)
    write_results(collect(home), ExperimentFolder(home))
    return home


@pytest.fixture(scope="module")
def predictions(folder):
    text = {"image": str, "patient": str}
    return {name: pd.read_csv(folder / "runs" / name / "predictions.csv", dtype=text) for name in LABELS}


@pytest.fixture(scope="module")
def metrics(folder):
    return {name: read_json(folder / "runs" / name / "metrics.json") for name in LABELS}


@pytest.fixture(scope="module")
def page(folder):
    return BeautifulSoup(report_page(collect(folder)), "html.parser")


def words(element):
    return re.sub(r"\s+", " ", element.get_text(" ")).strip()


def numbers(element):
    """Return the numbers of an element's text, minus signs and thousands read, drawings left out."""
    text = element if isinstance(element, str) else words(element)
    found = re.findall(rf"[{MINUS}-]?\d[\d,]*(?:\.\d+)?", text)
    return [float(number.replace(MINUS, "-").replace(",", "")) for number in found]


def table(page, head):
    """Return the rows of the table with the column ``head``, by the words of their first cell."""
    found = next(one for one in page.find_all("table") if head in [words(cell) for cell in one.find_all("th")])
    heads = [words(cell) for cell in found.thead.find_all("th")]
    rows = {}
    for row in found.tbody.find_all("tr"):
        first, *cells = row.find_all(["th", "td"])
        rows[words(first)] = dict(zip(heads[1:], cells, strict=False))
    return rows


def row_of(rows, name):
    network, start = LABELS[name]
    (found,) = [
        row
        for words, row in rows.items()
        if re.match(rf"{network} {re.escape(start)}(?: {name} · predictions)?$", words)
    ]
    return found


def near(found, expected, digits):
    """Numbers as they are shown are those expected, each rounded to ``digits``."""
    assert np.allclose(found, expected, rtol=0, atol=0.5000001 * 10.0**-digits), (found, expected)


def kappa_of(frame):
    return cohen_kappa_score(frame["grade"], frame["predicted"], weights="quadratic", labels=range(5))


def accuracy_of(frame):
    return accuracy_score(frame["grade"], frame["predicted"])


def test_counts_and_majority_are_those_of_the_photographs_that_runs_used(page, folder, predictions):
    used = read_json(folder / "runs" / "resnet18" / "config.json")["data"]["splits"]
    grades = next(iter(predictions.values()))["grade"]
    byline, limits = (words(line) for line in page.find_all("p", class_="by")[:2])
    counts = [used[split]["photographs"] for split in ("train", "validation", "test")]
    assert f"{counts[0]:,} + {counts[1]:,} + {counts[2]:,} photographs" in byline and counts[2] == len(grades)
    assert "8 of 8 runs finished" in byline
    for grade, name in enumerate(GRADE_NAMES):
        assert f"{(grades == grade).sum()} {name}" in limits
    majority = f"{100 * (grades == 0).mean():.1f}%"
    shown = re.findall(r"[Mm]ajority (\d+\.\d%)|commonest (?:grade|answer)[^.]*?(\d+\.\d%)", words(page))
    assert len(shown) > 10 and {first or second for first, second in shown} == {majority}
    splits = table(page, "Photographs")
    for split, name in (("train", "training"), ("validation", "validation"), ("test", "testing")):
        row = splits[name]
        assert numbers(row["Photographs"]) == [used[split]["photographs"]]
        for grade, (n, share) in enumerate(zip(used[split]["counts"], used[split]["shares"], strict=True)):
            near(numbers(row[f"Grade {grade}"]), [n, 100 * share], 1)
    weights = read_json(folder / "runs" / "resnet18-weighted" / "config.json")["class_weights"]
    for grade, (label, row) in enumerate(table(page, "Class weight").items()):
        assert label == f"Label {grade}: {GRADE_NAMES[grade]}"
        assert numbers(row["Training photographs"]) == [used["train"]["counts"][grade]]
        near(numbers(row["Share"]), [100 * used["train"]["shares"][grade]], 2)
        near(numbers(row["Class weight"]), [weights[grade]], 4)


def test_all_runs_have_the_figures_of_their_predictions(page, folder, predictions, metrics):
    rows, results = table(page, "Chosen epoch"), pd.read_csv(folder / "results.csv").set_index("run")
    together = collect(folder).kappas
    for name, frame in predictions.items():
        row, test = row_of(rows, name), metrics[name]["test"]
        limits = test["intervals"]["accuracy"]
        near(numbers(row["Testing accuracy"]), [100 * accuracy_of(frame), *(100 * end for end in limits)], 1)
        near(numbers(row["Kappa"]), [kappa_of(frame), together[name].low, together[name].high], 2)
        assert f"epoch {metrics[name]['chosen_epoch']}" in words(row["Chosen epoch"])
        highest = metrics[name]["highest_testing_accuracy"]
        history = pd.read_csv(folder / "runs" / name / "history.csv").set_index("epoch")["test_accuracy"]
        assert highest["accuracy"] == pytest.approx(history.max()) and highest["epoch"] == history.idxmax()
        gain = history.max() - history[metrics[name]["chosen_epoch"]]
        shown = numbers(row["Highest testing accuracy"])
        near(shown, [100 * history.max(), 100 * gain, highest["epoch"]], 1)
        assert results.loc[name, "accuracy"] == pytest.approx(accuracy_of(frame), abs=1e-4)
        assert results.loc[name, "kappa"] == pytest.approx(kappa_of(frame), abs=1e-4)


def test_the_first_screen_is_about_the_best_run(page, folder, predictions):
    best = max(predictions, key=lambda name: kappa_of(predictions[name]))
    frame, experiment = predictions[best], collect(folder)
    kappa, accuracy, found, spared, grading = page.find_all("div", class_="tile")
    near(numbers(kappa.b), [kappa_of(frame)], 2)
    near(numbers(accuracy.b), [100 * accuracy_of(frame)], 0)
    ill, sent = frame["grade"] >= 2, frame["predicted"] >= 2
    near(numbers(found.b), [100 * sent[ill].mean()], 0)
    near(numbers(spared.b), [100 * (~sent)[~ill].mean()], 0)
    assert words(kappa).endswith(" ".join(LABELS[best]))
    above = sum(figure.low > 0 for figure in experiment.kappas.values())
    assert words(grading.b) == f"{above} of 8"
    said = words(page.find("div", class_="answer"))
    assert f"a quadratic weighted kappa of {kappa_of(frame):.2f}" in said
    assert f"It is right for {100 * accuracy_of(frame):.1f}%" in said
    missed = frame[ill & ~sent]["grade"].value_counts()
    assert f"Of {ill.sum()} testing photographs of referable retinopathy, it misses {missed.sum() or 'none'}" in said
    for grade, n in missed.items():
        assert f"{n} {GRADE_NAMES[grade]}" in said
    assert f"of {(~ill).sum()} others, it would send {sent[~ill].sum() or 'none'}" in said


def test_differences_are_those_of_the_two_runs(page, folder, predictions):
    comparisons = json.loads((folder / "results.json").read_text())["comparisons"]
    body = next(one for one in page.find_all("table") if "effects" in one["class"]).tbody
    rows = [row for row in body.find_all("tr") if "cause" not in row.get("class", [])]
    assert len(rows) == len(comparisons) == 12
    for row, told in zip(rows, comparisons, strict=True):
        (first,), (second,) = told["first_runs"], told["second_runs"]
        before, after = predictions[first], predictions[second]
        accuracy, kappa = (numbers(cell) for cell in row.find_all("td"))
        near(accuracy[0], 100 * (accuracy_of(after) - accuracy_of(before)), 1)
        near(accuracy[1:3], [100 * told["accuracy"][end] for end in ("low", "high")], 1)
        right = [set(frame.loc[frame["grade"] == frame["predicted"], "image"]) for frame in (before, after)]
        assert accuracy[-2:] == [len(right[1] - right[0]), len(right[0] - right[1])]
        near(kappa[0], kappa_of(after) - kappa_of(before), 2)
        near(kappa[1:3], [told["kappa"][end] for end in ("low", "high")], 2)
        bold = [bool(cell.find("b")) for cell in row.find_all("td")]
        assert bold == [told[figure]["low"] > 0 or told[figure]["high"] < 0 for figure in ("accuracy", "kappa")]
        assert ("failed" in row.get("class", [])) == ("one does not grade" in words(row.th))


def test_matrices_are_counts_of_the_predictions(page, predictions):
    drawings = [one for one in page.find_all("svg") if one["aria-label"].startswith("Confusion matrix of")]
    assert len(drawings) == 9  # the best stands on the first screen, too
    for drawing in drawings:
        label = re.match("Confusion matrix of (.*); recall", drawing["aria-label"])[1]
        name = next(name for name, of in LABELS.items() if " ".join(of) == label)
        frame = predictions[name]
        counts = confusion_matrix(frame["grade"], frame["predicted"], labels=range(5))
        letters = [words(text) for text in drawing.find_all("text")]
        shown = [int(text.replace(",", "")) for text in letters if re.fullmatch(r"[\d,]+", text)]
        for n in counts[counts > 0]:
            assert n in shown
        shares = [float(text) for text in letters if re.fullmatch(r"\d\.\d\d", text)]
        near(shares, (counts / counts.sum(axis=1, keepdims=True))[counts > 0], 2)


def test_figures_of_grades_and_referable_retinopathy_are_scikit_learns(page, predictions, metrics):
    referable, calibration = table(page, "Average precision"), table(page, "Mean confidence")
    recalls = table(page, "0 no DR")
    for name, frame in predictions.items():
        ill = frame["grade"] >= 2
        score = frame[["p2", "p3", "p4"]].sum(axis=1)
        row = row_of(referable, name)
        near(numbers(row["AUC"])[0], roc_auc_score(ill, score), 3)
        near(numbers(row["Average precision"])[0], average_precision_score(ill, score), 3)
        confidence = frame[[f"p{grade}" for grade in range(5)]].max(axis=1).mean()
        row = row_of(calibration, name)
        near(numbers(row["Mean confidence"]), [100 * confidence], 1)
        near(numbers(row["Calibration error, points"]), [100 * metrics[name]["test"]["calibration"]["ece"]], 1)
        row = row_of(recalls, name)
        for grade, grade_name in enumerate(GRADE_NAMES):
            of_grade = frame[frame["grade"] == grade]
            recall = (of_grade["predicted"] == grade).mean()
            limits = metrics[name]["test"]["intervals"]["recall"][grade]
            near(numbers(row[f"{grade} {grade_name}"])[:3], [100 * recall, *(100 * end for end in limits)], 0)


def test_mistakes_are_counted_in_the_predictions(page, predictions):
    best = predictions[max(predictions, key=lambda name: kappa_of(predictions[name]))]
    ill, sent = best["grade"] >= 2, best["predicted"] >= 2
    text = words(page)
    for kind, wrong, group in (("Missed", ill & ~sent, ill), ("False alarms", ~ill & sent, ~ill)):
        share = f"{100 * wrong.sum() / group.sum():.1f}%"
        assert re.search(rf"{kind}: {wrong.sum()} of {group.sum()} testing photographs [^:]*\({share}\)", text)


def test_a_number_that_is_not_that_of_the_files_is_found(folder, predictions):
    """The counts of the audit stood beside those of the runs once, and a majority of 73.8 % beside one of 74.2 %."""
    experiment = collect(folder)
    object.__setattr__(experiment, "splits", experiment.audit["splits"])
    wrong = BeautifulSoup(report_page(experiment), "html.parser")
    with pytest.raises(AssertionError):
        test_counts_and_majority_are_those_of_the_photographs_that_runs_used(wrong, folder, predictions)


def odd(which, home):
    """Write an experiment that a report finds hard to word."""
    table = photograph_table(120)
    if which == "one grade":
        table["grade"] = 0
    kinds = [("resnet18", False), ("resnet18", True), ("resnet50", False), ("resnet50", True)]
    for number, (model, pretrained) in enumerate(kinds[:1] if which == "one run" else kinds):
        for seed in range(2 if which == "two seeds" else 1):
            path = write_run(
                home, table, model, pretrained=pretrained, seed=seed, epochs=4, name=f"{model}-{number}-{seed}",
                skill={"all failed": -2.0, "all equal": 1.2, "ties": 1.2}.get(which, 0.3 + number / 2),
                luck=0 if which in ("all equal", "ties") else number + 5 * seed,
                state="failed" if which == "none done" else "done", weighted=which == "ties" and number > 1,
            )  # fmt: skip
            if which == "not a number":
                history = pd.read_csv(path / "history.csv").assign(val_kappa=np.nan, val_auc=np.nan, test_auc=np.nan)
                history.to_csv(path / "history.csv", index=False)
                recorded(path)
    return collect(home)


ODD = ["all equal", "one run", "all failed", "none done", "two seeds", "ties", "one grade", "not a number"]


@pytest.mark.parametrize("which", ODD)
def test_first_screen_and_tables_never_contradict_each_other(which, tmp_path):
    experiment = odd(which, tmp_path)
    page = BeautifulSoup(report_page(experiment), "html.parser")
    for part in page.find_all(["svg", "code", "pre"]):
        part.decompose()
    said = words(page.main)
    assert not re.search(r"\b(nan|inf|None(?! of))\b", said) and f"{MINUS}0.00 " not in said
    if which == "none done":
        assert not page.find_all("div", class_="tile") and "No run has finished yet" in said
        return
    rows = {label: row for label, row in table(page, "Chosen epoch").items() if "always the" not in label}
    kappas = {label: numbers(row["Kappa"]) for label, row in rows.items()}
    tiles = {words(tile.span): tile for tile in page.find_all("div", class_="tile")}
    best = tiles["Best kappa"]
    assert numbers(best.b) == [max(kappa[0] for kappa in kappas.values())]
    grading, of = numbers(words(tiles["Networks that grade"].b))
    assert of == len(rows)
    # As they are shown, 0.00 may be above 0.
    lows = [kappa[1] for kappa in kappas.values() if len(kappa) == 3]
    assert sum(low > 0 for low in lows) <= grading <= sum(low >= 0 for low in lows)
    answer = words(page.find("div", class_="answer"))
    assert ("does what it is for" in answer or "does not do what it is for" in answer) == (grading == 0)
    body = next((one for one in page.find_all("table") if "effects" in one.get("class", [])), None)
    cause, counted = "", {}
    for row in body.tbody.find_all("tr") if body else ():
        if "cause" in row.get("class", []):
            cause = words(row.th.b)
            counted[cause] = [words(row.td), []]
        elif "failed" not in row.get("class", []):
            counted[cause][1].append([(bool(cell.b), numbers(cell)) for cell in row.find_all("td")])
    for cause, (sentence, pairs) in counted.items():
        for figure, column in (("accuracy", 0), ("kappa", 1)):
            moved = [pair[column][1][0] for pair in pairs if pair[column][0]]
            ups, downs = sum(value > 0 for value in moved), sum(value < 0 for value in moved)
            assert bool(ups) == bool(re.search(rf"raised[^.]*?\b{figure}", sentence.partition(" and lowered")[0]))
            assert bool(downs) == bool(re.search(rf"lowered[^.]*?\b{figure}", sentence))
        assert ("no measurable difference" in sentence) == bool(pairs and not any(b for p in pairs for b, _ in p))
        if sentence.startswith(cause) and grading and pairs:
            assert sentence in answer
