"""An experiment, finished or not: its runs and their differences as tables, its figures for notebooks, its report."""

from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from dr_lib import GRADES
from dr_lib.errors import InputError
from dr_lib.report.audit_findings import findings_table
from dr_lib.report.collect import collect
from dr_lib.report.comparisons import compare_family
from dr_lib.report.examples import best_run, sureness
from dr_lib.report.experiment_results import ExperimentResults
from dr_lib.report.pictures import find_pictures
from dr_lib.report.results_files import results_rows
from dr_lib.report.run_group import RunGroup
from dr_lib.storage.folders import ExperimentFolder, latest_experiment
from dr_lib.training.trained_run import Run

if TYPE_CHECKING:  # what draws is imported where it is needed: the process that looks after runs does without
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_LINES = 10
_SIDE = 220
"""Side of a photograph in a gallery, px."""
_SHOWN = ("run", "state", "accuracy", "balanced_accuracy", "kappa", "macro_auc", "referable_auc")
_FIGURES = ("accuracy", "kappa", "balanced_accuracy", "macro_auc", "referable_auc")
_LABS_QUESTION = {"pretrained": "pretrained", "model": "model", "weighted": "class_weights"}
"""What the report compares, in its order, and the parameter that it is."""


class Experiment:
    """The runs of one experiment folder.

    Its tables are read when first asked for, all at one time; make another object to see what came since.

    >>> exp = dr_lib.load_experiment(experiment)
    >>> exp.results[["run", "state"]].values.tolist()
    [['resnet18', 'done'], ['resnet18-weighted', 'done']]
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._folders = ExperimentFolder(self.path).existing_runs()

    @property
    def runs(self) -> dict[str, Run]:
        """Its runs by name: finished, failed, running and queued ones."""
        return {folder.name: Run(folder.path) for folder in self._folders}

    @property
    def best(self) -> Run:
        """The finished run with the highest kappa on the test photographs; of equals, the most accurate."""
        best = best_run(self._collected)
        if best is None:
            raise InputError(f"{self.path}: no run has finished; there is no best one")
        return self.runs[best.name]

    @cached_property
    def _collected(self) -> ExperimentResults:
        return collect(self.path)

    @cached_property
    def results(self) -> pd.DataFrame:
        """One row a run: its state, the parameters that differ, and each metric with its ``_low`` and ``_high``.

        Shares are 0..1, intervals are of 95 % over patients, times are seconds. ``results.csv`` has the main ones.
        """
        return pd.DataFrame(results_rows(self._collected))

    @cached_property
    def settings(self) -> pd.DataFrame:
        """One row a setting, the most accurate first: finished runs that differ in their seed alone count together.

        ``runs``: how many. Of each metric the mean over seeds, ``_sd`` its standard deviation (missing for one run),
        ``_low`` and ``_high`` the 95 % interval over patients and seeds.
        """
        rows = []
        for group in self._collected.configurations:
            row: dict[str, object] = {"setting": group.label, "runs": len(group.runs)}
            for name in _FIGURES:
                figure = group.figure(name)
                row |= {name: figure.mean, f"{name}_sd": figure.sd}
                row |= {f"{name}_low": figure.low, f"{name}_high": figure.high}
            rows.append(row)
        return pd.DataFrame(rows)

    @cached_property
    def splits(self) -> pd.DataFrame:
        """How many photographs each split has of each grade: index 0-4, a column a split."""
        counts = {name: split["counts"] for name, split in self._collected.splits.items()}
        return pd.DataFrame(counts, index=pd.Index(GRADES, name="grade"))

    @cached_property
    def audit(self) -> pd.DataFrame:
        """What the audit found worth a look, as in :attr:`dr_lib.Audit.findings`.

        Empty where there was no audit; :func:`dr_lib.audit` makes one.
        """
        return findings_table(self._collected.audit)

    @cached_property
    def history(self) -> pd.DataFrame:
        """The histories of all finished runs in one table, one row an epoch.

        The first columns are ``run, setting, model, pretrained, class_weights, seed``; see :attr:`settings`.
        """
        return self._long("history")

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """The predictions of all finished runs in one table, with the same first columns."""
        return self._long("predictions")

    def compare(self, parameter: str | None = None) -> pd.DataFrame:
        """Return the differences between runs that differ in ``parameter`` alone; seeds of one setting count together.

        Without ``parameter``: the comparisons of the report, those of ``pretrained``, ``model`` (shallowest and
        deepest network) and ``class_weights``, as far as there are any.

        One row a pair: ``parameter``, ``first``, ``second``, and of ``accuracy``, ``kappa``, ``balanced_accuracy``,
        ``macro_auc`` and ``referable_auc`` the second's less the first's, with ``_low`` and ``_high`` of its 95 %
        interval and ``_p``, over the same patients on both sides (and seeds, where there are several). Intervals and p
        hold for the whole table and for recalls together, see :mod:`dr_lib.evaluation.effects`. Raises
        :class:`InputError` where no two runs differ in ``parameter`` alone.
        """
        if parameter is None:
            names = [name for key, name in _LABS_QUESTION.items() for _ in self._collected.effects[key]]
            effects = self._collected.all_effects
        else:
            effects = compare_family(self._collected.pairs_of(parameter))
            names = [parameter] * len(effects)
        columns = [f"{name}{end}" for name in _FIGURES for end in ("", "_low", "_high", "_p")]
        rows = []
        for name_of_pair, effect in zip(names, effects, strict=True):
            row: dict[str, object] = {
                "parameter": name_of_pair, "first": effect.first.label, "second": effect.second.label,
            }  # fmt: skip
            for name in _FIGURES:
                change = getattr(effect.change, name)
                values = (change.value, change.low, change.high, change.p) if change else (None,) * 4
                row |= dict(zip((f"{name}{end}" for end in ("", "_low", "_high", "_p")), values, strict=True))
            rows.append(row)
        if not rows and parameter is not None:
            varied = ", ".join(self._collected.differing) or "nothing"
            raise InputError(f"{self.path}: no two finished runs differ in {parameter} alone; they differ in {varied}")
        return pd.DataFrame(rows, columns=["parameter", "first", "second", *columns])

    def report(self, *, normalize: Literal["true", "pred", "all"] | None = "true") -> Path:
        """Write the HTML report, ``index.html``, and the tables beside it; return its path.

        ``normalize``: of confusion matrices, as in scikit-learn.
        """
        from dr_lib.report.build import build_report  # runs a notebook, which needs much

        return build_report(self.path, normalize=normalize)

    def clean(self, *, superseded: bool = False) -> list[Path]:
        """Delete what is not needed any more, and return it: the states that finished runs have gone on from.

        ``superseded``: also results that were set aside. The same as ``dr-lab clean``.
        """
        return ExperimentFolder(self.path).clean(superseded=superseded)

    def plot_metric(self, metric: str = "kappa", *, most: int = 20, ax: "Axes | None" = None) -> "Axes":
        """Draw a metric of each finished run as a dot, seeds of one setting on one line with their mean and its 95 %
        interval.

        ``most``: so many settings, the most accurate ones.
        """
        groups = self._finished()[:most]
        known = [name for name, value in self._collected.done[0].test["intervals"].items() if len(value or ()) == 2]
        if metric not in known:
            raise InputError(f"plot_metric: {metric!r} is none of {', '.join(known)}")
        means = {group.label: group.figure(metric) for group in groups}
        from dr_lib.plots import new_axes, plot_settings

        ax = plot_settings(
            {group.label: [run.test[metric] for run in group.runs] for group in groups},
            {label: (mean.low, mean.high) if mean.known else None for label, mean in means.items()},
            words="{:.3g}".format,
            ax=new_axes(ax, 8, 1 + 0.45 * len(groups)),
        )
        ax.set_xlabel(metric)
        return ax

    def plot_history(self, column: str = "test_accuracy", *, ax: "Axes | None" = None) -> "Axes":
        """Draw a column of :attr:`history` by epoch, a line a setting; a band from its lowest seed to its highest.

        Of many settings the ten most accurate.
        """
        labels = [group.label for group in self._finished()[:_MOST_LINES]]
        history = self.history[self.history["setting"].isin(labels)]
        numbers = history.select_dtypes("number").columns.drop(["epoch", "seed"])
        if column not in numbers:
            raise InputError(f"plot_history: {column!r} is none of {', '.join(numbers)}")
        from dr_lib.plots import new_axes, plot_column

        return plot_column(history, column, labels, ax=new_axes(ax, 8))

    def plot_confusion(self, normalize: Literal["true", "pred", "all"] | None = "true") -> "Figure":
        """Draw the confusion matrices of the report's settings, over all seeds; ``normalize`` as in scikit-learn."""
        import matplotlib.pyplot as plt

        from dr_lib.plots import plot_confusion

        groups = self._main()
        rows = (len(groups) + 1) // 2
        size = (11 if len(groups) > 1 else 5.5, 5.5 * rows)
        figure, grid = plt.subplots(rows, min(2, len(groups)), figsize=size, layout="constrained", squeeze=False)
        for place, ax in enumerate(grid.flat):
            if place < len(groups):
                plot_confusion(groups[place].confusion_matrix, normalize=normalize, ax=ax)
                ax.set_title(groups[place].label)
            else:
                ax.remove()
        return figure

    def plot_roc(self, *, ax: "Axes | None" = None) -> "Axes":
        """Draw ROC curves of referable retinopathy (grade 2 and above), of the report's settings.

        Of several seeds the lowest. A setting tested on referable photographs alone, or on none, has no curve.
        """
        from dr_lib.evaluation.metrics import referable, roc_curve
        from dr_lib.plots import new_axes, plot_roc
        from dr_lib.report.drawing import curve_styles

        groups = {group.curve_label: group for group in self._main()}
        curves = {label: roc_curve(*referable(group.first.done_predictions)) for label, group in groups.items()}
        drawn = {label: curve for label, curve in curves.items() if curve is not None}
        tests = {label: groups[label].first.test for label in drawn}
        return plot_roc(
            drawn,
            styles=curve_styles(self._collected.models, list(groups.values()), list(groups)),
            areas={label: test["referable_auc"] for label, test in tests.items()},
            intervals={label: test["intervals"].get("referable_auc") for label, test in tests.items()},
            ax=new_axes(ax, 7, 6 + 0.25 * len(drawn)),
        )

    def plot_mistakes(self, count: int = 10, *, run: str = "") -> "Figure":
        """Draw the worst mistakes of a run (the best one unless named) as whole photographs, with what it answered.

        They come in the order of :attr:`dr_lib.Run.mistakes`. Of a photograph that is not on this machine there are
        the words alone.
        """
        import matplotlib.pyplot as plt

        if run and run not in self.runs:
            raise InputError(f"plot_mistakes: {run!r} is none of {', '.join(self.runs)}")
        chosen = self.runs[run] if run else self.best
        rows = chosen.mistakes.head(count)
        pictures = find_pictures(self._collected)
        here = not isinstance(pictures, str) and pictures.include(chosen.predictions)
        opened = dict(pictures.opened(rows["image"], at_least=_SIDE)) if here and not isinstance(pictures, str) else {}
        lines = max(1, -(-len(rows) // 5))
        figure, grid = plt.subplots(lines, 5, figsize=(11, 2.7 * lines), layout="constrained", squeeze=False)
        for ax in grid.flat:
            ax.set_axis_off()
        for ax, row in zip(grid.flat, rows.to_dict("records"), strict=False):
            if row["image"] in opened:
                ax.imshow(opened[row["image"]])
            else:
                ax.text(0.5, 0.5, "not on this machine", ha="center", va="center", transform=ax.transAxes)
            answer = f"grade {row['grade']}, called {row['predicted']}\n{sureness(row['certainty'])} sure"
            ax.set_title(f"{row['image']}\n{answer}", fontsize=9, parse_math=False)
        shown = f"the worst {len(rows)} of {len(chosen.mistakes)} mistakes" if len(rows) else "no mistakes"
        figure.suptitle(f"{chosen.name}: {shown}", parse_math=False)
        return figure

    def _finished(self) -> tuple[RunGroup, ...]:
        if not self._collected.configurations:
            raise InputError(f"{self.path}: no run has finished; there is nothing to draw")
        return self._collected.configurations

    def _main(self) -> list[RunGroup]:
        """Return the settings that the report draws: without class weights, or with where none is without."""
        self._finished()
        main = self._collected.main
        return [group for group in main if not group.weighted] or list(main)

    def _long(self, table: Literal["history", "predictions"]) -> pd.DataFrame:
        frames = []
        settings = {run.name: group.label for group in self._collected.configurations for run in group.runs}
        for run in self._collected.done:
            frame = getattr(run, table)
            columns = {name: run.parameters.get(name) for name in ("model", "pretrained", "class_weights", "seed")}
            columns = {"setting": settings[run.name], **columns}
            frames.append(frame.assign(run=run.name, **{k: [v] * len(frame) for k, v in columns.items()}))
        if not frames:
            raise InputError(f"{self.path}: no run has finished; there is no {table} yet")
        long = pd.concat(frames, ignore_index=True)
        first = ["run", "setting", "model", "pretrained", "class_weights", "seed"]
        return long[first + [name for name in long if name not in first]]

    def __repr__(self) -> str:
        states = pd.Series([run.state for run in self._collected.runs]).value_counts()
        return f"Experiment({self.path}: {', '.join(f'{count} {state}' for state, count in states.items())})"

    def _repr_html_(self) -> str:
        shown = self.results[[name for name in _SHOWN if name in self.results]]
        return f"<h2>Experiment {escape(str(self.path))}</h2>{shown.to_html(float_format='{:.3f}'.format)}"


def load_experiment(path: str | Path = "") -> Experiment:
    """Return the experiment in the folder ``path``; empty: the one in ``reports/`` whose run finished last.

    Nothing is trained. Raises :class:`dr_lib.errors.InputError` where there are no runs.

    >>> dr_lib.load_experiment(experiment)
    Experiment(...: 2 done)
    """
    return Experiment(path or latest_experiment())
