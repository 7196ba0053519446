"""The two phases of a pretrained run."""

from dr_lib.config import RunConfig

FEATURE_EXTRACTION = "feature extraction"
"""Only the head learns; the backbone is frozen to the bit."""

FINE_TUNING = "fine-tuning"
"""All weights learn."""


def phase_of(config: RunConfig, epoch: int) -> str:
    """Return the phase of ``epoch`` (counted from 1); networks from random weights are fine-tuned throughout."""
    in_first = config.pretrained and epoch <= config.feature_extraction_epochs
    return FEATURE_EXTRACTION if in_first else FINE_TUNING
