"""A made-up experiment folder: what eight trained networks would leave behind, from a seeded simulator in a second."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dr_lib.config import RunConfig
from dr_lib.evaluation.summary import summarize
from dr_lib.experiment.sweeps import SweepFile, expand
from dr_lib.storage.checksums import write_sealed_json
from dr_lib.storage.files import write_json, write_text
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.storage.run_folder import RunFolder

SHARES = np.array([0.7351, 0.0696, 0.1498, 0.0248, 0.0207])
"""Grades of the lab's training photographs."""

SKILL = {("resnet18", False): 0.35, ("resnet50", False): 0.25, ("resnet18", True): 1.1, ("resnet50", True): 1.25}
"""How far the simulated network pulls the logit of the true grade up, in standard deviations of its noise."""

EVIL_NAME = "<script>alert(1)</script>_left"


def photograph_table(photographs: int = 700, seed: int = 0) -> pd.DataFrame:
    """Return image, patient and grade of ``photographs`` testing photographs, mostly two a patient."""
    rng = np.random.default_rng(seed)
    patients = (photographs + 1) // 2
    first = rng.choice(5, size=patients, p=SHARES)
    # Eyes of one patient mostly share their grade.
    other = np.where(rng.random(patients) < 0.8, first, rng.choice(5, size=patients, p=SHARES))
    table = pd.DataFrame(
        {
            "image": [f"{p + 10}_{side}" for p in range(patients) for side in ("left", "right")],
            "patient": [str(p + 10) for p in range(patients) for _ in range(2)],
            "grade": np.column_stack([first, other]).ravel(),
        }
    )
    return table.head(photographs)


def simulated_predictions(
    table: pd.DataFrame, skill: float, weights: list[float] | None = None, seed: int = 0
) -> pd.DataFrame:
    """Return predictions of a network with ``skill`` and the prior that ``weights`` in its loss would give it."""
    rng = np.random.default_rng(seed)
    grades = table["grade"].to_numpy()
    nearness = np.exp(-0.8 * np.abs(np.subtract.outer(np.arange(5), np.arange(5))))
    logits = skill * (2.2 * nearness[grades]) + rng.normal(size=(len(table), 5))
    logits += np.log(SHARES * np.asarray(weights or [1.0] * 5)) * max(0.6, 1.6 - skill / 3)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    frame = table.assign(predicted=probabilities.argmax(axis=1))
    frame[[f"p{grade}" for grade in range(5)]] = probabilities
    return frame


def simulated_history(config: RunConfig, accuracy: float, kappa: float, chosen: int, seed: int = 0) -> list[dict]:
    """Return one row an epoch that climbs to ``accuracy`` and ``kappa``, both met exactly at epoch ``chosen``."""
    rng = np.random.default_rng(seed)
    head_only = config.feature_extraction_epochs if config.pretrained else 0
    rows = []
    for epoch in range(1, config.epochs + 1):
        progress = 1 - np.exp(-max(0.0, epoch - head_only) / 4)
        noise = 0 if epoch == chosen else rng.normal(0, 0.006)
        test = min(1.0, 0.735 + (accuracy - 0.735) * (1 if epoch == chosen else progress) + noise)
        train = min(1.0, 0.735 + (accuracy + 0.03 - 0.735) * progress + rng.normal(0, 0.003))
        rows.append(
            {
                "epoch": epoch,
                "phase": "feature extraction" if epoch <= head_only else "fine-tuning",
                "lr": config.learning_rate,
                "train_loss": 1.1 - 0.5 * progress,
                "train_accuracy": train,
                "val_loss": 1.05 - 0.4 * progress,
                "val_accuracy": min(1.0, test + rng.normal(0, 0.008)),
                "val_kappa": kappa if epoch == chosen else kappa * progress * 0.97,
                "val_auc": 0.5 + kappa * progress / 2 + rng.normal(0, 0.003),
                "test_loss": 1.05 - 0.4 * progress,
                "test_accuracy": test,
                "test_kappa": kappa if epoch == chosen else kappa * progress,
                "test_auc": 0.5 + kappa * progress / 2,
                "seconds": 60.0,
                "images_per_second": 512.0,
            }
        )
    return rows


def made_up_audit(table: pd.DataFrame) -> dict[str, Any]:
    """Return an audit with damaged files, one of them with a name that tries to be HTML."""
    counts = {"train": [20656, 1955, 4210, 698, 581], "test": np.bincount(table["grade"], minlength=5).tolist()}
    counts["validation"] = [2065, 195, 421, 70, 58]
    splits = {
        split: {
            "photographs": sum(n),
            "patients": sum(n) // 2,
            "counts": n,
            "shares": [part / sum(n) for part in n],
        }
        for split, n in ((split, counts[split]) for split in ("train", "validation", "test"))
    }
    return {
        "data_dir": "data/nowhere",
        "form": "course",
        "header": False,
        "fingerprint": "sha256" + "0" * 58,
        "splits": splits,
        "split_origin": "given",
        "majority_accuracy": splits["test"]["shares"][0],
        "patients_on_both_sides": {
            "test_patients": splits["test"]["patients"],
            "also_in_training": splits["test"]["patients"] // 8,
            "named": True,
            "unknown": 0,
            "patients": sorted(table["patient"].unique())[: splits["test"]["patients"] // 8],
        },
        "damage": {
            "checked": 35126,
            "intact": 35123,
            "files": [
                {"image": EVIL_NAME, "status": "end marker missing", "lost": 0.0, "action": "repaired", "detail": ""},
                {"image": "492_right", "status": "truncated", "lost": 0.062, "action": "repaired", "detail": ""},
                {"image": "1337_left", "status": "unreadable", "lost": 1.0, "action": "dropped", "detail": "no SOI"},
            ],
        },
        "header_loss": [],
        "patients_apart": {"patients": 0, "by_difference": [], "apart": []},
        "files": {"missing": [], "several": {}, "respelled": {}, "dangling": [], "unlabeled": []},
        "duplicates": {"exact": [], "near": []},
        **{name: {} for name in ("orientations", "modes")},
        **{name: [] for name in ("dark", "bright", "no_retina", "low_quality", "wrong_side", "notes")},
        "width": [400, 3888, 5184],
        "height": [315, 2592, 3456],
    }


def write_run(
    experiment: Path,
    table: pd.DataFrame,
    model: str = "resnet18",
    *,
    pretrained: bool = False,
    weighted: bool = False,
    skill: float | None = None,
    weights_kind: str = "ImageNet",
    state: str = "done",
    reason: str = "",
    seed: int = 0,
    luck: int = 0,
    epochs: int = 12,
    name: str = "",
    parameters: dict[str, Any] | None = None,
) -> Path:
    """Write one run folder as training would and return it; a run that is not done stops half-way.

    ``parameters`` are those that a sweep varies, and win.
    """
    given = {
        "data_dir": "data/nowhere",
        "model": model,
        "pretrained": pretrained,
        "class_weights": "majority_ratio" if weighted else "none",
        "epochs": epochs,
        "feature_extraction_epochs": 3,
        "seed": seed,
        "name": name,
        "batch_size": 16 if model == "resnet50" else 64,
    }
    config = RunConfig(**given | (parameters or {}))
    model, pretrained, weighted = config.model, config.pretrained, config.class_weights != "none"
    folder = ExperimentFolder(experiment).run(config.run_name)
    class_weights = [1.0, 10.5657, 4.9064, 29.5931, 35.5525] if weighted else [1.0] * 5
    skill = SKILL.get((model, pretrained), 1.0) if skill is None else skill
    folder.path.mkdir(parents=True)
    weights = {
        "ImageNet": {"kind": "ImageNet", "name": "IMAGENET1K_V2", "description": "torchvision's ImageNet weights"},
        "generated": {
            "kind": "generated",
            "name": "generated",
            "description": "trained to count the lesions of 1,200 generated photographs",
        },
    }[weights_kind]
    random = {"kind": "none", "name": "", "description": "random initial values"}
    write_json(
        folder.config,
        {
            "run": config.run_name,
            "parameters": config.model_dump(),
            "versions": {"python": "3.11.2", "torch": "2.14.1", "torchvision": "0.29.1", "dr_lib": "0.1.0"},
            "device": {"type": "cpu", "name": "AMD EPYC", "threads": 2},
            "git_commit": "3f9f91690c2f7d6f7b9f4f1e2a3b4c5d6e7f8091-dirty",
            "data": {"fingerprint": "0" * 64, "splits": made_up_audit(table)["splits"]},
            "weights": weights if pretrained else random,
            "network": {"model": model, "version": "v1.5", "parameters": 11_179_077 if "18" in model else 23_518_277},
            "class_weights": class_weights,
            "started": "2026-11-24T10:00:00+00:00",
        },
    )
    predictions = simulated_predictions(table, skill, class_weights, luck + 1)
    test = summarize(predictions)
    chosen = max(1, epochs - 2 - luck)
    history = simulated_history(config, test["accuracy"], test["kappa"], chosen, luck)
    folder.write_history(history if state == "done" else history[: epochs // 2])
    if state == "done":
        folder.write_predictions(predictions)
        best = max(history, key=lambda row: row["test_accuracy"])
        write_json(
            folder.metrics,
            {
                "select_by": "val_kappa",
                "chosen_epoch": chosen,
                "highest_testing_accuracy": {"accuracy": best["test_accuracy"], "epoch": best["epoch"]},
                "test": test,
                "validation": summarize(simulated_predictions(table, skill, class_weights, luck + 101)),
            },
        )
        write_text(folder.page, "<!doctype html><title>run</title>")
    facts = {"reason": reason} if reason else {}
    folder.write_status(state, epoch=epochs, epochs=epochs, phase="fine-tuning", seconds=60.0 * epochs, **facts)
    return folder.path


def recorded(path: Path) -> Path:
    """Have a finished run record its results as they are now, and return its folder ``path``."""
    status = RunFolder(path).read_status()
    RunFolder(path).write_status(status.pop("state"), **status)
    return path


@lru_cache(maxsize=1)
def built_report(folder: Path) -> Path:
    """Return :func:`broken_experiment` with its report, built once a test session."""
    # Imported here, so that tests of numbers alone need not load notebooks.
    from dr_lib.report.build import build_report

    build_report(broken_experiment(folder))
    return broken_experiment(folder)


@lru_cache(maxsize=1)
def broken_experiment(folder: Path) -> Path:
    """Return the experiment ``folder`` / lab with all of it that can go wrong, written once a test session."""
    experiment = write_experiment(folder / "lab")
    table = photograph_table(700)
    write_run(experiment, table, name="resnet18-broken", state="failed", reason="out of memory <b>")
    write_run(experiment, table, name="resnet18-stopped-with-a-rather-long-name", state="running")
    return experiment


def write_experiment(experiment: Path, photographs: int = 700, **options: Any) -> Path:
    """Write the lab's eight runs and an audit into the folder ``experiment`` and return it."""
    table = photograph_table(photographs)
    write_sealed_json(ExperimentFolder(experiment).audit, made_up_audit(table))
    for number, (model, pretrained) in enumerate(SKILL):
        for weighted in (False, True):
            write_run(experiment, table, model, pretrained=pretrained, weighted=weighted, luck=number, **options)
    return experiment


def write_sweep(
    experiment: Path,
    vary: dict[str, list[Any]],
    *,
    skill: Callable[[dict[str, Any]], float] = lambda values: 1.0,
    accuracies: Callable[[dict[str, Any]], dict[str, list[float]]] = lambda values: {},
    gradients: Callable[[dict[str, Any]], float] | None = None,
    unfinished: tuple[str, ...] = (),
    epochs: int = 6,
    photographs: int = 300,
    evaluate_on: str = "testing",
) -> Path:
    """Write ``sweep.json`` and the runs of a sweep of what ``vary`` lists, and return the folder ``experiment``.

    Of each run, by its values: ``skill``; ``accuracies``, columns of its history; ``gradients``, by what factor its
    gradients shrink from one layer to the one before it.
    """
    file = SweepFile(
        Path("made-up.yaml"), "A made-up sweep", "What does it matter?", {"reference_batch": 32}, vary,
        evaluate_on=evaluate_on,
    )  # fmt: skip
    grid, configs = expand(file, [], [], str(experiment))
    write_sealed_json(ExperimentFolder(experiment).sweep, grid.as_json())
    table = photograph_table(photographs)
    write_sealed_json(ExperimentFolder(experiment).audit, made_up_audit(table))
    for number, config in enumerate(configs):
        values = {key: getattr(config, key) for key in vary}
        write_run(
            experiment, table, parameters=values, name=config.name, skill=skill(values), epochs=epochs, luck=number % 3,
            state="failed" if config.name in unfinished else "done",
        )  # fmt: skip
        folder = ExperimentFolder(experiment).run(config.name)
        history = folder.read_history()
        for column, numbers in accuracies(values).items():
            history[column] = numbers
        folder.write_history(history.to_dict("records"))
        if gradients:
            factor, layers = gradients(values), ["conv1", "layer1.0.conv1", "layer1.0.conv2", "fc"]
            layers += ["layer2.0.downsample.0"] * config.residual
            folder.write_gradients(
                [
                    {"epoch": epoch, "depth": depth, "layer": layer, "norm": factor ** (len(layers) - depth)}
                    for epoch in range(1, epochs + 1)
                    for depth, layer in enumerate(layers, 1)
                ]
            )
        recorded(folder.path)
    return experiment
