"""What the runs took: time of training, and photographs a second."""

import numpy as np
from IPython.display import HTML

from dr_lib.plots import network_colors, plot_cost
from dr_lib.report import markup
from dr_lib.report.drawing import inline_svg
from dr_lib.report.experiment_results import TOP, ExperimentResults
from dr_lib.report.run_results import RunResults


def cost(experiment: ExperimentResults) -> HTML:
    """Return the time of each configuration's runs and how fast they trained."""
    shown = [one for one in experiment.configurations if all(map(minutes, one.runs))][:TOP]
    if not shown:
        return markup.shown(markup.paragraphs("No finished run has recorded its time.", css="note"))
    colors = network_colors(experiment.models)
    of = {one.label: colors[one.model] for one in shown}
    panels = []
    for heading, figure, name, in_words in (
        ("Time of a run", minutes, "minutes", lambda value: f"{value:.0f}" if value >= 10 else f"{value:.1f}"),
        ("Speed of fine-tuning", speed, "training photographs a second", lambda value: f"{value:,.0f}"),
    ):
        values = {one.label: one.figures(figure) for one in shown}
        described = "; ".join(f"{label} {in_words(np.mean(numbers))}" for label, numbers in values.items())
        drawing = plot_cost(values, words=in_words, name=name, colors=of)
        panels.append((heading, inline_svg(drawing, f"{heading}, {name}: {described}")))
    rest = len(experiment.configurations) - len(shown)
    seeds = " A dot is a seed, the bar their mean." * any(one.several for one in shown)
    caption = (
        "Time from start to end, testing after each epoch included; speed is the median of the epochs that train all "
        f"layers, in training alone.{seeds} Runs may have shared the machine with each other."
        + (f" {rest} more are in results.csv." if rest else "")
    )
    return markup.shown(
        markup.fold("Time and speed", markup.figure(panels, "What the runs took.", caption, css="tall"))
    )


def minutes(run: RunResults) -> float:
    """Return how long a run took, minutes; 0 where it is not recorded."""
    return (run.status.get("seconds") or 0) / 60


def speed(run: RunResults) -> float:
    """Return training photographs a second: median of the epochs of fine-tuning, or of all where there are none."""
    assert run.history is not None
    tuned = run.history.loc[run.history["phase"] == "fine-tuning", "images_per_second"]
    return float((run.history["images_per_second"] if tuned.empty else tuned).median())
