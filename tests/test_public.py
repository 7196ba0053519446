"""What ``import dr_lib`` offers: its examples run, tables have what they say, and torch's contract is kept."""

import doctest
import inspect
import os
import pickle
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from urllib.parse import quote

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from command import dr_lab
from data_folders import jpeg, picture
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.axes import Axes
from PIL import Image
from sklearn.metrics import accuracy_score, balanced_accuracy_score, cohen_kappa_score, f1_score, recall_score
from torch import nn
from torch.utils.data import DataLoader
from torchvision.transforms import v2

import dr_lib
from dr_lib.errors import InputError
from dr_lib.evaluation import metrics
from dr_lib.report.collect import collect
from dr_lib.report.sections.first_screen import limits_line
from dr_lib.storage.run_folder import RunFolder

matplotlib.use("agg")

pytestmark = pytest.mark.usefixtures("one_core")

PUBLIC = [
    "Audit", "Experiment", "InputError", "Model", "RetinopathyDataset", "Run", "RunConfig", "audit", "build_model",
    "label_errors", "load_experiment", "load_model", "make_data", "read_labels", "run_experiment", "train",
]  # fmt: skip


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("public") / "demo"
    dr_lib.make_data(folder, train=40, test=10, size=96)
    return folder


@pytest.fixture(scope="module")
def config(demo):
    return dr_lib.RunConfig(
        data_dir=str(demo), out_dir=str(demo.parent / "out"), cache_dir=str(demo.parent / "cache"), resize=40,
        image_size=32, batch_size=8, epochs=1, num_workers=0, learning_rate=0.01, validation_share=0.2, device="cpu",
    )  # fmt: skip


@pytest.fixture(scope="module")
def experiment(config):
    for change in ({}, {"class_weights": [1.0, 2.0, 2.0, 2.0, 2.0]}):
        dr_lib.train(dr_lib.RunConfig(**config.model_dump() | change))
    return Path(config.out_dir)


@pytest.fixture
def names(demo, config, experiment, monkeypatch, tmp_path):
    """What examples may speak of."""
    monkeypatch.chdir(tmp_path)
    for progress in ("line", "bar"):  # is shown, and is no part of an example
        monkeypatch.setattr(f"dr_lib.system.progress.Progress.{progress}", lambda *_: None)
    monkeypatch.setattr("dr_lib.system.terminal.PlainConsole.print", lambda *_, **__: None)
    return {
        "dr_lib": dr_lib, "demo": demo, "config": config, "experiment": experiment,
        "run": dr_lib.Run(experiment / "runs" / "resnet18"), "RetinopathyDataset": dr_lib.RetinopathyDataset,
        "RunConfig": dr_lib.RunConfig, "read_labels": dr_lib.read_labels, **vars(metrics),
    }  # fmt: skip


def run_examples(what, names):
    """Run the examples in a docstring; fail where there is none, or where one gives something else."""
    examples = doctest.DocTestFinder(recurse=False).find(what, what.__name__, globs=names)
    assert sum(len(one.examples) for one in examples), f"{what.__name__} has no example"
    output = []
    for one in examples:
        failed = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(one, out=output.append).failed
        assert not failed, "".join(output)


def test_public_names_are_those():
    assert [name for name in dir(dr_lib) if not name.startswith("_")] == PUBLIC
    assert all(getattr(dr_lib, name).__doc__ for name in PUBLIC)


FRONTS = ["config", "data", "evaluation", "inference", "models", "plots", "synthetic", "training"]
DESCRIBED = ["experiment", "explore", "notebook", "storage", "system"]


@pytest.mark.parametrize("name", FRONTS)
def test_each_package_exports_what_it_is_for(name):
    package = import_module(f"dr_lib.{name}")
    assert package.__all__ and all(getattr(package, public) is not None for public in package.__all__)


@pytest.mark.parametrize("name", [*DESCRIBED, "data", "evaluation", "inference", "models", "synthetic", "training"])
def test_the_front_of_a_package_names_its_modules(name):
    package = import_module(f"dr_lib.{name}")
    modules = {path.stem for path in Path(package.__file__).parent.glob("[!_]*.py")}
    assert modules and not modules - set(re.findall(r"``(\w+)``", package.__doc__))


HEAVY = "assert not {'torch', 'pandas', 'numpy', 'matplotlib'} & set(__import__('sys').modules)"


def test_importing_loads_nothing_heavy():
    subprocess.run([sys.executable, "-c", f"import dr_lib; {HEAVY}"], check=True)


@pytest.mark.slow
def test_importing_takes_less_than_a_fifth_of_a_second():
    code = "import time; t = time.perf_counter(); import dr_lib; print(time.perf_counter() - t)"
    # The quickest of several: other work on the machine only ever adds.
    seconds = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(3)]
    assert min(seconds) < 0.2


@pytest.mark.parametrize("name", sorted(set(PUBLIC) - {"InputError", "run_experiment"}))
def test_examples_of_public_names(name, names):
    what = getattr(dr_lib, name)
    run_examples(what, names)


@pytest.mark.parametrize(
    "name",
    [name for name, one in vars(metrics).items() if inspect.isfunction(one) and one.__module__ == metrics.__name__],
)
def test_examples_of_metrics(name, names):
    run_examples(getattr(metrics, name), names)


@pytest.mark.slow
@pytest.mark.notebooks
def test_example_of_run_experiment(names):
    run_examples(dr_lib.run_experiment, names)
    assert Path("reports/example/index.html").exists()


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"epoks": 3}, "unknown parameter 'epoks'; did you mean 'epochs'?"),
        ({"epochs": 0}, "epochs: 0 is refused: must be at least 1 "),
        ({"image_size": 300}, "image_size 300 is larger than resize 256"),
        ({"self": 1}, "unknown parameter 'self'"),
    ],
)
def test_wrong_parameters_are_one_line(parameters, said):
    with pytest.raises(InputError) as refused:
        dr_lib.RunConfig(**parameters)
    assert str(refused.value).startswith(said) and "\n" not in str(refused.value)


def test_signatures_fit_a_line():
    for name in PUBLIC:
        if inspect.isfunction(what := getattr(dr_lib, name)):
            assert len(str(inspect.signature(what))) < 500
    for what in vars(metrics).values():
        if getattr(what, "__module__", "") == metrics.__name__:
            assert len(str(inspect.signature(what))) < 150


def test_a_run_on_drawn_photographs_says_so(experiment):
    said = limits_line(collect(experiment)).data
    assert "Generated photographs" in said and "not for diagnosis" in said


def test_a_run_gives_tables_and_figures(experiment):
    run = dr_lib.load_experiment(str(experiment)).runs["resnet18"]
    folder = RunFolder(experiment / "runs" / "resnet18")
    assert run.state == "done" and run.config.class_weights == "none" and run.chosen_epoch == 1
    assert run.history["epoch"].tolist() == [1]
    predictions = run.predictions
    assert len(predictions) == 10 and np.allclose(predictions[dr_lib.PROBABILITIES].sum(axis=1), 1)
    kappa = run.metrics["kappa"]
    assert kappa.value == pytest.approx(
        metrics.quadratic_weighted_kappa(predictions["grade"], predictions["predicted"])
    )
    assert kappa.low <= kappa.value <= kappa.high
    assert run.highest_testing_accuracy == folder.read_metrics()["highest_testing_accuracy"]["accuracy"]
    assert isinstance(run.plot_history(), Axes)
    plt.close("all")
    ax = run.plot_confusion(normalize=None)
    assert ax.get_xlabel() == "predicted grade"
    plt.close("all")
    assert "resnet18" in repr(run) and "<table" in run._repr_html_() and len(repr(run)) < 200


def test_a_run_that_is_not_done_says_so(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "x")
    folder.path.mkdir(parents=True)
    folder.write_status("failed", reason="out of memory")
    run = dr_lib.Run(str(folder.path))
    assert repr(run) == "Run(x: failed)"
    with pytest.raises(InputError, match="the run is failed \\(out of memory\\)"):
        run.metrics  # noqa: B018
    with pytest.raises(InputError, match="no such run"):
        dr_lib.Run(tmp_path / "nowhere")


def test_an_experiment_gives_tables(experiment):
    exp = dr_lib.load_experiment(experiment)
    results = exp.results.set_index("run")
    for name, run in exp.runs.items():
        assert results.loc[name, "kappa_low"] == run.metrics["kappa"].low
    assert len(exp.history) == 2 and set(exp.history["run"]) == {"resnet18", "resnet18-weighted"}
    assert len(exp.predictions) == 20
    changes = exp.compare("class_weights")
    assert len(changes) == 1
    by_run = dict(iter(exp.predictions.groupby("run")))
    accuracy = {name: accuracy_score(part["grade"], part["predicted"]) for name, part in by_run.items()}
    change = accuracy["resnet18-weighted"] - accuracy["resnet18"]
    assert changes.loc[0, "second"] == f"{changes.loc[0, 'first']}, weighted"
    assert changes["accuracy"][0] == pytest.approx(change)
    with pytest.raises(InputError, match="'kapa' is none of accuracy"):
        exp.plot_metric("kapa")
    with pytest.raises(InputError, match="no two finished runs differ in model alone; they differ in class_weights"):
        exp.compare("model")
    ax = exp.plot_metric("accuracy")
    assert [label.get_text() for label in ax.get_yticklabels()] == [changes.loc[0, "first"], changes.loc[0, "second"]]
    first, second, *intervals = ax.collections
    assert [row.get_offsets()[0][0] for row in (first, second)] == list(accuracy.values())
    assert [bar.get_paths()[0].vertices[:, 0].tolist() for bar in intervals] == results.loc[
        list(accuracy), ["accuracy_low", "accuracy_high"]
    ].to_numpy().tolist()
    plt.close("all")
    assert "2 done" in repr(exp) and "<table" in exp._repr_html_()
    assert f"<h2>Experiment {exp.path}</h2>" in exp._repr_html_()


def test_predictions_of_a_model(demo, experiment):
    model = dr_lib.load_model(str(experiment / "runs" / "resnet18"))
    images = sorted((demo / "images").glob("*.jpeg"))[:3]
    broken = demo.parent / "broken.jpeg"
    broken.write_bytes(images[0].read_bytes()[:2000])
    table = model.predict([*map(str, images), broken])
    assert table["image"].tolist() == [*map(str, images), str(broken)]
    assert table["grade"].isna().tolist() == [False] * 3 + [True] and table["status"][3] != "intact"
    expected = dr_lib.load_model(experiment / "runs" / "resnet18" / "checkpoints" / "best.pt").predict(images[0])
    assert expected.iloc[0].equals(table.iloc[0])
    assert table.loc[:2, dr_lib.PROBABILITIES].to_numpy().argmax(axis=1).tolist() == table["grade"][:3].tolist()
    with pytest.raises(InputError, match="no such network"):
        dr_lib.load_model(demo)


def test_labels_that_a_run_contradicts_are_a_table_a_list_and_a_gallery(experiment, capsys):
    run = experiment / "runs" / "resnet18"
    table = dr_lib.label_errors(run, folds=3)
    data = dr_lib.load_experiment(experiment).runs["resnet18"]
    assert len(table) == table["image"].nunique() and set(table["split"]) >= {"train", "test"}
    assert set(data.predictions["image"]) <= set(table["image"])
    assert table["contradiction"].is_monotonic_decreasing and table["suggested"].between(0, 4).all()
    assert dr_lab("label-errors", run, "--folds", 3, "--most", 7) == 0
    listed, page = (Path(line) for line in capsys.readouterr().out.split())
    written = pd.read_csv(listed)
    assert written["image"].tolist() == table["image"].tolist() and written["regraded"].isna().all()
    html = page.read_text()
    shown = [f">{image}</a>" in html for image in table["image"]]
    assert html.count("<img") == 7 and shown == [True] * 7 + [False] * (len(table) - 7)
    assert quote(Path(os.path.relpath(table["path"][0], run)).as_posix()) in html
    with pytest.raises(InputError, match="no finished run"):
        dr_lib.label_errors(experiment)
    assert dr_lab("label-errors", run, "--folds", 40) == 2
    assert "label errors need 80 patients" in capsys.readouterr().err


def test_labels_are_a_table(demo):
    labels = dr_lib.read_labels(str(demo))
    assert labels.columns.tolist() == ["image", "path", "grade", "patient", "eye", "split"]
    assert all(Path(path).stem == image for path, image in zip(labels["path"], labels["image"], strict=True))
    for row in labels.itertuples():
        assert row.image == f"{row.patient}_{row.eye}"


def test_photographs_without_a_file_have_no_path(tmp_path):
    (tmp_path / "labels.csv").write_text("image,grade\na_left,0\nb_left,1\n")
    (tmp_path / "a_left.jpeg").write_bytes(jpeg(picture(0)))
    labels = dr_lib.read_labels(tmp_path)
    assert labels["path"].isna().tolist() == [False, True]
    data = dr_lib.RetinopathyDataset(labels)
    assert data[0][1] == 0
    with pytest.raises(InputError, match="b_left: no file"):
        data[1]


def test_the_data_set_keeps_torchs_contract(demo):
    data = dr_lib.RetinopathyDataset(dr_lib.audit(demo).photographs, split="train")
    items = list(data)  # ends by IndexError
    assert len(items) == len(data) == len(data.targets)
    assert [grade for _, grade in items] == data.targets
    image, grade = items[0]
    assert isinstance(image, Image.Image) and image.mode == "RGB" and type(grade) is int
    assert data.classes[0] == "no DR" and len(data.classes) == 5
    path = data.table["path"][0]
    assert np.array_equal(np.asarray(image), np.asarray(Image.open(path).convert("RGB")))
    with pytest.raises(IndexError):
        data[len(data)]
    assert data[-1][1] == data.targets[-1]
    again = pickle.loads(pickle.dumps(data))
    assert again.targets == data.targets
    assert f"{len(data)} photographs" in repr(data)
    with pytest.raises(InputError, match="none of train, validation, test"):
        dr_lib.RetinopathyDataset(demo, split="val")


def test_a_truncated_photograph_is_no_training_example(tmp_path):
    (tmp_path / "labels.csv").write_text("image,grade\na,0\nb,1\n")
    whole = jpeg(picture(0))
    (tmp_path / "a.jpeg").write_bytes(whole[:-2])
    (tmp_path / "b.jpeg").write_bytes(whole[: len(whole) // 2])
    data = dr_lib.RetinopathyDataset(tmp_path)
    (tmp_path / "whole.jpeg").write_bytes(whole)
    assert np.array_equal(np.asarray(data[0][0]), np.asarray(Image.open(tmp_path / "whole.jpeg").convert("RGB")))
    with pytest.raises(InputError, match=r"b\.jpeg: truncated"):
        data[1]


def test_the_reference_loop_of_torchvision_trains_on_it(all_cores, demo):
    """The loop of torchvision's references/classification, without its logging: default collation, v2 transforms."""
    transform = v2.Compose(
        [
            v2.Resize(40),
            v2.RandomCrop(32),
            v2.RandomHorizontalFlip(),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
        ]
    )
    torch.manual_seed(0)
    dataset = dr_lib.RetinopathyDataset(dr_lib.audit(demo).photographs, split="train", transform=transform)
    data_loader = DataLoader(dataset, batch_size=8, shuffle=True, num_workers=2)
    model = dr_lib.build_model("resnet18", num_classes=len(dataset.classes))
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.002, momentum=0.9)
    losses = []
    for _ in range(6):
        model.train()
        for image, target in data_loader:
            output = model(image)
            loss = criterion(output, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert image.shape[1:] == (3, 32, 32) and target.dtype == torch.int64
    assert len(losses) == 6 * len(data_loader) and np.isfinite(losses).all()
    assert np.mean(losses[-len(data_loader) :]) < np.mean(losses[: len(data_loader)])


def test_networks_have_as_many_outputs_as_asked_for():
    torch.manual_seed(0)
    assert dr_lib.build_model("resnet18", num_classes=3)(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
    with pytest.raises(InputError, match="no weights of resnet18"):
        dr_lib.build_model("resnet18", weights="IMAGENET21K")


def test_an_audit_is_tables(demo, tmp_path):
    broken = tmp_path / "data"
    broken.mkdir()
    (broken / "labels.csv").write_text("image,grade\na_left,0\na_right,4\nb_left,1\nc_left,2\n")
    whole = jpeg(picture(0))
    for name in ("a_left", "a_right"):
        (broken / f"{name}.jpeg").write_bytes(whole)
    (broken / "b_left.jpeg").write_bytes(whole[: len(whole) * 3 // 4])
    audit = dr_lib.audit(str(broken), cache_dir=str(tmp_path / "cache"), validation_share=0, test_share=0.3)
    table = audit.photographs.set_index("image")
    assert table["status"].to_dict() == {"a_left": "intact", "a_right": "intact", "b_left": "truncated"}
    assert 0.1 < table.loc["b_left", "lost"] < 0.9 and table.loc["a_left", "lost"] == 0
    assert audit.grades.to_numpy().sum() == 4
    sections = set(audit.findings["section"])
    assert {"account", "damage", "duplicates", "eyes"} <= sections
    assert audit.damaged[["image", "status"]].to_numpy().tolist() == [["b_left", "truncated"]]
    assert audit.duplicates["image"].tolist() == ["a_left", "a_right"] and audit.duplicates["group"].eq(1).all()
    assert audit.patients_apart["image"].tolist() == ["a_left", "a_right"]
    assert audit.file_problems.to_numpy().tolist() == [["Without a file", "c_left"]]
    assert audit.patients["patients"].sum() == 3 and audit.on_both_sides.empty
    assert audit.file_kinds["photographs"].sum() == 3 and audit.file_kinds["format"].tolist() == ["JPEG"]
    assert isinstance(audit.plot_grades(), Axes)
    plt.close("all")
    shown = audit.plot_photographs(audit.damaged)
    assert shown.axes[0].get_title().startswith("b_left\ngrade 1, ") and len(shown.axes) == 1
    assert (
        audit.plot_photographs(audit.unusual.head(0)).axes[0].texts[0].get_text() == "There is no photograph to show."
    )
    page = audit.save(str(tmp_path / "audit.html"))
    assert "c_left" in page.read_text(encoding="utf-8")
    assert "3 photographs" in repr(audit) and "<table" in audit._repr_html_()
    assert audit._repr_html_().startswith("<h2>Audit of ")


def test_an_audit_of_labels_alone_has_the_same_tables(tmp_path):
    (tmp_path / "labels.csv").write_text("image,grade\na_left,0\na_right,4\nb_left,1\n")
    audit = dr_lib.audit(tmp_path, cache_dir=str(tmp_path / "cache"), labels="table")
    for table in (audit.damaged, audit.duplicates, audit.unusual, audit.file_kinds, audit.samples):
        assert table.empty and len(table.columns)
    assert audit.patients_apart["image"].tolist() == ["a_left", "a_right"] and len(audit.file_problems) == 3
    assert len(audit.plot_photographs(audit.patients_apart).axes) == 1


def test_metrics_equal_scikit_learns():
    rng = np.random.default_rng(0)
    y_true, y_pred = rng.integers(0, 5, 200), rng.integers(0, 5, 200)
    assert metrics.accuracy(y_true, y_pred) == pytest.approx(accuracy_score(y_true, y_pred))
    assert metrics.balanced_accuracy(y_true, y_pred) == pytest.approx(balanced_accuracy_score(y_true, y_pred))
    assert metrics.macro_f1(y_true, y_pred) == pytest.approx(f1_score(y_true, y_pred, average="macro"))
    kappa = cohen_kappa_score(y_true, y_pred, weights="quadratic")
    assert metrics.quadratic_weighted_kappa(y_true, y_pred) == pytest.approx(kappa)
    assert metrics.recall(y_true, y_pred) == pytest.approx(recall_score(y_true, y_pred, average=None))
    assert np.isnan(metrics.referable_auc([0, 1], np.full((2, 5), 0.2)))
    with pytest.raises(InputError):
        metrics.accuracy([0, np.nan], [0, 1])
    assert metrics.quadratic_weighted_kappa(pd.Series([0, 4]), pd.Series([4, 0])) == -1


def test_type_information_is_shipped():
    assert (Path(dr_lib.__file__).parent / "py.typed").exists()
    assert os.path.exists(Path(dr_lib.__file__).with_suffix(".pyi"))


def test_bad_input_is_one_line_in_a_notebook(capsys):
    shell = InteractiveShell.instance()
    shell.run_cell("import dr_lib; dr_lib.RunConfig(epoks=3)")
    InteractiveShell.clear_instance()
    stdout, stderr = capsys.readouterr()
    assert (stdout + stderr).strip() == "InputError: unknown parameter 'epoks'; did you mean 'epochs'?"
