"""Photographs in the report: samples of each grade, and one photograph as the runs prepare it."""

from itertools import islice

from IPython.display import HTML

from dr_lib.config import RunConfig
from dr_lib.errors import InputError
from dr_lib.report import formatting, markup
from dr_lib.report.experiment_results import ExperimentResults, RunResults
from dr_lib.report.image_rows import grade_strips, step_strips
from dr_lib.report.pictures import find_pictures

SAMPLE_PARAMETERS = (
    "resize", "image_size", "preprocessing", "augmentations", "mixup_alpha", "test_time_augmentation", "normalization"
)  # fmt: skip
"""The parameters that decide what the network sees of a photograph."""
CAPTION = (
    "From top to bottom: what is the same for every photograph, each augmentation alone (draws that differ), what "
    "training sees in several epochs, what testing sees, and how levels become the numbers that the network takes."
)
MOST_SETTINGS = 6
"""Settings that are shown, at about 150 kB each."""
MOST_NAMED = 8
"""Runs that are named above a setting."""


def sample_photographs(experiment: ExperimentResults, per_grade: int = 4) -> HTML:
    """Return some training photographs of each grade, or a sentence where they are out of reach."""
    pictures = find_pictures(experiment)
    if isinstance(pictures, str):
        return markup.shown(markup.paragraphs(pictures, css="note"))
    train = pictures.intact("train")
    rows = grade_strips(lambda grade: islice(pictures.opened(train.loc[train["grade"] == grade, "image"]), per_grade))
    return markup.shown(
        f"<figure>{rows}<figcaption><b>Training photographs of each grade.</b> The first ones by name, of each the "
        "middle square.</figcaption></figure>"
    )


def augmented_photographs(experiment: ExperimentResults, draws: int = 5) -> HTML:
    """Return what the runs do to one training photograph, step by step: a figure for each setting among them."""
    pictures = find_pictures(experiment)
    if isinstance(pictures, str):
        return markup.shown("")  # the samples above say why
    settings = _settings(experiment)
    highest_first = pictures.intact("train").sort_values("grade", kind="stable", ascending=False)  # it shows more
    image, original = next(pictures.opened(highest_first["image"]), ("", None))
    if original is None:
        return markup.shown(markup.paragraphs("There is no training photograph to show.", css="note"))
    grade = int(highest_first.set_index("image")["grade"].loc[image])
    html = ""
    for runs, config in settings[:MOST_SETTINGS]:
        heading = f"Run{'s' * (len(runs) > 1)} {_named(runs)}" if len(settings) > 1 else ""
        strips = step_strips(image, original, config, runs[0].config.get("normalization", ""), draws)
        html += markup.figure([(heading, strips)], f"One photograph, prepared: {image}, grade {grade}.", CAPTION)
    return markup.shown(_what_differs(settings) + markup.fold("One photograph, prepared step by step", html))


def _settings(experiment: ExperimentResults) -> list[tuple[list[RunResults], RunConfig]]:
    """Return the distinct settings of what a sample is, most used first, each with the runs that have it."""
    groups: dict[str, tuple[list[RunResults], RunConfig]] = {}
    for run in experiment.runs:
        try:
            config = RunConfig.from_mapping(run.parameters)
        except InputError:  # written by a version with other parameters
            continue
        if run.parameters:
            key = config.model_dump_json(include=set(SAMPLE_PARAMETERS))
            groups.setdefault(key, ([], config))[0].append(run)
    return sorted(groups.values(), key=lambda group: -len(group[0]))


def _what_differs(settings: list[tuple[list[RunResults], RunConfig]]) -> str:
    """Return by which parameters the settings differ, in a sentence; nothing for one setting."""
    if len(settings) < 2:
        return ""
    differing = [name for name in SAMPLE_PARAMETERS if len({str(getattr(config, name)) for _, config in settings}) > 1]
    names = formatting.listed([name.replace("_", " ") for name in differing])
    text = f"The runs differ in {names}: {len(settings)} settings, one below the other."
    if len(settings) > MOST_SETTINGS:
        text += f" The {MOST_SETTINGS} that most runs have are shown; the notebooks of the other runs show theirs."
    return markup.paragraphs(text)


def _named(runs: list[RunResults]) -> str:
    names = [run.name for run in runs[:MOST_NAMED]]
    rest = len(runs) - len(names)
    return formatting.listed([*names, f"{rest} more"] if rest else names)
