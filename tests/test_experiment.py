"""An experiment in Python: its tables and its figures, from made-up runs."""

import subprocess
import sys

import matplotlib.pyplot as plt
import pytest
from experiment_factory import photograph_table, write_run, write_sweep

import dr_lib
from dr_lib.errors import InputError


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """Two runs on photographs that are there, which do no better than chance."""
    folder = tmp_path_factory.mktemp("experiment")
    dr_lib.make_data(folder / "data", train=10, test=10, size=96)
    labels = dr_lib.read_labels(folder / "data")
    table = labels.loc[labels["split"] == "test", ["image", "patient", "grade"]]
    for luck, weighted in enumerate((False, True)):
        parameters = {"data_dir": str(folder / "data")}
        write_run(folder, table, weighted=weighted, skill=0.0, parameters=parameters, luck=luck)
    return folder


def test_opening_an_experiment_loads_nothing_that_draws_or_trains():
    code = (
        "import dr_lib, sys; dr_lib.load_experiment; "
        "assert not {'torch', 'sklearn', 'matplotlib', 'seaborn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_experiment_has_settings_splits_and_a_best_run(experiment):
    exp = dr_lib.load_experiment(experiment)
    kappas = exp.results.set_index("run")["kappa"]
    assert exp.best.metrics["kappa"].value == kappas.max()
    assert len(exp.settings) == 2 and exp.settings["kappa_sd"].isna().all()
    assert set(exp.settings["setting"]) == set(exp.history["setting"]) == set(exp.predictions["setting"])
    assert exp.splits.index.tolist() == [0, 1, 2, 3, 4] and exp.splits["test"].sum() == 10
    assert exp.audit.empty and exp.audit.columns.tolist()[:2] == ["section", "finding"]
    assert exp.compare().equals(exp.compare("class_weights"))  # the report's comparisons; here there is one
    mistakes = exp.best.mistakes
    assert (mistakes["grade"] != mistakes["predicted"]).all()
    assert mistakes["distance"].is_monotonic_decreasing
    right = (exp.best.predictions["grade"] == exp.best.predictions["predicted"]).sum()
    assert len(mistakes) + right == 10


def test_an_experiment_without_comparable_runs_has_an_empty_table(tmp_path):
    write_sweep(tmp_path, {"batch_size": [16, 8]}, photographs=60)
    changes = dr_lib.load_experiment(tmp_path).compare()
    assert changes.empty and {"parameter", "first", "kappa_low", "kappa_p"} <= set(changes)


def test_an_experiment_is_drawn(experiment):
    exp = dr_lib.load_experiment(experiment)
    ax = exp.plot_history("train_loss")
    assert ax.get_ylabel() == "train_loss" and len(ax.get_legend().get_texts()) == 2
    with pytest.raises(InputError, match="'loss' is none of lr, train_loss"):
        exp.plot_history("loss")
    figure = exp.plot_confusion(normalize=None)
    assert [ax.get_title() for ax in figure.axes] == ["ResNet18 from scratch"]
    given = plt.subplots()[1]
    assert exp.plot_roc(ax=given) is given and "ResNet18 scratch" in given.get_legend_handles_labels()[1]
    assert "how sure" in exp.best.plot_calibration().get_xlabel()
    figure = exp.plot_mistakes(3)
    shown = [ax for ax in figure.axes if ax.get_title()]
    names = exp.best.mistakes["image"].head(3).tolist()
    assert [ax.get_title().splitlines()[0] for ax in shown] == names[: len(shown)] and shown
    assert all(ax.images for ax in shown)
    with pytest.raises(InputError, match="plot_mistakes: 'x' is none of resnet18, resnet18-weighted"):
        exp.plot_mistakes(run="x")
    plt.close("all")


def test_what_is_not_there_is_not_drawn(tmp_path):
    table = photograph_table(60)
    write_run(tmp_path, table.assign(grade=4), skill=0.0)  # everybody is ill: there is no curve
    exp = dr_lib.load_experiment(tmp_path)
    assert exp.plot_roc().get_legend_handles_labels()[1] == ["chance"]
    (words,) = exp.plot_mistakes(1).axes[0].texts
    assert words.get_text() == "not on this machine"
    plt.close("all")
    write_run(tmp_path / "failed", table, state="failed")
    exp = dr_lib.load_experiment(tmp_path / "failed")
    assert exp.settings.empty and exp.compare().empty
    for draw in (exp.plot_metric, exp.plot_history, exp.plot_confusion, exp.plot_roc, exp.plot_mistakes):
        with pytest.raises(InputError, match="no run has finished"):
            draw()


def test_comparisons_are_those_of_one_parameter_in_the_order_of_its_values(tmp_path):
    write_sweep(tmp_path, {"batch_size": [16, 8, 32]})
    changes = dr_lib.load_experiment(tmp_path).compare("batch_size")
    sizes = [tuple(label.split()[-1] for label in pair) for pair in changes[["first", "second"]].to_numpy()]
    assert sizes == [("8", "16"), ("8", "32"), ("16", "32")]
    sure = (changes["kappa_low"] > 0) | (changes["kappa_high"] < 0)
    assert ((changes["kappa_p"] < 0.05) == sure).all()
