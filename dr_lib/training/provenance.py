"""What a run must say about itself to be repeated: parameters, versions, device, commit, data, weights."""

import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from torch import nn

from dr_lib.config import RunConfig
from dr_lib.data.audit import audit_labels
from dr_lib.data.normalization import Normalization
from dr_lib.data.prepare import DataSplits
from dr_lib.models.builders import parameter_count
from dr_lib.models.weights import WeightsOrigin
from dr_lib.training.device import describe_device

_PACKAGES = ("torch", "torchvision", "pillow", "simplejpeg", "numpy", "accelerate")


def describe_run(
    config: RunConfig,
    data: DataSplits,
    model: nn.Module,
    normalization: Normalization,
    weights: WeightsOrigin,
    class_weights: np.ndarray,
    accelerator: Accelerator,
) -> dict[str, Any]:
    """Return the contents of ``config.json``."""
    return {
        "run": config.run_name,
        "parameters": config.model_dump(),
        "versions": versions(),
        "device": describe_device(accelerator.device) | {"processes": accelerator.num_processes},
        "git_commit": git_commit(),
        "data": {
            "fingerprint": data.fingerprint,
            "splits": audit_labels(data.labels)["splits"],
            # make-data leaves it beside what it draws: who reads the results has to know that nobody was photographed.
            "generated": (Path(config.data_dir) / "generated.json").is_file(),
        },
        "normalization": normalization.describe(),
        "weights": vars(weights),
        "network": {
            "model": config.model,
            "version": config.resnet_version,
            "parameters": parameter_count(model),
        },
        "class_weights": [float(weight) for weight in class_weights],
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide the numbers."""
    return {"python": platform.python_version(), "dr_lib": version("dr-lab")} | {
        name: version(name) for name in _PACKAGES
    }


def git_commit() -> str | None:
    """Return the commit of the checkout that the library is of, ``-dirty`` where files differ; None outside one.

    The environment that it is installed in may lie in a checkout of something else.
    """
    here = Path(__file__)
    said = ""
    for command in (["ls-files", "--error-unmatch", here.name], ["describe", "--always", "--abbrev=40", "--dirty"]):
        try:
            done = subprocess.run(["git", *command], cwd=here.parent, capture_output=True, encoding="utf-8", timeout=30)
        except OSError:  # no git on this machine
            return None
        if done.returncode:
            return None
        said = done.stdout.strip()
    return said
