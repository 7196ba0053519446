"""The model card beside an exported network: what it is for, what it saw, how well it did, and where it ends.

After Mitchell et al., "Model Cards for Model Reporting", FAT* 2019.
"""

import re
from pathlib import Path
from typing import Any

from dr_lib import GRADE_NAMES
from dr_lib.config import DEMO_DIR, RunConfig
from dr_lib.inference.exported import KEYS, Description
from dr_lib.report.formatting import patients
from dr_lib.report.run_results import chosen_by
from dr_lib.storage.run_folder import run_of

FEW = 30
"""Testing photographs of a grade below which its figures say little."""
RECIPE = (
    "pretrained", "pretrained_weights", "augmentations", "preprocessing", "normalization", "image_size", "resize",
    "batch_size", "epochs", "feature_extraction_epochs", "optimizer", "learning_rate", "schedule", "momentum",
    "weight_decay", "class_weights", "label_smoothing", "focal_gamma", "mixup_alpha", "ema_decay", "sampling",
    "select_by", "seed",
)  # fmt: skip

READING = """\
import json, numpy, onnxruntime
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, Resize

session = onnxruntime.InferenceSession("{file}", providers=["CPUExecutionProvider"])
record = session.get_modelmeta().custom_metadata_map
crop = Compose([Resize(json.loads(record["dr_lab.resize"])), CenterCrop(json.loads(record["dr_lab.center_crop"]))])
photographs = ["photo.jpeg"]
pixels = numpy.stack([numpy.asarray(crop(Image.open(path).convert("RGB"))) for path in photographs])
outputs, probabilities, grades = session.run(["outputs", "probabilities", "grade"], {{"pixels": pixels}})
"""


def model_card(file: Path, description: Description, config: RunConfig, checkpoint: Path) -> str:
    """Return the card, Markdown, of the exported ``file`` that ``description`` is in, made from ``checkpoint``.

    Figures are those of the run's folder; where the checkpoint does not lie in that of a finished run, the card says
    that they are unknown. All that comes from files is text in it.
    """
    run = run_of(checkpoint)
    record, metrics = (run.read_config(), run.read_metrics()) if run else (None, None)
    test = metrics["test"] if metrics else None
    form = f"{config.model}{'' if config.residual else ' without shortcuts'}"
    sections = [
        f"# {text(form)}, grading diabetic retinopathy\n\n"
        "Grades a fundus photograph from 0 to 4 on the International Clinical Diabetic Retinopathy scale: "
        f"{', '.join(f'{grade} {name}' for grade, name in enumerate(GRADE_NAMES))}.",
        "## Intended use\n\nResearch and teaching: comparing ways to train such networks. **Not for diagnosis**, "
        "screening or any decision about a person; it is no medical device and nobody has tested it as one.",
        f"## Data\n\n{_data(config, record)}",
        f"## Figures\n\n{_figures(metrics)}",
        f"## Training\n\n{_training(config, record)}",
        f"## Limits\n\n{_limits(config, test)}",
        f"## The file\n\n{_file(file, description)}",
    ]
    return "\n\n".join(sections) + "\n"


def text(value: Any) -> str:
    """Return ``value`` as one line of Markdown in which nothing is markup."""
    # Addresses, too, since many readers make links of them.
    return re.sub(r"([\\`*_\[\]<>|~#&$!]|:(?=//)|@|(?<=www)\.)", r"\\\1", " ".join(str(value).split()))


def _data(config: RunConfig, record: dict[str, Any] | None) -> str:
    name = f"The run's data folder was called {text(Path(config.data_dir).name)} (labels: {text(config.labels)})."
    if (record or {}).get("data", {}).get("generated", config.data_dir == DEMO_DIR):
        name += " **Its photographs are drawn by dr-lab: this network has never seen an eye.**"
    if record is None:
        return f"{name} The checkpoint lies in no finished run's folder, so splits and counts are unknown."
    rows = [
        [split, counts["photographs"], _patients(counts), *counts["counts"]]
        for split, counts in record["data"]["splits"].items()
    ]
    heading = ["split", "photographs", "patients", *(f"{grade} {name}" for grade, name in enumerate(GRADE_NAMES))]
    return f"{name} Fingerprint: {text(record['data']['fingerprint'])}.\n\n{_table(heading, rows)}"


def _patients(split: dict[str, Any]) -> int | str:
    unknown = split.get("unknown_patients", 0)
    return patients(split["patients"], unknown) if unknown else split["patients"]


def _figures(metrics: dict[str, Any] | None) -> str:
    if metrics is None:
        return "Unknown: the checkpoint lies in no finished run's folder."
    test = metrics["test"]
    ends = test["intervals"]
    rows = [
        ["accuracy", test["accuracy"], ends["accuracy"]],
        ["accuracy of always answering the commonest grade", test["majority_accuracy"], None],
        ["balanced accuracy", test["balanced_accuracy"], ends["balanced_accuracy"]],
        ["quadratic weighted kappa", test["kappa"], ends["kappa"]],
        ["macro F1", test["macro_f1"], ends["macro_f1"]],
        ["macro AUC, each grade against the others", test["macro_auc"], ends["macro_auc"]],
        ["referable DR (grade 2 or worse): AUC", test["referable_auc"], ends["referable_auc"]],
    ]
    for name, given, answer in (
        ("referable_at_90_sensitivity", "sensitivity 0.90", "specificity"),
        ("referable_at_95_specificity", "specificity 0.95", "sensitivity"),
    ):
        rows.append(
            [
                f"referable DR: {answer} at {given}, set on these photographs",
                test[name][answer],
                ends[name][answer],
            ]
        )
    rows.append(["expected calibration error", test["calibration"]["ece"], None])
    grades = [
        [f"{grade} {name}", test["support"][grade]]
        + [_share(test[figure][grade], ends[figure][grade]) for figure in ("recall", "precision", "auc")]
        for grade, name in enumerate(GRADE_NAMES)
    ]
    matrix = [[f"{grade} {GRADE_NAMES[grade]}", *row] for grade, row in enumerate(test["confusion_matrix"])]
    return "\n\n".join([
        f"On {test['photographs']} testing photographs of "
        f"{patients(test['patients'], test.get('unknown_patients', 0))}, at epoch "
        f"{metrics['chosen_epoch']}, {text(chosen_by(metrics['select_by']))}; in brackets 95 % intervals over "
        "patients.",
        _table(["figure", "value"], [[name, _share(value, interval)] for name, value, interval in rows]),
        _table(["true grade", "photographs", "recall", "precision", "AUC"], grades),
        "Counts, a row a true grade, a column an answer:",
        _table(["true grade", *map(str, range(5))], matrix),
    ])  # fmt: skip


def _training(config: RunConfig, record: dict[str, Any] | None) -> str:
    lines = [f"- {text(name)}: {text(getattr(config, name))}" for name in RECIPE]
    if record is not None:
        weights, versions, device = record["weights"], record["versions"], record["device"]
        lines += [
            f"- starting weights: {text(weights['description'])}",
            f"- versions: {text(', '.join(f'{name} {number}' for name, number in versions.items()))}",
            f"- device: {text(device['name'])}",
            f"- commit: {text(record['git_commit'] or 'unknown')}",
            f"- begun: {text(record['started'])}",
        ]
    return "\n".join(lines)


def _limits(config: RunConfig, test: dict[str, Any] | None) -> str:
    lines = [
        f"- It sees {config.image_size} x {config.image_size} px: one of them is {100 / config.image_size:.1f} % of a "
        "photograph's height. Smaller lesions, single microaneurysms above all, are blurred before it looks.",
        "- It grades whatever it is given, also what is no fundus photograph, out of focus, or of another disease.",
        "- Untested: other cameras, populations and graders than those of its data. Macular edema is not graded.",
        "- Probabilities are the network's own; no temperature was fitted to them.",
        "- Both eyes of a patient, and the errors in them, resemble each other; intervals allow for that.",
    ]
    if config.select_by == "test_accuracy":
        lines.append("- The epoch was chosen on the testing photographs: the figures are optimistic.")
    if test is not None:
        few = [f"grade {grade} ({n})" for grade, n in enumerate(test["support"]) if n < FEW]
        if few:
            lines.append(f"- Fewer than {FEW} testing photographs of {', '.join(few)}: its figures there say little.")
        if (test["intervals"]["accuracy"] or [0])[0] <= test["majority_accuracy"]:
            lines.append("- Its accuracy is not distinguishable from always answering the commonest grade.")
    return "\n".join(lines)


def _file(file: Path, description: Description) -> str:
    metadata = description.as_metadata()
    rows = [[key, metadata[key], meaning] for key, meaning in KEYS.items()]
    code = READING.format(file=re.sub(r'[\\"`\n\r]', "_", file.name))
    extra = ""
    if description.recipe.steps:
        extra = (
            " Beside Resize and CenterCrop go the steps under `dr_lab.preprocessing`, as in "
            "dr_lib/data/preprocessing.py; the code below leaves them out."
        )
    return (
        "One input, `pixels`: uint8 (N, side, side, 3), RGB. Three outputs: `outputs` of the last layer, "
        f"`probabilities` of the grades, and `grade`. Views at test time, normalization and head are in the graph."
        f"{extra}\n\n"
        f"```python\n{code}```\n\nor `dr-lab predict FILE.onnx PHOTOGRAPH...`. Its metadata:\n\n"
        f"{_table(['key', 'value', 'meaning'], rows)}\n\nBehind them, `dr_lab.sha256`: the checksum of all the file "
        "before its 64 digits, by which `dr-lab predict` knows a damaged one."
    )


def _share(value: float | None, interval: list[float] | None) -> str:
    if value is None:
        return "undefined"
    return f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


def _table(heading: list[Any], rows: list[list[Any]]) -> str:
    lines = [heading, ["---"] * len(heading), *([text(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
