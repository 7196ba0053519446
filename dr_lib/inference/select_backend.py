"""The quickest way to grade so many photographs: an export costs seconds, and then each photograph half as much."""

import os
from contextlib import suppress
from pathlib import Path

from dr_lib.errors import InputError
from dr_lib.inference.backends import InferenceBackend, OnnxBackend, TorchBackend
from dr_lib.inference.exported import FORMAT, fingerprint
from dr_lib.inference.grading import cores
from dr_lib.storage.folders import recorded_network
from dr_lib.system.resources import check_memory_for_torch
from dr_lib.system.terminal import logger

log = logger("inference")

WORTH_AN_EXPORT = 200
"""Photographs from which on an export that is not there yet pays for itself: it takes about as long as 100 of them by
ResNet50, 400 by ResNet18 (224 px, two cores), and is kept."""
KEPT = 8
"""Exports that stay in the cache: those used last."""


def select_backend(network: Path, photographs: int, cache_dir: Path) -> InferenceBackend:
    """Return what grades ``photographs`` files soonest with ``network``, a run's checkpoint or an exported ``.onnx``.

    A checkpoint that was exported before, here or by anyone who shares ``cache_dir``, is not even read by torch. For
    many photographs it is exported now and kept there, found again by its contents; for few, or where it cannot be
    exported or kept, torch does them.
    """
    recorded = recorded_network(network)
    if network.suffix.lower() == ".onnx":
        grader = OnnxBackend(network, parallel=cores())
        if recorded not in (None, grader.description.checkpoint_sha256):
            raise InputError(f"{network}: is not an export of its run's network; export the checkpoint again")
        return grader
    content = fingerprint(network)
    kept = cache_dir / "networks" / f"{content[:32]}-{FORMAT}.onnx"
    if kept.exists() and recorded in (None, content):
        try:
            grader = OnnxBackend(kept, parallel=cores())
            os.utime(kept)
            return grader
        except InputError as error:
            log.warning("%s", error)
            with suppress(OSError):
                kept.unlink()
        except OSError:
            pass  # taken away at this moment
    check_memory_for_torch()
    from dr_lib.models.trained import load_trained

    trained = load_trained(network)
    if photographs >= WORTH_AN_EXPORT:
        from dr_lib.inference.onnx_export import export_onnx

        try:
            export_onnx(network, kept, trained)
            _drop_the_oldest(kept.parent)
            return OnnxBackend(kept, parallel=cores())
        except (InputError, OSError):
            pass  # a network that ONNX cannot say, or no room to keep it
    return TorchBackend(trained)


def _drop_the_oldest(folder: Path) -> None:
    kept = sorted(folder.glob("*.onnx"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in kept[KEPT:]:
        path.unlink(missing_ok=True)
