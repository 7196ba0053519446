"""The parts of the report that come from numbers: from an experiment's results to HTML."""

from dr_lib.report.sections.answer import answer, byline
from dr_lib.report.sections.calibration import calibration
from dr_lib.report.sections.confusion import confusion_figures
from dr_lib.report.sections.cost import cost
from dr_lib.report.sections.discussion import batch_sizes, class_weights, imbalance
from dr_lib.report.sections.explanations import looked_at
from dr_lib.report.sections.first_screen import curves_and_confusion, effects_table, limits_line, links, tiles
from dr_lib.report.sections.metrics_table import figures_of_merit
from dr_lib.report.sections.mistakes import worst_mistakes
from dr_lib.report.sections.networks import block_figures, networks, stride_figure
from dr_lib.report.sections.photographs import augmented_photographs, sample_photographs
from dr_lib.report.sections.preprocessing import damaged_files, data_card, photographs_table
from dr_lib.report.sections.referable import referable_figures
from dr_lib.report.sections.reproduce import provenance
from dr_lib.report.sections.results import accuracy_figures, highest_accuracies, training_course
from dr_lib.report.sections.runs import runs_table
from dr_lib.report.sections.setup import hyperparameters
from dr_lib.report.sections.significance import limitations, other_eyes, seeds
from dr_lib.report.sections.sweeps import degradation_here, sweep_findings

__all__ = [
    "accuracy_figures",
    "answer",
    "augmented_photographs",
    "batch_sizes",
    "block_figures",
    "byline",
    "calibration",
    "class_weights",
    "confusion_figures",
    "cost",
    "curves_and_confusion",
    "damaged_files",
    "data_card",
    "degradation_here",
    "effects_table",
    "figures_of_merit",
    "highest_accuracies",
    "hyperparameters",
    "imbalance",
    "limitations",
    "limits_line",
    "links",
    "looked_at",
    "networks",
    "other_eyes",
    "photographs_table",
    "provenance",
    "referable_figures",
    "runs_table",
    "sample_photographs",
    "seeds",
    "stride_figure",
    "sweep_findings",
    "tiles",
    "training_course",
    "worst_mistakes",
]  # fmt: skip
