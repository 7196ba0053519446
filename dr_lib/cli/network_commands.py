"""The commands that use a trained network: evaluate, predict, export, label-errors."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dr_lib.cli.entry import Assignments, DataFile, check_output, examples
from dr_lib.errors import InputError
from dr_lib.system.resources import check_memory_for_torch
from dr_lib.system.terminal import counted, printable, printable_lines, say

if TYPE_CHECKING:
    from dr_lib.inference.output_formats import Form

_BEST = "reports/demo/runs/resnet18-pretrained/checkpoints/best.pt"
EVALUATE_EXAMPLES = examples(
    f"dr-lab evaluate {_BEST} --data mine.yaml", f"dr-lab evaluate {_BEST} --data mine.yaml --split all"
)
PREDICT_EXAMPLES = examples(
    f"dr-lab predict {_BEST} photo.jpeg folder/ --out grades.csv", "dr-lab predict net.onnx folder/"
)
LABEL_ERRORS_EXAMPLES = examples("dr-lab label-errors reports/demo/runs/resnet18")
EXPORT_EXAMPLES = examples(f"dr-lab export {_BEST} --onnx --out net.onnx")

Checkpoint = Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="RUN/checkpoints/best.pt")]


def evaluate(
    checkpoint: Checkpoint,
    data: DataFile,
    assignments: Assignments = [],  # noqa: B006
    split: Annotated[str, typer.Option(help="train, validation, test, or all")] = "test",
    as_json: Annotated[bool, typer.Option("--json", help="print the figures as JSON")] = False,
) -> None:
    """Load a trained network and evaluate it on a data set."""
    check_memory_for_torch()
    from dr_lib.inference.evaluate import agreement_with_run, evaluate_checkpoint, figures_as_text

    summary = evaluate_checkpoint(checkpoint, data, assignments, split)
    if as_json:
        print(json.dumps(summary, indent=2))
        return
    print(printable_lines(figures_as_text(summary, split)))
    if split == "test" and (sentence := agreement_with_run(checkpoint, summary)):
        print(f"\n{printable(sentence)}")


def predict(
    network: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="RUN/checkpoints/best.pt, or an exported .onnx")
    ],
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE_OR_FOLDER...", help="photographs; folders of them; - for paths on standard input"
        ),
    ],
    form: Annotated[str, typer.Option("--format", metavar="FORM", help="table, csv or json")] = "",
    as_csv: Annotated[bool, typer.Option("--csv", help="short for --format csv")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="short for --format json")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="write there instead of printing")] = None,
    cache_dir: Annotated[
        Path | None, typer.Option("--cache", metavar="DIR", help="where exported networks are kept: ~/.cache/dr-lab")
    ] = None,
) -> None:
    """Grade photographs: grade, and the probability of each. For research, not for diagnosis.

    A damaged file gets its status instead of a grade, and the exit status is then 1.
    """
    from dr_lib.config import CACHE_DIR
    from dr_lib.data.cache_folder import cache_folder
    from dr_lib.inference.inputs import photographs_named

    if out:
        check_output(out, folder=False)
    chosen = _form(form, as_csv, as_json, out)
    paths = photographs_named(images, sys.stdin.buffer)

    from dr_lib.inference.backends import select_backend
    from dr_lib.inference.model import grade_photographs
    from dr_lib.inference.output_formats import as_text
    from dr_lib.storage.files import write_text
    from dr_lib.system.progress import Progress

    with Progress() as progress:
        grader = select_backend(network, len(paths), cache_folder(str(cache_dir or CACHE_DIR)))
        photographs = grade_photographs(grader, paths, lambda done: progress.bar("grading", done, len(paths)))
    text = as_text(photographs, chosen)
    if out is None:
        print(text, end="")
    else:
        write_text(out, text)
        say(out)
    damaged = sum(photograph.grade is None for photograph in photographs)
    if damaged:
        say(f"dr-lab: {damaged} of {counted(len(photographs), 'file')} not graded: see their status", sys.stderr)
        raise typer.Exit(1)


def _form(form: str, as_csv: bool, as_json: bool, out: Path | None) -> "Form":
    """Return table, csv or json: as asked for, else by the ending of ``out``."""
    asked = {name for name, flag in (("csv", as_csv), ("json", as_json), (form, bool(form))) if flag}
    if len(asked) > 1:
        raise InputError(f"predict: {' and '.join(sorted(asked))} at once; choose one form")
    forms: dict[str, Form] = {"table": "table", "csv": "csv", "json": "json"}
    if asked - forms.keys():
        raise InputError(f"--format {form}: needs one of {', '.join(forms)}")
    if asked:
        return forms[asked.pop()]
    return forms.get(out.suffix.lower().removeprefix("."), "table") if out else "table"


def export(
    checkpoint: Checkpoint,
    onnx: Annotated[bool, typer.Option("--onnx", help="as ONNX, the one form there is")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="default: beside the checkpoint, .onnx")] = None,
) -> None:
    """Write a trained network as one ONNX file that says how to use it, with a model card beside it."""
    if not onnx:
        raise InputError("export: say --onnx; other programs also read the weights beside the checkpoint, .safetensors")
    if checkpoint.suffix.lower() == ".onnx":
        raise InputError(f"{checkpoint}: is exported already; export takes a run's checkpoint, RUN/checkpoints/best.pt")
    out = out or checkpoint.with_suffix(".onnx")
    if out.suffix.lower() != ".onnx":
        raise InputError(f"--out {out}: needs a name that ends in .onnx, which is how predict knows it")
    check_output(out, folder=False)
    check_memory_for_torch()

    from dr_lib.inference.model_card import model_card
    from dr_lib.inference.onnx_export import describe, export_onnx
    from dr_lib.models.trained import load_trained
    from dr_lib.storage.files import write_text

    trained = load_trained(checkpoint)
    export_onnx(checkpoint, out, trained)
    card = out.with_suffix(".md")
    write_text(card, model_card(out, describe(checkpoint, trained), trained.config, checkpoint))
    say(out)
    say(card)


def label_errors(
    run: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="a finished run, as reports/demo/runs/resnet18")],
    folds: Annotated[int, typer.Option(min=2, help="folds of the patients")] = 5,
    most: Annotated[int, typer.Option(min=1, metavar="N", help="photographs that the page shows")] = 100,
) -> None:
    """List the photographs whose labels a trained network contradicts most, to be graded again.

    Writes label_errors.csv, for a grader, and label_errors.html into the run's folder.
    """
    check_memory_for_torch()
    from dr_lib.explore.label_errors import write_label_errors

    for path in write_label_errors(run, folds, most):
        say(path)
