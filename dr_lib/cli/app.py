"""The ``dr-lab`` command."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from dr_lib import GRADES
from dr_lib.cli import network_commands as commands
from dr_lib.cli.entry import Assignments, DataFile, check_output, run_command
from dr_lib.errors import InputError
from dr_lib.storage.checksums import read_sealed_json
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.system.resources import check_memory_for_torch
from dr_lib.system.signals import Interrupted
from dr_lib.system.terminal import PlainConsole, say

# The heavy imports (torch, matplotlib) happen inside the commands, after the params files have been read: help and
# most mistakes are answered at once. Before torch, limits of memory are looked at.

app = typer.Typer(
    help="Grade diabetic retinopathy (0-4) from fundus photographs with ResNets, and report it honestly.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = PlainConsole()


@app.command()
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
    from dr_lib.experiment.plan import experiment_name, parse_seeds, plan_runs, with_seeds

    run_files = runs or sorted(Path("params/runs").glob("*.yaml"))
    out = out or Path("reports") / experiment_name(data, run_files)
    if not dry_run:
        check_output(out, folder=True)
    plan = plan_runs(data, run_files, recipe=recipe, assignments=assignments, out_dir=out)
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


@app.command()
def status(
    experiment: Annotated[Path, typer.Argument(metavar="EXPERIMENT_DIR")],
    watching: Annotated[bool, typer.Option("--watch", help="until no run is at work any more")] = False,
) -> None:
    """Say how the runs of an experiment stand, from its folders alone; also while they are at work elsewhere."""
    from dr_lib.experiment.status import StatusTable, follow, read_statuses
    from dr_lib.storage.lock import lock_owner

    folder = ExperimentFolder(experiment)
    statuses = read_statuses(folder)
    if not statuses:
        raise InputError(f"{experiment / 'runs'}: no runs there; dr-lab run makes some")
    if watching:
        follow(console, lambda: read_statuses(folder), lambda: lock_owner(folder.lock) is not None)
    else:
        console.print(StatusTable(statuses), soft_wrap=True)


@app.command()
def report(
    experiment: Annotated[Path, typer.Argument(metavar="EXPERIMENT_DIR")],
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


@app.command()
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


app.command()(commands.evaluate)
app.command()(commands.predict)
app.command()(commands.export)
app.command("label-errors")(commands.label_errors)


@app.command("make-data")
def make_data(
    folder: Annotated[Path, typer.Argument(metavar="DIR")],
    train: Annotated[int, typer.Option(min=1, help="training photographs")] = 800,
    test: Annotated[int, typer.Option(min=0, help="testing photographs")] = 200,
    size: Annotated[int, typer.Option(min=96, help="nominal width, px")] = 512,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    shares: Annotated[
        str, typer.Option(metavar="N,N,N,N,N", help="weights of grades 0 to 4; default: those of the lab's photographs")
    ] = "",
) -> None:
    """Draw a data set of fundus photographs with lesions by the ICDR grades, labeled as in the course."""
    check_output(folder, folder=True, called="")

    from dr_lib.synthetic import LAB_GRADE_SHARES
    from dr_lib.synthetic import make_data as draw
    from dr_lib.system.progress import Progress

    weights = _weights(shares) if shares else LAB_GRADE_SHARES
    with Progress() as progress:
        try:
            draw(
                folder, train=train, test=test, size=size, seed=seed, grade_shares=weights,
                progress=lambda done, total: progress.bar("drawing photographs", done, total),
            )  # fmt: skip
        except FileExistsError as error:
            raise InputError(str(error)) from None
    say(folder)


def _weights(shares: str) -> tuple[float, ...]:
    try:
        weights = tuple(float(share) for share in shares.split(","))
    except ValueError:
        weights = ()
    if len(weights) != len(GRADES):
        raise InputError(f"--shares {shares}: give five numbers, one a grade, such as 50,15,17,9,9")
    return weights


@app.command()
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
        say(f"sound: sweep {grid.sweep!r} of {len(runs)} runs")
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


def main() -> None:
    """Run the command line; bad input is one line on stderr and exit status 2."""
    run_command(app)


if __name__ == "__main__":
    main()
