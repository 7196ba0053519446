"""Writing a run's network as ONNX, and keeping the file only if it answers as torch does."""

import io
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dr_lib import GRADES
from dr_lib.data.crops import ResizeSpec, resize_for_testing
from dr_lib.errors import InputError, check_finite
from dr_lib.inference.backends import OnnxBackend
from dr_lib.inference.end_to_end import EndToEndNetwork
from dr_lib.inference.exported import INPUT, OUTPUTS, Description, fingerprint
from dr_lib.inference.inputs import photographs_in
from dr_lib.inference.model import crops_of
from dr_lib.models.trained import TrainedNetwork, load_trained
from dr_lib.storage.checksums import ONNX_SEAL, write_sealed
from dr_lib.storage.files import folder_beside

try:
    import onnx
except ImportError:
    raise InputError("ONNX is not installed; pip install 'dr-lab[onnx]'") from None

OPSET = 18
"""Of 2022: what other programs read. Nothing here needs a newer one."""
TOLERANCE = 1e-4
"""Largest difference from torch's that is taken for rounding, as a share of the largest output, or of 1 where that is
less: sums of floats differ by their size."""
LARGEST = 2 * 10**9
"""Bytes that one protobuf message may have."""
CHECKED_ON = 4


def export_onnx(checkpoint: Path, out: Path, trained: TrainedNetwork | None = None) -> Path:
    """Write the network in ``checkpoint`` to ``out`` as :mod:`dr_lib.inference.exported` says; return ``out``.

    The file is checked by ONNX' own checker and against torch, on the run's photographs where they are at hand and on
    drawn ones, one at a time and together. Raises :class:`InputError` where the network cannot be exported, or answers
    differently by more than :data:`TOLERANCE`; then no file is left.
    """
    trained = trained or load_trained(checkpoint)
    whole = EndToEndNetwork(trained)
    recipe = resize_for_testing(trained.config)
    model = _traced(whole, recipe.side, checkpoint)
    onnx.helper.set_model_props(model, describe(checkpoint, trained).as_metadata())
    model.producer_name, model.producer_version = "dr-lab", version("dr-lab")
    model.doc_string = "Grades diabetic retinopathy, 0-4, from crops of fundus photographs; see metadata_props."
    out.parent.mkdir(parents=True, exist_ok=True)
    with folder_beside(out) as folder:
        beside = folder / out.name
        write_sealed(beside, lambda stream: stream.write(model.SerializeToString()), ONNX_SEAL)
        onnx.checker.check_model(str(beside), full_check=True)
        check_outputs_agree(beside, whole, crops_to_check(trained, recipe), checkpoint)
        os.replace(beside, out)
    return out


def describe(checkpoint: Path, trained: TrainedNetwork) -> Description:
    """Return what the exported file will say about itself."""
    config, normalization = trained.config, trained.normalization
    settings: dict[str, Any] = {"kind": normalization.kind}
    if normalization.kind in ("imagenet", "featurewise"):
        settings |= {"mean": normalization.mean.tolist(), "std": normalization.std.tolist()}
    return Description(
        config.model, config.head, resize_for_testing(config), config.image_size, config.test_time_augmentation,
        settings, fingerprint(checkpoint), version("dr-lab"), OPSET,
    )  # fmt: skip


@torch.inference_mode()
def check_outputs_agree(file: Path, whole: nn.Module, crops: np.ndarray, checkpoint: Path) -> None:
    """Raise :class:`InputError` unless the exported ``file`` answers as ``whole`` does for uint8 (N, S, S, 3)."""
    grader = OnnxBackend(file)
    expected = [check_finite(part, f"{checkpoint}: outputs of the network") for part in whole(torch.from_numpy(crops))]
    together = grader.run(crops)
    alone = [np.concatenate(parts) for parts in zip(*(grader.run(crop[None]) for crop in crops), strict=True)]
    for answers in (together, alone):
        for name, theirs, ours in zip(OUTPUTS[:2], expected, answers, strict=False):
            worst = float(np.abs(theirs - ours).max() / max(1.0, np.abs(theirs).max()))
            if not worst <= TOLERANCE:
                raise InputError(
                    f"{checkpoint}: exported, its {name} differ from torch's by {worst:.2g} of the largest, more than "
                    f"{TOLERANCE:g}; "
                    "no file is kept, grade with the checkpoint itself"
                )


def crops_to_check(trained: TrainedNetwork, recipe: ResizeSpec) -> np.ndarray:
    """Return crops to compare on, uint8 (N, side, side, 3): some of the run's own photographs, and drawn ones."""
    from dr_lib.synthetic import draw_fundus

    drawn = [draw_fundus(patient=1 + grade, eye="left", grade=grade, size=256).pixels for grade in GRADES]
    folder = Path(trained.config.data_dir)
    paths = list(islice(photographs_in(folder), CHECKED_ON)) if folder.is_dir() else []
    own = [crop for _, _, crop in crops_of(paths, recipe) if crop is not None]
    return np.stack([*own, *(recipe.make(pixels) for pixels in drawn)])


def _traced(whole: EndToEndNetwork, side: int, checkpoint: Path) -> onnx.ModelProto:
    crops = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    try:
        with _in_silence():
            program = torch.onnx.export(
                whole,
                (crops,),
                dynamo=True,
                dynamic_shapes={"pixels": {0: torch.export.Dim("photographs")}},
                input_names=[INPUT],
                output_names=list(OUTPUTS),
                opset_version=OPSET,
                verbose=False,
            )
            assert program is not None  # with dynamo=True
            model = program.model_proto
    except Exception as error:  # tracing raises whatever the part of the network that it meets provokes
        raise InputError(
            f"{checkpoint}: torch cannot export a {type(whole.model).__name__} with these settings "
            f"({_first_line(error)}); grade with the checkpoint itself"
        ) from None
    if model.ByteSize() > LARGEST:
        raise InputError(f"{checkpoint}: larger than the 2 GB of an ONNX file; grade with the checkpoint itself")
    return model


@contextmanager
def _in_silence() -> Iterator[None]:
    """Keep the exporter's progress, advice and deprecations of its own parts from users, who can change none of it."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error.__cause__ or error).splitlines() if line.strip()]
    return lines[0][:160] if lines else type(error).__name__
