import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest
from command import dr_lab
from data_folders import eyes, jpeg, picture, write_course, write_photographs
from rich.filesize import decimal
from typer.main import get_command

from dr_lib.cli.app import app
from dr_lib.config import RunConfig, combine
from dr_lib.experiment.dry_run import plan_dry_run
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.training.run import train_run

PROJECT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A working folder of photographs that stay as they are, so that they are decoded once."""
    folder = tmp_path_factory.mktemp("work")
    write_photographs(folder / "course", [*eyes(range(1, 16))])
    return folder


@pytest.fixture
def folder(photographs, monkeypatch):
    """A course folder, the eight run files, and the working folder in which commands are typed."""
    for path in photographs.iterdir():
        if path.name not in ("course", "cache"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    write_course(photographs / "course", eyes(range(1, 11)), eyes(range(11, 16)))
    shutil.copytree(PROJECT / "params", photographs / "params")
    (photographs / "data.yaml").write_text(
        "data_dir: course\nlabels: course\nresize: 40\nimage_size: 36\nbatch_size: 8\nepochs: 1\n"
        "feature_extraction_epochs: 1\nvalidation_share: 0.2\ncache_dir: cache\npretrained_weights: generated\n"
        "pretraining_photographs: 40\npretraining_epochs: 1\n"
    )
    monkeypatch.chdir(photographs)
    return photographs


def test_help_names_every_command_and_imports_nothing_heavy():
    code = "import sys; from dr_lib import cli; assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    shown = subprocess.run([sys.executable, "-m", "dr_lib.cli", "--help"], capture_output=True, text=True, check=True)
    commands = "run status report audit evaluate predict export label-errors make-data check"
    assert set(commands.split()) <= set(re.findall(r"[\w-]+", shown.stdout))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["predict"], "Missing argument 'CHECKPOINT'; see dr-lab predict --help"),
        (["run", "--nope"], "No such option: --nope; see dr-lab run --help"),
        (["rnu"], "No such command 'rnu'. Did you mean 'run'; see dr-lab --help"),
        (["run", "--data", "x", "--jobs", "0"], "Invalid value for '--jobs'"),
        (["run", "--data", "x", "--jobs", "9" * 5000], "Invalid value for '--jobs'"),
    ],
)
def test_misuse_is_one_line(arguments, said, capsys):
    assert dr_lab(*arguments) == 2
    stdout, stderr = capsys.readouterr()
    assert not stdout and stderr.startswith(f"dr-lab: {said}") and stderr.count("\n") == 1 and len(stderr) < 2000


def test_the_version_is_the_packages(capsys):
    assert dr_lab("--version") == 0
    assert capsys.readouterr().out == f"dr-lab {version('dr-lab')}\n"


def test_commands_come_in_the_order_of_work_and_each_has_examples_that_are_commands(capsys):
    commands = get_command(app).commands
    work = ["make-data", "audit", "check", "run", "status", "report", "evaluate", "predict", "export", "clean"]
    assert [name for name in commands if name in work] == work
    for name, command in commands.items():
        heading, *lines = command.epilog.split("\n\n")
        assert heading == "Examples:" and lines
        for program, word, *arguments in map(shlex.split, lines):
            if (program, word) == ("dr-lab", name):
                command.make_context(name, arguments)  # raises for an option or argument that there is not
        assert dr_lab(name, "--help") == 0 and lines[0] in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("typed", "word", "offered"),
    [("dr-lab sta", 1, ["status"]), ("dr-lab run --set image", 3, ["images_dir=", "image_size="])],
)
def test_a_shell_completes_commands_and_parameters(monkeypatch, capsys, typed, word, offered):
    for name, value in {"_DR_LAB_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(word)}.items():
        monkeypatch.setenv(name, value)
    assert dr_lab() == 0
    assert capsys.readouterr().out.split() == offered


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["run", "--data", "dta.yaml"], "data.yaml"),
        (["run", "--data", "data.yaml", "params/rnus/resnet18.yaml"], "params/runs/resnet18.yaml"),
        (["run", "--data", "params/data/dmo.yaml"], "params/data/demo.yaml"),
        (["run", "--data", "demo"], "params/data/demo.yaml"),
        (["run", "--data", "data.yaml", "--recipe", "strng.yaml"], "params/recipes/strong.yaml"),
        (["run", "--data", "data.yaml", "--set", "data_dir=corse"], "course"),
        (["run", "--data", "data.yaml", "--set", "images_dir=picturs"], "course/pictures"),
        (["run", "--data", "labels.yaml"], "train_label.csv"),
        (["audit", "--data", "data.yaml", "--compare", "date.yaml"], "data.yaml"),
        (["status", "experimnt"], "experiment/runs"),
        (["report", "experimnt"], "experiment/runs"),
        (["clean", "experimnt"], "experiment/runs"),
        (["evaluate", "experiment/run/a/best.pt", "--data", "data.yaml"], "experiment/runs/a/best.pt"),
        (["export", "experiment/runs/a/bset.pt", "--onnx"], "experiment/runs/a/best.pt"),
        (["predict", "experiment/runs/a/best.pt", "course/picture"], "course/pictures"),
    ],
)
def test_what_was_meant_by_a_mistyped_name_is_said(folder, capsys, arguments, meant):
    (folder / "experiment" / "runs" / "a").mkdir(parents=True)
    (folder / "experiment" / "runs" / "a" / "best.pt").touch()
    (folder / "course" / "pictures").mkdir(exist_ok=True)
    (folder / "labels.yaml").write_text("data_dir: course\nlabels: table\nlabels_file: train_lable.csv\n")
    line = refused(capsys, *arguments)
    assert f"did you mean '{meant}'?" in line or f"/{meant}'?" in line, line


def test_nothing_is_meant_by_a_name_like_no_other(folder, capsys):
    assert "did you mean" not in refused(capsys, "run", "--data", "qqqqqqq.yaml")
    assert "did you mean" not in refused(capsys, "status", "qqqqqqq")


def test_no_arguments_show_the_help(capsys):
    assert dr_lab() == 0
    assert "make-data" in capsys.readouterr().out


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
    (["--seeds", "0,one"], ["--seeds", "whole numbers"]),
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
    shutil.copytree("course", "damaged")
    Path("damaged", "1_left.jpeg").write_text("this is no image")
    settings = ["--set", "data_dir=damaged", *settings]
    line = refused(capsys, "run", "--data", "data.yaml", "--out", "out", "params/runs/resnet18.yaml", *settings)
    assert "1_left" in line and "on_damage" in line


def test_a_misspelled_data_file_is_refused(folder, capsys):
    assert "nothing.yaml" in refused(capsys, "run", "--data", "nothing.yaml")


def test_check_says_what_the_files_come_to(folder, capsys):
    assert dr_lab("check", "data.yaml", "params/runs/resnet50-pretrained-weighted.yaml") == 0
    shown = capsys.readouterr().out
    assert "class_weights: majority_ratio" in shown and "resnet50-pretrained-weighted" in shown
    assert "labels: the course's pairs of files (train_img.csv" in shown and "30 photographs, grades 0: " in shown
    (folder / "bad.yaml").write_text("epoch: 3\n")
    assert dr_lab("check", "bad.yaml") == 2
    assert "bad.yaml: unknown parameter 'epoch'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_dry_run_says_what_there_is_to_do_and_writes_nothing(folder, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(folder))  # of the usual cache folder
    before = sorted(folder.rglob("*"))
    cold = "cache_dir=cold"
    command = ["run", "--data", "data.yaml", "--out", "out", "params/runs/resnet18.yaml", "--seeds", "0,1", "--dry-run"]
    command += ["--set", cold]
    assert dr_lab(*command, "--set", "cache_dir=~/.cache/dr-lab") == 0
    assert "kB in ~/.cache/dr-lab (" in capsys.readouterr().out
    assert dr_lab(*command) == 0
    shown = capsys.readouterr().out
    assert sorted(folder.rglob("*")) == before
    assert "2 runs, 2 of them to do: time unknown" in shown and "resnet18-seed1" in shown
    # 30 photographs: 20 to train and validate on, the former as 40 px squares, the others as 36 px ones.
    stored = 128 + 16 * 40**2 * 3 + 128 + 14 * 36**2 * 3
    assert f"pixel cache {decimal(stored)} in cold" in shown

    run = train_run(combine([Path("data.yaml")], [cold], fixed={"out_dir": "out", "name": "resnet18"}))
    capsys.readouterr()
    assert dr_lab(*command) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1][:2] == ["resnet18", "done"] and lines[2][:3] == ["resnet18-seed1", "to", "do"]
    assert float(lines[2][3]) == round(run.read_history()["images_per_second"].median())
    assert lines[3][:7] == ["2", "runs,", "1", "of", "them", "to", "do:"]

    configs = [
        combine([Path("data.yaml")], [cold], fixed={"out_dir": "out", "name": name}) for name in ("resnet18", "new")
    ]
    done, new = plan_dry_run(configs).runs
    assert (done.state, plan_dry_run(configs).store_bytes) == ("done", 0)
    written = sum(file.stat().st_size for file in run.last_checkpoint.parent.iterdir())
    # Training for one epoch leaves no state before the last.
    assert new.checkpoint_bytes - new.state_bytes == pytest.approx(written, rel=0.02)
    assert dr_lab(*command, "--set", "epochs=2") == 0
    assert "anew, since epochs was 1, is 2" in capsys.readouterr().out


def test_what_failed_runs_have_said_does_not_steer_the_terminal(folder, monkeypatch, capsys):
    def fail(jobs, backend, watch, **options):
        for job in jobs:
            job.files.path.mkdir(parents=True, exist_ok=True)
            job.files.log.write_text("\x1b[2Jlog\n")
            job.fail("\x1b[2Jreason")
        watch(jobs)

    monkeypatch.setattr("dr_lib.experiment.jobs.run_jobs", fail)
    monkeypatch.setattr("dr_lib.report.build.build_report", lambda out: out)
    assert dr_lab("run", "--data", "data.yaml", "--out", "out", "params/runs/resnet18.yaml") == 1
    shown = "".join(capsys.readouterr())
    assert "\x1b" not in shown and shown.count(r"\x1b[2J") == 3  # from the watch, the end, and the log


def test_seeds_of_a_sweep_are_its_files_own(folder, capsys):
    (folder / "sweep.yaml").write_text("title: T\nquestion: Q?\nvary: {batch_size: [4, 8]}\n")
    assert "vary" in refused(capsys, "run", "--data", "data.yaml", "--out", "out", "sweep.yaml", "--seeds", "0,1")


def test_status_tells_from_the_folders(folder, capsys):
    assert "no runs" in refused(capsys, "status", "out")
    ExperimentFolder(Path("out")).run("resnet18").write_status("failed", reason="out of memory")
    assert dr_lab("status", "out") == 0
    assert "resnet18: out of memory" in capsys.readouterr().out
    assert dr_lab("status", "out", "--watch") == 0


def test_a_second_driver_is_refused_while_one_is_at_work(folder, capsys):
    other = "import sys, time; from pathlib import Path; from dr_lib.storage.lock import acquire_lock\n"
    other += "with acquire_lock(Path('out/lock')): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", other], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        line = refused(capsys, "run", "--data", "data.yaml", "--out", "out", "params/runs/resnet18.yaml")
        process.kill()
    assert f"process {process.pid} on " in line


def test_make_data_writes_a_course_folder_once(folder, capsys):
    assert dr_lab("make-data", "drawn", "--train", 10, "--test", 5, "--size", 96) == 0
    assert len((folder / "drawn" / "train_img.csv").read_text().split()) == 10
    assert len(list((folder / "drawn" / "images").glob("*.jpeg"))) == 15
    assert "drawn" in refused(capsys, "make-data", "drawn", "--train", 10)


@pytest.mark.slow
def test_trained_network_evaluates_and_predicts(folder, capsys):
    config = RunConfig(
        data_dir="course", model="shufflenet_v2_x0_5", resize=40, image_size=36, batch_size=8, epochs=1,
        cache_dir="cache", out_dir="out", validation_share=0.2,
    )  # fmt: skip
    run = train_run(config)
    capsys.readouterr()
    assert dr_lab("evaluate", run.best_checkpoint, "--data", "data.yaml", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == json.loads(run.metrics.read_text())["test"]
    assert dr_lab("evaluate", run.best_checkpoint, "--data", "data.yaml") == 0
    shown = capsys.readouterr().out
    assert "quadratic weighted kappa" in shown and "own figures on its testing photographs are the same" in shown

    Path("whole.jpeg").write_bytes(jpeg(picture(3)))
    Path("unended.jpeg").write_bytes(jpeg(picture(3))[:-2])
    Path("half.jpeg").write_bytes(jpeg(picture(3))[:700])
    assert dr_lab("predict", run.best_checkpoint, "whole.jpeg", "unended.jpeg", "half.jpeg", "--json") == 1
    whole, unended, half = json.loads(capsys.readouterr().out)
    assert whole["probabilities"] == unended["probabilities"] and sum(whole["probabilities"]) == pytest.approx(1)
    assert unended["status"] == "end marker missing"
    assert (half["status"], half["grade"]) == ("truncated", None)
    assert dr_lab("predict", run.best_checkpoint, "whole.jpeg", "half.jpeg") == 1
    assert "not graded" in capsys.readouterr().out
    assert "gone.jpeg" in refused(capsys, "predict", run.best_checkpoint, "gone.jpeg")
    assert "data.yaml" in refused(capsys, "predict", "data.yaml", "whole.jpeg")


@pytest.mark.slow
@pytest.mark.notebooks
def test_two_runs_end_in_a_report_and_are_not_run_again(folder, capsys):
    """The whole way, in processes of its own: audit, pretraining, two runs and one that fails, report."""
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
    (folder / "broken.yaml").write_text("model: resnet18\nlearning_rate: 1e30\n")
    command = ["run", "--data", "data.yaml", "--out", "out", "--jobs", "2"]
    command += ["params/runs/resnet18.yaml", "params/runs/resnet18-pretrained.yaml"]
    done = subprocess.run(
        [sys.executable, "-m", "dr_lib.cli", *command, "broken.yaml"], capture_output=True, text=True, env=environment
    )
    # One that fails does not stop the others, has its place in the report, and makes the exit status honest.
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "out/index.html"
    out = folder / "out"
    status = json.loads((out / "runs" / "broken" / "status.json").read_text())
    assert status["state"] == "failed" and "lower learning_rate" in status["reason"]
    assert "lower learning_rate" in (out / "index.html").read_text()
    names = ("index.html", "report.ipynb", "summary.md", "audit.json", "audit.html")
    for name in (*names, "pretraining/resnet18/pretrain.html"):
        assert (out / name).is_file(), name
    for run in ("resnet18", "resnet18-pretrained"):
        for name in (
            "run.ipynb", "run.html", "config.json", "status.json", "history.csv", "predictions.csv", "metrics.json",
            "checkpoints/last.pt", "checkpoints/best.pt",
        ):  # fmt: skip
            assert (out / "runs" / run / name).is_file(), f"{run}/{name}"
        assert f"runs/{run}/run.html" in (out / "index.html").read_text()

    # The second time those that are done are not run again, and without the broken one all is well.
    before = {run: (out / "runs" / run / "status.json").read_text() for run in ("resnet18", "resnet18-pretrained")}
    assert dr_lab(*command) == 0
    shown = capsys.readouterr().out
    assert "skipped" in shown and shown.splitlines()[-1] == "out/index.html"
    assert before == {run: (out / "runs" / run / "status.json").read_text() for run in before}


@pytest.fixture
def batch(folder):
    """The command of two runs of fifteen epochs at the same time, and their folders."""
    for name in ("first", "second"):
        (folder / f"{name}.yaml").write_text("model: shufflenet_v2_x0_5\ndevice: cpu\n")
    command = [
        sys.executable, "-m", "dr_lib.cli", "run", "--data", "data.yaml", "--out", "out", "--jobs", "2",
        "--set", "checkpoint_minutes=0.01", "--set", "epochs=15", "first.yaml", "second.yaml",
    ]  # fmt: skip
    return command, [ExperimentFolder(folder / "out").run(name) for name in ("first", "second")]


def wait_until(true, seconds=300):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.notebooks
def test_kernels_that_are_killed_or_hang_are_begun_again_from_their_checkpoints(batch):
    command, (killed, hanging) = batch
    with subprocess.Popen(
        [*command, "--retries", "1", "--timeout", "0.5"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        # The checkpoint is the last of what an epoch leaves: a kill before it has the run begin anew.
        there = lambda: killed.last_checkpoint.exists() and hanging.last_checkpoint.exists()  # noqa: E731
        wait_until(lambda: there() or process.poll() is not None)
        assert process.poll() is None, process.stdout.read()
        stopped = hanging.read_status()["pid"]
        os.kill(killed.read_status()["pid"], signal.SIGKILL)
        os.kill(stopped, signal.SIGSTOP)
        shown, _ = process.communicate(timeout=600)
    assert process.returncode == 0, shown
    assert "try 1 failed: its process was killed in epoch" in shown
    assert "try 1 failed: it gave no sign of life for 0.5 min" in shown
    assert not psutil.pid_exists(stopped) or psutil.Process(stopped).status() == psutil.STATUS_ZOMBIE
    for run in (killed, hanging):
        assert run.done and list(run.read_history()["epoch"]) == list(range(1, 16))
        assert "going on after epoch" in run.notebook.read_text()


@pytest.mark.slow
@pytest.mark.notebooks
def test_a_driver_that_is_killed_leaves_runs_that_the_next_one_finds_and_waits_for(batch, capsys):
    command, runs = batch
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, **options) as process:
        wait_until(lambda: all(run.last_epoch() for run in runs))
        process.send_signal(signal.SIGKILL)
    kernels = [run.read_status()["pid"] for run in runs]
    for kernel in kernels:
        os.kill(kernel, signal.SIGSTOP)  # until the next driver has looked at them
    assert dr_lab("status", "out") == 0
    assert "2 running" in capsys.readouterr().out
    with subprocess.Popen(command, **options) as process:
        said = ""
        while said.count("is still at it, from an earlier start; waiting for it") < 2:
            line = process.stdout.readline()
            assert line, said
            said += line
        for kernel in kernels:
            os.kill(kernel, signal.SIGCONT)
        said += process.communicate(timeout=600)[0]
    assert process.returncode == 0, said
    for run, kernel in zip(runs, kernels, strict=True):
        assert run.done and run.read_status()["pid"] == kernel and run.page.exists()
