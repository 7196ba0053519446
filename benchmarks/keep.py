"""Keep what docs/results.md quotes of an experiment: figures and predictions of its finished runs, no photographs.

    python benchmarks/keep.py reports/retinamnist-retinamnist retinamnist

copies to ``benchmarks/results/retinamnist``: the sweep, which patients are on both sides of the split where they have
names, and of each run ``metrics.json``, ``config.json``, ``history.csv``, its predictions (``predictions.csv.gz``) and
how long it took (``status.json``). What is there from an earlier time is replaced.
``python benchmarks/tables.py --write`` then makes its tables of it.
"""

import argparse
import gzip
import shutil
from pathlib import Path

from dr_lib.storage.checksums import read_sealed_json
from dr_lib.storage.files import write_json
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.storage.run_folder import RunFolder

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("experiment", type=Path)
    arguments.add_argument("name", help="folder in benchmarks/results")
    options = arguments.parse_args()
    experiment = ExperimentFolder(options.experiment)
    finished = [run for run in experiment.runs() if run.read_status()["state"] == "done"]
    if not finished:
        raise SystemExit(f"{options.experiment}: no finished run in it, so nothing was kept or taken away")
    for run in finished:
        if damaged := run.damaged():
            raise SystemExit(f"{run.path}: {', '.join(damaged)}: not as the run has left it; nothing was kept")
    kept = ExperimentFolder(RESULTS / options.name)
    shutil.rmtree(kept.path, ignore_errors=True)
    for run in finished:
        _keep(run, kept.run(run.name))
    if experiment.sweep.exists():
        write_json(kept.sweep, read_sealed_json(experiment.sweep))
    both = read_sealed_json(experiment.audit)["patients_on_both_sides"] if experiment.audit.exists() else None
    if both and both["named"]:
        write_json(kept.audit, {"patients_on_both_sides": both})
    print(f"{kept.path}: {len(finished)} runs kept")


def _keep(run: RunFolder, kept: RunFolder) -> None:
    kept.path.mkdir(parents=True)
    for source, place in ((run.metrics, kept.metrics), (run.config, kept.config), (run.history, kept.history)):
        shutil.copy(source, place)
    write_json(kept.status, {key: run.read_status()[key] for key in ("state", "seconds")})
    # Without the time in its header the same predictions make the same file.
    packed = gzip.compress(run.predictions.read_bytes(), mtime=0)
    kept.path.joinpath("predictions.csv.gz").write_bytes(packed)


if __name__ == "__main__":
    main()
