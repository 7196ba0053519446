"""Which testing photographs of a run are worth looking at: the surest answers, and the worst mistakes."""

from collections.abc import Sequence

import pandas as pd

from dr_lib import REFERABLE_GRADE
from dr_lib.evaluation.predictions import with_certainty
from dr_lib.report.experiment_results import ExperimentResults, RunResults
from dr_lib.report.formatting import percent


def best_run(experiment: ExperimentResults, model: str = "") -> RunResults | None:
    """Return the finished run, of ``model`` if given, with the highest kappa; of equals the most accurate."""
    runs = [run for run in experiment.done if model in ("", run.model)]
    return min(runs, key=lambda run: (-run.test["kappa"], -run.test["accuracy"], run.name), default=None)


def surest(predictions: pd.DataFrame, grade: int, *, right: bool) -> pd.Series | None:
    """Return the row of the photograph of ``grade`` whose right, or wrong, answer the run was surest of; else None.

    With the columns of ``predictions.csv`` it has ``certainty``, the probability of the answer.
    """
    rows = with_certainty(predictions[predictions["grade"] == grade])
    rows = rows[(rows["predicted"] == grade) == right]
    return None if rows.empty else rows.sort_values(["certainty", "image"], ascending=[False, True]).iloc[0]


def missed(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of referable photographs that were answered as not referable."""
    return predictions[(predictions["grade"] >= REFERABLE_GRADE) & (predictions["predicted"] < REFERABLE_GRADE)]


def false_alarms(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of photographs that are not referable and were answered as if they were."""
    return predictions[(predictions["grade"] < REFERABLE_GRADE) & (predictions["predicted"] >= REFERABLE_GRADE)]


def same_answer(runs: Sequence[RunResults], image: str, answer: int) -> tuple[int, int]:
    """Return how many of ``runs`` answer a photograph so, and how many were asked."""
    answers = [table.loc[table["image"] == image, "predicted"] for table in (run.done_predictions for run in runs)]
    asked = [int(one.iloc[0]) for one in answers if len(one)]
    return asked.count(answer), len(asked)


def sureness(probability: float) -> str:
    """Return ``97%``, and ``over 99%`` rather than a certainty that no network has."""
    return "over 99%" if probability >= 0.995 else percent(probability, 0)
