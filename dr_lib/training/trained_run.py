"""A run and its results, read from its folder when they are asked for."""

from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from dr_lib.config import RunConfig
from dr_lib.errors import InputError, closest_path
from dr_lib.evaluation.predictions import worst_first
from dr_lib.evaluation.summary import Estimate, estimates
from dr_lib.storage.run_folder import RunFolder
from dr_lib.system.terminal import counted

if TYPE_CHECKING:  # matplotlib is imported where something is drawn: processes that train do without
    from matplotlib.axes import Axes


class Run:
    """One run of a network, finished or not.

    >>> run = dr_lib.train(config)
    >>> run.state, len(run.history)
    ('done', 1)
    >>> run.predictions.columns[:4].tolist()
    ['image', 'patient', 'grade', 'predicted']
    """

    def __init__(self, path: str | Path):
        self.folder = RunFolder(Path(path))
        if not self.folder.path.is_dir():
            raise InputError(f"{path}: no such run{closest_path(path)}; runs are in the folder runs/ of an experiment")

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.folder.path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def state(self) -> str:
        """``queued``, ``running``, ``done``, ``failed`` or ``interrupted``, as its folder says now."""
        return self.folder.read_status()["state"]

    @property
    def reason(self) -> str:
        """Why it failed or stopped; empty otherwise."""
        return self.folder.read_status().get("reason", "")

    @cached_property
    def config(self) -> RunConfig:
        """Its parameters."""
        return RunConfig.from_mapping(self.folder.read_config()["parameters"])

    @property
    def history(self) -> pd.DataFrame:
        """One row an epoch; accuracies are shares 0..1. See :data:`dr_lib.storage.run_folder.HISTORY_COLUMNS`."""
        return self.folder.read_history()

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """One row a test photograph, at the chosen epoch: ``image, patient, grade, predicted, p0..p4``."""
        self._check_done("predictions")
        return self.folder.read_predictions()

    @cached_property
    def validation(self) -> pd.DataFrame:
        """The same of the validation photographs, which chose the epoch; no rows where the run had none."""
        self._check_done("predictions")
        return self.folder.read_predictions("validation") if self.folder.validation.exists() else self.predictions[:0]

    def referral(self, prevalence: float | None = None) -> pd.DataFrame:
        """What referring from a threshold up does to the test photographs and patients (worse eye), a row each.

        Validation photographs set the thresholds; without any, test photographs do (``set_on``), which flatters.
        ``prevalence``: share of the referable among those to be seen, 0..1, for ``ppv`` and ``npv``; by default that of
        the test photographs, or patients.
        """
        from dr_lib.evaluation.referral import referral  # scikit-learn: a second, which opening a run would wait for

        found = referral(self.predictions, self.validation if len(self.validation) else None, prevalence)
        rows = [
            {"of": unit, "point": point, "set_on": found["set_on"]}
            | {name: value for name, value in figures.items() if name != "intervals"}
            | {
                f"{name}_{end}": ends[which]
                for name, ends in figures["intervals"].items()
                if ends
                for which, end in enumerate(("low", "high"))
            }
            for unit in ("photographs", "patients")
            for point, figures in found[unit].items()
            if figures
        ]
        return pd.DataFrame(rows)

    @property
    def mistakes(self) -> pd.DataFrame:
        """The wrong predictions, the farthest from the true grade first, then those that it was surest of.

        Two more columns: ``certainty``, the probability of the answer, 0..1, and ``distance`` in grades.
        """
        table = self.predictions
        return worst_first(table[table["grade"] != table["predicted"]]).reset_index(drop=True)

    @cached_property
    def metrics(self) -> dict[str, Estimate]:
        """Each metric on the test photographs: ``value``, and ``low`` and ``high`` of its 95 % interval over patients.

        One with a value a grade has an entry a grade, ``recall_0`` to ``recall_4``. ``None`` where it is undefined.
        """
        return estimates(self._summary["test"])

    @property
    def chosen_epoch(self) -> int:
        """The epoch whose network was kept and tested, counted from 1."""
        return self._summary["chosen_epoch"]

    @property
    def highest_testing_accuracy(self) -> float:
        """The lab report's figure: the best testing accuracy of all epochs, 0..1; optimistic, since it was chosen."""
        return self._summary["highest_testing_accuracy"]["accuracy"]

    def plot_history(self, *, ax: "Axes | None" = None) -> "Axes":
        """Draw training and testing accuracy of each epoch; a dot marks the chosen one, dashes the majority.

        Under MixUp there is no training accuracy.
        """
        from dr_lib.plots import network_colors, new_axes, plot_accuracy

        rows = self.history.set_index("epoch")
        curves = {"testing": rows["test_accuracy"], "training": rows["train_accuracy"]}
        curves = {name: curve for name, curve in curves.items() if curve.notna().any()}  # none of training under MixUp
        done = self.state == "done"
        return plot_accuracy(
            curves,
            color=network_colors([self.config.model])[self.config.model],
            majority=self._summary["test"]["majority_accuracy"] if done else None,
            head_only=int((rows["phase"] == "feature extraction").sum()),
            chosen={"testing": self.chosen_epoch} if done else None,
            ax=new_axes(ax),
        )

    def plot_confusion(
        self, *, normalize: Literal["true", "pred", "all"] | None = "true", ax: "Axes | None" = None
    ) -> "Axes":
        """Draw the confusion matrix of the test photographs; ``normalize`` as in scikit-learn."""
        from dr_lib.plots import new_axes, plot_confusion

        return plot_confusion(self._summary["test"]["confusion_matrix"], normalize=normalize, ax=new_axes(ax))

    def plot_calibration(self, *, ax: "Axes | None" = None) -> "Axes":
        """Draw how often its answers are right against how sure it was; dashed, after temperature scaling."""
        from dr_lib.evaluation.calibration import equal_bins
        from dr_lib.plots import network_colors, new_axes, plot_reliability

        summary = self._summary
        color = network_colors([self.config.model])[self.config.model]
        before = summary["test"]["calibration"] | {"bins": equal_bins(self.predictions)}
        scaled = summary.get("temperature_scaling")
        after = scaled and scaled | {"bins": equal_bins(self.predictions, scaled["temperature"])}
        return plot_reliability(before, after, color=color, ax=new_axes(ax, 5.0, 6.0))

    @cached_property
    def _summary(self) -> dict[str, Any]:
        self._check_done("metrics")
        return self.folder.read_metrics()

    def _check_done(self, what: str) -> None:
        if self.state != "done":
            because = f" ({self.reason})" if self.reason else ""
            raise InputError(f"{self.path}: no {what}, the run is {self.state}{because}; train it to its end first")

    def __repr__(self) -> str:
        if self.state != "done":
            return f"Run({self.name}: {self.state})"
        kappa, accuracy = self.metrics["kappa"], self.metrics["accuracy"]
        return (
            f"Run({self.name}: done, epoch {self.chosen_epoch} chosen; quadratic weighted kappa {kappa:.3f}, "
            f"accuracy {accuracy:.3f})"
        )

    def _repr_html_(self) -> str:
        if self.state != "done":
            return f"<p>{escape(repr(self))}</p>"
        names = ("accuracy", "balanced_accuracy", "kappa", "macro_auc", "referable_auc")
        table = pd.DataFrame({name: self.metrics[name]._asdict() for name in names}).T
        html = table.to_html(float_format="{:.3f}".format)
        return f"<p>{escape(self.name)}: {escape(self.describe())}</p>{html}"

    def describe(self) -> str:
        """Return what was tested, at which epoch, and what the figures are to be measured by."""
        test, highest = self._summary["test"], self._summary["highest_testing_accuracy"]
        unknown = f", {test['unknown_patients']:,} of unknown ones" if test.get("unknown_patients") else ""
        chosen = self._summary["select_by"]
        return (
            f"{counted(test['photographs'], 'photograph')} of {counted(test['patients'], 'patient')}{unknown}, "
            f"tested at epoch "
            f"{self.chosen_epoch}, {'the last one' if chosen == 'last' else f'chosen by {chosen}'}. "
            f"The highest testing accuracy of all epochs is {100 * highest['accuracy']:.2f} %, in epoch "
            f"{highest['epoch']}; the commonest grade alone is right for {100 * test['majority_accuracy']:.2f} %."
        )
