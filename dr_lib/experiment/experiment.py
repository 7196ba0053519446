"""An experiment, finished or not: its tables, its figures for notebooks, and its report."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dr_lib.errors import InputError
from dr_lib.experiment.experiment_tables import ExperimentTables
from dr_lib.report.examples import sureness
from dr_lib.report.pictures import find_pictures
from dr_lib.report.run_group import RunGroup
from dr_lib.storage.find_experiments import latest_experiment

if TYPE_CHECKING:  # what draws is imported where it is needed: the process that looks after runs does without
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_LINES = 10
_SIDE = 220
"""Side of a photograph in a gallery, px."""


class Experiment(ExperimentTables):
    """The runs of one experiment folder.

    Its tables are read when first asked for, all at one time; make another object to see what came since.

    >>> exp = dr_lib.load_experiment(experiment)
    >>> exp.results[["run", "state"]].values.tolist()
    [['resnet18', 'done'], ['resnet18-weighted', 'done']]
    """

    def report(self, *, normalize: Literal["true", "pred", "all"] | None = "true") -> Path:
        """Write the HTML report, ``index.html``, and the tables beside it; return its path.

        ``normalize``: of confusion matrices, as in scikit-learn.
        """
        from dr_lib.report.build import build_report  # runs a notebook, which needs much

        return build_report(self.path, normalize=normalize)

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

        groups = {group.short_label: group for group in self._main()}
        curves = {label: roc_curve(*referable(group.first.done_predictions)) for label, group in groups.items()}
        drawn = {label: curve for label, curve in curves.items() if curve is not None}
        tests = {label: groups[label].first.test for label in drawn}
        return plot_roc(
            drawn,
            styles=curve_styles(self._collected.models, list(groups.values())),
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
        found = find_pictures(self._collected)
        here = not isinstance(found, str) and found.include(chosen.predictions)
        opened = dict(found.opened(rows["image"], at_least=_SIDE)) if here and not isinstance(found, str) else {}
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


def load_experiment(path: str | Path = "") -> Experiment:
    """Return the experiment in the folder ``path``; empty: the one in ``reports/`` whose run finished last.

    Nothing is trained. Raises :class:`dr_lib.errors.InputError` where there are no runs.

    >>> dr_lib.load_experiment(experiment)
    Experiment(...: 2 done)
    """
    return Experiment(path or latest_experiment())
