"""What grades crops: ONNX Runtime with an exported network, or torch with a checkpoint. Neither needs the other."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from dr_lib.data.crops import ResizeSpec
from dr_lib.errors import InputError
from dr_lib.inference.exported import INPUT, OUTPUTS, Description
from dr_lib.storage.checksums import damage

if TYPE_CHECKING:
    from dr_lib.models.trained import TrainedNetwork


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
        import onnxruntime

        if not path.is_file():
            raise InputError(f"{path}: not a network that ONNX Runtime can read (no such file)")
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
