"""The report shows where networks look and where they err: the right photographs, in words, and text as text."""

import re
from dataclasses import replace
from html import unescape

import numpy as np
import pandas as pd
import pytest
import torch
from data_folders import jpeg, picture
from experiment_factory import EVIL_NAME, made_up_audit, photograph_table, recorded, write_run

from dr_lib.config import RunConfig
from dr_lib.data.normalization import Normalization
from dr_lib.evaluation.predictions import worst_first
from dr_lib.models.trained import load_trained, new_head, new_network
from dr_lib.report import pictures
from dr_lib.report.collect import collect
from dr_lib.report.examples import best_run, false_alarms, missed, surest
from dr_lib.report.experiment_results import ExperimentResults
from dr_lib.report.sections.explanations import looked_at, where_hottest
from dr_lib.report.sections.mistakes import SHOWN, worst_mistakes
from dr_lib.storage.checksums import write_sealed_json
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.training.checkpoint import save_network

TEXT_ONLY = re.compile(r"<[^>]*>")


def text_of(html):
    return re.sub(r"\s+", " ", unescape(TEXT_ONLY.sub(" ", html)))


def alternatives(html):
    return [unescape(text) for text in re.findall(r'alt="([^"]*)"', html)]


def write_labels(folder, table):
    train = pd.DataFrame({"image": [f"{n}_left" for n in range(1, 7)], "grade": [0, 1, 2, 3, 4, 0]})
    for split, rows in (("train", train), ("test", table)):
        (folder / f"{split}_img.csv").write_text("\n".join(rows.image) + "\n")
        (folder / f"{split}_label.csv").write_text("\n".join(map(str, rows.grade)) + "\n")
    return train


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return a folder with two finished runs in ``lab`` and their photographs in ``photos``, one with an evil name."""
    home = tmp_path_factory.mktemp("explained")
    table = photograph_table(160)
    table.loc[0, ["image", "patient"]] = EVIL_NAME, EVIL_NAME.removesuffix("_left")
    (home / "photos").mkdir()
    assert set(table.grade) == set(range(5))
    train = write_labels(home / "photos", table)
    for number, image in enumerate([*train.image, *table.image]):
        path = home / "photos" / f"{image}.jpeg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(picture(number)))
    data = {"data_dir": str(home / "photos"), "image_size": 64, "resize": 72}
    for number, model in enumerate(("resnet18", "resnet34")):
        run = write_run(home / "lab", table, model, parameters=data, luck=number, skill=1.0)
        folder = ExperimentFolder(home / "lab").run(run.name)
        predictions = folder.read_predictions()
        # All of grade 1 are answered wrong, and the one with the evil name without a doubt, on the other side of 2.
        ones = predictions.grade == 1
        predictions.loc[ones & (predictions.predicted == 1), "predicted"] = 0
        columns = ["grade", "predicted", "p0", "p1", "p2", "p3", "p4"]
        predictions.loc[0, columns] = [table.grade[0], 4 if table.grade[0] < 2 else 0, *[0.0] * 5]
        predictions.loc[0, f"p{predictions.predicted[0]}"] = 1.0
        folder.write_predictions(predictions)
        torch.manual_seed(number)
        config = RunConfig.from_mapping(collect(home / "lab").runs[number].parameters)
        folder.best_checkpoint.parent.mkdir()
        save_network(
            folder.best_checkpoint, new_network(config), new_head(config), Normalization.fit("imagenet", [], 64), config
        )
        recorded(run)
    return home


@pytest.fixture(scope="module")
def experiment(home) -> ExperimentResults:
    return collect(home / "lab")


@pytest.fixture(scope="module")
def looked(experiment):
    return looked_at(experiment).data


@pytest.fixture(scope="module")
def mistakes(experiment):
    return worst_mistakes(experiment).data


@pytest.mark.slow
def test_each_grade_has_its_surest_right_and_wrong_answer(experiment, looked):
    assert looked.count("<figure") == 2
    # The best first; others are folded.
    for run, figure in zip(
        sorted(experiment.done, key=lambda run: -run.test["kappa"]),
        re.findall(r"<figure.*?</figure>", looked, re.DOTALL),
        strict=True,
    ):
        assert run.name in figure and run.network in figure
        rows = re.findall(r'<tr role="row">(?!<th scope="col").*?</tr>', figure, re.DOTALL)
        assert len(rows) == 2
        for right, row in zip((True, False), rows, strict=True):
            for grade, cell in enumerate(re.findall(r"<td.*?</td>", row, re.DOTALL)):
                of_grade = run.predictions[run.predictions.grade == grade]
                some = of_grade[(of_grade.predicted == grade) == right]
                if some.empty:
                    assert "none: all" in cell and "<img" not in cell
                    continue
                sure = [some[f"p{row.predicted}"][index] for index, row in some.iterrows()]
                expected = some.iloc[int(np.argmax(sure))]
                assert expected.image in text_of(cell)
                assert f"answered {expected.predicted}, " in text_of(cell)
                assert (f"{100 * max(sure):.0f}%" in cell) or ("over 99%" in cell and max(sure) >= 0.995)
                assert cell.count("<img") == 2


def test_a_grade_without_right_answers_says_so(experiment, looked):
    ones = int((experiment.done[0].predictions.grade == 1).sum())
    assert ones > 1
    cells = re.findall(r'<td role="cell" data-label="1 mild">.*?</td>', looked, re.DOTALL)
    said = [text_of(cell) for cell in cells][::2]  # of each network the right answer, then the wrong one
    assert len(said) == 2
    assert all(f"none: all {ones} testing photographs of this grade answered wrong" in text for text in said)


def test_pictures_say_what_they_show(looked, mistakes):
    texts = alternatives(looked)
    assert all(text.startswith("Testing photograph") and " of grade " in text for text in texts[::2])
    of_heat = re.compile(
        r"Grad-CAM of the answer \d .*: (hottest in the .* on \d+% of the square|no place speaks for it)"
    )
    assert [text for text in texts[1::2] if not of_heat.match(text)] == []
    assert len(set(texts)) == len(texts)
    assert all(re.search(r"grade \d, called \d", text) for text in alternatives(mistakes))


def test_the_caption_says_how_coarse_it_is(looked):
    text = text_of(looked)
    assert "no finer than 8 × 8 places, one for every 8 × 8 of the 64 × 64 px" in text
    assert "has 2 × 2 places" in text and "where, not what" in text


def test_mistakes_are_counted_with_their_patients(experiment, mistakes):
    rows, text = best_run(experiment).predictions, text_of(mistakes)
    sick, well = rows[rows.grade >= 2], rows[rows.grade < 2]
    for word, group, wrong in (
        ("Missed", sick, sick[sick.predicted < 2]),
        ("False alarms", well, well[well.predicted >= 2]),
    ):
        assert len(wrong) > 0
        found = re.search(
            rf"{word}: (\d+) of (\d+) testing photographs?[^%]*\(([\d.]+)%\), of (\d+) of (\d+) pat", text
        )
        share = f"{100 * len(wrong) / len(group):.1f}"
        expected = [len(wrong), len(group), share, wrong.patient.nunique(), group.patient.nunique()]
        assert list(found.groups()) == [str(value) for value in expected]


def test_the_worst_mistakes_come_first_and_say_who_else_makes_them(experiment, mistakes):
    rows = best_run(experiment).predictions
    for gallery, wrong in zip(
        re.findall(r"<figure.*?</figure>", mistakes, re.DOTALL), (missed, false_alarms), strict=True
    ):
        names = [unescape(name) for name in re.findall(r'<div class="shot">(?:<img[^>]*>)?([^<]*)<span', gallery)]
        wanted = sorted(
            wrong(rows).to_dict("records"),
            key=lambda row: (-abs(row["grade"] - row["predicted"]), -row[f"p{row['predicted']}"]),
        )
        assert names == [row["image"] for row in wanted[:SHOWN]] and names
        first = wanted[0]
        same = sum(
            int(run.predictions.set_index("image").predicted[first["image"]]) == first["predicted"]
            for run in experiment.done
        )
        assert f"by {same} of 2 runs" in text_of(gallery.split('class="shot"')[1])


def test_names_from_files_are_text(looked, mistakes):
    for html in (looked, mistakes):
        assert EVIL_NAME in unescape(html) and "<script" not in html


def test_the_same_sweep_gives_the_same_page_of_modest_size(experiment, looked, mistakes):
    assert looked_at(experiment).data == looked and worst_mistakes(experiment).data == mistakes
    assert len(looked) + len(mistakes) < 1_500_000


def test_photographs_are_decoded_once_for_all_networks(experiment, monkeypatch):
    opened, pixels = [], pictures.IsolatedDecoder.pixels
    monkeypatch.setattr(
        pictures.IsolatedDecoder,
        "pixels",
        lambda decoder, photographs, image, *rest: opened.append(image) or pixels(decoder, photographs, image),
    )
    looked_at(experiment)
    assert opened and len(set(opened)) == len(opened)


@pytest.mark.slow
def test_what_is_out_of_reach_is_said(experiment, home, tmp_path, monkeypatch):
    checkpoint = ExperimentFolder(experiment.path).run("resnet18").best_checkpoint
    whole = checkpoint.read_bytes()
    try:
        for damage in (lambda: checkpoint.write_bytes(whole[:1000]), checkpoint.unlink):
            damage()
            html = looked_at(experiment).data
            assert "cannot be shown: its network is not on this machine" in html and html.count("<figure") == 1
    finally:
        checkpoint.write_bytes(whole)
    labels = (home / "photos" / "test_label.csv").read_text()
    try:
        (home / "photos" / "test_label.csv").write_text(labels.translate(str.maketrans("01", "10")))
        assert "not on this machine" in looked_at(experiment).data and "<img" not in looked_at(experiment).data
    finally:
        (home / "photos" / "test_label.csv").write_text(labels)
    write_run(tmp_path, photograph_table(60))
    write_sealed_json(tmp_path / "audit.json", made_up_audit(photograph_table(60)))
    nowhere = collect(tmp_path)
    for section in (looked_at, worst_mistakes):
        assert "those of the runs (data/nowhere) are not on this machine" in section(nowhere).data
    assert "Missed: " in worst_mistakes(nowhere).data and "<img" not in worst_mistakes(nowhere).data


def test_transformers_are_said_to_have_no_map(experiment, monkeypatch):
    def transformer(path):
        trained = load_trained(path)
        return replace(trained, config=trained.config.model_copy(update={"model": "vit_b_16"}))

    monkeypatch.setattr("dr_lib.models.trained.load_trained", transformer)
    html = looked_at(experiment).data
    assert html.count("vit_b_16 has no convolutional map") == 2 and "<figure" not in html


def test_without_a_finished_run_there_is_nothing_to_show(tmp_path):
    write_run(tmp_path, photograph_table(60), state="failed", reason="no power")
    for section in (looked_at, worst_mistakes):
        assert "No run has finished" in section(collect(tmp_path)).data


def test_a_perfect_run_makes_no_mistakes(tmp_path):
    folder = ExperimentFolder(tmp_path).run(write_run(tmp_path, photograph_table(60)).name)
    rows = folder.read_predictions()
    folder.write_predictions(rows.assign(predicted=rows.grade))
    recorded(folder.path)
    html = worst_mistakes(collect(tmp_path)).data
    assert text_of(html).count(": 0 of ") == 2 and "<figure" not in html and "wrong answer" not in html


def test_cases_of_a_small_table():
    rows = pd.DataFrame(
        {
            "image": ["b", "a", "c", "d"],
            "patient": ["b", "a", "c", "d"],
            "grade": [4, 4, 0, 2],
            "predicted": [0, 0, 2, 2],
            **{f"p{grade}": [0.0] * 4 for grade in range(5)},
        }
    )
    rows["p0"], rows["p2"] = [0.9, 0.9, 0.1, 0.2], [0.0, 0.0, 0.95, 0.7]
    assert worst_first(rows[rows.grade != rows.predicted]).image.tolist() == ["a", "b", "c"]
    assert surest(rows, 4, right=False).image == "a" and surest(rows, 4, right=True) is None
    assert missed(rows).image.tolist() == ["b", "a"] and false_alarms(rows).image.tolist() == ["c"]


@pytest.mark.parametrize(
    ("at", "words"), [((2, 3), "upper left"), ((32, 32), "center"), ((30, 60), "right"), ((60, 30), "lower middle")]
)
def test_the_hottest_place_has_a_name(at, words):
    heat = np.full((64, 64), 0.2)
    heat[at] = 1
    assert where_hottest(heat) == words
    assert where_hottest(np.zeros((64, 64))) == ""
