"""The networks: the blocks a ResNet is made of, and what is known of those in use."""

from collections import defaultdict
from html import escape
from typing import Any

from IPython.display import HTML

from dr_lib.models import builders
from dr_lib.report import formatting, markup
from dr_lib.report.drawing import block_svg
from dr_lib.report.experiment_results import ExperimentResults
from dr_lib.report.run_results import RunResults, network_name
from dr_lib.training.pretrain import counts_lesions


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
        "Every convolution is followed by batch normalization. The blue line is the shortcut: it carries x unchanged."
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


def networks(experiment: ExperimentResults) -> HTML:
    """Return one row a network: blocks, version, parameters, arithmetic, initial weights and their fame on ImageNet."""
    found: dict[str, list[RunResults]] = defaultdict(list)
    for run in experiment.runs:
        if run.parameters:
            found[run.model].append(run)
    if not found:
        return markup.shown(markup.paragraphs("No run has recorded its network."))
    rows = [_network(model, runs) for model, runs in found.items()]
    head = ["Network", "Blocks", "Parameters", "Multiply-adds", "Initial weights", "On ImageNet"]
    caption = (
        "The networks of this experiment, with their head for five grades. Multiply-adds (“FLOPs” in papers on "
        "ResNets) are those of one photograph forward. On ImageNet: top-1 accuracy that torchvision gives for its "
        "weights."
    )
    table = markup.table(head, rows, caption, numeric=(2, 3), css="cards")
    # Generated weights have notes of their own, with how well they count lesions.
    described = {
        run.weights: run.config["weights"].get("description", "")
        for run in experiment.runs
        if run.pretrained and run.config.get("weights", {}).get("kind") in ("ImageNet", "file")
    }
    notes = [
        escape(f"{weights[:1].upper()}{weights[1:]}: {text.rstrip('.')}.")
        for weights, text in described.items()
        if text
    ]
    notes += [_pretraining_note(network_name(model), done) for model, done in experiment.pretrainings.items()]
    items = "".join(f"<li>{note}</li>" for note in notes)
    return markup.shown(table + (f"<ul>{items}</ul>" if items else ""))


def _network(model: str, runs: list[RunResults]) -> list[str]:
    """Return the row of a network; where its runs differ in a fact, all of them."""
    networks = [run.config["network"] for run in runs if run.config.get("network")]
    versions = list(dict.fromkeys(network["version"] for network in networks)) or ["not recorded"]
    parameters = dict.fromkeys(f"{network['parameters'] / 1e6:.1f} million" for network in networks)
    sizes = sorted({run.parameters["image_size"] for run in runs})
    used = {run.config.get("weights", {}).get("name") for run in runs if run.pretrained}
    published = builders.published_accuracies(model)
    fame = [
        f'{formatting.percent(accuracy)}<span class="sub">{escape(name.removeprefix("IMAGENET1K_"))}, '
        f"{'used here' if name in used else 'not used here'}</span>"
        for name, accuracy in published.items()
    ]
    plain = " without shortcuts" * any(not run.parameters.get("residual", True) for run in runs)
    built = f"{builders.blocks(model)}{plain}" or "no residual blocks"
    version = versions[0] if versions[0] in ("v1", "v1.5") else "v1.5"
    return [
        f"<b>{escape(network_name(model))}</b>{markup.sub(formatting.listed(versions))}",
        escape(built),
        escape(formatting.listed(list(parameters)) or "not recorded"),
        "".join(
            f"{builders.multiplications(model, side, version) / 1e9:.2f} billion{markup.sub(f'at {side} px')}"
            for side in sizes
        ),
        "<br>".join(escape(weights) for weights in dict.fromkeys(run.weights for run in runs)),
        "".join(fame) or "–",
    ]


def _pretraining_note(network: str, done: dict[str, Any]) -> str:
    """Return how a network was pretrained on generated photographs, with a link to the notebook that did it."""
    explained = done.get("final_r2") or {}
    scores = [
        f"{kind.replace('_', ' ')} {formatting.signed(score, 2)}"
        for kind, score in explained.items()
        if score is not None  # the same count on every held-out photograph
    ]
    text = (
        f"{network} was pretrained on {done.get('photographs', 0):,} generated photographs in "
        f"{formatting.counted(done.get('epochs', 0), 'epoch')}, by counting the lesions drawn on them"
        + (f"; R² at the end: {formatting.listed(scores)}." if scores else ".")
        + " It did not learn to: this start is hardly better than random values." * (not counts_lesions(explained))
    )
    return escape(text) + (f" {markup.link(done['page'], 'Its notebook')}." if done["page"] else "")
