"""The two phases of a run, the learning rate at every step, and what a larger batch makes of it.

A rate is a function of the step alone: a checkpoint holds nothing of it, and a resumed run is on it by construction.
"""

import math
from typing import Literal

from dr_lib.config import RunConfig

FEATURE_EXTRACTION = "feature extraction"
"""Only the head learns; the backbone is frozen to the bit."""

FINE_TUNING = "fine-tuning"
"""All weights learn."""

ONE_CYCLE_RISE = 0.3
"""Share of the steps in which one cycle climbs; this and the next two are torch's ``OneCycleLR``'s defaults."""

ONE_CYCLE_START = 25.0
"""What one cycle divides the highest rate by at its first step."""

ONE_CYCLE_END = 1e4
"""What one cycle divides its first rate by at its last step."""


def phase_of(config: RunConfig, epoch: int) -> str:
    """Return the phase of ``epoch`` (counted from 1); networks from random weights are fine-tuned throughout."""
    in_first = config.pretrained and epoch <= config.feature_extraction_epochs
    return FEATURE_EXTRACTION if in_first else FINE_TUNING


def scaled_learning_rate(
    learning_rate: float, batch_size: int, reference_batch: int, rule: Literal["none", "linear", "sqrt"]
) -> float:
    """Return the rate for batches of ``batch_size`` where ``learning_rate`` is meant for ``reference_batch``.

    linear: N times the batch, N times the rate, so that a photograph moves the weights equally far (Goyal et al. 2017,
    section 2.1; NVIDIA's ResNet v1.5 from 0.256 at 256). sqrt: the square root of N times the rate, so that the noise
    of a step keeps its variance (Krizhevsky 2014; Hoffer et al. 2017). Both are in the lab report's discussion of the
    batch size.
    """
    ratio = batch_size / reference_batch
    if rule == "none":
        return learning_rate
    if rule == "linear":
        return learning_rate * ratio
    if rule == "sqrt":
        return learning_rate * math.sqrt(ratio)
    raise ValueError(f"rule {rule!r} is none of none, linear, sqrt")


def learning_rate_at(
    step: int,
    *,
    total_steps: int,
    base: float,
    schedule: Literal["constant", "cosine", "onecycle"],
    warmup_steps: int = 0,
) -> float:
    """Return the learning rate of ``step``, counted from 0, of ``total_steps``; ``base`` is the highest there is.

    The first ``warmup_steps`` climb to ``base`` by equal amounts, the first of them being one such amount (Goyal et
    al. 2017, section 2.2). Then constant: ``base``. cosine: half a cosine from ``base`` down to where 0 would be one
    step after the last (Loshchilov and Hutter 2017, eq. 5, without restarts). onecycle has a climb of its own and takes
    no other: half a cosine up, another down to next to nothing (Smith and Topin 2017, annealed as in torch's
    ``OneCycleLR``; momentum stays as it is).
    """
    if not 0 <= step < total_steps:
        raise ValueError(f"step {step} is none of the {total_steps} there are")
    if schedule == "onecycle":
        if warmup_steps:
            raise ValueError("onecycle warms up by itself and takes no warmup_steps")
        return _one_cycle(step, total_steps, base)
    if schedule not in ("constant", "cosine"):
        raise ValueError(f"schedule {schedule!r} is none of constant, cosine, onecycle")
    if step < warmup_steps:
        return base * (step + 1) / warmup_steps
    if schedule == "constant":
        return base
    return _half_cosine(base, 0.0, (step - warmup_steps) / (total_steps - warmup_steps))


def _one_cycle(step: int, total_steps: int, highest: float) -> float:
    first = highest / ONE_CYCLE_START
    # Of a few steps the top may lie before the first: there is then no climb.
    top, last = ONE_CYCLE_RISE * total_steps - 1, total_steps - 1
    if step <= top:
        return _half_cosine(first, highest, step / top)
    return _half_cosine(highest, first / ONE_CYCLE_END, (step - top) / (last - top))


def _half_cosine(start: float, end: float, way: float) -> float:
    """Return the value at ``way`` (0..1) from ``start`` to ``end``, level at both ends."""
    return end + (start - end) * (1 + math.cos(math.pi * way)) / 2
