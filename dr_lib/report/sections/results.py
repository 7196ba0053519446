"""Results: highest testing accuracies, curves per epoch, and what pretraining and depth change."""

from collections.abc import Mapping
from html import escape

import pandas as pd
from IPython.display import HTML

from dr_lib import plots
from dr_lib.evaluation.seed_groups import optimism
from dr_lib.plots import network_colors, plot_accuracy, value_limits
from dr_lib.report import formatting, markup
from dr_lib.report.drawing import inline_svg
from dr_lib.report.experiment_results import ExperimentResults
from dr_lib.report.findings import Finding, moved
from dr_lib.report.run_group import RunGroup
from dr_lib.report.run_results import RunResults, chosen_on, tested_epoch

SIDES = (
    ("train_accuracy", "Training accuracy"), ("test_accuracy", "Testing accuracy"), ("test_kappa", "Testing kappa")
)  # fmt: skip


def highest_accuracies(experiment: ExperimentResults) -> HTML:
    """Return each network's highest testing accuracy beside the honest figure, and how kind the first one is."""
    rows, said = [], []
    for model in experiment.models:
        runs = [run for run in experiment.done if run.model == model]
        if not runs:
            continue
        best = max(runs, key=lambda run: run.highest["accuracy"])
        limits, chosen = best.test["intervals"]["accuracy"], best.chosen_epoch
        honest = f"{formatting.percent(limits[0])} to {formatting.percent(limits[1])}" if limits else "no interval"
        seed = f", seed {best.seed}" * (best.seed != 0)
        rows.append(
            [
                f'<b>{escape(best.network)}</b><span class="sub">{escape(best.description + seed)}</span>',
                f'{formatting.percent(best.highest["accuracy"])}<span class="sub">epoch {best.highest["epoch"]}</span>',
                f'{formatting.percent(best.test["accuracy"])}<span class="sub">epoch {chosen}, {honest}</span>',
                formatting.signed(best.test["kappa"], 2),
                formatting.percent(experiment.majority) if experiment.majority is not None else "–",
            ]
        )
        said.append(_optimism(best).text)
    if not rows:
        return markup.shown(markup.paragraphs("No run has finished, so there are no accuracies."))
    if experiment.chosen_on != "testing":
        said += _optimism_of_all(experiment)
    honest_column = "Last epoch" if experiment.chosen_on == "last" else f"Chosen on {experiment.chosen_on}"
    head = ["Network", "Highest testing accuracy", honest_column, "Kappa", "Majority"]
    caption = "The run of each network with the highest testing accuracy."
    table = markup.table(head, rows, caption, numeric=(1, 2, 3, 4), css="cards")
    return markup.shown(table + markup.bullets(said))


def accuracy_figures(experiment: ExperimentResults) -> HTML:
    """Return training and testing accuracy and kappa per epoch, pretrained and from scratch: a row a network."""
    shown = compared_starts(experiment)
    if not shown:
        return markup.shown(markup.paragraphs("No finished run has curves to show here."))
    colors, majority = network_colors(experiment.models), experiment.majority
    mixed = any(one.first.parameters["mixup_alpha"] for found in shown.values() for one in found.values())
    sides = SIDES[1:] if mixed else SIDES  # of mixed photographs there is no training accuracy
    curves = {
        model: {side: {name: by_seed(one, side) for name, one in found.items()} for side, _ in sides}
        for model, found in shown.items()
    }

    def limits(*names: str) -> tuple[float, float]:
        every = [curve for of_model in curves.values() for name in names for curve in of_model[name].values()]
        reference = majority if "test_kappa" not in names else 0.0
        return value_limits([[v for v in curve.to_numpy().ravel().tolist() if v == v] for curve in every], reference)

    accuracies = [side for side, _ in sides if side != "test_kappa"]
    scales = dict.fromkeys(accuracies, limits(*accuracies))
    scales["test_kappa"] = limits("test_kappa")
    panels = []
    for model, found in shown.items():
        first = next(iter(found.values()))
        network = first.network + ", weighted" * first.weighted
        for side, heading in sides:
            of_kappa = side == "test_kappa"
            reference = None if of_kappa else majority
            in_words = (lambda value: formatting.signed(value, 2)) if of_kappa else formatting.percent
            ax = plot_accuracy(
                curves[model][side], color=colors[model], majority=reference,
                head_only=head_only_epochs(found), limits=scales[side],
                words=(lambda value: formatting.signed(value, 1)) if of_kappa else plots.percent,
                chosen={name: [run.chosen_epoch for run in one.runs] for name, one in found.items()},
            )  # fmt: skip
            spoken = curves_in_words(network, heading, curves[model][side], reference, in_words)
            panels.append((f"{network}\n{heading}", inline_svg(ax, spoken)))
    which = dict.fromkeys(one.description for found in shown.values() for one in found.values())
    most = max(len(one.runs) for found in shown.values() for one in found.values())
    bands = f", in a band from the lowest of {most} seeds to the highest" if most > 1 else ""
    share = f" ({formatting.percent(majority)})" if majority is not None else ""
    caption = (
        f"Solid: pretrained, dashed: from scratch ({'; '.join(which)}){bands}. A dot is "
        f"{tested_epoch(experiment.chosen_on)}, the dotted red line the share of the commonest grade{share}, "
        "shaded the epochs that train only the head of a pretrained network."
    )
    return markup.shown(markup.figure(panels, "Accuracy and kappa per epoch.", caption, across=len(sides)))


def compared_starts(experiment: ExperimentResults) -> dict[str, dict[str, RunGroup]]:
    """Return by network its configurations ``pretrained`` and from ``scratch``, as far as there are any.

    Those without class weights; where a network has none, those with.
    """
    starts: dict[str, dict[str, RunGroup]] = {}
    for model in experiment.models:
        for weighted in (False, True):
            groups = {
                name: experiment.find(model, pretrained=pretrained, weighted=weighted)
                for name, pretrained in (("pretrained", True), ("scratch", False))
            }
            if known := {name: group for name, group in groups.items() if group}:
                starts[model] = known
                break
    return starts


def head_only_epochs(shown: Mapping[str, RunGroup]) -> int:
    """Return how many epochs the pretrained one of ``shown`` trains its head alone."""
    one = shown.get("pretrained")
    return 0 if one is None else int((one.first.done_history["phase"] == "feature extraction").sum())


def training_course(experiment: ExperimentResults) -> HTML:
    """Return how training went: around the beginning of fine-tuning, and on training and testing photographs."""
    shown = [one for one in experiment.main if not one.weighted] or list(experiment.main)
    phases = [_phases(one) for one in shown if one.pretrained]
    # Training accuracy on mixed photographs, or with rare grades more often, is no match for testing accuracy.
    recipes = [(one, one.first.parameters) for one in shown]
    alike = [one for one, recipe in recipes if recipe["sampling"] == "none" and not recipe["mixup_alpha"]]
    generalization = markup.bullets(_generalization(one, experiment).text for one in alike)
    return markup.shown(
        markup.bullets(finding.text for finding in phases if finding)
        + (markup.fold("Training against testing accuracy", generalization) if alike else "")
    )


def _optimism(best: RunResults) -> Finding:
    """Return what looking at the testing accuracy of every epoch adds to the honest figure."""
    highest, chosen = best.highest["accuracy"], best.at_chosen_epoch("test_accuracy")
    values = {
        "label": best.network,
        "highest": highest,
        "highest_epoch": best.highest["epoch"],
        "chosen": chosen,
        "chosen_epoch": best.chosen_epoch,
        "chosen_on": chosen_on(best.done_metrics["select_by"]),
        "same": best.highest["epoch"] == best.chosen_epoch or moved(chosen, highest, 3) == "same",
    }
    return Finding("optimism", values)


def _optimism_of_all(experiment: ExperimentResults) -> list[str]:
    """Return how much kinder the highest testing accuracy is than the honest one: of all runs, and over seeds.

    Of runs no interval is given: it would need the answers at every epoch, which are not kept.
    """
    gains = list(map(optimism_of, experiment.done))
    values = {"n": len(gains), "mean": sum(gains) / len(gains), "most": max(gains), "chosen_on": experiment.chosen_on}
    of_all = [Finding("mean_optimism", values)] if len(gains) > 1 else []
    of_seeds = [
        Finding(
            "optimism_of_seeds",
            {"label": one.label, "gain": optimism(one.figures(_highest), one.figures(_honest))},
        )
        for one in experiment.main
        if one.several
    ]
    return [finding.text for finding in (*of_all, *of_seeds)]


def _phases(one: RunGroup) -> Finding | None:
    """Return how testing accuracy moves when fine-tuning begins; ``None`` where a run has not both phases.

    It is said and not judged: which photographs were right in which epoch is not kept, so that no interval is known.
    """
    history = one.first.done_history
    phase = {name: history.loc[history["phase"] == name, "test_accuracy"] for name in set(history["phase"])}
    if not {"feature extraction", "fine-tuning"} <= phase.keys():
        return None
    values = {
        "label": _of_seed(one),
        "frozen": float(phase["feature extraction"].iloc[-1]),
        "tuned": float(phase["fine-tuning"].iloc[0]),
        "chosen": _honest(one.first),
        "chosen_when_tuned": history.set_index("epoch")["phase"].loc[one.first.chosen_epoch] == "fine-tuning",
    }
    return Finding("phases", values)


_OVERFITTED = 0.05


def _generalization(one: RunGroup, experiment: ExperimentResults) -> Finding:
    """Return how far training and testing accuracy lie apart at the chosen epoch.

    A network that has not learned its training photographs beyond the majority cannot have overfitted them.
    """
    training, testing = one.first.at_chosen_epoch("train_accuracy"), one.first.test["accuracy"]
    values = {
        "label": _of_seed(one),
        "training": training,
        "testing": testing,
        "same": abs(training - testing) < 0.01,
        "overfitted": training - testing > _OVERFITTED and training > (experiment.majority or 0),
    }
    return Finding("generalization", values)


def by_seed(one: RunGroup, column: str) -> pd.DataFrame:
    """Return a column of the history by epoch, one column a seed."""
    return pd.DataFrame({run.seed: run.done_history.set_index("epoch")[column] for run in one.runs})


def curves_in_words(
    network: str,
    heading: str,
    curves: Mapping[str, pd.DataFrame],
    majority: float | None,
    in_words: markup.InWords = formatting.percent,
) -> str:
    """Return where curves begin and end, for those who do not see them."""
    means = {name: curve.mean(axis=1) for name, curve in curves.items()}
    parts = [f"{name} from {in_words(mean.iloc[0])} to {in_words(mean.iloc[-1])}" for name, mean in means.items()]
    majority_text = f"; majority {formatting.percent(majority)}" if majority is not None else ""
    epochs = formatting.counted(max(len(curve) for curve in curves.values()), "epoch")
    return f"{network}, {heading.lower()} over {epochs}: {', '.join(parts)}{majority_text}"


def optimism_of(run: RunResults) -> float:
    """Return by how much the highest testing accuracy is above that of the chosen epoch."""
    return _highest(run) - _honest(run)


def _highest(run: RunResults) -> float:
    return run.highest["accuracy"]


def _honest(run: RunResults) -> float:
    return run.at_chosen_epoch("test_accuracy")


def _of_seed(one: RunGroup) -> str:
    return one.label + f", seed {one.first.seed}" * one.several
