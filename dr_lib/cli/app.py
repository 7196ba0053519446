"""The ``dr-lab`` command."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from dr_lib.cli import folder_commands as folders
from dr_lib.cli import network_commands as commands
from dr_lib.cli.entry import Assignments, DataFile, ExperimentDir, check_output, examples, run_command
from dr_lib.errors import InputError, closest_path
from dr_lib.storage.checksums import read_sealed_json
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.system.resources import check_memory_for_torch
from dr_lib.system.signals import Interrupted
from dr_lib.system.terminal import PlainConsole, counted, say

# The heavy imports (torch, matplotlib) happen inside the commands, after the params files have been read: help and
# most mistakes are answered at once. Before torch, limits of memory are looked at.

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = PlainConsole()


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        say(f"dr-lab {version('dr-lab')}")
        raise typer.Exit


@app.callback(
    epilog=examples("dr-lab run --data params/data/demo.yaml --recipe params/recipes/demo.yaml", "dr-lab run --help")
)
def dr_lab(
    shows_version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Grade diabetic retinopathy (0-4) from fundus photographs with ResNets, and report it honestly."""


app.command("make-data", epilog=folders.MAKE_DATA_EXAMPLES)(folders.make_data)


@app.command(
    epilog=examples(
        "dr-lab audit --data params/data/aptos.yaml --set data_dir=/photos/aptos",
        "dr-lab audit --data mine.yaml --fail-on leak,unreadable",
    )
)
def audit(
    data: DataFile,
    assignments: Assignments = [],  # noqa: B006
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="default: reports/<data file's name>")] = None,
    fail_on: Annotated[
        str, typer.Option(metavar="NAMES", help="checks whose findings end with status 3: leak,duplicates,unreadable")
    ] = "",
    compare: Annotated[
        Path | None, typer.Option(metavar="OTHER.json", help="audit.json of another state, to say what changed")
    ] = None,
) -> None:
    """Say what is in a data set: grades, splits, patients on both sides, duplicates, damaged photographs.

    Where the photographs are missing, it says what their labels tell.
    """
    from dr_lib.config import combine
    from dr_lib.report.audit_findings import compare_audits, failing, findings
    from dr_lib.report.audit_results import write_audit
    from dr_lib.report.audit_text import audit_text

    failing([], fail_on)  # a wrong name is refused before anything is decoded
    if compare and not compare.is_file():
        raise InputError(
            f"--compare {compare}: no such file{closest_path(compare)}; name the audit.json of another audit"
        )
    earlier = read_sealed_json(compare) if compare else None  # which may be the very file that is written
    out = out or Path("reports") / data.stem
    check_output(out, folder=True)
    audited = write_audit(combine([data], assignments, fixed={"out_dir": str(out)}))
    found = audited.found
    console.print(audit_text(found), soft_wrap=True)
    if earlier is not None:
        console.print("\n".join(["CHANGES", *(compare_audits(earlier, found) or ["None."]), ""]), soft_wrap=True)
    say(ExperimentFolder(out).audit_page)
    if failed := failing(findings(found), fail_on):
        console.print(f"--fail-on: found {', '.join(dict.fromkeys(finding.name for finding in failed))}")
        raise typer.Exit(3)


@app.command(
    epilog=examples(
        "dr-lab check params/data/demo.yaml params/runs/resnet18.yaml",
        "dr-lab check mine.yaml params/sweeps/heads.yaml --set epochs=5",
    )
)
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...")],
    assignments: Assignments = [],  # noqa: B006
) -> None:
    """Say whether params files are sound together, and what they come to: a run, or the runs of a sweep."""
    from dr_lib.config import RunConfig, combine
    from dr_lib.config.files import as_line
    from dr_lib.experiment.sweeps import expand, is_sweep, read_sweep

    sweeps = [file for file in files if is_sweep(file)]
    below = [file for file in files if file not in sweeps]
    grids = [expand(read_sweep(file), below, assignments, RunConfig().out_dir) for file in sweeps]
    configs = [config for _, runs in grids for config in runs] or [combine(files, assignments)]

    check_memory_for_torch()
    from dr_lib.models.builders import check_model

    for config in configs:
        check_model(config.model, config.resnet_version, config.residual, config.zero_init_residual)
    for grid, runs in grids:
        for name in dict.fromkeys(run.name for run in grid.runs):
            points = [run.values for run in grid.runs if run.name == name]
            lines = (", ".join(as_line(key, value) for key, value in point.items()) for point in points)
            say(f"{name}: {'; or '.join(lines)}")
        say(f"sound: sweep {grid.sweep!r} of {counted(len(runs), 'run')}")
    if sweeps:
        return
    defaults = RunConfig()
    for name in RunConfig.model_fields:
        value = getattr(configs[0], name)
        if value != getattr(defaults, name):
            say(as_line(name, value))
    say(f"sound: run {configs[0].run_name!r}; all else as in dr_lib/config/run_config.py")
    if Path(configs[0].data_dir).is_dir():
        from dr_lib.data.labels import labels_of

        say(f"labels: {labels_of(configs[0]).recognized}")


@app.command(
    epilog=examples(
        "dr-lab run --data params/data/demo.yaml --recipe params/recipes/demo.yaml",
        "dr-lab run --data params/data/aptos.yaml --set data_dir=/photos/aptos --dry-run",
        "dr-lab run --data mine.yaml --recipe params/recipes/strong.yaml --seeds 0,1,2",
        "dr-lab run --data mine.yaml params/sweeps/heads.yaml",
    )
)
def run(
    data: DataFile,
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RUN.yaml]...", help="runs, or a sweep of params/sweeps/; default: all of params/runs/"
        ),
    ] = None,
    recipe: Annotated[Path | None, typer.Option(metavar="FILE", help="params file between data and runs")] = None,
    assignments: Assignments = [],  # noqa: B006
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="experiment folder; default: reports/<data>, or <data>-<sweep>")
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, metavar="N", help="runs at the same time, each on a GPU of its own where there are N")
    ] = 1,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="who executes the runs: this machine, or those of a Ray cluster")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(help="of the Ray cluster: HOST:PORT, or auto on one of its machines; default: one started here"),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="on a cluster: processors of each run; default: a machine's by --jobs"),
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="0,1,2", help="each run once a seed; default: its own seed")] = "",
    timeout: Annotated[
        float | None, typer.Option(min=0.1, metavar="MINUTES", help="end a run that gives no sign of life for so long")
    ] = None,
    retries: Annotated[
        int, typer.Option(min=0, metavar="K", help="begin a run that fails up to K times more, from its checkpoint")
    ] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only say what there is to do, how long it takes and the disk it needs")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="begin all of them anew, also what is done; earlier results are set aside")
    ] = False,
) -> None:
    """Train and test every configuration, and write the lab report."""
    from dr_lib.config import run_files
    from dr_lib.experiment.plan import experiment_name, parse_seeds, plan_runs, with_seeds

    run_paths = runs or run_files()
    out = out or Path("reports") / experiment_name(data, run_paths)
    if not dry_run:
        check_output(out, folder=True)
    plan = plan_runs(data, run_paths, recipe=recipe, assignments=assignments, out_dir=out)
    configs = plan.runs
    if seeds:
        if plan.sweep:
            raise InputError("--seeds: a sweep lists its seeds itself; put 'seed: [0, 1, 2]' under vary in its file")
        configs = with_seeds(configs, parse_seeds(seeds))
    check_memory_for_torch()
    if dry_run:
        from dr_lib.experiment.dry_run import format_dry_run, plan_dry_run

        console.print(format_dry_run(plan_dry_run(configs, fresh=fresh), configs, jobs), soft_wrap=True)
        return

    from dr_lib.experiment.run_experiment import run_experiment

    try:
        experiment = run_experiment(
            configs, out, jobs=jobs, engine=engine, address=address, threads=threads, timeout=timeout,
            retries=retries, fresh=fresh, sweep=plan.sweep, console=console,
        )  # fmt: skip
    except Interrupted as stop:
        say("dr-lab: interrupted; the same command goes on from the last checkpoints", sys.stderr)
        raise typer.Exit(stop.exit_status) from None
    say(ExperimentFolder(out).report)
    done = all(experiment.runs[config.name].state == "done" for config in configs)
    raise typer.Exit(0 if done else 1)


@app.command(
    epilog=examples(
        "dr-lab status reports/demo",
        "dr-lab status reports/demo --watch",
    )
)
def status(
    experiment: ExperimentDir,
    watching: Annotated[bool, typer.Option("--watch", help="until no run is at work any more")] = False,
) -> None:
    """Say how the runs of an experiment stand, from its folders alone; also while they are at work elsewhere."""
    from dr_lib.experiment.status import StatusTable, follow, read_statuses
    from dr_lib.storage.lock import lock_owner

    folder = ExperimentFolder(experiment)
    folder.existing_runs()
    if watching:
        follow(console, lambda: read_statuses(folder), lambda: lock_owner(folder.lock) is not None)
    else:
        console.print(StatusTable(read_statuses(folder)), soft_wrap=True)


@app.command(
    epilog=examples(
        "dr-lab report reports/demo",
    )
)
def report(
    experiment: ExperimentDir,
    normalize: Annotated[
        Literal["true", "pred", "all", "none"],
        typer.Option(help="shares in confusion matrices: of true grades, of predicted ones, of all, or counts alone"),
    ] = "true",
) -> None:
    """Write the lab report of the runs that are there."""
    check_output(experiment, folder=True, called="")
    check_memory_for_torch()

    from dr_lib.report.build import build_report

    say(build_report(experiment, normalize=None if normalize == "none" else normalize))


app.command(epilog=commands.EVALUATE_EXAMPLES)(commands.evaluate)
app.command(epilog=commands.PREDICT_EXAMPLES)(commands.predict)
app.command(epilog=commands.EXPORT_EXAMPLES)(commands.export)
app.command("label-errors", epilog=commands.LABEL_ERRORS_EXAMPLES)(commands.label_errors)
app.command(epilog=folders.NOTEBOOKS_EXAMPLES)(folders.notebooks)
app.command(epilog=folders.CLEAN_EXAMPLES)(folders.clean)


def main() -> None:
    """Run the command line; bad input is one line on stderr and exit status 2."""
    run_command(app)


if __name__ == "__main__":
    main()
