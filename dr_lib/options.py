"""Options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

DataFile = Annotated[
    Path, typer.Option("--data", metavar="FILE", help="params file that says where the photographs are")
]
Assignments = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="a parameter, over all files; repeatable")
]
