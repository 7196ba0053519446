"""Sweeps: lists become runs, mistakes become one line, and the report's words follow the numbers either way."""

import itertools
import json
import re
import sys
from html import escape
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from experiment_factory import photograph_table, write_run, write_sweep

from dr_lib.cli import app as cli
from dr_lib.config import RunConfig
from dr_lib.errors import InputError
from dr_lib.experiment.plan import experiment_name, plan_runs
from dr_lib.experiment.run_experiment import check_one_pretraining
from dr_lib.experiment.sweeps import expand, is_sweep, read_sweep
from dr_lib.report import sections
from dr_lib.report.collect import collect, read_run
from dr_lib.report.formatting import signed
from dr_lib.report.report_page import report_page
from dr_lib.storage.checksums import read_sealed_json, write_sealed_json
from dr_lib.storage.files import read_json, write_json
from dr_lib.storage.folders import ExperimentFolder, SweepGrid
from dr_lib.storage.run_folder import RunFolder

PARAMS = Path(__file__).parent.parent / "params"
SWEEPS = sorted((PARAMS / "sweeps").glob("*.yaml"))
OF_HEADS, OF_BATCH_SIZE = (PARAMS / "sweeps" / f"{name}.yaml" for name in ("heads", "batch-size"))
DATA_FILES = sorted((PARAMS / "data").glob("*.yaml"))


RUNS_OF = {"batch-size": 7, "degradation": 4, "heads": 4, "eyepacs-64": 9, "ingredients": 57, "retinamnist": 40}


def sweep_file(folder, vary, runs=None, **more):
    """Write a sweep and return its path."""
    path = folder / "made-up.yaml"
    content = {"title": "Made up", "question": "What does it matter?", "runs": runs or {}, "vary": vary} | more
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    return path


def expanded(folder, vary, runs=None, assignments=()):
    return expand(read_sweep(sweep_file(folder, vary, runs)), [], assignments, "out")


def test_runs_are_the_product_of_the_lists(tmp_path):
    vary = {"model": ["resnet18", "resnet34"], "batch_size": [8, 16, 64], "seed": [0, 1]}
    grid, configs = expanded(tmp_path, vary, {"epochs": 3, "lr": 0.02})
    found = {(c.model, c.batch_size, c.seed) for c in configs}
    assert found == set(itertools.product(*vary.values())) and len(configs) == 12
    assert {(c.epochs, c.learning_rate, c.out_dir) for c in configs} == {(3, 0.02, "out")}
    assert [run.name for run in grid.runs] == [c.name for c in configs]
    assert configs[0].name == "resnet18-batch8-seed0" and configs[-1].name == "resnet34-batch64-seed1"
    for run, config in zip(grid.runs, configs, strict=True):
        assert run.values == {"model": config.model, "batch_size": config.batch_size, "seed": config.seed}


def test_combinations_that_make_no_difference_are_one_run(tmp_path):
    vary = {"batch_size": [8, 32, 128], "learning_rate_scaling": ["none", "linear", "sqrt"]}
    grid, configs = expanded(tmp_path, vary, {"reference_batch": 32})
    assert len(grid.runs) == 9 and len(configs) == 7
    at_reference = [run for run in grid.runs if run.values["batch_size"] == 32]
    assert {run.name for run in at_reference} == {"batch32"} and len(at_reference) == 3
    assert next(c for c in configs if c.name == "batch32").learning_rate_scaling == "none"
    assert [c.name for c in configs if c.batch_size == 8] == ["batch8-no-scaling", "batch8-linear", "batch8-sqrt"]
    # Another reference is another grid: nothing coincides.
    assert len(expanded(tmp_path, vary, {"reference_batch": 256})[1]) == 9
    # Two ways to the same learning rate.
    same = {"learning_rate": [0.001, 0.004], "learning_rate_scaling": ["none", "linear"]}
    grid, configs = expanded(tmp_path, same, {"batch_size": 64, "reference_batch": 16})
    assert len(configs) == 3 and len({c.name for c in configs}) == 3


@pytest.mark.parametrize(
    ("vary", "runs", "left"),
    [
        ({"pretrained": [False, True], "feature_extraction_epochs": [0, 5]}, {}, 3),
        ({"pretrained": [False, True], "pretrained_weights": ["DEFAULT", "generated"]}, {}, 3),
        ({"sampling": ["none", "decay"], "sampling_decay": [0.9, 1.0]}, {}, 3),
        ({"on_damage": ["repair", "drop"], "max_lost_share": [0.1, 0.2]}, {}, 3),
        ({"pretraining_epochs": [1, 2]}, {"pretrained": True, "pretrained_weights": "IMAGENET1K_V1"}, 1),
        ({"pretraining_epochs": [1, 2]}, {"pretrained": True, "pretrained_weights": "generated"}, 2),
        ({"num_workers": [0, 2]}, {}, 2),  # of no consequence to the numbers, but to the time
    ],
)
def test_parameters_that_are_not_looked_at_make_no_run(tmp_path, vary, runs, left):
    grid, configs = expanded(tmp_path, vary, runs)
    assert len(configs) == left and len(grid.runs) == len(list(itertools.product(*vary.values())))
    assert {run.name for run in grid.runs} == {config.name for config in configs}


def test_assignments_win_over_the_file_but_not_over_what_varies(tmp_path):
    _, configs = expanded(tmp_path, {"batch_size": [8, 16]}, {"epochs": 3}, ["epochs=5", "limit=100"])
    assert {(c.epochs, c.limit) for c in configs} == {(5, 100)}
    with pytest.raises(InputError, match=r"--set batch_size=4: .*made-up.yaml varies batch_size"):
        expanded(tmp_path, {"batch_size": [8, 16]}, {}, ["batch_size=4"])


@pytest.mark.parametrize(
    ("vary", "names"),
    [
        ({"residual": [False, True]}, ["plain", "residual"]),
        ({"tf32": [False, True]}, ["no-tf32", "tf32"]),
        ({"lr": [0.1, 1e-05]}, ["lr0.1", "lr1e-05"]),
        ({"image_size": [32, 64]}, ["image_size=32", "image_size=64"]),
        ({"pretrained_weights": ["a b/c.pt", "../d.pt"]}, ["a_b_c.pt", ".._d.pt"]),
        ({"augmentations": [[], ["RandomHorizontalFlip"]]}, ["augmentations1", "augmentations2"]),
        (
            {"sampling": ["sqrt"], "class_weights": ["none", "balanced", [1, 2, 3, 4, 5]]},
            ["sqrt-class_weights1", "sqrt-class_weights2", "sqrt-class_weights3"],
        ),
        ({"sampling": ["sqrt"], "learning_rate_scaling": ["sqrt"]}, ["sampling-sqrt-scaling-sqrt"]),
    ],
)
def test_names_are_short_and_fit_for_folders(tmp_path, vary, names):
    runs = {"pretrained": True, "batch_size": 1} if "pretrained_weights" in vary else {"batch_size": 1}
    _, configs = expanded(tmp_path, vary, runs)
    assert [config.name for config in configs] == names
    for config in configs:
        assert RunConfig.from_mapping(config.model_dump()) == config and re.fullmatch(r"[\w.+=-]+", config.name)


def test_settings_with_a_label_stand_for_several_parameters(tmp_path):
    (tmp_path / "strong.yaml").write_text("optimizer: adamw\nlr: 0.002\n")
    no_decay = {"optimizer": "adamw", "weight_decay": 0}
    vary = {"recipe": {"lab": {}, "strong": "strong.yaml", "strong, no decay": no_decay}, "seed": [0, 1]}
    grid, configs = expanded(tmp_path, vary, {"weight_decay": 0.01})
    found = [(c.name, c.optimizer, c.learning_rate, c.weight_decay, c.seed) for c in configs]
    assert found == [
        ("lab-seed0", "sgd", 0.001, 0.01, 0),
        ("lab-seed1", "sgd", 0.001, 0.01, 1),
        ("strong-seed0", "adamw", 0.002, 0.01, 0),
        ("strong-seed1", "adamw", 0.002, 0.01, 1),
        ("strong_no_decay-seed0", "adamw", 0.001, 0, 0),
        ("strong_no_decay-seed1", "adamw", 0.001, 0, 1),
    ]
    assert grid.vary == {"recipe": ["lab", "strong", "strong, no decay"], "seed": [0, 1]}
    assert grid.runs[2].values == {"recipe": "strong", "seed": 0}
    # A trial of a sweep is a matter of an assignment, which wins over settings.
    _, quick = expanded(tmp_path, vary, {}, ["lr=0.5"])
    assert {c.learning_rate for c in quick} == {0.5}


def test_a_setting_may_be_a_params_file_and_what_is_other_than_in_it(tmp_path):
    (tmp_path / "strong.yaml").write_text("optimizer: adamw\nlr: 0.002\nbatch_size: 8\n")
    vary = {"recipe": {"slow": ["strong.yaml", {"learning_rate": 0.0001}], "back": [{"lr": 0.3}, "strong.yaml"]}}
    _, configs = expanded(tmp_path, vary)
    found = [(c.optimizer, c.learning_rate, c.batch_size) for c in configs]
    assert found == [("adamw", 0.0001, 8), ("adamw", 0.002, 8)]


def test_a_sweep_may_lie_over_a_recipe(tmp_path):
    (tmp_path / "strong.yaml").write_text("optimizer: adamw\nlr: 0.002\n")
    path = sweep_file(tmp_path, {"seed": [0, 1]}, {"lr": 0.3}, recipe="strong.yaml")
    _, configs = expand(read_sweep(path), [], [], "out")
    assert {(c.optimizer, c.learning_rate) for c in configs} == {("adamw", 0.3)}


REFUSED = [
    ({"vary": {"batch_sise": [8, 16]}}, ["vary", "batch_sise", "batch_size"]),
    ({"vary": {"batch_size": [8]}, "runs": {"epoch": 3}}, ["runs", "epoch", "epochs"]),
    ({"vary": {"batch_size": 8}}, ["vary", "batch_size", "8", "[8]"]),
    ({"vary": {"batch_size": []}}, ["vary", "batch_size", "empty"]),
    ({"vary": {"batch_size": [8, 8]}}, ["vary", "batch_size", "8", "twice"]),
    ({"vary": {"learning_rate": [0.001, "1e-3"]}}, ["vary", "learning_rate", "0.001", "twice"]),
    ({"vary": {"batch_size": [8, -1]}}, ["vary", "batch_size", "-1"]),
    ({"vary": {"batch_size": [8, "many"]}}, ["vary", "batch_size", "many"]),
    ({"vary": {"batch_size": [8]}, "runs": {"batch_size": 16}}, ["batch_size", "runs", "vary"]),
    ({"vary": {"name": ["a", "b"]}}, ["vary", "name"]),
    ({"vary": {}}, ["vary", "nothing"]),
    ({"vary": None}, ["vary", "nothing"]),
    ({"vary": ["batch_size"]}, ["vary", "list"]),
    ({"vary": {"batch_size": [8]}, "runs": 3}, ["runs", "int"]),
    ({"vary": {"batch_size": [8]}, "title": None}, ["title"]),
    ({"vary": {"batch_size": [8]}, "question": " "}, ["question"]),
    ({"vary": {"batch_size": [8]}, "epochs": 3}, ["epochs", "runs"]),
    ({"vary": {"batch_size": [8]}, "run": {}}, ["run", "'runs'"]),
    ({"vary": {"seed": [0]}, "evaluate_on": "training"}, ["evaluate_on", "training", "validation"]),
    ({"vary": {"seed": [0]}, "recipe": "gone.yaml"}, ["gone.yaml", "no such params file"]),
    ({"vary": {"seed": [0]}, "recipe": {"lr": 1}}, ["recipe", "no file"]),
    ({"vary": {"recipe": {"lab": "gone.yaml"}}}, ["gone.yaml", "no such params file"]),
    ({"vary": {"recipe": {}}}, ["recipe", "no settings"]),
    ({"vary": {"recipe": {"lab": {"epoch": 3}}}}, ["recipe", "lab", "epoch", "epochs"]),
    ({"vary": {"recipe": {"lab": {"name": "a"}}}}, ["recipe", "lab", "name"]),
    ({"vary": {"recipe": {"lab": 3}}}, ["recipe", "lab", "int"]),
    ({"vary": {"recipe": {"lab": ["gone.yaml", {}]}}}, ["gone.yaml", "no such params file"]),
    ({"vary": {"recipe": {"lab": [{}, {"epoch": 3}]}}}, ["recipe", "lab", "epoch", "epochs"]),
    ({"vary": {"recipe": {"lab": {"epochs": "many"}}}}, ["vary", "epochs", "many"]),
    ({"vary": {"lr": {"low": {"epochs": 3}}}}, ["lr", "parameter", "list"]),
    ({"vary": {"recipe": {"lab": {"epochs": 3}}, "epochs": [1, 2]}}, ["recipe", "epochs", "a list of its own"]),
    ({"vary": {"a": {"x": {"epochs": 3}}, "b": {"y": {"epochs": 4}}}}, ["b", "epochs", "settings under a"]),
    ({"vary": {"head": ["softmax", "coral"], "label_smoothing": [0, 0.1]}}, ["head coral", "label_smoothing 0.1"]),
]


@pytest.mark.parametrize(("content", "words"), REFUSED, ids=lambda value: str(value)[:60])
def test_bad_sweeps_are_refused_in_one_line_that_names_file_and_key(tmp_path, content, words):
    path = sweep_file(tmp_path, **{"vary": None} | content)
    with pytest.raises(InputError) as refused:
        expand(read_sweep(path), [], [], "out")
    line = str(refused.value)
    assert line.startswith(str(path.parent)) and "\n" not in line and all(word in line for word in words), line


def test_ours_are_sound_with_every_data_file():
    assert {path.stem for path in SWEEPS} == RUNS_OF.keys() and DATA_FILES
    for path, data in itertools.product(SWEEPS, DATA_FILES):
        grid, configs = expand(read_sweep(path), [data], [], "out")
        assert grid.sweep == path.stem and len(configs) == RUNS_OF[path.stem]
        check_one_pretraining(configs)
        assert SweepGrid.from_json(json.loads(json.dumps(grid.as_json()))) == grid
    assert not any(is_sweep(path) for path in [*DATA_FILES, *(PARAMS / "runs").glob("*.yaml")])


def planned(run_files, out, assignments=()):
    return plan_runs(DATA_FILES[0], run_files, recipe=None, assignments=list(assignments), out_dir=out)


def test_a_plan_holds_runs_and_at_most_one_sweep(tmp_path):
    plain = planned([PARAMS / "runs" / "resnet18.yaml"], tmp_path)
    assert plain.sweep is None and [config.name for config in plain.runs] == ["resnet18"]
    both = planned([OF_HEADS, PARAMS / "runs" / "resnet18.yaml"], tmp_path)
    assert both.sweep.sweep == "heads" and len(both.runs) == 5
    with pytest.raises(InputError, match="one sweep"):
        planned([OF_HEADS, OF_BATCH_SIZE], tmp_path)
    clash = tmp_path / "coral.yaml"
    clash.write_text("model: resnet50\n")
    with pytest.raises(InputError, match="coral: two run files have this name"):
        planned([OF_HEADS, clash], tmp_path)
    assert experiment_name(Path("params/data/course.yaml"), [PARAMS / "runs" / "resnet18.yaml"]) == "course"
    assert experiment_name(Path("params/data/course.yaml"), [OF_BATCH_SIZE]) == "course-batch-size"


def test_the_report_of_one_sweep_is_not_taken_over_by_another(tmp_path):
    plan = planned([OF_HEADS], tmp_path)
    write_sealed_json(ExperimentFolder(tmp_path).sweep, plan.sweep.as_json())
    assert planned([OF_HEADS], tmp_path) == plan
    with pytest.raises(InputError, match=r"sweep.json: this experiment is the sweep 'heads'.*--out"):
        planned([OF_BATCH_SIZE], tmp_path)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder in which commands are typed, with a data file."""
    (tmp_path / "data.yaml").write_text("data_dir: course\nlabels: course\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def dr_lab(monkeypatch, *arguments):
    """Run the command in this process; return its exit status."""
    monkeypatch.setattr(sys, "argv", ["dr-lab", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as ended:
        return ended.code or 0
    return 0


def test_the_command_plans_a_sweep_and_keeps_what_it_varies(folder, monkeypatch, capsys):
    """All but what takes minutes: looking at the photographs, and training."""
    started = []
    running = "dr_lib.experiment.run_experiment"
    monkeypatch.setattr(f"{running}.check_runs", lambda configs, *_: started.extend(c.name for c in configs) or {})
    for name in ("write_audit", "job_queue.experiment_jobs", "job_queue.run_jobs", "build_report"):
        monkeypatch.setattr(f"{running}.{name}", lambda *_, **__: [])
    monkeypatch.setattr(f"{running}.make_way", lambda *_: {})
    done = lambda out: SimpleNamespace(runs={name: SimpleNamespace(state="done") for name in started})  # noqa: E731
    monkeypatch.setattr(f"{running}.Experiment", done)
    path = sweep_file(folder, {"batch_size": [4, 8], "head": ["softmax", "corn"]})
    assert dr_lab(monkeypatch, "run", "--data", "data.yaml", path) == 0
    out = Path("reports/data-made-up")
    assert capsys.readouterr().out.splitlines()[-1] == str(out / "index.html")
    assert started == ["batch4-softmax", "batch4-corn", "batch8-softmax", "batch8-corn"]
    kept = read_json(ExperimentFolder(out).sweep)
    assert kept["title"] == "Made up" and kept["vary"] == {"batch_size": [4, 8], "head": ["softmax", "corn"]}
    assert kept["runs"][1] == {"name": "batch4-corn", "values": {"batch_size": 4, "head": "corn"}}


def test_the_command_refuses_before_it_leaves_anything(folder, monkeypatch, capsys):
    before = sorted(folder.rglob("*"))
    path = sweep_file(folder, {"batch_size": 4})
    assert dr_lab(monkeypatch, "run", "--data", "data.yaml", path) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("dr-lab: ") and shown.count("\n") == 1 and "make it [4]" in shown
    path.write_text(sweep_file(folder, {"model": ["resnet18", "resnet19"]}).read_text())
    assert dr_lab(monkeypatch, "check", "data.yaml", path) == 2
    assert "resnet19" in capsys.readouterr().err
    assert sorted(folder.rglob("*")) == sorted([*before, path])


def test_check_says_what_a_sweep_comes_to(folder, monkeypatch, capsys):
    assert dr_lab(monkeypatch, "check", "data.yaml", PARAMS / "sweeps" / "batch-size.yaml") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "batch8-no-scaling: batch_size: 8, learning_rate_scaling: none"
    assert lines[3].startswith("batch32: ") and lines[3].count("; or ") == 2
    assert lines[-1] == "sound: sweep 'batch-size' of 7 runs"


# The section of the report


def text_of(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def answer_of(experiment):
    html = sections.sweep_findings(collect(experiment)).data
    return text_of(re.search(r'<div class="answer.*?</div>', html, re.DOTALL)[0])


def test_a_sweep_judged_on_validation_says_what_can_be_told_from_its_first_setting(tmp_path):
    vary = {"ema_decay": [0.9, 0.99, 0.5], "seed": [0, 1, 2]}
    worse = lambda values: 0.5 if values["ema_decay"] == 0.5 else 2.0  # noqa: E731
    experiment = write_sweep(tmp_path, vary, skill=worse, evaluate_on="validation")
    answer = answer_of(experiment).strip()
    assert answer.startswith("“ema decay 0.5” is worse than “ema decay 0.9”.")
    assert "1 other setting cannot be told from it." in answer
    html = sections.sweep_findings(collect(experiment)).data
    # After the last epoch: the best one, chosen by the same photographs, would flatter whatever wavers.
    areas = [
        [ExperimentFolder(experiment).run(f"ema_decay={decay}-seed{seed}").read_history().val_auc.iloc[-1]
         for seed in range(3)]
        for decay in (0.9, 0.99, 0.5)
    ]  # fmt: skip
    assert f"{np.mean(areas[0]):.3f}" in text_of(html)
    change = np.mean(areas[2]) - np.mean(areas[0])
    assert change < -0.1 and f"{change:+.3f}".replace("-", "−") in text_of(html)
    assert "the best of 3 on testing photographs flatters" in text_of(sections.answer(collect(experiment)).data)
    # What the testing photographs would have said is nowhere in the section.
    assert "Testing accuracy" not in text_of(html)


def test_the_report_has_the_studys_title(tmp_path):
    sweep = ExperimentFolder(write_sweep(tmp_path, {"ema_decay": [0.9, 0.5]}, photographs=60)).sweep
    evil = "[a](javascript:alert(1)) ![b](https://evil.example/b.png) $\\frac$"
    write_sealed_json(sweep, read_sealed_json(sweep) | {"title": f"Is <b>1</b> less than 2? {evil}", "question": evil})
    page = report_page(collect(tmp_path))
    assert not re.search(r"""<[^>]*["'](javascript:|https://evil)""", page)
    shown = re.escape(escape(f"Is <b>1</b> less than 2? {evil}"))
    assert re.search(f"<title>{shown} – ", page) and re.search(f"<h1[^>]*>{shown}<", page)
    assert "What do pretraining, depth and class weights change" not in page


def test_one_seed_each_tells_nothing(tmp_path):
    answer = answer_of(write_sweep(tmp_path, {"ema_decay": [0.9, 0.5]}, evaluate_on="validation")).strip()
    assert answer.startswith("With one seed each, nothing can be told from chance.")


BATCHES = {"batch_size": [8, 32, 128], "learning_rate_scaling": ["none", "linear"]}
CALM, WILD = [0.70, 0.712, 0.718, 0.731, 0.738, 0.75], [0.60, 0.80, 0.60, 0.81, 0.58, 0.79]


def batches(calmer, loss):
    """Return a history whose larger batches are calmer (or not) and end with a higher loss (or not)."""
    larger = lambda values: values["batch_size"] == 128  # noqa: E731
    return lambda values: {
        "test_accuracy": CALM if larger(values) == calmer else WILD,
        "train_loss": [1.0] * 5 + [loss if larger(values) else 0.9],
        "seconds": [5.0 if larger(values) == calmer else 10.0] * 6,
    }


def test_batch_sizes_answer_either_way(tmp_path):
    worse = lambda values: 0.2 if values["batch_size"] == 128 else 1.4  # noqa: E731
    first = write_sweep(tmp_path / "a", BATCHES, accuracies=batches(True, 1.1), skill=worse)
    said = answer_of(first)
    assert "Batches of 128 make an epoch 50% shorter." in said and "Larger batches calm the testing curve." in said
    assert "The same epochs teach less in larger batches." in said and "Larger batches lower kappa." in said
    assert "3,513 steps" in said and "220 steps" in said  # 28,100 photographs
    second = write_sweep(
        tmp_path / "b", BATCHES, accuracies=batches(False, 0.5), skill=lambda values: 1.6 - worse(values)
    )
    said = answer_of(second)
    assert "100% longer" in said and "Larger batches make the testing curve shake more." in said
    assert "teach more in larger batches" in said and "Larger batches raise kappa." in said


def test_batch_sizes_that_change_nothing_are_said_to(tmp_path):
    said = answer_of(write_sweep(tmp_path, BATCHES, accuracies=lambda values: {"test_accuracy": CALM}))
    assert "Whether larger batches calm the testing curve cannot be told from 6 epochs." in said
    assert "Larger batches do not move kappa measurably." in said
    assert "At batch size 128, scaled learning rates do not move kappa measurably." in said
    assert "and no other can be told from it." in said


def test_scaling_rules_are_judged_one_by_one(tmp_path):
    rescued = lambda values: 0.2 if values == {"batch_size": 128, "learning_rate_scaling": "none"} else 1.4  # noqa: E731
    said = answer_of(write_sweep(tmp_path, BATCHES, skill=rescued))
    assert "Larger batches lower kappa (unscaled), not measurably (linear)." in said
    assert "At batch size 128, scaled learning rates raise kappa." in said


def test_batch_figures_hold_all_that_was_asked_for(tmp_path):
    html = sections.sweep_findings(collect(write_sweep(tmp_path, BATCHES))).data
    assert html.startswith('<div class="dr"><h2 id="sweep">What the sweep found</h2><p>What does it matter?</p>')
    labels = re.findall(r'aria-label="([^"]*)"', html)
    for what in ("Steps an epoch", "Time of an epoch", "Unrest", "Testing accuracy", "Quadratic weighted kappa"):
        assert any(label.startswith(what) and " at 128" in label for label in labels), what
    losses = [label for label in labels if label.startswith("Training loss")]
    assert [label.partition(":")[0] for label in losses] == [f"Training loss, batch size {n}" for n in (8, 32, 128)]
    assert "all rules from" in losses[1] and "unscaled from" in losses[0] and "linear from" in losses[0]
    assert "the same as batch 32 linear" in text_of(html)


DEPTHS = {"model": ["resnet18", "resnet34"], "residual": [False, True]}


def errors(plain_deep, residual_deep):
    """Return training accuracies that end at error 0.20, and of the deeper network at the errors given."""

    def columns(values):
        deep = {False: plain_deep, True: residual_deep}[values["residual"]]
        end = 1 - (deep if values["model"] == "resnet34" else 0.20)
        return {"train_accuracy": [0.7, 0.71, 0.72, 0.73, 0.74, end]}

    return columns


@pytest.mark.parametrize(
    ("plain", "residual", "expected"),
    [
        (
            0.24,
            0.18,
            ["higher training error: degradation", "deeper residual network has the lower", "Shortcuts lower"],
        ),
        (
            0.17,
            0.23,
            ["deeper plain network has the lower", "deeper residual network has the higher", "Shortcuts raise"],
        ),
        (0.20, 0.20, ["training error of plain networks measurably", "Shortcuts do not move the training error"]),
    ],
)
def test_degradation_answers_either_way_and_in_the_introduction_too(tmp_path, plain, residual, expected):
    sweep = collect(write_sweep(tmp_path, DEPTHS, accuracies=errors(plain, residual)))
    for section in (sections.sweep_findings(sweep).data, sections.degradation_here(sweep).data):
        assert all(words in text_of(section) for words in expected), text_of(section)
    assert 'href="#sweep"' in sections.degradation_here(sweep).data
    assert f"{100 * plain:.1f}% for ResNet34 and 20.0% for ResNet18" in answer_of(tmp_path)


def test_what_has_not_been_learned_is_no_evidence(tmp_path):
    said = answer_of(write_sweep(tmp_path, DEPTHS, accuracies=lambda values: {"train_accuracy": [0.7] * 6}))
    assert "None of the networks answers its training photographs better" in said and "26.5% wrong" in said
    learned = answer_of(write_sweep(tmp_path / "learned", DEPTHS, accuracies=errors(0.2, 0.2)))
    assert "None of the networks" not in learned


@pytest.mark.parametrize(
    ("plain", "residual", "expected"), [(0.3, 0.9, "more even"), (0.9, 0.3, "less even"), (0.8, 0.8, "about as even")]
)
def test_gradients_are_compared_layer_by_layer(tmp_path, plain, residual, expected):
    shrink = lambda values: residual if values["residual"] else plain  # noqa: E731
    sweep = collect(write_sweep(tmp_path, DEPTHS, gradients=shrink))
    html = sections.sweep_findings(sweep).data
    assert f"{expected}" in answer_of(tmp_path)
    labels = [label for label in re.findall(r'aria-label="([^"]*)"', html) if label.startswith("Gradient norm")]
    assert [label.partition(": ")[0] for label in labels] == [
        f"Gradient norm by layer, {network}, {which} epoch"
        for network in ("ResNet18", "ResNet34")
        for which in ("first", "last")
    ]


def test_a_sweep_of_shortcuts_is_no_comparison_of_depths_elsewhere(tmp_path):
    """The report's own comparison of depths must not pair a plain network with a residual one."""
    sweep = collect(write_sweep(tmp_path, DEPTHS))
    pairs = [("resnet18-residual", "resnet34-residual"), ("resnet18-plain", "resnet34-plain")]
    assert [(a.name, b.name) for a, b in sweep.pairs["model"]] == pairs


HEADS = {"head": ["softmax", "coral", "corn"]}


def test_any_other_sweep_is_a_table_of_what_varied(tmp_path):
    better = {"softmax": 0.3, "coral": 1.8, "corn": 0.3}
    sweep = collect(write_sweep(tmp_path, HEADS, skill=lambda values: better[values["head"]]))
    html = sections.sweep_findings(sweep).data
    text = text_of(html)
    assert "the highest kappa is that of CORAL, and all others are lower." in text
    assert "one seed, which proves little" in text
    for run in sweep.done:
        row = text_of(re.search(rf"<tr role=\"row\">(?:(?!</tr>).)*{run.name}/run.html.*?</tr>", html)[0])
        kappa, low, high = (signed(value, 2) for value in (run.test["kappa"], *run.test["intervals"]["kappa"]))
        assert f"{kappa} {low} to {high}" in row and "60.0 s" in row
    assert sections.degradation_here(sweep).data.count("params/sweeps/degradation.yaml") == 1


def test_settings_that_cannot_be_told_from_the_best_are_named(tmp_path):
    level = {"softmax": 1.5, "coral": 1.45, "corn": 0.1}
    said = answer_of(write_sweep(tmp_path, HEADS, skill=lambda values: level[values["head"]]))
    assert "but not of it alone." in said and "CORN is lower" in said


def test_seeds_of_a_setting_belong_together(tmp_path):
    sweep = collect(write_sweep(tmp_path, HEADS | {"seed": [0, 1, 2]}))
    html = sections.sweep_findings(sweep).data
    assert "up to 3 seeds" in text_of(html) and "one seed" not in text_of(html)
    assert html.count(", 3 seeds</span>") == 6  # accuracy and kappa of three settings
    kappa = sweep.configurations[0].figure("kappa")
    assert f"{kappa.mean:.2f} {kappa.low:.2f} to {kappa.high:.2f}, 3 seeds" in text_of(html)


def test_a_setting_is_named_without_its_seed_wherever_that_stands(tmp_path):
    for number, vary in enumerate(({"seed": [0, 1]} | HEADS, HEADS | {"seed": [0, 1]})):
        sweep = collect(write_sweep(tmp_path / str(number), vary))
        assert {run.setting for run in sweep.runs} == {"softmax", "CORAL", "CORN"}


def test_unfinished_runs_are_missing_and_said_to_be(tmp_path):
    sweep = collect(write_sweep(tmp_path / "some", BATCHES, unfinished=("batch8-linear", "batch128-linear")))
    text = text_of(sections.sweep_findings(sweep).data)
    assert "3 of 5 runs of this sweep have finished" in text and "nan" not in text.lower().split()
    names = ("batch8-no-scaling", "batch8-linear", "batch32", "batch128-no-scaling", "batch128-linear")
    none = collect(write_sweep(tmp_path / "none", BATCHES, unfinished=names))
    assert "None of this sweep’s runs has finished" in sections.sweep_findings(none).data
    one = collect(write_sweep(tmp_path / "one", BATCHES, unfinished=names[1:], epochs=1))
    text = text_of(sections.sweep_findings(one).data)
    assert "Only batch 8 unscaled has finished." in text and "nan" not in text.lower().split()
    plain = ("resnet18-residual", "resnet34-plain", "resnet34-residual")
    shallow = collect(write_sweep(tmp_path / "shallow", DEPTHS, unfinished=plain))
    sections.sweep_findings(shallow)
    assert "Too few of its runs" in sections.degradation_here(shallow).data


def test_an_experiment_that_is_no_sweep_has_no_section(tmp_path):
    write_run(tmp_path, photograph_table(60), name="resnet18")
    sweep = collect(tmp_path)
    assert sweep.grid is None and sections.sweep_findings(sweep).data == '<div class="dr"></div>'
    write_sealed_json(ExperimentFolder(tmp_path).sweep, {"title": "of another version"})
    assert collect(tmp_path).grid is None


@pytest.mark.parametrize(
    ("vary", "telling"),
    [
        ({"model": ["resnet18", "resnet50"], "pretrained": [False, True], "seed": [0, 1]}, []),
        ({"start": {"drawn": {"pretrained": True, "pretrained_weights": "generated"}, "none": {}}}, []),
        ({"start": {f"{n} drawn": {"pretrained": True, "pretraining_photographs": n} for n in (200, 400)}}, ["start"]),
        ({"recipe": {"lab": {}, "ours": {"pretrained": True, "epochs": 9}}, "model": ["resnet18"]}, ["recipe"]),
        ({"class_weights": ["none", "majority_ratio"]}, []),
        ({"class_weights": ["majority_ratio", "balanced"]}, ["class_weights"]),
        ({"batch_size": [8, 16], "head": ["softmax", "coral"]}, ["batch_size", "head"]),
    ],
)
def test_runs_are_called_by_what_their_network_start_and_loss_do_not_tell(tmp_path, vary, telling):
    runs = {"pretrained_weights": "generated"} if "start" in vary and "none" not in vary["start"] else {}
    grid, _ = expanded(tmp_path, vary, runs)
    assert list(grid.telling) == telling


def test_settings_go_by_the_words_of_the_sweep_all_through_the_report(tmp_path):
    sweep = collect(
        write_sweep(tmp_path, BATCHES | {"pretrained": [False, True]}, unfinished=("batch8-linear-scratch",))
    )
    assert {run.name: run.setting for run in sweep.runs} == {
        f"{name}-{start}": words
        for name, words in [
            ("batch8-no-scaling", "batch 8 unscaled"), ("batch8-linear", "batch 8 linear"), ("batch32", "batch 32"),
            ("batch128-no-scaling", "batch 128 unscaled"), ("batch128-linear", "batch 128 linear"),
        ]
        for start in ("scratch", "pretrained")
    }  # fmt: skip
    assert "ResNet18 from scratch, batch 32" in {one.label for one in sweep.configurations}
    lists = {
        "augmentations": [
            [{"RandomRotation": {"degrees": n}}, "RandomHorizontalFlip", "RandomVerticalFlip"] for n in (9, 99)
        ]
    }
    assert {run.setting for run in collect(write_sweep(tmp_path / "long", lists)).runs} == {
        "augmentations1",
        "augmentations2",
    }


def test_every_two_settings_that_differ_in_pretraining_alone_are_compared_and_the_best_speaks(tmp_path):
    vary = {"head": ["softmax", "coral"], "pretrained": [False, True]}
    skills = {("softmax", False): 0.5, ("softmax", True): 0.5, ("coral", False): 0.6, ("coral", True): 2.5}
    sweep = collect(write_sweep(tmp_path, vary, skill=lambda values: skills[values["head"], values["pretrained"]]))
    pairs = [("softmax-scratch", "softmax-pretrained"), ("coral-scratch", "coral-pretrained")]
    assert [(a.name, b.name) for a, b in sweep.pairs["pretrained"]] == pairs
    assert "pretrained (ImageNet V2), CORAL gains" in text_of(sections.answer(sweep).data)
    said = text_of(sections.effects_table(sweep).data)
    assert "Pretraining raised accuracy in 1 of 2 comparisons and kappa in 1." in said
    assert "against from scratch" in said and "ResNet18, CORAL" in said and "ResNet18, softmax" in said


def test_what_is_compared_goes_by_the_setting_that_the_cause_was_added_to(tmp_path):
    """A sweep may have pretraining in the name of one of its settings."""
    recipes = {"ours": {}, "ours, pretrained": {"pretrained": True, "pretrained_weights": "generated"}}
    recipes["lab"] = {"epochs": 9}
    grid, configs = expanded(tmp_path, {"recipe": recipes})
    write_sealed_json(ExperimentFolder(tmp_path).sweep, grid.as_json())
    for config in configs:
        given = config.model_dump(exclude_defaults=True, exclude={"name", "out_dir"})
        write_run(tmp_path, photograph_table(200), name=config.name, parameters=given)
    assert "against ResNet18 from scratch, ours." in text_of(sections.answer(collect(tmp_path)).data)


def test_runs_of_a_sweep_are_told_apart_by_what_varies(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "coral-seed2")
    folder.write_status("queued")
    write_json(folder.config, {"parameters": {"model": "resnet18", "pretrained": False}})
    assert read_run(folder, tmp_path, "CORAL").label.endswith(", CORAL")
    assert "coral" not in read_run(folder, tmp_path).label
