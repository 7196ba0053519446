"""Make the tables and figures of docs/results.md from the files in ``benchmarks/results``.

    python benchmarks/tables.py            # prints the tables
    python benchmarks/tables.py --write    # puts them into docs/results.md, between their marks, and draws the figures

A test fails where page and files disagree.
"""

import argparse
import gzip
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dr_lib import GRADES
from dr_lib.evaluation.bootstrap import Difference
from dr_lib.evaluation.effects import compare_all, compare_patients
from dr_lib.evaluation.matrix_metrics import accuracy, confusion_matrix, quadratic_weighted_kappa
from dr_lib.evaluation.predictions import ensemble
from dr_lib.evaluation.seed_groups import SeedFigure, against_control, over_seeds
from dr_lib.evaluation.summary import summarize
from dr_lib.plots import accuracy_limits, network_colors, panel, plot_accuracy, plot_confusion, plot_settings
from dr_lib.storage.files import read_json, write_bytes, write_text
from dr_lib.storage.folders import ExperimentFolder, SweepGrid
from dr_lib.storage.run_folder import RunFolder

RESULTS = Path(__file__).parent / "results"
DRAWINGS = RESULTS / "figures"
PAGE = Path(__file__).parent.parent / "docs" / "results.md"

FIGURES = {"macro_auc": "AUC", "accuracy": "accuracy", "kappa": "kappa"}
_OF_EPOCHS = {"macro_auc": "val_auc", "accuracy": "val_accuracy", "kappa": "val_kappa"}
RANDOM, GENERATED = "random weights", "generated pretraining"
NETWORKS = {"resnet18": "ResNet18", "resnet50": "ResNet50"}
NAMES_OF_EIGHT = [net + start + loss for net in NETWORKS for start in ("", "-pretrained") for loss in ("", "-weighted")]
EIGHT = ExperimentFolder(RESULTS / "eyepacs-64-eight")
DEMO = ExperimentFolder(RESULTS / "demo")
FROM_EYEPACS = ExperimentFolder(RESULTS / "retinamnist-from-eyepacs")

PUBLISHED = {
    "ResNet-18 (28 px)": (0.717, 0.524),
    "ResNet-18 (224 px)": (0.710, 0.493),
    "ResNet-50 (28 px)": (0.726, 0.528),
    "ResNet-50 (224 px)": (0.716, 0.511),
    "auto-sklearn": (0.690, 0.515),
    "AutoKeras": (0.719, 0.503),
    "Google AutoML Vision": (0.750, 0.531),
}
"""AUC and accuracy on RetinaMNIST, means of three runs: Yang et al., Scientific Data 10, 41 (2023), table 3."""


@dataclass(frozen=True)
class Kept:
    """A run's files in ``benchmarks/results``."""

    folder: RunFolder

    @cached_property
    def metrics(self) -> dict[str, Any]:
        return read_json(self.folder.metrics)

    @cached_property
    def history(self) -> pd.DataFrame:
        return self.folder.read_history()

    @cached_property
    def answers(self) -> pd.DataFrame:
        """The predictions as the run left them."""
        with gzip.open(self.folder.path / "predictions.csv.gz") as stream:
            return pd.read_csv(stream, dtype={"image": str, "patient": str}, keep_default_na=False)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """The predictions, those of RetinaMNIST's photographs in fours: see :func:`fours`."""
        if "retinamnist" not in self.folder.path.parent.parent.name:
            return self.answers
        return self.answers.assign(patient=self.answers["image"].map(fours()))

    @property
    def head(self) -> str:
        return read_json(self.folder.config)["parameters"]["head"]

    @property
    def minutes(self) -> float:
        return read_json(self.folder.status)["seconds"] / 60


def kept_settings(name: str) -> dict[tuple[Any, ...], list[Kept]]:
    """Return a sweep's kept runs by what varies, seeds aside, in the sweep's order."""
    experiment = ExperimentFolder(RESULTS / name)
    found: dict[tuple[Any, ...], list[Kept]] = {}
    for point in SweepGrid.from_json(read_json(experiment.sweep)).runs:
        run = Kept(experiment.run(point.name))
        if run.folder.metrics.exists():
            setting = tuple(value for key, value in point.values.items() if key != "seed")
            found.setdefault(setting, []).append(run)
    return found


def retinamnist() -> str:
    """Return the published table with our rows: means over seeds, intervals over seeds and patients."""
    rows = [[f"{name}, published", f"{area:.3f}", f"{share:.3f}", "", "3", ""]
            for name, (area, share) in PUBLISHED.items()]  # fmt: skip
    settings = _settings_on_retinamnist()
    for (recipe, model, start), runs in settings.items():
        rows += _with_ensemble(_named(recipe, model, start), runs, _figures_on_retinamnist()[recipe, model, start])
        if start == GENERATED:
            cells = _differences(settings[recipe, model, RANDOM], runs, FIGURES)
            rows.append(["what pretraining adds", *cells, "", ""])
    return _table(["RetinaMNIST, 400 testing photographs", *FIGURES.values(), "runs", "minutes a run"], rows)


def transfer() -> str:
    """Return what training on EyePACS first makes of the strong recipe and ResNet18, beside the sweep's two starts."""
    starts = {start: ("strong", "resnet18", start) for start in (RANDOM, GENERATED)}
    runs = [Kept(folder) for folder in FROM_EYEPACS.runs()]
    rows = []
    for start, setting in starts.items():
        rows += _with_ensemble(start, _settings_on_retinamnist()[setting], _figures_on_retinamnist()[setting])
    rows += _with_ensemble("generated pretraining, then EyePACS", runs, over_seeds([run.predictions for run in runs]))
    for start, setting in starts.items():
        cells = _differences(_settings_on_retinamnist()[setting], runs, FIGURES)
        rows.append([f"what that is above {start}", *cells, "", ""])
    return _table(["strong recipe, ResNet18, from", *FIGURES.values(), "runs", "minutes a run"], rows)


def _with_ensemble(name: str, runs: Sequence[Kept], figures: dict[str, SeedFigure]) -> list[list[str]]:
    """Return the row of runs that differ in their seed, and the row of what they answer together."""
    minutes = f"{np.mean([run.minutes for run in runs]):.1f}"
    each = [name, *(_over_seeds(figures[figure]) for figure in FIGURES), str(len(runs)), minutes]
    return [each, _ensemble_row(runs, FIGURES)]


def _ensemble_row(runs: Sequence[Kept], names: Iterable[str]) -> list[str]:
    together = summarize(ensemble([run.predictions for run in runs], runs[0].head))
    cells = [_figure(together[figure], together["intervals"][figure]) for figure in names]
    return [f"the same, ensemble of the {len(runs)}", *cells, "", ""]


def ingredients() -> str:
    """Return what each change makes of the first setting on validation photographs: means over seeds.

    After the last epoch: the best one would be chosen by the same photographs, and flatter what wavers.
    """
    (control, base), *others = kept_settings("ingredients").items()
    rows = [[control[0], *(f"{np.mean(_on_validation(base, name)):.3f}" for name in FIGURES), str(len(base))]]
    rows += [[label, *["" for _ in FIGURES], str(len(runs))] for (label,), runs in others]
    for column, name in enumerate(FIGURES, 1):
        changes = against_control(_on_validation(base, name), [_on_validation(runs, name) for _, runs in others])
        for row, change in zip(rows[1:], changes, strict=True):
            row[column] = _change(change)
    return _table(["", *FIGURES.values(), "seeds"], rows)


@cache
def fours() -> dict[str, str]:
    """Return which four of RetinaMNIST's testing photographs are taken to be one patient's, by the image.

    They are of 100 patients, four each, but whose is not known. The least favorable case is taken: in order of grade,
    and of how many of all kept networks get them right, so that a four is right or wrong as a whole.
    """
    runs = [run.answers.set_index("image") for runs in _settings_on_retinamnist().values() for run in runs]
    right = sum((run["predicted"] == run["grade"]).astype(int) for run in runs)
    order = runs[0][["grade"]].assign(right=right).rename_axis("image").sort_values(["grade", "right", "image"]).index
    return {image: f"four {place // 4}" for place, image in enumerate(order)}


@cache
def _settings_on_retinamnist() -> dict[tuple[str, str, str], list[Kept]]:
    """Return our runs on RetinaMNIST by recipe, network and start."""
    return kept_settings("retinamnist")


@cache
def _figures_on_retinamnist() -> dict[tuple[str, str, str], dict[str, SeedFigure]]:
    return {
        setting: over_seeds([run.predictions for run in runs]) for setting, runs in _settings_on_retinamnist().items()
    }


def _named(recipe: str, model: str, start: str) -> str:
    return f"{recipe} recipe, {NETWORKS[model]}, {start}"


def _differences(before: Sequence[Kept], after: Sequence[Kept], names: Iterable[str]) -> list[str]:
    """Return what figures are more in ``after``; their intervals, over seeds and patients, hold together."""
    sides = [run.predictions for run in before], [run.predictions for run in after]
    (comparison,) = compare_all([sides], list(names))
    return [_change(getattr(comparison, name)) for name in names]


def eight() -> str:
    """Return the lab's eight configurations on EyePACS at 64 px, intervals over patients."""
    rows = []
    for name, run in _runs_of_eight().items():
        test = summarize(run.predictions)
        figures = ("accuracy", "kappa", "macro_auc", "referable_auc")
        cells = [_figure(test[figure], test["intervals"][figure]) for figure in figures]
        rows.append([name, *cells, str(run.metrics["chosen_epoch"]), f"{run.minutes:.0f}"])
    return _table(["", "accuracy", "kappa", "AUC", "referable AUC", "epoch", "minutes"], rows)


def leak() -> str:
    """Return how networks do on testing patients whose other eye was trained on, and on the others: means of seeds."""
    known = read_json(EIGHT.audit)["patients_on_both_sides"]["patients"]
    asked = {name: [run] for name, run in _runs_of_eight().items()}
    asked |= {f"{recipe}, {len(runs)} seeds": runs for recipe, runs in _recipes_on_eyepacs().items()}
    rows = []
    for name, runs in asked.items():
        tables = [run.predictions for run in runs]
        on, others = ([table[table.patient.isin(known) == side] for table in tables] for side in (True, False))
        cells = []
        for figure in (accuracy, quadratic_weighted_kappa):
            for group in (on, others):
                found = np.mean([figure(confusion_matrix(one.grade, one.predicted)) for one in group])
                cells.append(_with_minus(f"{found:.3f}"))
            (change,) = compare_patients([(others, on)], figure)
            cells.append(_change(change) if change else "no interval")
        rows.append([name, *cells])
    head = ["", f"accuracy, other eye trained on ({len(on[0]):,})", f"others ({len(others[0]):,})", "difference"]
    return _table([*head, "kappa, other eye trained on", "others", "difference"], rows)


def eyepacs() -> str:
    """Return what recipes make of EyePACS at 64 px: means over seeds, intervals over seeds and patients."""
    names = {"kappa": "kappa", "referable_auc": "referable AUC", "macro_auc": "AUC", "accuracy": "accuracy"}
    rows, recipes = [], _recipes_on_eyepacs()
    for recipe, runs in recipes.items():
        figures = over_seeds([run.predictions for run in runs])
        minutes = f"{np.mean([run.minutes for run in runs]):.1f}"
        rows.append([recipe, *(_over_seeds(figures[name]) for name in names), str(len(runs)), minutes])
        rows.append(_ensemble_row(runs, names))
    for words, before, after in (
        ("what few ill is above lab", "lab", "few ill"),
        ("what pretraining adds", "few ill", "few ill, pretrained"),
    ):
        rows.append([words, *_differences(recipes[before], recipes[after], names), "", ""])
    return _table(["", *names.values(), "runs", "minutes a run"], rows)


@cache
def _recipes_on_eyepacs() -> dict[str, list[Kept]]:
    return {recipe: runs for (recipe,), runs in kept_settings("eyepacs-64").items()}


def demo() -> str:
    """Return what the eight configurations of the demo come to with each seed."""
    rows = []
    for name, runs in _runs_of_demo().items():
        kappas = [f"{run.metrics['test']['kappa']:.2f}" for run in runs]
        accuracy_of_all = np.mean([run.metrics["test"]["accuracy"] for run in runs])
        recalls = np.mean([run.metrics["test"]["recall"] for run in runs], axis=0)
        rows.append([name, ", ".join(kappas), f"{accuracy_of_all:.3f}", *(f"{recall:.2f}" for recall in recalls)])
    return _table(["", "kappa, seed by seed", "accuracy", *(f"recall of {grade}" for grade in GRADES)], rows)


def demo_effects() -> str:
    """Return what pretraining and class weights change in the demo: kappa, as a report of each seed has it, and recall.

    The intervals of a seed hold for its eight comparisons together.
    """
    runs = _runs_of_demo()
    asked = {f"what pretraining adds to {net}{loss}": (net + loss, f"{net}-pretrained{loss}")
             for net in NETWORKS for loss in ("", "-weighted")}  # fmt: skip
    asked |= {f"what class weights change in {net}{start}": (net + start, f"{net}{start}-weighted")
              for net in NETWORKS for start in ("", "-pretrained")}  # fmt: skip
    rows = [[words] for words in asked]
    for seed in range(3):
        pairs = [
            ([runs[before][seed].predictions], [runs[after][seed].predictions]) for before, after in asked.values()
        ]
        for row, change in zip(rows, compare_all(pairs), strict=True):
            row.append(_change(change.kappa) if change.kappa else "")
    for row, (before, after) in zip(rows, asked.values(), strict=True):
        recalls = [np.mean([run.metrics["test"]["recall"] for run in runs[name]], axis=0) for name in (before, after)]
        row += [_with_minus(f"{recalls[1][grade] - recalls[0][grade]:+.2f}") for grade in (0, 3, 4)]
    head = [*(f"kappa, seed {seed}" for seed in range(3)), *(f"recall of {grade}, mean" for grade in (0, 3, 4))]
    return _table(["", *head], rows)


@cache
def _runs_of_demo() -> dict[str, list[Kept]]:
    return {name: [Kept(DEMO.run(name + end)) for end in ("", "-seed1", "-seed2")] for name in NAMES_OF_EIGHT}


def peers() -> str:
    """Return what each tool costs (ranges over seeds) and reaches, the fastest first, and ours against the others.

    Against: ratios of costs, seed by seed, since these ran one after another, and differences of figures.
    """
    by_tool: dict[str, list[Kept]] = {}
    for folder in ExperimentFolder(RESULTS / "peers").runs():
        by_tool.setdefault(folder.name.rpartition("-seed")[0], []).append(Kept(folder))
    names = {"kappa": "kappa", "macro_auc": "AUC", "referable_auc": "referable AUC"}
    tools = sorted(by_tool, key=lambda tool: -np.mean(_costs(by_tool[tool], "images_per_second")))
    rows = []
    for tool in tools:
        runs, figures = by_tool[tool], over_seeds([run.predictions for run in by_tool[tool]])
        memory = _range(_costs(runs, "peak_bytes") / 2**30, 1)
        costs = [_range(_costs(runs, "images_per_second"), 1), _range(_costs(runs, "cpu_seconds"), 0), memory]
        rows.append([tool, *costs, *(_over_seeds(figures[name]) for name in names)])
    ours = by_tool["dr-lab"]
    for tool in tools:
        if tool != "dr-lab":
            theirs = by_tool[tool]
            costs = [
                _range(_costs(ours, cost) / _costs(theirs, cost), 2)
                for cost in ("images_per_second", "cpu_seconds", "peak_bytes")
            ]
            rows.append([f"dr-lab against {tool}", *costs, *_differences(theirs, ours, names)])
    return _table(["", "images/s", "CPU, s", "memory, GiB", *names.values()], rows)


def _costs(runs: Sequence[Kept], name: str) -> np.ndarray:
    return np.array([run.metrics["cost"][name] for run in runs], dtype=float)


def _range(values: np.ndarray, decimals: int) -> str:
    mean, low, high = (f"{value:.{decimals}f}" for value in (values.mean(), values.min(), values.max()))
    return f"{mean} ({low} to {high})"


def _runs_of_eight() -> dict[str, Kept]:
    return {name: Kept(EIGHT.run(name)) for name in NAMES_OF_EIGHT}


def _on_validation(runs: Sequence[Kept], name: str) -> list[float]:
    return [float(run.history[_OF_EPOCHS[name]].iloc[-1]) for run in runs]


def _over_seeds(figure: SeedFigure) -> str:
    return _figure(figure.mean, (figure.low, figure.high))


def _change(change: Difference) -> str:
    return _with_minus(f"{change.value:+.3f} ({change.low:+.3f} to {change.high:+.3f})")


def _figure(value: float, limits: Sequence[float]) -> str:
    return _with_minus(f"{value:.3f} ({limits[0]:.3f} to {limits[1]:.3f})")


def _with_minus(text: str) -> str:
    return text.replace("-", "−")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def retinamnist_figure() -> Figure:
    """Return the AUC of each run on RetinaMNIST as a dot, beside what is published."""
    values = {f"{name}, published": [area] for name, (area, _) in PUBLISHED.items()}
    intervals: dict[str, tuple[float, float] | None] = {}
    for setting, runs in _settings_on_retinamnist().items():
        name, figure = _named(*setting), _figures_on_retinamnist()[setting]["macro_auc"]
        values[name] = [run.metrics["test"]["macro_auc"] for run in runs]
        intervals[name] = (figure.low, figure.high)
    ax = panel(640, 70 + 26 * len(values))
    plot_settings(values, intervals, words=lambda value: f"{value:.2f}", ax=ax)
    return ax.figure


def eight_figure() -> Figure:
    """Return the testing accuracy of the lab's eight configurations per epoch, four panels of two."""
    figure = Figure(figsize=(10, 7), layout="constrained")
    runs = _runs_of_eight()
    curves = {name: run.history.set_index("epoch").test_accuracy for name, run in runs.items()}
    majority = runs["resnet18"].metrics["test"]["majority_accuracy"]
    limits = accuracy_limits(curves.values(), majority)
    for row, network in zip(figure.subplots(2, 2), NETWORKS, strict=True):
        for ax, loss in zip(row, ("", "-weighted"), strict=True):
            shown = {"from scratch": network + loss, "pretrained": f"{network}-pretrained{loss}"}
            plot_accuracy(
                {name: curves[run] for name, run in shown.items()},
                color=network_colors([network])[network],
                majority=majority,
                chosen={name: runs[run].metrics["chosen_epoch"] for name, run in shown.items()},
                limits=limits,
                ax=ax,
            )
            ax.set_title(NETWORKS[network] + ", class weights" * bool(loss), fontsize=10, loc="left")
    return figure


def confusion_figure() -> Figure:
    """Return the confusion matrix of that one of the eight with the highest kappa."""
    best = max(_runs_of_eight().values(), key=lambda run: run.metrics["test"]["kappa"])
    ax = plot_confusion(best.metrics["test"]["confusion_matrix"])
    ax.set_title(best.folder.name, fontsize=10, loc="left")
    return ax.figure


DRAWN: dict[str, Callable[[], Figure]] = {
    "retinamnist": retinamnist_figure,
    "eight": eight_figure,
    "confusion": confusion_figure,
}


def drawn(figure: Figure) -> bytes:
    """Return a figure as SVG, the same bytes each time, on white: GitHub shows it on dark pages too."""
    stream = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "dr-lab"}):
        figure.savefig(stream, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    return stream.getvalue()


TABLES: dict[str, Callable[[], str]] = {
    "retinamnist": retinamnist,
    "transfer": transfer,
    "ingredients": ingredients,
    "eight": eight,
    "eyepacs": eyepacs,
    "leak": leak,
    "peers": peers,
    "demo": demo,
    "demo_effects": demo_effects,
}


def with_tables(text: str) -> str:
    """Return ``text`` with each table between its marks, ``<!-- table NAME -->`` and ``<!-- end -->``, made anew."""

    def made(mark: re.Match[str]) -> str:
        return f"<!-- table {mark[1]} -->\n\n{TABLES[mark[1]]()}\n\n<!-- end -->"

    return re.sub(r"<!-- table (\w+) -->.*?<!-- end -->", made, text, flags=re.DOTALL)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--write", action="store_true", help="into docs/results.md")
    if arguments.parse_args().write:
        write_text(PAGE, with_tables(PAGE.read_text(encoding="utf-8")))
        for name, figure in DRAWN.items():
            write_bytes(DRAWINGS / f"{name}.svg", drawn(figure()))
        return
    for name, table in TABLES.items():
        print(f"{name}\n\n{table()}\n")


if __name__ == "__main__":
    main()
