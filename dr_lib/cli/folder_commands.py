"""The commands that fill or empty a folder: make-data, notebooks, clean."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from dr_lib import GRADES
from dr_lib.cli.entry import ExperimentDir, check_output, examples
from dr_lib.errors import InputError
from dr_lib.storage.files import disk_usage, write_bytes
from dr_lib.storage.folders import SHIPPED, ExperimentFolder
from dr_lib.system.terminal import say

MAKE_DATA_EXAMPLES = examples("dr-lab make-data data/drawn --train 480 --test 160 --size 192 --shares 50,15,17,9,9")
NOTEBOOKS_EXAMPLES = examples("dr-lab notebooks work", "jupyter lab work")
CLEAN_EXAMPLES = examples("dr-lab clean reports/demo", "dr-lab clean reports/demo --yes --superseded")


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


def notebooks(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="folder to copy them to")],
) -> None:
    """Copy the notebooks out, to open in JupyterLab or to execute with papermill; files that are there stay."""
    check_output(folder, folder=True, called="")
    for notebook in sorted((SHIPPED / "notebooks").glob("*.ipynb")):
        if (folder / notebook.name).exists():
            say(f"{folder / notebook.name}: is there already, left as it is")
            continue
        write_bytes(folder / notebook.name, notebook.read_bytes())
        say(folder / notebook.name)


def clean(
    experiment: ExperimentDir,
    superseded: Annotated[bool, typer.Option("--superseded", help="also earlier results that were set aside")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="delete without asking")] = False,
) -> None:
    """Say what an experiment does not need any more, and delete it when you agree.

    It deletes training states of finished runs alone: no network, no table, nothing of a run that can go on.
    """
    from rich.filesize import decimal

    folder = ExperimentFolder(experiment)
    folder.existing_runs()
    paths = folder.unneeded(superseded=superseded)
    for path in paths:
        say(f"{decimal(disk_usage(path)):>10}  {path}")
    total = decimal(sum(map(disk_usage, paths)))
    if not paths:
        say("nothing to delete: every file is still needed, or of use")
    elif yes or (sys.stdin.isatty() and _agrees(f"Delete {total}?")):
        folder.clean(superseded=superseded)
        say(f"{total} deleted")
    else:
        say(f"{total} could be deleted; nothing was. --yes deletes")


def _agrees(question: str) -> bool:
    with suppress(typer.Abort):  # the end of the input
        return typer.confirm(question)
    return False
