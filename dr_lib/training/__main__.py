"""One run as a plain program, on one device or on several, on one machine or on many.

python -m dr_lib.training params/data/demo.yaml params/runs/resnet18.yaml --set epochs=2
torchrun --nproc-per-node 4 -m dr_lib.training params/data/eyepacs.yaml params/runs/resnet50.yaml
accelerate launch --num_processes 8 --num_machines 2 ... -m dr_lib.training ...
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from dr_lib.config import combine
from dr_lib.errors import Failure, InputError
from dr_lib.system.process_pool import stop_with_parent

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def run(
    files: Annotated[list[Path], typer.Argument(metavar="PARAMS.yaml...", help="params files, later ones winning")],
    assignments: Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="over all files")] = [],  # noqa: B006
    fresh: Annotated[bool, typer.Option("--fresh", help="set the results of another run aside")] = False,
) -> None:
    """Train and test one network; of several processes each does its share of every batch."""
    config = combine(files, assignments)

    from dr_lib.training.run import train_run

    print(train_run(config, fresh=fresh).path)


def main() -> None:
    """Run the command; exit status 2 for bad input, 1 for a run that failed, 130 or 143 for one told to stop."""
    from dr_lib.system.environment import is_one_of_several
    from dr_lib.system.signals import Interrupted

    if is_one_of_several():
        stop_with_parent()
    try:
        app()
    except InputError as error:
        print(f"dr_lib.training: {error}", file=sys.stderr)
        sys.exit(2)
    except (Failure, FloatingPointError) as error:
        # Not as bad input is said: of several processes, the one that started them tells the two apart by it.
        print(f"dr_lib.training failed: {error}", file=sys.stderr)
        sys.exit(1)
    except Interrupted as stop:
        print(f"dr_lib.training: {stop}", file=sys.stderr)
        sys.exit(stop.exit_status)


if __name__ == "__main__":
    main()
