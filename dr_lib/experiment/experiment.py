"""An experiment, finished or not, as tables: what its runs are, how they differ, and its report."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from dr_lib.errors import InputError
from dr_lib.report.collect import collect, run_folders
from dr_lib.report.comparisons import compare_parameter
from dr_lib.report.experiment_results import ExperimentResults
from dr_lib.report.results_files import results_rows
from dr_lib.training.trained_run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHOWN = ("run", "state", "accuracy", "balanced_accuracy", "kappa", "macro_auc", "referable_auc")
_DIFFERENCES = ("accuracy", "kappa", "balanced_accuracy", "macro_auc", "referable_auc")


class Experiment:
    """The runs of one experiment folder.

    Its tables are read when first asked for, all at one time; make another object to see what came since.

    >>> exp = dr_lib.load_experiment(experiment)
    >>> exp.results[["run", "state"]].values.tolist()
    [['resnet18', 'done'], ['resnet18-weighted', 'done']]
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._folders = run_folders(path)

    @property
    def runs(self) -> dict[str, Run]:
        """Its runs by name: finished, failed, running and queued ones."""
        return {folder.name: Run(folder.path) for folder in self._folders}

    @cached_property
    def _collected(self) -> ExperimentResults:
        return collect(self.path)

    @cached_property
    def results(self) -> pd.DataFrame:
        """One row a run: its state, the parameters that differ, and each metric with its ``_low`` and ``_high``.

        Shares are 0..1, intervals are of 95 % over patients, times are seconds. The same as ``results.csv``.
        """
        return pd.DataFrame(results_rows(self._collected))

    @cached_property
    def history(self) -> pd.DataFrame:
        """The histories of all finished runs in one table: ``run, model, pretrained, class_weights, seed``, epochs."""
        return self._long("history")

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """The predictions of all finished runs in one table, with the same first columns."""
        return self._long("predictions")

    def compare(self, parameter: str) -> pd.DataFrame:
        """Return the differences between runs that differ in ``parameter`` alone; seeds of one setting count together.

        One row a pair: ``first``, ``second``, and of ``accuracy``, ``kappa``, ``balanced_accuracy``, ``macro_auc`` and
        ``referable_auc`` the second's less the first's with ``_low`` and ``_high`` of its 95 % interval, over the same
        patients on both sides (and seeds, where there are several). ``p``: McNemar's exact test of the accuracies, or
        Student's t over seeds; ``p_holm``: corrected for all rows (Holm 1979). Raises :class:`InputError` where no two
        runs differ in ``parameter`` alone.
        """
        rows = []
        for tested in compare_parameter(self._collected, parameter):
            row = {"first": tested.first.label, "second": tested.second.label}
            for name in _DIFFERENCES:
                change = getattr(tested.found, name)
                row |= {name: change and change.value}
                row |= {f"{name}_low": change and change.low, f"{name}_high": change and change.high}
            rows.append(row | {"p": tested.found.p, "p_holm": tested.corrected})
        if not rows:
            varied = ", ".join(self._collected.differing) or "nothing"
            raise InputError(f"{self.path}: no two finished runs differ in {parameter} alone; they differ in {varied}")
        return pd.DataFrame(rows)

    def report(self, *, normalize: Literal["true", "pred", "all"] | None = "true") -> Path:
        """Write the HTML report, ``index.html``, and the tables beside it; return its path.

        ``normalize``: of confusion matrices, as in scikit-learn.
        """
        from dr_lib.report.build import build_report  # runs a notebook, which needs much

        return build_report(self.path, normalize=normalize)

    def plot_metric(self, metric: str = "kappa", *, ax: "Axes | None" = None) -> "Axes":
        """Draw a metric of each finished run as a dot, seeds of one setting on one line with their mean and its 95 %
        interval."""
        groups = self._collected.configurations
        if not groups:
            raise InputError(f"{self.path}: no run has finished; there is nothing to draw")
        known = [name for name, value in self._collected.done[0].test["intervals"].items() if len(value or ()) == 2]
        if metric not in known:
            raise InputError(f"plot_metric: {metric!r} is none of {', '.join(known)}")
        means = {group.label: group.figure(metric) for group in groups}
        # Only where something is drawn: the process that looks after runs does without.
        import matplotlib.pyplot as plt

        from dr_lib.plots import plot_settings

        if ax is None:
            _, ax = plt.subplots(figsize=(6, 1 + 0.45 * len(groups)), layout="constrained")
        ax = plot_settings(
            {group.label: [run.test[metric] for run in group.runs] for group in groups},
            {label: (mean.low, mean.high) if mean.known else None for label, mean in means.items()},
            words="{:.3g}".format,
            ax=ax,
        )
        ax.set_xlabel(metric)
        return ax

    def _long(self, table: Literal["history", "predictions"]) -> pd.DataFrame:
        frames = []
        for run in self._collected.done:
            frame = getattr(run, table)
            facts = {name: run.parameters.get(name) for name in ("model", "pretrained", "class_weights", "seed")}
            frames.append(frame.assign(run=run.name, **{k: [v] * len(frame) for k, v in facts.items()}))
        if not frames:
            raise InputError(f"{self.path}: no run has finished; there is no {table} yet")
        long = pd.concat(frames, ignore_index=True)
        first = ["run", "model", "pretrained", "class_weights", "seed"]
        return long[first + [name for name in long if name not in first]]

    def __repr__(self) -> str:
        states = pd.Series([run.state for run in self._collected.runs]).value_counts()
        return f"Experiment({self.path}: {', '.join(f'{count} {state}' for state, count in states.items())})"

    def _repr_html_(self) -> str:
        return self.results[[name for name in _SHOWN if name in self.results]].to_html(float_format="{:.3f}".format)


def load_experiment(path: str | Path) -> Experiment:
    """Return the experiment in the folder ``path``; raises :class:`dr_lib.errors.InputError` where it holds no runs.

    >>> dr_lib.load_experiment(experiment)
    Experiment(...: 2 done)
    """
    return Experiment(path)
