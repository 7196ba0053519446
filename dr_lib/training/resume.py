"""Whether what is in a run's folder is the run that is wanted, and the state from which it goes on."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from dr_lib.config import RunConfig
from dr_lib.errors import InputError
from dr_lib.files import read_json
from dr_lib.runs import RunFolder
from dr_lib.seals import damage
from dr_lib.training.checkpoint import ANEW, load_state, previous


def resumable_state(folder: RunFolder, config: RunConfig, fingerprint: str | None) -> dict[str, Any] | None:
    """Return the state from which the run in ``folder`` goes on, None where there is none.

    ``fingerprint``: that of its photographs, ``None`` where they are not looked at. Raises :class:`InputError` where
    the folder holds another run, or one that cannot go on: none of its states can be read, or its best network cannot,
    whose epoch is past.
    """
    refuse_another_run(folder, config, fingerprint)
    path, best = folder.last_checkpoint, folder.best_checkpoint
    state = _state_of_run(path)
    if state and (changed := _changed(state, config, fingerprint)):
        raise InputError(f"{path}: is of another run ({told(changed)}){ANEW}")
    if state and state["history"] and (wrong := damage(best)):
        raise InputError(f"{best}: {wrong}, and its epoch is past{ANEW}")
    return state


def why_lost(folder: RunFolder, config: RunConfig, fingerprint: str | None) -> str:
    """Return why a run cannot go on from what is in its folder; an empty string where it can."""
    try:
        resumable_state(folder, config, fingerprint)
    except InputError as error:
        return str(error).removesuffix(ANEW)
    return ""


def _state_of_run(path: Path) -> dict[str, Any] | None:
    state = load_state(path)
    if state is not None and not {"parameters", "fingerprint", "learner", "history"} <= state.keys():
        raise InputError(f"{path}: is not the state of a run{ANEW}")
    return state


def has_begun(folder: RunFolder) -> bool:
    """Tell whether there is anything in ``folder`` that has cost time."""
    states = folder.last_checkpoint, previous(folder.last_checkpoint)
    return any(path.exists() for path in (*states, folder.history))


def differences(folder: RunFolder, config: RunConfig, fingerprint: str | None) -> list[str]:
    """Return in what the run that ``folder`` holds differs from ``config`` on these photographs; empty: in nothing.

    ``fingerprint``: that of the photographs, ``None`` where they are not looked at. What ``config.json`` says counts
    less than what the run's checkpoint does: that has a checksum, and is what would be gone on from.
    """
    try:
        before = read_json(folder.config)
        changed = _changed(before | before["data"], config, fingerprint)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # as after a loss of power
        changed = [f"{folder.config.name} is damaged"]
    if changed:
        with suppress(InputError):  # all states are damaged
            if state := _state_of_run(folder.last_checkpoint):
                return _changed(state, config, fingerprint)
    return changed


def _changed(before: dict[str, Any], config: RunConfig, fingerprint: str | None) -> list[str]:
    """Return in what ``config`` on these photographs differs from the ``parameters`` and ``fingerprint`` of a run."""
    old, new = before["parameters"], config.identity()
    changed = [f"{name} was {_told(old, name)}, is {new[name]!r}" for name in new if old.get(name, _NONE) != new[name]]
    if fingerprint not in (None, before["fingerprint"]):
        changed.append("the photographs or their labels have changed")
    return changed


def same_run(folder: RunFolder, config: RunConfig, fingerprint: str) -> bool:
    """Tell whether ``folder`` was begun with these parameters on these photographs."""
    return folder.config.exists() and not differences(folder, config, fingerprint)


def refuse_another_run(folder: RunFolder, config: RunConfig, fingerprint: str | None) -> None:
    """Raise :class:`InputError` with the differences where ``folder`` holds a run of other parameters or data."""
    changed = differences(folder, config, fingerprint) if has_begun(folder) else []
    if changed:
        raise InputError(
            f"{folder.path}: holds another run ({told(changed)}); set its results aside with --fresh, or choose "
            "another --out"
        )


def told(changed: list[str]) -> str:
    """Return what has changed as part of a line; of many things the first three."""
    return "; ".join(changed[:3]) + (f"; and {len(changed) - 3} more" if len(changed) > 3 else "")


_NONE = object()


def _told(parameters: dict[str, Any], name: str) -> str:
    return repr(parameters[name]) if name in parameters else "not a parameter then"
