"""What stands on the card beside an exported network, and what evaluating one says."""

import json
import re

import pandas as pd
import pytest
from experiment_factory import photograph_table, simulated_predictions

from dr_lib.config import RunConfig
from dr_lib.data.crops import ResizeSpec
from dr_lib.evaluation.summary import summarize
from dr_lib.inference.evaluate import agreement_with_run, figures_as_text
from dr_lib.inference.exported import Description
from dr_lib.inference.model_card import model_card
from dr_lib.storage.files import write_json
from dr_lib.storage.run_folder import RunFolder

DESCRIPTION = Description(
    "resnet18", "softmax", ResizeSpec(224), 224, "none", {"kind": "samplewise"}, "0" * 64, "0.1.0", 18
)
EVIL = "x](http://evil.example) <script>alert(1)</script> | **b** www.evil.example"


@pytest.fixture
def predictions():
    return simulated_predictions(photograph_table(200), 1.0)


@pytest.fixture
def run(tmp_path, predictions):
    """The folder of a finished run with what the card and the comparison read."""
    folder = RunFolder(tmp_path / "runs" / "one")
    folder.best_checkpoint.parent.mkdir(parents=True)
    folder.best_checkpoint.write_bytes(b"a network")
    counts = {
        "photographs": 200,
        "patients": 100,
        "counts": [150, 14, 28, 5, 3],
        "shares": [0.75, 0.07, 0.14, 0.025, 0.015],
    }
    facts = {
        "data": {"fingerprint": "f" * 64, "splits": {"train": counts, "test": counts}},
        "weights": {"description": EVIL}, "versions": {"torch": "2"}, "device": {"name": "a CPU"},
        "git_commit": None, "started": "today",
    }  # fmt: skip
    write_json(folder.config, facts)
    metrics = {"select_by": "val_kappa", "chosen_epoch": 7, "test": summarize(predictions)}
    write_json(folder.metrics, metrics)
    folder.write_status("done")
    return folder


def card_of(run, **parameters):
    return model_card(run.path / "net.onnx", DESCRIPTION, RunConfig(**parameters), run.best_checkpoint)


def test_the_card_has_the_runs_figures_with_their_intervals(run, predictions):
    card = card_of(run, data_dir="/photos/eyepacs")
    accuracy = (predictions["grade"] == predictions["predicted"]).mean()
    row = next(line for line in card.splitlines() if line.startswith("| accuracy |"))
    shown, low, high = map(float, re.findall(r"\d\.\d+", row))
    assert shown == pytest.approx(accuracy, abs=5e-4) and low < shown < high
    assert "| train | 200 | 100 | 150 | 14 | 28 | 5 | 3 |" in card
    assert "Not for diagnosis" in card and "at epoch 7" in card and "f" * 64 in card
    assert "eyepacs" in card and "never seen an eye" not in card
    rare = [grade for grade in range(5) if (predictions["grade"] == grade).sum() < 30]
    assert rare and all(re.search(rf"Fewer than 30.*grade {grade} \(", card) for grade in rare)
    assert "never seen an eye" in card_of(run)
    assert "optimistic" in card_of(run, select_by="test_accuracy") and "optimistic" not in card


@pytest.mark.parametrize("state", ["failed", "interrupted", "running"])
def test_figures_of_a_run_that_is_not_done_are_unknown(run, state):
    run.write_status(state)
    card = card_of(run)
    assert (
        "Unknown: the checkpoint lies in no finished run's folder" in card and "0.7" not in card.split("## Training")[0]
    )


def test_figures_belong_to_the_network_that_they_are_of(run):
    other = run.best_checkpoint.with_name("last.pt")
    other.write_bytes(b"another network")
    card = model_card(run.path / "net.onnx", DESCRIPTION, RunConfig(), other)
    assert "Unknown" in card and "lies in no finished run's folder" in card


def test_what_comes_from_files_is_text_on_the_card(run):
    card = card_of(run, data_dir=f"/photos/{EVIL.replace('/', '')}")
    bare = re.sub(r"\\.", "", card)
    for active in ("<script>", "](http", "**b**", "www."):
        assert active not in bare
    assert r"\<script\>alert(1)\</script\>" in card


def test_evaluation_names_every_figure_with_its_interval(predictions):
    summary = summarize(predictions)
    shown = figures_as_text(summary, "test")
    low, high = summary["intervals"]["kappa"]
    assert f"{summary['kappa']:.4f}     ({low:.3f} to {high:.3f})" in shown
    assert f"{100 * summary['accuracy']:.4f} %" in shown
    assert f"{summary['referable_auc']:.4f}" in shown


def test_figures_that_are_undefined_are_called_so():
    """Photographs of one grade have no kappa, no areas, and no sensitivity."""
    one = pd.DataFrame({"image": ["a", "b"], "patient": ["1", "2"], "grade": 0, "predicted": 0, "p0": 1.0})
    one[["p1", "p2", "p3", "p4"]] = 0.0
    summary = json.loads(json.dumps(summarize(one)))
    assert summary["referable_auc"] is None and summary["intervals"]["referable_auc"] is None
    shown = figures_as_text(summary, "validation")
    line = next(line for line in shown.splitlines() if line.startswith("referable DR"))
    assert line.endswith("undefined")
    for figure, value in summary["intervals"].items():
        summary["intervals"][figure] = None if not isinstance(value, dict) else dict.fromkeys(value)
    assert "100.0000 %\n" in figures_as_text(summary, "validation")


def test_evaluation_says_whether_the_runs_own_figures_came_out(run, predictions):
    summary = summarize(predictions)
    assert "are the same" in agreement_with_run(run.best_checkpoint, summary)
    other = summarize(predictions.head(150))
    assert "was" in agreement_with_run(run.best_checkpoint, other)
    assert agreement_with_run(run.path / "elsewhere.pt", summary) == ""
