"""One run from its parameters to its folder: begun or taken up again, trained, tested, and its end recorded."""

from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from dr_lib.config import RunConfig
from dr_lib.data.class_weights import class_counts, class_weights
from dr_lib.data.prepare import DataSplits, prepare_data
from dr_lib.data.transforms import EvalTransform
from dr_lib.errors import Failure, InputError
from dr_lib.evaluation.calibration import temperature_scaling
from dr_lib.evaluation.predictions import prediction_table
from dr_lib.evaluation.referral import referral, worse_eye
from dr_lib.evaluation.summary import plain_json, summarize
from dr_lib.models.trained import load_trained, new_head, new_network
from dr_lib.models.weights import WeightsOrigin
from dr_lib.storage.files import write_json
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.storage.lock import acquire_lock
from dr_lib.storage.run_folder import RunFolder, chosen_epoch
from dr_lib.system.environment import is_one_of_several
from dr_lib.system.progress import Progress
from dr_lib.system.signals import Interrupted, Interruption, raising_signals
from dr_lib.training.checkpoint import ANEW, save_weights
from dr_lib.training.device import start_accelerator
from dr_lib.training.distributed import launch, over_all_processes
from dr_lib.training.evaluator import Evaluator
from dr_lib.training.learner import GradientNorms, Learner
from dr_lib.training.loaders import LoaderFactory, check_trainable, fit_normalization
from dr_lib.training.provenance import describe_run
from dr_lib.training.resume import has_begun, resumable_state, wrong_network
from dr_lib.training.run_progress import RunProgress, Stopwatch
from dr_lib.training.starting_weights import load_starting_weights
from dr_lib.training.trained_run import Run
from dr_lib.training.trainer import Trainer


def train(config: RunConfig, *, data: DataSplits | None = None, fresh: bool = False) -> Run:
    """Train and test one network as ``config`` says, and return the run with its results.

    A run that was interrupted goes on from its checkpoint, to the bit; a finished one is returned as it is, tested
    again. ``data``: what :func:`dr_lib.data.prepare.prepare_data` gave for ``config``, to save reading it again.
    ``fresh``: begin anew; earlier results move to ``superseded``. Raises :class:`dr_lib.errors.InputError` for
    what cannot be run, and where the folder holds a run with other parameters or data.

    >>> run = dr_lib.train(config)
    >>> run.state
    'done'
    """
    return Run(train_run(config, data, fresh=fresh).path)


def train_run(config: RunConfig, data: DataSplits | None = None, *, fresh: bool = False) -> RunFolder:
    """Train and test one network as ``config`` says; return the folder with all its results.

    ``data`` is what :func:`dr_lib.data.prepare.prepare_data` gives for ``config``, and is read here without. A run
    that was interrupted or killed goes on from its last checkpoint, to the bit. Over a run with other parameters or
    data :class:`InputError` is raised with the difference, unless ``fresh``, which sets its results aside. What goes
    wrong is recorded in ``status.json`` before it is raised; SIGTERM, SIGHUP and Ctrl-C end in :class:`Interrupted`
    after a checkpoint.
    """
    folder = ExperimentFolder(Path(config.out_dir)).run(config.run_name)
    if config.devices > 1 and not is_one_of_several():
        launch(config, fresh=fresh)
        return folder
    accelerator = start_accelerator(config)
    if not accelerator.is_main_process:
        with Interruption() as interruption:
            data = data or prepare_data(config, progress=False)
            trainer = _trainer(config, data, folder, accelerator, interruption, Stopwatch())
            _go_on(trainer, resumable_state(folder, config, data.fingerprint))
            trainer.complete()
            _test_chosen(trainer)
        return folder
    if fresh:
        data = _set_aside(config, data, folder)
    with acquire_lock(folder.lock), raising_signals():
        _go(config, data, folder, accelerator)
    return folder


def _set_aside(config: RunConfig, data: DataSplits | None, folder: RunFolder) -> DataSplits:
    """Set the results of an earlier run aside once there are data for a new one, and return these."""
    with (
        acquire_lock(folder.lock),
        Progress() as progress,
    ):  # the lock goes with the folder; the new run takes one of its own
        data = data or prepare_data(config)
        if aside := folder.set_results_aside():
            progress.line(f"begun anew; the earlier results are now in {aside}")
    return data


def _go(config: RunConfig, data: DataSplits | None, folder: RunFolder, accelerator: Accelerator) -> None:
    """Do all of a run in the process that writes its files, and record how it ended."""
    clock = Stopwatch()
    begun_before = has_begun(folder)
    try:
        # Before anything is written: a refusal leaves the folder as it was.
        data = data or prepare_data(config)
        state = resumable_state(folder, config, data.fingerprint)
        with Progress() as progress, Interruption() as interruption:
            folder.write_status("running", epoch=0, epochs=config.epochs, phase="preparing")
            trainer = _trainer(config, data, folder, accelerator, interruption, clock, progress)
            _go_on(trainer, state)
            del state  # as large as the network and its optimizer
            trainer.complete()
            _test_chosen(trainer)
    except Interrupted as stop:
        folder.write_status("interrupted", reason=str(stop), seconds=clock.seconds)
        raise
    except BaseException as error:
        if (accelerator.num_processes > 1 and "gloo" in str(error)) or isinstance(error, torch.distributed.DistError):
            error = Failure(
                f"another of the {accelerator.num_processes} processes of this run has ended, or cannot be reached; "
                "the same command goes on from the last checkpoint"
            )
        reason = " ".join(str(error).split()) or type(error).__name__
        if not (begun_before and isinstance(error, InputError)):
            folder.write_status("failed", reason=reason, seconds=clock.seconds)
        raise error
    epochs, chosen = len(trainer.history), chosen_epoch(trainer.history, config.select_by)
    folder.write_status("done", epoch=epochs, epochs=epochs, chosen=chosen, seconds=clock.seconds)


def _trainer(
    config: RunConfig,
    data: DataSplits,
    folder: RunFolder,
    accelerator: Accelerator,
    interruption: Interruption,
    clock: Stopwatch,
    progress: Progress | None = None,
) -> Trainer:
    """Return what trains, at its beginning: network, head, batches."""
    check_trainable(config, data)
    weights = class_weights(config.class_weights, class_counts(data.split("train").grade))
    torch.manual_seed(config.seed)
    model = new_network(config)
    origin = load_starting_weights(model, config) if config.pretrained else WeightsOrigin("none", "none", "random")
    model.to(accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in the stub
    if accelerator.num_processes > 1:
        model = over_all_processes(model, accelerator.device)
    normalization = fit_normalization(config, data).to(accelerator.device)
    if accelerator.is_main_process:
        record = describe_run(config, data, model, normalization, origin, weights, accelerator)
        write_json(folder.config, record)
    factory = LoaderFactory(config, data, normalization, accelerator)
    training = factory.training()
    splits = [split for split in ("validation", "test") if len(data.split(split))]
    if config.head == "regression" and "validation" not in splits:
        splits.append("train")
    each_epoch, in_the_end = EvalTransform.of_epochs(config), EvalTransform.of(config)
    testing = {split: factory.testing(split, each_epoch) for split in splits}
    views = testing if in_the_end == each_epoch else {split: factory.testing(split, in_the_end) for split in splits}
    head = new_head(config, weights).to(accelerator.device)
    accelerator.wait_for_everyone()  # one process sets earlier results aside: none is to go on from these meanwhile
    history: list[dict[str, Any]] = []
    shown = RunProgress(config, folder, progress or Progress(), history, main=accelerator.is_main_process)
    learner = Learner(config, model, head, accelerator, steps_an_epoch=training.plan.steps)
    return Trainer(
        config=config,
        folder=folder,
        progress=shown,
        accelerator=accelerator,
        data=data,
        learner=learner,
        evaluator=Evaluator(config, learner, accelerator, shown),
        normalization=normalization,
        training=training,
        testing=testing,
        views=views,
        weights=origin,
        interruption=interruption,
        clock=clock,
        history=history,
        gradients=GradientNorms(model) if config.record_gradients else None,
    )


def _go_on(trainer: Trainer, state: dict[str, Any] | None) -> None:
    """Have ``trainer`` go on from a state, and write again what is known of the epochs before."""
    if state is None:
        return
    trainer.restore(state)
    if trainer.history and trainer.accelerator.is_main_process:
        trainer.write_tables()
    step = f", step {trainer.tally.step}" if trainer.tally.step else ""
    trainer.progress.display.line(f"going on after epoch {len(trainer.history)}{step}")


def _test_chosen(trainer: Trainer) -> None:
    """Test the network that was kept for the chosen epoch, as it stands on the disk, and write the figures."""
    folder, config, network, head = trainer.folder, trainer.config, trainer.learner.network, trainer.learner.head
    epoch = chosen_epoch(trainer.history, config.select_by)
    trainer.accelerator.wait_for_everyone()
    if wrong := wrong_network(folder.best_checkpoint, trainer.history, config, trainer.data.fingerprint):
        raise InputError(f"{folder.best_checkpoint}: {wrong}{ANEW}")
    kept = load_trained(folder.best_checkpoint)
    network.load_state_dict(kept.model.state_dict())
    head.load_state_dict(kept.head.state_dict())
    refit = config.head == "regression" and trainer.views is not trainer.testing
    if refit:  # means over views lie closer together than the one view that cut-points were fitted to
        trainer.evaluator.fit_head(trainer.views, len(trainer.history))
    splits = [split for split in ("test", "validation") if split in trainer.views]
    outputs = {split: trainer.evaluator.predict(split, trainer.views, len(trainer.history))[0] for split in splits}
    if not trainer.accelerator.is_main_process:
        return
    if refit:
        trainer.keep(network, head, epoch)
    else:  # of the same weights, whatever has become of the file since that epoch
        save_weights(folder.best_checkpoint, network, config)
    tables = {
        split: prediction_table(
            trainer.data.split(split),
            head.probabilities(split_outputs).cpu().numpy(),
            head.predicted(split_outputs).cpu().numpy(),
        )
        for split, split_outputs in outputs.items()
    }
    for split, table in tables.items():
        folder.write_predictions(table, split)
    table = folder.read_predictions()
    highest = max(trainer.history, key=lambda row: row["test_accuracy"])
    metrics: dict[str, Any] = {
        "select_by": config.select_by,
        "chosen_epoch": epoch,
        "highest_testing_accuracy": {"accuracy": highest["test_accuracy"], "epoch": highest["epoch"]},
        "test": summarize(table, trainer.data.split("train").grade),
    }
    metrics["referral"] = referral(table, tables.get("validation"))
    metrics["patients"] = summarize(worse_eye(table))
    if "validation" in tables:
        metrics["validation"] = summarize(tables["validation"], trainer.data.split("train").grade)
        metrics["temperature_scaling"] = temperature_scaling(tables["validation"], table)
    write_json(folder.metrics, plain_json(metrics))
    chosen = "last epoch:" if config.select_by == "last" else f"chosen by {config.select_by}: epoch"
    trainer.progress.display.line(
        f"{chosen} {epoch}, testing accuracy "
        f"{100 * metrics['test']['accuracy']:.4f}, quadratic weighted kappa {metrics['test']['kappa']:.4f}"
    )
