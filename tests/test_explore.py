"""Looking at single photographs through a trained network: against the run's own files and the network itself."""

import io
import re
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from data_folders import eyes, write_course, write_photographs
from PIL import Image

from dr_lib import PROBABILITIES
from dr_lib.config import RunConfig
from dr_lib.data.crop_dataset import CropDataset
from dr_lib.data.transforms import EvalTransform, TrainTransform
from dr_lib.errors import InputError
from dr_lib.evaluation.predict import features
from dr_lib.explore import figures as pictures
from dr_lib.explore.cells import ExploredRun
from dr_lib.explore.loaded_run import Case, LoadedRun, finished_run
from dr_lib.explore.neighbor_index import NeighborIndex, as_tested
from dr_lib.explore.panel import Panel
from dr_lib.storage.folders import finished_experiments
from dr_lib.training.run import train_run

pytestmark = pytest.mark.usefixtures("one_core")

EVIL = "<script>alert(1)</script>_left"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A project folder in which two runs of one experiment are done, of other photographs than a third."""
    folder = tmp_path_factory.mktemp("explore")
    training, testing = eyes(range(1, 13)), eyes(range(13, 19))
    # Patient 1 is on both sides.
    testing["1_left"] = training.pop("1_left")
    write_course(folder / "photographs", training, testing)
    write_photographs(folder / "photographs", [*training, *testing])
    for name, changes in {
        "plain": {},
        "views": {"model": "resnet18", "test_time_augmentation": "Flips", "seed": 1, "epochs": 1},
    }.items():
        train_run(
            RunConfig(
                data_dir=str(folder / "photographs"), cache_dir=str(folder / "cache"), name=name,
                out_dir=str(folder / "reports" / "two"), model="shufflenet_v2_x0_5", resize=48, image_size=40,
                batch_size=8, epochs=7, validation_share=0.2,
            ).model_copy(update=changes)
        )  # fmt: skip
    return folder


def opened(folder, name="plain"):
    return LoadedRun.open(finished_run(folder / "reports" / "two", name), progress=False)


@pytest.fixture(scope="module")
def run(folder):
    return opened(folder)


@pytest.fixture(scope="module")
def cases(run):
    return NeighborIndex.of(run)


def read(html):
    """Return the pictures of HTML as arrays, by their alternative texts."""
    found = re.findall(r'<img[^>]*alt="([^"]*)" src="data:image/jpeg;base64,([^"]*)"', html)
    return {alternative: np.asarray(Image.open(io.BytesIO(b64decode(data)))) for alternative, data in found}


@pytest.mark.slow
def test_answers_are_those_of_predictions_csv(run):
    table = pd.read_csv(run.folder.predictions, dtype={"patient": str})
    for row in table.itertuples():
        case = run.case(row.image)
        assert (case.grade, case.predicted, case.patient) == (row.grade, row.predicted, row.patient)
        np.testing.assert_array_equal(case.probabilities, [getattr(row, name) for name in PROBABILITIES])
    with pytest.raises(InputError, match="'nobody' is no testing photograph"):
        run.case("nobody")


def test_worst_mistakes_come_first(run):
    table = pd.DataFrame(
        [("a", 0, 0, 0.9), ("b", 0, 2, 0.5), ("c", 4, 0, 0.4), ("d", 2, 0, 0.6), ("e", 1, 0, 0.99)],
        columns=["image", "grade", "predicted", "p0"],
    ).assign(p1=0.0, p2=0.0, p3=0.0, p4=0.0, patient="1")
    changed = LoadedRun(run.folder, run.network, run.data, table)
    assert changed.worst_mistakes().image.tolist() == ["c", "d", "b", "e"]
    assert changed.case().image == "c"
    right = LoadedRun(run.folder, run.network, run.data, table.head(1))
    assert right.case().image == "a"


def test_photographs_are_listed_as_people_count(run):
    names = [f"{number}_{side}" for number in (1, 2, 10, 100) for side in ("left", "right")] + ["b", "c10"]
    mixed = run.predictions.head(1).loc[[0] * len(names)].assign(image=sorted(names))
    assert LoadedRun(run.folder, run.network, run.data, mixed).by_name().image.tolist() == names


def test_the_other_eye_is_found_in_whatever_split(run):
    rows = run.fellow_eyes(run.case("1_left"))
    assert rows.image.tolist() == ["1_right"] and rows.split.tolist()[0] in ("train", "validation")
    assert rows.predicted.isna().all()
    rows = run.fellow_eyes(run.case("13_left"))
    assert rows.image.tolist() == ["13_right"]
    assert rows.predicted.tolist() == [run.case("13_right").predicted]
    alone = Case("x", "nobody else", 0, 0, (1.0, 0, 0, 0, 0))
    assert run.fellow_eyes(alone).empty
    assert "No other photograph of the patient of x" in pictures.fellow_eyes(alone, run.fellow_eyes(alone), run.pixels)


@pytest.mark.parametrize("name", ["plain", "views"])
def test_training_cases_are_what_the_network_makes_of_them(folder, name):
    run = opened(folder, name)
    cases = NeighborIndex.of(run)
    assert cases.table["image"].tolist() == run.data.split("train")["image"].tolist()
    width = {"plain": 1024, "views": 512}[name]
    assert cases.features.shape == (len(cases.table), width) and cases.features.dtype == np.float32
    # The same by torch's own loader: the squares of training, as testing sees them.
    crops = CropDataset(run.data, "train", TrainTransform.of(run.config)).crops
    for row in (0, 5):
        seen = as_tested(crops.read(cases.table["image"][row]), run.config)
        assert seen.shape == EvalTransform.of(run.config).shape
        views = seen[None] if seen.ndim == 3 else seen
        images = run.network.normalization(torch.from_numpy(np.array(views)))
        alone = features(run.network.model, [(image[None], torch.zeros(1)) for image in images]).mean(axis=0)
        np.testing.assert_allclose(cases.features[row], alone, rtol=1e-3, atol=1e-5)
        # A training photograph is the one nearest to itself.
        nearest = cases.nearest(run.pixels(cases.table["image"][row]), 3)
        assert nearest.iloc[0]["image"] == cases.table["image"][row]
        assert nearest.iloc[0]["distance"] < 1e-5 < nearest.iloc[1]["distance"] <= nearest.iloc[2]["distance"]


def test_without_another_size_testing_sees_the_training_square_itself(run):
    config = run.config.model_copy(update={"image_size": 48})
    square = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    np.testing.assert_array_equal(as_tested(square, config), square)


def test_features_are_kept_until_network_or_photographs_change(folder, run, cases, tmp_path, monkeypatch):
    made = []
    step = lambda done, total: made.append((done, total))  # noqa: E731
    again = NeighborIndex.of(run, step)
    assert made == []
    np.testing.assert_array_equal(again.features, cases.features)
    (kept,) = [path for path in run.data.scanner.folder.glob("features-*.npz") if _of(path, cases.features)]
    kept.write_bytes(kept.read_bytes()[:2000])  # as after a full disk
    np.testing.assert_array_equal(NeighborIndex.of(run, step).features, cases.features)
    assert made[-1] == (len(cases.table), len(cases.table)) and _of(kept, cases.features)
    made.clear()
    fewer = LoadedRun(run.folder, run.network, _other_data(run), run.predictions)
    assert len(NeighborIndex.of(fewer, step).table) == len(cases.table) - 1 and made
    made.clear()
    monkeypatch.setattr("dr_lib.explore.neighbor_index.METHOD", 99)
    NeighborIndex.of(run, step)
    assert made


def _of(path, expected):
    with np.load(path) as kept:
        return np.array_equal(kept["features"], expected)


def _other_data(run):
    table = run.data.table
    first = table.index[table["split"] == "train"][0]
    labels = replace(run.data.labels, table=table.drop(index=first))
    return replace(run.data, labels=labels, fingerprint="another")


def test_a_cache_that_cannot_be_written_costs_nothing_but_a_word(run, cases, monkeypatch, caplog):
    def full(path, write):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dr_lib.explore.neighbor_index.write_with", full)
    monkeypatch.setattr("dr_lib.explore.neighbor_index.METHOD", 100)
    np.testing.assert_array_equal(NeighborIndex.of(run).features, cases.features)
    assert "are not kept (No space left on device)" in caplog.text


def test_bars_are_as_long_as_probabilities_and_name_answer_and_truth():
    html = pictures.bars(Case("x", "x", 2, 1, (0.1, 0.6, 0.25, 0.05, 0.0)))
    assert re.findall(r"width:([\d.]+)%", html) == ["10.0", "60.0", "25.0", "5.0", "0.0"]
    rows = html.split('<div role="row"')[1:]
    assert [("true grade" in row, "answer" in row) for row in rows] == [
        (False, False), (False, True), (True, False), (False, False), (False, False),
    ]  # fmt: skip
    assert "<b>true grade and answer</b>" in pictures.bars(Case("x", "x", 0, 0, (1.0, 0, 0, 0, 0)))


def test_draws_are_those_that_training_makes(run):
    """A training photograph: what the run's own data set gives in that epoch."""
    dataset = CropDataset(run.data, "train", TrainTransform.of(run.config), seed=run.config.seed)
    image = dataset.table["image"][3]
    html = pictures.draws(image, run.pixels(image), run.config, range(2, 5))
    shown = read(html)
    assert re.findall(r"epoch \d", re.sub("<img[^>]*>", "", html)) == ["epoch 2", "epoch 3", "epoch 4"]
    for number, epoch in enumerate(range(2, 5)):
        dataset.set_epoch(epoch)
        drawn = Image.fromarray(dataset[3][0].numpy()).resize((220, 220), Image.Resampling.LANCZOS)
        alternative = f"epoch {epoch}, what training draws of {image}"
        assert np.abs(np.asarray(drawn, int) - shown[alternative]).mean() < 6, number
        others = [shown[key] for key in shown if key != alternative]
        assert all(np.abs(np.asarray(drawn, int) - other).mean() > 6 for other in others)


def test_names_are_text():
    case = Case(EVIL, EVIL, 2, 1, (0.1, 0.6, 0.25, 0.05, 0.0))
    rows = pd.DataFrame(
        [(EVIL, 2, EVIL, "train", pd.NA, 0.1)], columns=["image", "grade", "patient", "split", "predicted", "distance"]
    )
    gray = lambda image: np.full((60, 80, 3), 90, np.uint8)  # noqa: E731
    html = [
        pictures.answer(case), pictures.looked_at(case, gray(""), [], 0.5), pictures.neighbors(case, rows, gray),
        pictures.fellow_eyes(case, rows, gray),
    ]  # fmt: skip
    assert all("<script" not in part for part in html)
    assert "same patient" in html[2]


def titles(figure):
    return [ax.get_title() for ax in figure.axes]


def test_what_cells_show_of_a_photograph(folder, run):
    """Tables that can be taken apart, and figures of what they name."""
    exploration = ExploredRun.open(str(folder / "reports" / "two"), "plain")
    case = run.case("14_right")
    answer = exploration.answer("14_right")
    np.testing.assert_array_equal(answer["probability"], case.probabilities)
    assert "answer" in answer["14_right"].iloc[case.predicted] and "true grade" in answer["14_right"].iloc[case.grade]
    shown = titles(exploration.plot_answer("14_right"))
    assert shown[0] == f"14_right\ngrade {pictures.graded(case.grade)}" and len(shown) == (3 if case.right else 4)
    assert f"speaks for grade {case.predicted}\nthe answer" in shown[2]
    neighbors = exploration.neighbors("14_right", 4)
    pd.testing.assert_frame_equal(neighbors, exploration.cases.nearest(run.pixels("14_right"), 4))
    assert titles(exploration.plot_photographs(neighbors)) == [
        f"{row.image}\ngrade {row.grade}, distance {row.distance:.4f}" for row in neighbors.itertuples()
    ]
    fellows = exploration.fellow_eyes("14_right")
    other = run.case("14_left")
    assert fellows.values.tolist() == [["14_left", other.grade, "14", "test", other.predicted]]
    assert titles(exploration.plot_photographs(fellows)) == [
        f"14_left\ngrade {other.grade}, answered {other.predicted}"
    ]
    assert "1_right\ngrade 1, not tested" in titles(exploration.plot_photographs(exploration.fellow_eyes("1_left")))
    assert titles(exploration.plot_draws("14_right")) == [f"epoch {epoch}" for epoch in range(1, 8)]
    drawn = exploration.plot_draws("14_right").axes[2].images[0].get_array()
    expected = pictures.drawn("14_right", run.pixels("14_right"), run.config, range(3, 4))[3]
    np.testing.assert_array_equal(drawn, expected)
    right = (run.predictions.grade == run.predictions.predicted).mean()
    assert f"it answered {100 * right:.1f}% right" in exploration.describe()
    assert exploration.mistakes().image.tolist() == run.worst_mistakes().image.tolist()
    assert exploration.samples().groupby("grade").size().max() <= 5


def test_a_network_without_a_map_has_its_reason_instead_of_heat(folder, run, monkeypatch):
    def refuse(*_):
        raise InputError("model: vit_b_16 has no convolutional map")

    monkeypatch.setattr("dr_lib.explore.cells.explain_many", refuse)
    monkeypatch.setattr("dr_lib.explore.panel.explain", refuse)
    exploration = ExploredRun.open(str(folder / "reports" / "two"), "plain")
    figure = exploration.plot_answer("14_right")
    assert len(figure.axes) == 1 and "vit_b_16 has no convolutional map" in figure.get_supxlabel()
    assert "vit_b_16 has no convolutional map" in exploration.choose("14_right")._seen.value


def test_without_an_experiment_nothing_is_trained_and_a_line_says_how(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"reports: no run has finished there; `dr-lab run --data .*` trains some"):
        ExploredRun.open()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def panel(folder, run, cases, monkeypatch):
    monkeypatch.chdir(folder)
    return Panel(run, cases, finished_experiments(), "14_right")


def listed(panel):
    return [image for _, image in panel.photographs.options]


def test_panel_lists_what_is_asked_for(panel, run):
    table = run.predictions
    assert listed(panel) == run.by_name().image.tolist() and panel.photographs.value == "14_right"
    panel.search.value = "LEFT"
    assert set(listed(panel)) == {image for image in table.image if "left" in image}
    panel.grade.value = 4
    assert set(listed(panel)) == {"14_left"} and panel.photographs.value == "14_left"
    assert "14_left" in panel._answer.value and "14_right" not in panel._answer.value
    panel.search.value, panel.grade.value = "", -1
    assert panel.photographs.value == "14_left"  # what is chosen stays chosen
    panel.answers.value = "wrong"
    assert set(listed(panel)) == set(table.image[table.grade != table.predicted])
    panel.answers.value = "right"
    assert set(listed(panel)) == set(table.image[table.grade == table.predicted])
    panel.answers.value, panel.order.value = "all", "worst first"
    assert listed(panel)[0] == run.case().image and len(listed(panel)) == len(table)
    panel.search.value = "("
    assert listed(panel) == [] and "No testing photograph is of this kind." in panel._status.value
    panel.search.value = ""
    assert panel._status.value.count("No testing") == 0 and panel._of_photograph.layout.display == ""


def test_panel_shows_the_photograph_that_is_chosen(panel, run, cases):
    for image in ("15_left", "1_left"):
        panel.photographs.value = image
        case = run.case(image)
        assert panel._answer.value == pictures.framed(pictures.answer(case)).data
        assert panel.explained.value == case.predicted
        nearest = cases.nearest(run.pixels(image), 5)
        assert all(name in panel._near.value for name in nearest.image)
    assert "1_right" in panel._fellow.value and "trained on this patient" in panel._fellow.value


def test_sliders_change_their_part_alone(panel):
    before = panel._seen.value, panel._drawn.value, panel._near.value, panel._answer.value
    panel.explained.value = (panel.explained.value + 1) % 5
    other = panel._seen.value
    assert other != before[0] and f"grade {panel.explained.value}" in other
    panel.strength.value = 0
    *_, seen, heat = read(panel._seen.value).values()
    np.testing.assert_array_equal(seen, heat)  # no heat at all: the photograph as it is
    panel.epoch.value = 3
    assert "epoch 3" in panel._drawn.value and "epoch 7" in panel._drawn.value and "epoch 2<" not in panel._drawn.value
    panel.count.value = 2
    assert len(read(panel._near.value)) == 2
    assert panel._answer.value == before[3]


@pytest.mark.slow
def test_panel_goes_to_another_run_and_comes_back_from_one_that_fails(panel, folder):
    assert panel.run.options == ("plain", "views")
    before = panel._near.value
    panel.run.value = "views"
    assert panel._run.folder.name == "views" and panel.photographs.value == "14_right"
    assert panel._near.value != before and panel.epoch.layout.display == "none"
    (folder / "photographs" / "14_left.jpeg").rename(folder / "away")
    try:
        panel.run.value = "plain"
        assert "photographs is missing (14_left)" in panel._status.value
        assert panel._of_photograph.layout.display == "none"
    finally:
        (folder / "away").rename(folder / "photographs" / "14_left.jpeg")
    panel.run.value = "views"
    panel.run.value = "plain"
    assert panel._near.value == before and panel._of_photograph.layout.display == ""


def test_experiments_with_a_finished_run_are_offered_the_latest_first(folder, panel, monkeypatch):
    assert panel.experiment.options == ((str(folder / "reports" / "two"), folder / "reports" / "two"),)
    (folder / "reports" / "empty" / "runs" / "begun").mkdir(parents=True, exist_ok=True)
    assert finished_experiments() == [Path("reports/two")]
    assert repr(panel) == "Panel to choose photographs: run this cell in JupyterLab."


def test_a_run_that_is_not_there_is_told_with_those_that_are(folder):
    with pytest.raises(InputError, match="no finished run 'third'; done are: plain, views"):
        finished_run(folder / "reports" / "two", "third")
