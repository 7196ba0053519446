"""A made-up experiment as large as the lab's: eight runs on 7,026 testing photographs, which are there to be shown."""

import os
from pathlib import Path

from data_folders import jpeg, write_course
from experiment_factory import SKILL, made_up_audit, photograph_table, write_run
from PIL import Image

from dr_lib.storage.checksums import write_sealed_json
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.synthetic.fundus import draw_fundus

PHOTOGRAPHS = 7026
"""The lab's testing photographs."""

_DRAWN = 4
"""Photographs that are drawn of each grade; all others are further names of the same files."""


def write_large_experiment(folder: Path, photographs: int = PHOTOGRAPHS) -> Path:
    """Write photographs, labels, audit and the lab's eight runs into ``folder`` and return the experiment's."""
    table = photograph_table(photographs)
    test = dict(zip(table["image"], table["grade"].tolist(), strict=True))
    train = {f"9{number:05d}_left": number % 5 for number in range(40)}
    data, experiment = folder / "photographs", folder / "experiment"
    write_course(data, train, test)
    drawn = {
        (grade, number): jpeg(Image.fromarray(draw_fundus(number, "left", grade, size=512).pixels))
        for grade in range(5)
        for number in range(_DRAWN)
    }
    for (grade, number), content in drawn.items():
        (data / f"drawn-{grade}-{number}").write_bytes(content)
    for number, (image, grade) in enumerate((train | test).items()):
        os.link(data / f"drawn-{grade}-{number % _DRAWN}", data / f"{image}.jpeg")
    write_sealed_json(ExperimentFolder(experiment).audit, made_up_audit(table) | {"data_dir": str(data)})
    for number, (model, pretrained) in enumerate(SKILL):
        for weights in ("none", "majority_ratio"):
            parameters = {"data_dir": str(data), "class_weights": weights}
            write_run(experiment, table, model, pretrained=pretrained, luck=number, epochs=25, parameters=parameters)
    return experiment
