"""The degradation problem, measured: training errors of plain and residual networks, and their layers' gradients."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from dr_lib.evaluation.bootstrap import Difference
from dr_lib.plots import Line, network_colors, plot_gradients, plot_per_epoch, value_limits
from dr_lib.report import formatting, markup
from dr_lib.report.comparisons import compare_family
from dr_lib.report.drawing import inline_svg
from dr_lib.report.findings import Finding
from dr_lib.report.run_results import RunResults, network_name
from dr_lib.report.settings import Setting, last

KINDS = {False: "plain", True: "residual"}
_NORMAL_95 = 1.96

Networks = Mapping[tuple[str, bool], Setting]
"""The settings by network, shallow ones first, and whether it is residual."""


def networks_of(settings: list[Setting], models: Sequence[str]) -> Networks:
    """Return the settings of a sweep of shortcuts by network and kind; ``models`` are in the order of their depth."""
    by_network = {(setting.runs[0].model, setting.runs[0].parameters["residual"]): setting for setting in settings}
    return dict(sorted(by_network.items(), key=lambda item: models.index(item[0][0])))


def degradation_findings(networks: Networks) -> list[Finding]:
    """Return what depth does to plain and to residual networks, and what shortcuts do to the deepest that has both."""
    findings, models = [], _models(networks)
    for residual, kind in KINDS.items():
        same_kind = [networks[model, residual] for model in models if (model, residual) in networks]
        if len(same_kind) > 1:
            errors, change = _errors(same_kind[0], same_kind[-1])
            names = [network_name(setting.runs[0].model) for setting in (same_kind[0], same_kind[-1])]
            epochs = len(same_kind[0].runs[0].done_history)
            values = {"networks": names, "errors": errors, "change": change, "epochs": epochs}
            findings.append(Finding("depth", values, {"kind": kind, "change": change}))
    for model in reversed(models):
        if (model, False) in networks and (model, True) in networks:
            plain, shortcuts = networks[model, False], networks[model, True]
            errors, change = _errors(plain, shortcuts)
            kappa = compare_family([(plain, shortcuts)])[0].change.kappa
            values = {"errors": errors, "change": change, "kappa": kappa}
            findings.append(Finding("shortcuts", values, {"network": network_name(model), "change": change}))
            findings += _gradient_finding(plain.runs[0], shortcuts.runs[0])
            break
    return findings


def unlearned_warning(networks: Networks) -> str:
    """Return the warning that no network has learned anything, or an empty string."""
    run = next(iter(networks.values())).runs[0]
    error, n = 1 - max(run.config["data"]["splits"]["train"]["shares"]), _photographs(run)
    chance = _NORMAL_95 * (error * (1 - error) / n) ** 0.5
    if min(_error(setting) for setting in networks.values()) < error - chance:
        return ""
    return Finding("unlearned", {"majority_error": error}).text


def degradation_figures(networks: Networks, majority: float | None) -> str:
    """Return errors by epoch, plain and residual side by side, and the gradients of the layers.

    ``majority``: the testing accuracy of always giving the commonest answer.
    """
    models = _models(networks)
    colors = network_colors(models)
    split = next(iter(networks.values())).runs[0].config["data"]["splits"]["train"]["shares"]
    references = {"train": 1 - max(split), "test": None if majority is None else 1 - majority}
    panels = []
    for side, word in (("train", "Training"), ("test", "Testing")):
        errors = {key: 1 - _history(setting)[f"{side}_accuracy"] for key, setting in networks.items()}
        limits = value_limits(list(errors.values()), references[side])
        for residual, kind in KINDS.items():
            curves = {network_name(model): errors[model, residual] for model in models if (model, residual) in errors}
            if not curves:
                continue
            styles = {
                network_name(model): Line(colors[model], marker, dashed=not residual)
                for model, marker in zip(models, "os^Dv", strict=False)
            }
            ax = plot_per_epoch(
                curves, styles=styles, words=lambda share: formatting.percent(share, 0), limits=limits,
                majority=references[side],
            )  # fmt: skip
            described = ", ".join(
                f"{name} from {formatting.percent(curve.iloc[0])} to {formatting.percent(curve.iloc[-1])}"
                for name, curve in curves.items()
            )
            heading = f"{kind.capitalize()}: {word.lower()} error"
            panels.append((heading, inline_svg(ax, f"{heading} by epoch: {described}")))
    caption = (
        "Plain networks have no shortcuts, residual ones have them; all else is alike. Degradation is a deeper plain "
        "network whose training error lies above that of the shallower one. The dashed red line is what always giving "
        "the commonest grade gets wrong. Training errors are counted while training, on varied photographs."
    )
    return markup.figure(panels, "Error by epoch.", caption) + _gradient_figure(networks, colors)


def _gradient_figure(networks: Networks, colors: Mapping[str, str]) -> str:
    """Return the norm of the gradient by layer, in the first and the last epoch, plain against residual."""
    norms = {
        key: setting.runs[0].gradients for key, setting in networks.items() if setting.runs[0].gradients is not None
    }
    if not norms:
        return ""
    positive = [frame.loc[frame["norm"] > 0, "norm"] for frame in norms.values()]
    limits = 0.7 * min(values.min() for values in positive), 1.4 * max(values.max() for values in positive)
    panels = []
    for model in colors:
        kinds = {residual: norms[model, residual] for residual in KINDS if (model, residual) in norms}
        for which, epoch in (("first", 1), ("last", min((int(f["epoch"].max()) for f in kinds.values()), default=1))):
            curves = {KINDS[residual]: layers_of(frame, epoch) for residual, frame in kinds.items()}
            if not curves:
                continue
            styles = {KINDS[residual]: Line(colors[model], "os"[residual], dashed=not residual) for residual in KINDS}
            ax = plot_gradients(curves, styles=styles, limits=limits)
            described = "; ".join(
                f"{kind}, first layer {curve.iloc[0]:.2g}, last {curve.iloc[-1]:.2g}" for kind, curve in curves.items()
            )
            heading = f"{network_name(model)}, {which} epoch"
            panels.append((heading, inline_svg(ax, f"Gradient norm by layer, {heading}: {described}")))
    caption = (
        "Mean over the steps of an epoch, each tick upwards ten times as much, all panels on one scale. Where the line "
        "sinks to the left, the layers next to the photograph get less to learn from. Convolutions of shortcuts are "
        "left out, so that both kinds have the same layers."
    )
    return markup.figure(panels, "Gradient norm by layer.", caption)


def layers_of(gradients: pd.DataFrame, epoch: int) -> pd.Series:
    """Return the norms of one epoch by depth, counted over the layers that plain and residual networks share."""
    norms = gradients[(gradients["epoch"] == epoch) & ~gradients["layer"].str.contains("downsample")]
    return pd.Series(norms["norm"].to_numpy(), index=range(1, len(norms) + 1))


def _gradient_finding(plain: RunResults, residual: RunResults) -> list[Finding]:
    if plain.gradients is None or residual.gradients is None:
        return []
    last_epoch = int(min(plain.gradients["epoch"].max(), residual.gradients["epoch"].max()))
    # The last layer is the head, which no gradient has to pass through anything to reach.
    way = lambda run, epoch: float((norms := layers_of(run.gradients, epoch)).iloc[0] / norms.iloc[-2])  # noqa: E731
    first, last = ((way(plain, epoch), way(residual, epoch)) for epoch in (1, last_epoch))
    return [gradients(plain.network, first, last, last_epoch)]


_NOTABLE = math.log(1.25)
"""Gradients that differ by a smaller factor are called alike."""
_FADED = 0.1
"""Share of the last layer's gradient below which little can be said to be left of it in the first one."""


def gradients(network: str, first: tuple[float, float], last: tuple[float, float], epochs: int) -> Finding:
    """Return what shortcuts do to the gradient on its way back through ``network``.

    ``first`` and ``last`` epoch: norm at the first convolution over that at the last one, without shortcuts and with.
    """
    plain, residual = (abs(math.log(factor)) for factor in last)
    way = "even" if residual < plain - _NOTABLE else "uneven" if residual > plain + _NOTABLE else "alike"
    left = "little" if last[0] < _FADED else "most" if last[0] < 1 else ""
    values = {"network": network, "first": first, "last": last, "epochs": epochs, "left": left}
    return Finding("gradients", values, {"way": way})


def _models(networks: Networks) -> list[str]:
    """Return the networks, shallow ones first."""
    return list(dict.fromkeys(model for model, _ in networks))


def _errors(first: Setting, second: Setting) -> tuple[tuple[float, float], Difference]:
    """Return the training errors of two settings in the last epoch, and their difference with its interval.

    The interval is that of two independent shares, in the normal approximation; which photographs each of the two got
    wrong is not recorded, and where they are much the same ones it is wider than it need be.
    """
    before, after = _error(first), _error(second)
    n = _photographs(first.runs[0])
    half = _NORMAL_95 * ((before * (1 - before) + after * (1 - after)) / n) ** 0.5
    return (before, after), Difference(after - before, after - before - half, after - before + half)


def _error(setting: Setting) -> float:
    return 1 - setting.mean(last("train_accuracy"))


def _photographs(run: RunResults) -> int:
    return run.config["data"]["splits"]["train"]["photographs"]


def _history(setting: Setting) -> Any:
    assert setting.runs[0].history is not None
    return setting.runs[0].history.set_index("epoch")
