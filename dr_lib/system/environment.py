"""The environment variables that change what the library does: each is read here; docs/environment.md lists them."""

import os
from collections.abc import Mapping
from pathlib import Path

EDITORS = ("JPY_SESSION_NAME", "VSCODE_PID", "VSCODE_CWD")
"""Set by JupyterLab and VS Code in kernels that they start; papermill sets none of these."""

RENDEZVOUS = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What ``torchrun`` and ``accelerate launch`` tell each process of a run."""


def started_by_editor() -> bool:
    """Return whether an editor has started this process, a kernel: somebody looks on."""
    return any(name in os.environ for name in EDITORS)


def without_editor(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a kernel that papermill starts, though an editor may have started papermill."""
    return {name: value for name, value in environment.items() if name not in EDITORS}


def is_one_of_several() -> bool:
    """Tell whether ``torchrun`` or ``accelerate launch`` has started this process as one of several."""
    return "WORLD_SIZE" in os.environ


def process_count(alone: int) -> int:
    """Return how many processes train the run (``WORLD_SIZE``), or ``alone`` where nobody has started several."""
    return int(os.environ.get("WORLD_SIZE", alone))


def process_count_here() -> int:
    """Return how many of them are on this machine (``LOCAL_WORLD_SIZE``)."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def rendezvous() -> dict[str, str]:
    """Return where the processes of a run meet: those of :data:`RENDEZVOUS` that are set and not empty."""
    return {name: os.environ[name] for name in RENDEZVOUS if os.environ.get(name)}


def train_on(device: str) -> None:
    """Have accelerate use ``device`` (``ACCELERATE_TORCH_DEVICE``, for which it has no argument)."""
    os.environ["ACCELERATE_TORCH_DEVICE"] = device


def ray_address() -> str | None:
    """Return the Ray cluster that ``RAY_ADDRESS`` names."""
    return os.environ.get("RAY_ADDRESS") or None


def named_gpus() -> list[str]:
    """Return the GPUs that ``CUDA_VISIBLE_DEVICES`` names; none where it is not set."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [name.strip() for name in named.split(",")] if named else []


def in_utf8_mode() -> bool:
    """Return whether Python is in UTF-8 mode by ``PYTHONUTF8``, and needs no second beginning."""
    return os.environ.get("PYTHONUTF8") == "1"


def has_place_for_fonts() -> bool:
    """Return whether matplotlib can keep its list of fonts: in ``MPLCONFIGDIR``, or in ``XDG_CONFIG_HOME``."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"))
    place = next((folder for folder in (home, home.parent) if folder.is_dir()), None)
    return "MPLCONFIGDIR" in os.environ or (place is not None and os.access(place, os.W_OK | os.X_OK))


def keep_fonts_in(folder: Path) -> None:
    """Have matplotlib, here and in all that is started, keep its list of fonts in ``folder`` (``MPLCONFIGDIR``)."""
    os.environ["MPLCONFIGDIR"] = str(folder)
