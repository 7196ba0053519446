"""The parts of the report that come from numbers: each takes a study and returns what a notebook cell shows."""

from dr_lib.report.markup import style
from dr_lib.report.sections.discussion import batch_sizes, class_weights, imbalance
from dr_lib.report.sections.opening import answer, byline, runs_table
from dr_lib.report.sections.photographs import augmented_photographs, sample_photographs
from dr_lib.report.sections.preprocessing import damaged_files, photographs_table
from dr_lib.report.sections.results import (
    accuracy_figures,
    confusion_figures,
    depth,
    highest_accuracies,
    pretraining,
    seeds,
)
from dr_lib.report.sections.setup import block_figures, hyperparameters, networks, provenance, stride_figure
from dr_lib.report.sections.studies import degradation_here, study_findings

__all__ = [
    "accuracy_figures", "answer", "augmented_photographs", "batch_sizes", "block_figures", "byline", "class_weights",
    "confusion_figures", "damaged_files", "degradation_here", "depth", "highest_accuracies", "hyperparameters",
    "imbalance", "networks", "photographs_table", "pretraining", "provenance", "runs_table", "sample_photographs",
    "seeds", "stride_figure", "study_findings", "style",
]  # fmt: skip
