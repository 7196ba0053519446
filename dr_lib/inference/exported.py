"""What an exported network says about itself, so that whoever has the file alone can grade with it.

The file is ONNX. Its one input is ``pixels``, uint8 (N, side, side, 3): crops in RGB, levels 0..255. Views at test
time, normalization and the meaning of the outputs are in the graph, since they are what is most easily done slightly
differently elsewhere. What is left to the reader is Resize and CenterCrop, which are in no operator set that runtimes
agree on: Pillow's antialiased bilinear and ONNX' ``Resize`` differ by several levels. It gives three outputs:
``outputs``, float32 (N, k), what the network's last layer says; ``probabilities``, float64 (N, 5), of the grades; and
``grade``, int64 (N,). Everything else is text in ``metadata_props`` under :data:`KEYS`; the last entry there is the
checksum of all the file before it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dr_lib import GRADE_NAMES
from dr_lib.data.crops import ResizeSpec
from dr_lib.errors import InputError, closest_path
from dr_lib.storage.bounded_read import check_regular
from dr_lib.storage.checksums import sha256

FORMAT = "1"
INPUT, OUTPUTS = "pixels", ("outputs", "probabilities", "grade")
INTENDED_USE = "research, not diagnosis"

KEYS = {
    "dr_lab.format": "version of these keys",
    "dr_lab.version": "dr-lab that wrote the file",
    "dr_lab.checkpoint_sha256": "SHA-256, hex, of the checkpoint that it was made from",
    "dr_lab.network": "torchvision's name of the network",
    "dr_lab.head": "what `outputs` mean: softmax, coral, corn or regression; `probabilities` follow from them",
    "dr_lab.grade_names": "JSON list: names of the grades 0-4 (ICDR), in the order of `probabilities`",
    "dr_lab.opset": "version of ONNX' operators",
    "dr_lab.channel_order": "RGB",
    "dr_lab.value_range": "JSON [least, largest] of `pixels`",
    "dr_lab.layout": "NHWC: photograph, row, column, channel",
    "dr_lab.preprocessing": "JSON list of dr-lab's steps beside Resize and CenterCrop; none where it is empty",
    "dr_lab.resize": "JSON: shorter side in px, aspect kept, by Pillow's antialiased bilinear, as torchvision's Resize",
    "dr_lab.center_crop": "JSON: side in px of the crop cut from the middle, as torchvision's CenterCrop",
    "dr_lab.fast_decode": "JSON: whether dr-lab decodes JPEGs at a fraction of their size, off by a few levels",
    "dr_lab.views": "in the graph: none, or which views of the crop `outputs` are the mean over",
    "dr_lab.image_size": "JSON: side in px of what the network itself sees",
    "dr_lab.normalization": "in the graph; JSON: kind, and mean and std per channel of values 0..1 where it has them",
    "dr_lab.intended_use": INTENDED_USE,
}  # fmt: skip
"""The keys of ``metadata_props`` and what is under them."""


@dataclass(frozen=True)
class Description:
    """What an exported file says about itself, beyond what is the same in all of them."""

    network: str
    head: str
    recipe: ResizeSpec
    image_size: int
    views: str
    normalization: dict[str, Any]
    checkpoint_sha256: str
    version: str
    opset: int

    def as_metadata(self) -> dict[str, str]:
        """Return the text under each of :data:`KEYS`."""
        values = (
            FORMAT, self.version, self.checkpoint_sha256, self.network, self.head, json.dumps(GRADE_NAMES),
            str(self.opset), "RGB", "[0, 255]", "NHWC", json.dumps(self.recipe.steps), json.dumps(self.recipe.side),
            json.dumps(self.recipe.side), json.dumps(self.recipe.fast), self.views, json.dumps(self.image_size),
            json.dumps(self.normalization), INTENDED_USE,
        )  # fmt: skip
        return dict(zip(KEYS, values, strict=True))

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], source: object) -> "Description":
        """Return what :meth:`as_metadata` wrote; :class:`InputError` naming ``source`` for files of other programs."""
        text = {key.removeprefix("dr_lab."): value for key, value in metadata.items()}
        if text.get("format") != FORMAT:
            raise InputError(f"{source}: not a network that dr-lab export has written; make one from a checkpoint")
        try:
            return cls(
                text["network"], text["head"],
                ResizeSpec(int(text["resize"]), text["preprocessing"], json.loads(text["fast_decode"])),
                int(text["image_size"]), text["views"], json.loads(text["normalization"]), text["checkpoint_sha256"],
                text["version"], int(text["opset"]),
            )  # fmt: skip
        except (KeyError, ValueError) as error:
            raise InputError(f"{source}: its metadata are damaged ({error}); export the checkpoint again") from None


def fingerprint(checkpoint: Path) -> str:
    """Return the SHA-256 of a checkpoint's file, hex."""
    try:
        check_regular(checkpoint)
        return sha256(checkpoint)
    except OSError as error:
        raise InputError(
            f"{checkpoint}: cannot be read ({error.strerror}){closest_path(checkpoint)}; a run's network is in "
            "its folder checkpoints/"
        ) from None
