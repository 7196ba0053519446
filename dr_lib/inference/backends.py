"""What grades crops: ONNX Runtime with an exported network, or torch with a checkpoint; and the quickest of them.

Neither needs the other. An export costs seconds, and then each photograph half as much.
"""

from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from dr_lib.data.crops import ResizeSpec
from dr_lib.errors import InputError, closest_path
from dr_lib.inference.exported import FORMAT, INPUT, OUTPUTS, Description, fingerprint
from dr_lib.storage.checksums import damage, read_sealed_json, write_sealed_json
from dr_lib.storage.run_folder import recorded_network
from dr_lib.system.resources import check_memory_for_torch, threads_each
from dr_lib.system.terminal import logger

if TYPE_CHECKING:
    from dr_lib.models.trained import TrainedNetwork

log = logger("inference")
WORTH_AN_EXPORT = 200
"""Photographs from which on an export that is not there yet pays for itself: it takes about as long as 100 of them by
ResNet50, 400 by ResNet18 (224 px, two cores), and is kept."""

KEPT = 8
"""Exports that stay in the cache: those used last, as its ``used.json`` records."""


class InferenceBackend(Protocol):
    """A network that grades crops made by ``recipe``; ``parallel``: callers that it can serve at a time."""

    recipe: ResizeSpec
    parallel: int

    def run(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return outputs, float32 (N, k), probabilities, float64 (N, 5), and grades, int64 (N,).

        ``crops``: uint8 (N, side, side, 3).
        """


class OnnxBackend:
    """An exported network in ONNX Runtime.

    Each call computes in one thread, its caller's. One photograph a call and a caller a core was as fast as batches
    over all cores together, for it waits for nobody; and a photograph's figures do not depend on its neighbors.
    """

    def __init__(self, path: Path, parallel: int = 1):
        try:
            import onnxruntime
        except ImportError:
            raise InputError(f"{path}: ONNX Runtime is not installed; pip install 'dr-lab[onnx]'") from None
        if not path.is_file():
            raise InputError(f"{path}: not a network that ONNX Runtime can read (no such file){closest_path(path)}")
        if wrong := damage(path):
            raise InputError(f"{path}: {wrong}; export the checkpoint again")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no common base
            reason = str(error).splitlines()[0]
            raise InputError(f"{path}: not a network that ONNX Runtime can read ({reason})") from None
        self.description = Description.from_metadata(self.session.get_modelmeta().custom_metadata_map, path)
        self.recipe, self.parallel = self.description.recipe, parallel

    def run(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return tuple(self.session.run(list(OUTPUTS), {INPUT: crops}))


class TorchBackend:
    """A checkpoint's network in torch, which uses all cores for one call."""

    parallel = 1

    def __init__(self, trained: "TrainedNetwork"):
        import torch

        from dr_lib.data.crops import resize_for_testing
        from dr_lib.inference.end_to_end import EndToEndNetwork

        self.recipe = resize_for_testing(trained.config)
        self.network = EndToEndNetwork(trained)
        self.network.model.to(memory_format=torch.channels_last)

    def run(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        import torch

        with torch.inference_mode():
            return tuple(part.numpy() for part in self.network(torch.from_numpy(crops)))


def select_backend(network: Path, photographs: int, cache_dir: Path) -> InferenceBackend:
    """Return what grades ``photographs`` files soonest with ``network``, a run's checkpoint or an exported ``.onnx``.

    A checkpoint that was exported before, here or by anyone who shares ``cache_dir``, is not even read by torch. For
    many photographs it is exported now and kept there, found again by its contents; for few, or where it cannot be
    exported or kept, torch does them.
    """
    recorded = recorded_network(network)
    if network.suffix.lower() == ".onnx":
        grader = OnnxBackend(network, parallel=threads_each(1))
        if recorded not in (None, grader.description.checkpoint_sha256):
            raise InputError(f"{network}: is not an export of its run's network; export the checkpoint again")
        return grader
    content = fingerprint(network)
    kept = cache_dir / "networks" / f"{content[:32]}-{FORMAT}.onnx"
    has_runtime = find_spec("onnxruntime") is not None
    if has_runtime and kept.exists() and recorded in (None, content):
        try:
            grader = OnnxBackend(kept, parallel=threads_each(1))
            _note_use(kept)
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
    if has_runtime and photographs >= WORTH_AN_EXPORT:
        try:
            from dr_lib.inference.onnx_export import export_onnx

            export_onnx(network, kept, trained)
            _note_use(kept)
            return OnnxBackend(kept, parallel=threads_each(1))
        except (InputError, OSError):
            pass  # a network that ONNX cannot say, no room to keep it, or no onnx
    return TorchBackend(trained)


def _note_use(kept: Path) -> None:
    """Record in the cache that an export was used last, and drop all but those used last.

    Copying a cache, or a clock that is set, changes the times of files; and of somebody else's cache nobody may.
    """
    record = kept.parent / "used.json"
    recorded: list[str] = []
    with suppress(OSError, InputError):
        recorded = read_sealed_json(record)["names"]
    names = list(dict.fromkeys([kept.name, *recorded, *sorted(path.name for path in kept.parent.glob("*.onnx"))]))
    if names[:KEPT] != recorded:
        with suppress(OSError):
            for name in names[KEPT:]:
                (kept.parent / name).unlink(missing_ok=True)
            write_sealed_json(record, {"names": names[:KEPT]})
