"""An experiment, finished or not, as tables: what its runs are, and how they differ."""

from functools import cached_property
from pathlib import Path
from typing import Literal

import pandas as pd

from dr_lib.errors import InputError
from dr_lib.report.audit_text import findings
from dr_lib.report.collect import collect, run_folders
from dr_lib.report.comparisons import compare_family
from dr_lib.report.examples import best_run
from dr_lib.report.experiment_results import ExperimentResults
from dr_lib.report.results_files import results_rows
from dr_lib.training.trained_run import Run

_SHOWN = ("run", "state", "accuracy", "balanced_accuracy", "kappa", "macro_auc", "referable_auc")
_FIGURES = ("accuracy", "kappa", "balanced_accuracy", "macro_auc", "referable_auc")
_LABS_QUESTION = {"pretrained": "pretrained", "model": "model", "weighted": "class_weights"}
"""What the report compares, in its order, and the parameter that it is."""


class ExperimentTables:
    """The tables of an :class:`dr_lib.Experiment`, read when first asked for."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._folders = run_folders(path)

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

        Shares are 0..1, intervals are of 95 % over patients, times are seconds. The same as ``results.csv``.
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
        return pd.DataFrame(counts).rename_axis("grade")

    @cached_property
    def audit(self) -> pd.DataFrame:
        """What the audit found worth a look, one row each: ``section`` of its page, ``finding`` in a sentence.

        Empty where there was no audit; :func:`dr_lib.audit` makes one.
        """
        audit = self._collected.audit
        return pd.DataFrame(findings(audit) if audit else [], columns=["section", "finding"])

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
        return self.results[[name for name in _SHOWN if name in self.results]].to_html(float_format="{:.3f}".format)
