"""A run's network on a data set, as in the lab's demo: load it, evaluate it, and the same figures come out."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from dr_lib import GRADE_NAMES
from dr_lib.config import DATA_PARAMETERS, combine, read_parameters
from dr_lib.data.crop_dataset import CropDataset
from dr_lib.data.prepare import prepare_data
from dr_lib.data.splits import SPLITS
from dr_lib.data.transforms import EvalTransform
from dr_lib.errors import InputError, check_finite
from dr_lib.evaluation.predict import predict
from dr_lib.evaluation.predictions import prediction_table
from dr_lib.evaluation.summary import summarize
from dr_lib.models.trained import load_trained
from dr_lib.report.formatting import counted, patients
from dr_lib.storage.run_folder import run_of
from dr_lib.system.progress import Progress
from dr_lib.training.device import resolve_device
from dr_lib.training.loaders import Batches, make_loader, workers_for

ALL = "all"
"""In place of a split: every photograph of the data set."""


def evaluate_checkpoint(checkpoint: Path, data_file: Path, assignments: list[str], split: str) -> dict[str, Any]:
    """Return the figures of a run's checkpoint on one split of a data set, or on all of it, as :func:`summarize` does.

    From ``data_file`` come the parameters that say which photographs there are; sizes and network are the run's own,
    so the run's data give the run's accuracy to the bit. ``assignments`` (``KEY=VALUE``) win over both. The data need
    not do for training: there may be no split but the one that is asked for, or ``all``.
    """
    if split not in (*SPLITS, ALL):
        raise InputError(f"--split {split}: needs one of {', '.join((*SPLITS, ALL))}")
    if checkpoint.suffix.lower() == ".onnx":
        raise InputError(
            f"{checkpoint}: evaluate needs the checkpoint that it was exported from, RUN/checkpoints/best.pt"
        )
    trained = load_trained(checkpoint)
    combine([data_file])  # refuses what is not sound with the file's name
    where = {key: value for key, value in read_parameters(data_file).items() if key in DATA_PARAMETERS}
    config = combine([], assignments, base=trained.config.model_dump() | where)
    device = resolve_device(config.device)
    data = prepare_data(config, to_train=False)
    if split == ALL:
        data = replace(data, labels=replace(data.labels, table=data.table.assign(split="test")))
    photographs = CropDataset(data, "test" if split == ALL else split, EvalTransform.of(config))
    if not len(photographs):
        raise InputError(f"{data_file}: no {split} photographs; choose another --split, such as {ALL}")
    # The run's own batch size: sums of floats depend on the shapes that they are computed in.
    workers = workers_for(config, device, config.batch_size, photographs.transform)
    loader = make_loader(photographs, workers, device, batch_size=config.batch_size)
    with Progress() as progress:
        outputs, _ = predict(
            trained.model.to(device, memory_format=torch.channels_last),  # type: ignore[call-overload]  # not in the stub
            Batches(loader, trained.normalization.to(device), device),
            lambda seen: progress.bar(f"evaluating {split}", seen, len(photographs)),
        )
    finite = torch.from_numpy(check_finite(outputs, f"{checkpoint}: outputs of the network"))
    table = prediction_table(
        photographs.table, trained.head.probabilities(finite).numpy(), trained.head.predicted(finite).numpy()
    )
    known = data.split("train").grade
    return summarize(table, known if len(known) else None)


def figures_as_text(summary: dict[str, Any], split: str) -> str:
    """Return what :func:`evaluate_checkpoint` found, for people: figures with their intervals, and counts."""
    intervals = summary["intervals"]
    lines = [
        f"{split}: {counted(summary['photographs'], 'photograph')} of "
        f"{patients(summary['patients'], summary['unknown_patients'])}; in brackets 95 % intervals over patients",
        f"{'accuracy':34}{_figure(summary['accuracy'], intervals['accuracy'], 4)}",
        f"{'accuracy of the commonest grade':34}{_per_cent(summary['majority_accuracy'], 4)}",
        f"{'balanced accuracy':34}{_figure(summary['balanced_accuracy'], intervals['balanced_accuracy'])}",
        f"{'quadratic weighted kappa':34}{_number(summary['kappa'], intervals['kappa'])}",
        f"{'macro F1':34}{_number(summary['macro_f1'], intervals['macro_f1'])}",
        f"{'macro AUC':34}{_number(summary['macro_auc'], intervals['macro_auc'])}",
        f"{'referable DR (grade >= 2), AUC':34}{_number(summary['referable_auc'], intervals['referable_auc'])}",
    ]
    for name, given, answer in (
        ("referable_at_90_sensitivity", "sensitivity 90 %", "specificity"),
        ("referable_at_95_specificity", "specificity 95 %", "sensitivity"),
    ):
        label = f"  {answer} at {given}"
        lines.append(f"{label:34}{_figure(summary[name][answer], intervals[name][answer])}")
    lines.append("  (thresholds set on these photographs, which flatters a little)")
    lines += ["", "counts, a row a true grade, a column an answer", f"{'':18}" + "".join(f"{g:>7}" for g in range(5))]
    for grade, row in enumerate(summary["confusion_matrix"]):
        lines.append(f"{grade} {GRADE_NAMES[grade]:16}" + "".join(f"{count:>7}" for count in row))
    return "\n".join(lines)


def agreement_with_run(checkpoint: Path, summary: dict[str, Any]) -> str:
    """Return a sentence on how the figures of testing photographs compare with the run's own; empty where unknown."""
    run = run_of(checkpoint)
    if run is None:
        return ""
    theirs = run.read_metrics()["test"]
    accuracy = f"{_per_cent(theirs['accuracy'], 4)} of {counted(theirs['photographs'], 'photograph')}"
    if all(theirs[name] == summary[name] for name in ("accuracy", "kappa", "confusion_matrix")):
        return f"The run's own figures on its testing photographs are the same: accuracy {accuracy}."
    return f"The run's own accuracy on its testing photographs was {accuracy}."


def _figure(value: float | None, interval: list[float] | None, digits: int = 1) -> str:
    return _with_interval(_per_cent(value, digits), interval, lambda end: f"{100 * end:.1f}")


def _number(value: float | None, interval: list[float] | None) -> str:
    text = "undefined" if value is None else f"{value:.4f}"
    return _with_interval(text, interval, lambda end: f"{end:.3f}")


def _per_cent(value: float | None, digits: int) -> str:
    return "undefined" if value is None else f"{100 * value:.{digits}f} %"


def _with_interval(text: str, interval: list[float] | None, end_text) -> str:
    return text if interval is None else f"{text:10} ({end_text(interval[0])} to {end_text(interval[1])})"
