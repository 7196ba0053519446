"""Set-up: the blocks a ResNet is made of, the networks, the hyperparameters, and what it all ran on."""

from collections import defaultdict
from html import escape
from typing import Any

from IPython.display import HTML

from dr_lib.config import RunConfig
from dr_lib.report import markup
from dr_lib.report import wording as words
from dr_lib.report.drawing import block_svg
from dr_lib.report.study import Study, network_name

HYPERPARAMETERS = (
    "batch_size", "learning_rate", "epochs", "feature_extraction_epochs", "optimizer", "momentum", "weight_decay",
    "head", "class_weights", "resize", "image_size", "augmentations", "normalisation", "validation_share",
    "select_by", "seed",
)  # fmt: skip
"""Always told, in the order of the lab report, then the rest."""

LOSSES = {
    "softmax": "cross entropy",
    "coral": "binary cross entropy of each threshold (CORAL)",
    "corn": "binary cross entropy of each threshold, given the one before (CORN)",
    "regression": "distance from the grade",
}

RECIPE = (
    "residual", "learning_rate_scaling", "reference_batch", "schedule", "warmup_epochs", "decay_batchnorm",
    "gradient_clip", "label_smoothing", "focal_gamma", "regression_loss", "mixup_alpha", "average_decay", "sampling",
    "sampling_decay", "early_stopping", "test_time_augmentation", "preprocessing", "fast_decode", "precision", "tf32",
    "devices",
)  # fmt: skip
"""Told where a run departs from the lab's."""


def block_figures() -> HTML:
    """Return drawings of the basic and the bottleneck block."""
    basic = block_svg(
        ["3×3 conv, 64", "3×3 conv, 64"],
        "Basic block: two 3 by 3 convolutions of 64 channels; the input skips around them and is added",
    )
    bottleneck = block_svg(
        ["1×1 conv, 64", "3×3 conv, 64", "1×1 conv, 256"],
        "Bottleneck block: 1 by 1 convolution down to 64 channels, 3 by 3 of 64, 1 by 1 up to 256; the input of 256 "
        "channels skips around them and is added",
    )
    panels = [("Basic block (ResNet18)", basic), ("Bottleneck block (ResNet50), 256 channels in", bottleneck)]
    caption = (
        "Every convolution is followed by batch normalisation. The blue line is the shortcut: it carries x unchanged."
    )
    return markup.shown(markup.figure(panels, "Two residual blocks.", caption))


def stride_figure() -> HTML:
    """Return drawings of the bottleneck that halves the image, in versions 1 and 1.5."""
    panels = [
        (
            "v1: stride in the first 1×1",
            block_svg(
                ["1×1 conv, stride 2", "3×3 conv", "1×1 conv"],
                "Downsampling bottleneck, version 1: the stride of 2 is in the first 1 by 1 convolution",
                shortcut="1×1, stride 2", marked=0,
            ),
        ),
        (
            "v1.5: stride in the 3×3",
            block_svg(
                ["1×1 conv", "3×3 conv, stride 2", "1×1 conv"],
                "Downsampling bottleneck, version 1.5: the stride of 2 is in the 3 by 3 convolution",
                shortcut="1×1, stride 2", marked=1,
            ),
        ),
    ]  # fmt: skip
    caption = "A 1×1 convolution with stride 2 never looks at three of four positions; a 3×3 one looks at all of them."
    return markup.shown(markup.figure(panels, "Where a downsampling bottleneck halves the image.", caption))


def networks(study: Study) -> HTML:
    """Return one row a network: version, number of parameters, and the initial weights it was given."""
    facts: dict[str, dict[str, Any]] = defaultdict(lambda: {"versions": {}, "parameters": {}, "weights": {}})
    for run in study.runs:
        network = run.config.get("network", {})
        row = facts[run.network]
        row["versions"][network.get("version", "not recorded")] = None
        if network.get("parameters"):
            row["parameters"][f"{network['parameters'] / 1e6:.1f} million"] = None
        row["weights"][run.weights] = None
    rows = [
        [
            f"<b>{escape(name)}</b>",
            escape(words.listed(list(row["versions"]))),
            escape(words.listed(list(row["parameters"])) or "not recorded"),
            "<br>".join(escape(weights) for weights in row["weights"]),
        ]
        for name, row in facts.items()
    ]
    table = markup.table(
        ["Network", "Version", "Parameters", "Initial weights"], rows, "The networks of this experiment.", css="cards"
    )
    # Generated weights have notes of their own, with how well they count lesions.
    described = {
        run.weights: run.config["weights"].get("description", "")
        for run in study.runs
        if run.pretrained and run.config.get("weights", {}).get("kind") in ("ImageNet", "file")
    }
    notes = [
        escape(f"{weights[:1].upper()}{weights[1:]}: {text.rstrip('.')}.")
        for weights, text in described.items()
        if text
    ]
    notes += [_pretraining_note(network_name(model), done) for model, done in study.pretrainings.items()]
    items = "".join(f"<li>{note}</li>" for note in notes)
    return markup.shown(table + (f"<ul>{items}</ul>" if items else ""))


def hyperparameters(study: Study) -> HTML:
    """Return the hyperparameters of all runs; where they differ, which run has which."""
    runs = [run for run in study.runs if run.parameters]
    if not runs:
        return markup.shown(markup.paragraphs("No run has recorded its parameters."))
    losses = {LOSSES[run.parameters.get("head", "softmax")] for run in runs}
    rows = [["Loss function", escape(words.listed(sorted(losses))), "by the head"]]
    for name in HYPERPARAMETERS + RECIPE:
        if name in RECIPE and not any(_departs(run.parameters, name) for run in runs):
            continue
        values: dict[str, list] = defaultdict(list)
        for run in runs:
            if name in run.parameters:
                values[_number(run.parameters[name])].append(run)
        meaning = RunConfig.model_fields[name].description or ""
        if len(values) == 1:
            value = escape(next(iter(values)))
        else:
            value = "<br>".join(
                f'{escape(text)} <span class="sub">{escape(_which(group, runs))}</span>'
                for text, group in values.items()
            )
        if values:
            rows.append([escape(name.replace("_", " ").capitalize()), value, escape(meaning)])
    return markup.shown(
        markup.table(
            ["Parameter", "Value", "Meaning"], rows, "Hyperparameters, from the runs' config.json.", css="cards"
        )
    )


def provenance(study: Study) -> HTML:
    """Return versions, device, commit and the fingerprint of the photographs, for who wants to repeat the runs."""
    run = next((run for run in study.runs if run.config.get("versions")), None)
    if run is None:
        return markup.shown(markup.paragraphs("No run has recorded what it ran on."))
    device = run.config.get("device", {})
    rows = [[escape(name), escape(str(version))] for name, version in run.config["versions"].items()]
    rows += [
        ["device", escape(", ".join(str(device[key]) for key in ("type", "name") if device.get(key)))],
        ["threads", escape(str(device.get("threads", "")))],
        ["git commit", f"<code>{escape(str(run.config.get('git_commit') or 'not recorded'))}</code>"],
        ["photographs", f"<code>{escape(str(run.config.get('data', {}).get('fingerprint', ''))[:16])}…</code>"],
    ]
    rows.append(["this page", f"made by {markup.link('report.ipynb', 'report.ipynb')}"])
    return markup.shown(markup.table(["What", "Which"], rows, f"What run {run.name} ran on, and what made this page."))


def _pretraining_note(network: str, done: dict[str, Any]) -> str:
    """Return how a network was pretrained on generated photographs, with a link to the notebook that did it."""
    scores = [
        f"{kind.replace('_', ' ')} {words.signed(score, 2)}"
        for kind, score in (done.get("final_r2") or {}).items()
        if score is not None  # the same count on every held-out photograph
    ]
    text = (
        f"{network} was pretrained on {done.get('photographs', 0):,} generated photographs in "
        f"{words.counted(done.get('epochs', 0), 'epoch')}, by counting the lesions drawn on them"
        + (f"; R² at the end: {words.listed(scores)}." if scores else ".")
    )
    return escape(text) + (f" {markup.link(done['page'], 'Its notebook')}." if done["page"] else "")


def _departs(parameters: dict[str, Any], name: str) -> bool:
    field = RunConfig.model_fields[name]
    return parameters.get(name, field.default) != field.default


def _number(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_step, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value).replace("_", " ")


def _which(group: list, runs: list) -> str:
    """Return the networks of ``group`` if they alone have the value, else the names of the runs."""
    models = {run.network for run in group}
    if all(run in group for run in runs if run.network in models):
        return words.listed(sorted(models))
    return words.listed([run.name for run in group])


def _step(value: Any) -> str:
    """Return an entry of a list of transforms as it is written in a params file."""
    if not isinstance(value, dict):
        return str(value)
    return "; ".join(f"{name} ({', '.join(f'{key} {setting}' for key, setting in given.items())})"
                     for name, given in value.items())  # fmt: skip
