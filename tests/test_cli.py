import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from data_folders import eyes, jpeg, picture, write_course, write_photographs

from dr_lib import cli
from dr_lib.config import RunConfig
from dr_lib.training.run import train

PROJECT = Path(__file__).parent.parent


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A course folder, the eight run files, and the working folder in which commands are typed."""
    training, testing = eyes(range(1, 11)), eyes(range(11, 16))
    write_course(tmp_path / "course", training, testing)
    write_photographs(tmp_path / "course", [*training, *testing])
    shutil.copytree(PROJECT / "params", tmp_path / "params")
    (tmp_path / "data.yaml").write_text(
        "data_dir: course\nlabels: course\nresize: 40\nimage_size: 36\nbatch_size: 8\nepochs: 1\n"
        "feature_extraction_epochs: 1\nvalidation_share: 0.2\ncache_dir: cache\npretrained_weights: generated\n"
        "pretraining_photographs: 40\npretraining_epochs: 1\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def dr_lab(*arguments):
    """Run the command in this process; return its exit status."""
    before = sys.argv
    sys.argv = ["dr-lab", *map(str, arguments)]
    try:
        cli.main()
    except SystemExit as ended:
        return ended.code or 0
    finally:
        sys.argv = before
    return 0


def test_help_names_every_command_and_imports_nothing_heavy():
    code = "import sys; from dr_lib import cli; assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    shown = subprocess.run([sys.executable, "-m", "dr_lib.cli", "--help"], capture_output=True, text=True, check=True)
    for command in ("run", "report", "audit", "evaluate", "predict", "make-data", "check"):
        assert command in shown.stdout


def empty(path):
    path.write_text("")


def bad_grade(path):
    lines = path.read_text().splitlines()
    path.write_text("\n".join(["7", *lines[1:]]) + "\n")


def leaves_the_folder(path):
    lines = path.read_text().splitlines()
    path.write_text("\n".join(["../secret", *lines[1:]]) + "\n")


def shorter(path):
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")


def one_class(path):
    path.write_text("\n".join("0" for _ in path.read_text().splitlines()) + "\n")


BAD_LABELS = [
    ("train_label.csv", Path.unlink, ["train_label.csv"]),
    ("train_img.csv", empty, ["train_img.csv", "empty"]),
    ("train_label.csv", shorter, ["train_label.csv", "19", "20"]),
    ("train_label.csv", bad_grade, ["train_label.csv", "7", "line 1"]),
    ("train_img.csv", leaves_the_folder, ["../secret", "line 1"]),
    ("train_label.csv", one_class, ["grade 0"]),
]

BAD_SETTINGS = [
    (["--set", "data_dir=nowhere"], ["nowhere"]),
    (["--set", "epoch=3"], ["epoch", "epochs"]),
    (["--set", "batch_size=-1"], ["batch_size", "-1"]),
    (["--set", "learning_rate=fast"], ["learning_rate", "fast"]),
    (["--set", "model=resnet19"], ["resnet19"]),
    (["--set", "pretrained=true", "--set", "pretrained_weights=lost.pt"], ["lost.pt"]),
    (["--set", "class_weights=[1,2]"], ["class_weights", "five"]),
    (["--recipe", "none.yaml"], ["none.yaml"]),
    (["twice/resnet18.yaml"], ["resnet18", "rename"]),
]


def refused(capsys, *arguments):
    """Return the one line with which bad input is refused, having checked status and silence."""
    before = sorted(Path().rglob("*"))
    assert dr_lab(*arguments) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("dr-lab: ") and shown.err.count("\n") == 1, shown.err
    left = [path for path in set(Path().rglob("*")) - set(before) if Path("cache") not in (path, *path.parents)]
    assert left == [], "nothing may be half-written"
    return shown.err


@pytest.mark.parametrize(("file", "spoil", "words"), BAD_LABELS, ids=lambda value: getattr(value, "__name__", None))
def test_bad_labels_are_refused_in_one_line(folder, capsys, file, spoil, words):
    spoil(folder / "course" / file)
    line = refused(capsys, "run", "--data", "data.yaml", "--out", "out", "params/runs/resnet18.yaml")
    assert all(word in line for word in words), line


@pytest.mark.parametrize(("arguments", "words"), BAD_SETTINGS, ids=lambda value: str(value[-1]))
def test_bad_settings_are_refused_in_one_line(folder, capsys, arguments, words):
    (folder / "twice").mkdir()
    (folder / "twice" / "resnet18.yaml").write_text("model: resnet18\n")
    line = refused(capsys, "run", "--data", "data.yaml", "--out", "out", "params/runs/resnet18.yaml", *arguments)
    assert all(word in line for word in words), line


@pytest.mark.parametrize("settings", [[], ["--set", "on_damage=fail"]])
def test_a_file_that_is_no_image_is_refused_with_its_name(folder, capsys, settings):
    (folder / "course" / "1_left.jpeg").write_text("this is no image")
    line = refused(capsys, "run", "--data", "data.yaml", "--out", "out", "params/runs/resnet18.yaml", *settings)
    assert "1_left" in line and "on_damage" in line


def test_a_misspelt_data_file_is_refused(folder, capsys):
    assert "nothing.yaml" in refused(capsys, "run", "--data", "nothing.yaml")


def test_check_says_what_the_files_come_to(folder, capsys):
    assert dr_lab("check", "data.yaml", "params/runs/resnet50-pretrained-weighted.yaml") == 0
    shown = capsys.readouterr().out
    assert "class_weights: majority_ratio" in shown and "resnet50-pretrained-weighted" in shown
    (folder / "bad.yaml").write_text("epoch: 3\n")
    assert dr_lab("check", "bad.yaml") == 2
    assert "bad.yaml: unknown parameter 'epoch'" in capsys.readouterr().err


def test_make_data_writes_a_course_folder_once(folder, capsys):
    assert dr_lab("make-data", "drawn", "--train", 10, "--test", 5, "--size", 96) == 0
    assert len((folder / "drawn" / "train_img.csv").read_text().split()) == 10
    assert len(list((folder / "drawn" / "images").glob("*.jpeg"))) == 15
    assert "drawn" in refused(capsys, "make-data", "drawn", "--train", 10)


def test_trained_network_evaluates_and_predicts(folder, capsys):
    config = RunConfig(
        data_dir="course", resize=40, image_size=36, batch_size=8, epochs=1, cache_dir="cache", out_dir="out",
        validation_share=0.2,
    )  # fmt: skip
    run = train(config)
    capsys.readouterr()
    assert dr_lab("evaluate", run.best_checkpoint, "--data", "data.yaml", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == json.loads(run.metrics.read_text())["test"]
    assert dr_lab("evaluate", run.best_checkpoint, "--data", "data.yaml") == 0
    assert "quadratic weighted kappa" in capsys.readouterr().out

    Path("whole.jpeg").write_bytes(jpeg(picture(3)))
    Path("unended.jpeg").write_bytes(jpeg(picture(3))[:-2])
    Path("half.jpeg").write_bytes(jpeg(picture(3))[:700])
    assert dr_lab("predict", run.best_checkpoint, "whole.jpeg", "unended.jpeg", "half.jpeg", "--json") == 0
    whole, unended, half = json.loads(capsys.readouterr().out)
    assert whole["probabilities"] == unended["probabilities"] and sum(whole["probabilities"]) == pytest.approx(1)
    assert unended["verdict"] == "end marker missing"
    assert (half["verdict"], half["grade"]) == ("truncated", None)
    assert dr_lab("predict", run.best_checkpoint, "whole.jpeg", "half.jpeg") == 0
    assert "not graded" in capsys.readouterr().out
    assert "gone.jpeg" in refused(capsys, "predict", run.best_checkpoint, "gone.jpeg")
    assert "data.yaml" in refused(capsys, "predict", "data.yaml", "whole.jpeg")


@pytest.mark.notebooks
def test_two_runs_end_in_a_report_and_are_not_run_again(folder):
    """The whole way, in processes of its own: audit, pretraining, two runs, one of which is broken first, report."""
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
    command = [
        sys.executable, "-m", "dr_lib.cli", "run", "--data", "data.yaml", "--out", "out", "--jobs", "2",
        "params/runs/resnet18.yaml", "params/runs/resnet18-pretrained.yaml",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "out/index.html"
    out = folder / "out"
    for name in ("index.html", "report.ipynb", "audit.json", "audit.html", "pretraining/resnet18/pretrain.html"):
        assert (out / name).is_file(), name
    for run in ("resnet18", "resnet18-pretrained"):
        for name in (
            "run.ipynb", "run.html", "config.json", "status.json", "history.csv", "predictions.csv", "metrics.json",
            "checkpoints/last.pt", "checkpoints/best.pt",
        ):  # fmt: skip
            assert (out / "runs" / run / name).is_file(), f"{run}/{name}"
        assert f"runs/{run}/run.html" in (out / "index.html").read_text()

    # The second time everything is there; a run whose parameters changed, and one that fails, are the only ones run.
    before = {run: (out / "runs" / run / "status.json").read_text() for run in ("resnet18", "resnet18-pretrained")}
    again = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert again.returncode == 0 and "skipped" in again.stdout
    assert (out / "index.html").is_file()
    assert before == {run: (out / "runs" / run / "status.json").read_text() for run in before}

    # One that fails does not stop the other, has its place in the report, and makes the exit status honest.
    (folder / "broken.yaml").write_text("model: resnet18\nlearning_rate: 1e30\n")
    (folder / "sound.yaml").write_text("model: resnet18\nseed: 1\n")
    command = [*command[:10], "broken.yaml", "sound.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    status = json.loads((out / "runs" / "broken" / "status.json").read_text())
    assert status["state"] == "failed" and "lower learning_rate" in status["reason"]
    assert json.loads((out / "runs" / "sound" / "status.json").read_text())["state"] == "done"
    assert "lower learning_rate" in (out / "index.html").read_text()
