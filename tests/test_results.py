"""The tables of docs/results.md are those of the files kept, and these agree with scikit-learn and MedMNIST."""

import gzip
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from medmnist.evaluator import getACC, getAUC
from sklearn.metrics import cohen_kappa_score

from benchmarks import tables
from dr_lib import PROBABILITIES
from dr_lib.storage.files import read_json

PROJECT = Path(__file__).parent.parent
PAGE = (PROJECT / "docs" / "results.md").read_text(encoding="utf-8")
RESULTS = PROJECT / "benchmarks" / "results"
KEPT = sorted(RESULTS.glob("*/runs/*"))
RECIPES = ("lab", "few ill", "few ill, pretrained")
TOOLS = ("dr-lab", "torchvision", "timm", "fastai")


def predictions_of(run):
    with gzip.open(run / "predictions.csv.gz") as stream:
        return pd.read_csv(stream)


@pytest.mark.slow
def test_tables_has_every_table_and_as_the_files_give_it():
    assert set(re.findall(r"<!-- table (\w+) -->", PAGE)) == set(tables.TABLES)
    assert tables.with_tables(PAGE) == PAGE


@pytest.mark.slow
def test_a_changed_figure_is_seen():
    changed = re.sub(r"(<!-- table ingredients -->.*?0\.)(\d)", lambda found: found[1] + str((int(found[2]) + 1) % 10),
                     PAGE, count=1, flags=re.DOTALL)  # fmt: skip
    assert changed != PAGE and tables.with_tables(changed) == PAGE


@pytest.mark.parametrize("run", KEPT, ids=lambda run: f"{run.parents[1].name}/{run.name}")
def test_figures_are_those_of_the_predictions(run):
    kept, table = read_json(run / "metrics.json")["test"], predictions_of(run)
    grades, probabilities = table.grade.to_numpy(), table[list(PROBABILITIES)].to_numpy()
    assert len(table) == kept["photographs"]
    assert kept["accuracy"] == pytest.approx((table.predicted == table.grade).mean(), abs=1e-12)
    assert kept["kappa"] == pytest.approx(cohen_kappa_score(grades, table.predicted, weights="quadratic"), abs=1e-12)
    area = getAUC(grades[:, None], probabilities, "ordinal-regression")
    assert kept["macro_auc"] == pytest.approx(area, abs=1e-9)


def test_means_in_the_tables_are_means_of_the_files():
    """Not by way of the code that wrote the table."""
    (table,) = re.findall(r"<!-- table ingredients -->(.*?)<!-- end -->", PAGE, re.DOTALL)
    control = next(line for line in table.splitlines() if line.startswith("| all five "))
    runs = [run for run in KEPT if re.fullmatch(r"seed\d+-all_five", run.name)]
    last = [pd.read_csv(run / "history.csv").iloc[-1] for run in runs]
    cells = [cell.strip() for cell in control.split("|")[2:5]]
    assert cells == [f"{np.mean([one[name] for one in last]):.3f}" for name in ("val_auc", "val_accuracy", "val_kappa")]


def test_rows_of_retinamnist_are_means_by_medmnists_own_evaluator():
    (table,) = re.findall(r"<!-- table retinamnist -->(.*?)<!-- end -->", PAGE, re.DOTALL)
    row = re.compile(r"^\| (\w+) recipe, ResNet(\d+), ([\w ]+) \| ([\d.]+) .*?\| ([\d.]+) ", re.MULTILINE)
    ours = row.findall(table)
    assert len(ours) == len({run.name.rpartition("-")[0] for run in KEPT if run.parents[1].name == "retinamnist"}) > 1
    for recipe, layers, start, area, share in ours:
        name = f"{recipe}-resnet{layers}-{start.replace(' ', '_')}-seed*"
        assert (area, share) == by_medmnist((RESULTS / "retinamnist" / "runs").glob(name))
    (from_eyepacs,) = re.findall(r"^\| generated pretraining, then EyePACS \| ([\d.]+) .*?\| ([\d.]+) ", PAGE, re.M)
    assert from_eyepacs == by_medmnist((RESULTS / "retinamnist-from-eyepacs" / "runs").iterdir())


def by_medmnist(runs):
    """Return mean AUC and accuracy of five runs as the page writes them."""
    tables = [predictions_of(run) for run in runs]
    assert len(tables) == 5
    scores = [(one.grade.to_numpy()[:, None], one[list(PROBABILITIES)].to_numpy()) for one in tables]
    areas, shares = ([by(*score, "ordinal-regression") for score in scores] for by in (getAUC, getACC))
    return f"{np.mean(areas):.3f}", f"{np.mean(shares):.3f}"


@pytest.mark.parametrize(
    ("table", "folder", "rows", "column"),
    [("eyepacs", "eyepacs-64", {name: name.replace(", ", "_").replace(" ", "_") for name in RECIPES}, 2),
     ("peers", "peers", {name: name for name in TOOLS}, 5)],
)  # fmt: skip
def test_rows_are_means_of_kappas_by_scikit_learn(table, folder, rows, column):
    (text,) = re.findall(rf"<!-- table {table} -->(.*?)<!-- end -->", PAGE, re.DOTALL)
    for label, name in rows.items():
        (line,) = (line for line in text.splitlines() if line.startswith(f"| {label} |"))
        tables = [predictions_of(run) for run in (RESULTS / folder / "runs").glob(f"{name}-seed*")]
        assert len(tables) == 3
        kappas = [cohen_kappa_score(one.grade, one.predicted, weights="quadratic") for one in tables]
        assert line.split("|")[column].split()[0] == f"{np.mean(kappas):.3f}".replace("-", "−")


@pytest.mark.parametrize("name", tables.DRAWN)
def test_figures_are_drawn_from_the_files(name):
    assert (RESULTS / "figures" / f"{name}.svg").read_bytes() == tables.drawn(tables.DRAWN[name]())
    assert f"benchmarks/results/figures/{name}.svg" in PAGE
