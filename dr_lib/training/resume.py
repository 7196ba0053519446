"""Whether what is in a run's folder is the run that is wanted, and the state from which it goes on."""

from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from dr_lib.config import RunConfig
from dr_lib.errors import InputError
from dr_lib.models.weights import not_finite, read_checkpoint
from dr_lib.storage.checksums import damage
from dr_lib.storage.files import read_json
from dr_lib.storage.run_folder import RunFolder, chosen_epoch
from dr_lib.training.checkpoint import ANEW, load_state
from dr_lib.training.starting_weights import digest_of_file
from dr_lib.training.trainer import EpochTotals


def resumable_state(folder: RunFolder, config: RunConfig, fingerprint: str | None) -> dict[str, Any] | None:
    """Return the state from which the run in ``folder`` goes on, None where there is none.

    ``fingerprint``: that of its photographs, ``None`` where they are not looked at. Raises :class:`InputError` where
    the folder holds another run, or one that cannot go on: none of its states can be used, or its best network cannot,
    whose epoch is past.
    """
    check_same_run(folder, config, fingerprint)

    def check(path: Path, state: dict[str, Any]) -> None:
        _check_state(path, state)
        if changed := _changed(state, config, fingerprint):
            raise InputError(f"{path}: is of another run ({format_values(changed)})")

    state, best = load_state(folder.last_checkpoint, check), folder.best_checkpoint
    if state and state["history"] and (wrong := wrong_network(best, state["history"], config, fingerprint)):
        raise InputError(f"{best}: {wrong}, and its epoch is past{ANEW}")
    return state


def wrong_network(path: Path, history: list[dict[str, Any]], config: RunConfig, fingerprint: str | None) -> str:
    """Return what is wrong with the network that a run has kept at ``path``; an empty string for nothing.

    It is that of the epoch which ``history`` chooses. One of a later epoch, which a kill has left, will be made again.
    """
    if wrong := damage(path):
        return wrong
    kept, epoch = read_checkpoint(path), chosen_epoch(history, config.select_by)
    due = kept.get("epoch") == epoch or kept.get("epoch", 0) > len(history)
    if due and "parameters" in kept and not _changed(kept, config, fingerprint):
        return ""
    return f"is not the network of epoch {epoch} of this run"


def why_lost(folder: RunFolder, config: RunConfig, fingerprint: str | None) -> str:
    """Return why a run cannot go on from what is in its folder; an empty string where it can."""
    try:
        state = resumable_state(folder, config, fingerprint)
    except InputError as error:
        return str(error).removesuffix(ANEW)
    cleaned = state is None and folder.read_status()["state"] == "done"
    return f"{folder.path}: some results are gone or damaged, and so is the checkpoint to go on from" if cleaned else ""


def _check_state(path: Path, state: dict[str, Any]) -> None:
    if not {"parameters", "fingerprint", "learner", "history", "tally"} <= state.keys():
        raise InputError(f"{path}: is not the state of a run")
    if {field.name for field in fields(EpochTotals)} != state["tally"].keys():
        raise InputError(f"{path}: is the state of a run of another version of dr_lib")
    if name := not_finite(state["learner"]["model"] | (state["learner"]["average"] or {})):
        raise InputError(f"{path}: {name} is not finite")


def has_begun(folder: RunFolder) -> bool:
    """Tell whether there is anything in ``folder`` that has cost time."""
    return any(path.exists() for path in (folder.last_checkpoint, folder.previous_checkpoint, folder.history))


def differences(folder: RunFolder, config: RunConfig, fingerprint: str | None) -> list[str]:
    """Return in what the run that ``folder`` holds differs from ``config`` on these photographs; empty: in nothing.

    ``fingerprint``: that of the photographs, ``None`` where they are not looked at. What ``config.json`` says counts
    less than what the run's checkpoint does: that has a checksum, and is what would be gone on from.
    """
    try:
        before = read_json(folder.config)
        before = {
            "parameters": dict(before["parameters"]),
            "weights": dict(before.get("weights", {})),
            **before["data"],
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # as after a loss of power
        changed = [f"{folder.config.name} is damaged"]
    else:
        changed = _changed(before, config, fingerprint)
    if changed:
        with suppress(InputError):  # all states are damaged
            if state := load_state(folder.last_checkpoint, _check_state):
                changed = _changed(state, config, fingerprint)
    return changed


def _changed(before: dict[str, Any], config: RunConfig, fingerprint: str | None) -> list[str]:
    """Return in what ``config`` on these photographs differs from what a run has recorded of itself.

    That is ``parameters``, ``fingerprint``, and ``weights``, as the fields of a :class:`WeightsOrigin`.
    """
    old, new = before["parameters"], config.identity()
    changed = [
        f"{name} was {repr(old[name]) if name in old else 'not a parameter then'}, is {new[name]!r}"
        for name in new
        if name not in old or old[name] != new[name]
    ]
    if not changed and before.get("weights", {}).get("sha256", "") != digest_of_file(config):
        changed.append(f"pretrained_weights has changed, {config.pretrained_weights} is another file")
    if fingerprint not in (None, before.get("fingerprint")):
        changed.append("the photographs or their labels have changed")
    return changed


def same_run(folder: RunFolder, config: RunConfig, fingerprint: str) -> bool:
    """Tell whether ``folder`` was begun with these parameters on these photographs."""
    return folder.config.exists() and not differences(folder, config, fingerprint)


def check_same_run(folder: RunFolder, config: RunConfig, fingerprint: str | None) -> None:
    """Raise :class:`InputError` with the differences where ``folder`` holds a run of other parameters or data."""
    changed = differences(folder, config, fingerprint) if has_begun(folder) else []
    if changed:
        raise InputError(
            f"{folder.path}: holds another run ({format_values(changed)}); set its results aside with --fresh, or "
            "choose another --out"
        )


def format_values(changed: list[str]) -> str:
    """Return what has changed as part of a line; of many things the first three."""
    return "; ".join(changed[:3]) + (f"; and {len(changed) - 3} more" if len(changed) > 3 else "")
