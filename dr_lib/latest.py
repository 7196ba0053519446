"""The experiment that a notebook looks at when none is named."""

from pathlib import Path

from dr_lib.config import RunConfig
from dr_lib.runs import Experiment
from dr_lib.training.run import train

REPORTS = Path("reports")


def latest_experiment() -> Path:
    """Return the folder in ``reports/`` whose run finished last.

    Where no run has finished yet, a ResNet18 is trained on the demo's photographs first, which takes about a minute
    on two cores.
    """
    finished = [
        (folder.status.stat().st_mtime, experiment)
        for experiment in REPORTS.glob("*/")
        for folder in Experiment(experiment).runs()
        if folder.done
    ]
    if finished:
        return max(finished)[1]
    small = RunConfig(resize=72, image_size=64, batch_size=16, epochs=3, learning_rate=0.002)
    train(small)
    return Path(small.out_dir)
