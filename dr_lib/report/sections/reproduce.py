"""How to make the runs and the page again: commands, versions, hardware, seeds, fingerprints."""

from html import escape
from shlex import quote
from typing import Any

from IPython.display import HTML

from dr_lib.report import formatting, markup
from dr_lib.report.experiment_results import ExperimentResults
from dr_lib.report.run_results import RunResults
from dr_lib.storage.folders import ExperimentFolder


def provenance(experiment: ExperimentResults) -> HTML:
    """Return commands, versions, hardware, seeds, commit and the fingerprint of the photographs, to repeat the runs."""
    runs = [run for run in experiment.runs if run.config.get("versions")]
    if not runs:
        return markup.shown(markup.paragraphs("No run has recorded what it ran on."))
    run = runs[0]
    devices = dict.fromkeys(_device(run.config.get("device", {})) for run in runs)
    commits = dict.fromkeys(str(run.config.get("git_commit") or "not recorded") for run in runs)
    prints = dict.fromkeys(str(run.config.get("data", {}).get("fingerprint") or "not recorded")[:16] for run in runs)
    seeds = sorted({run.seed for run in runs})
    started = sorted(str(run.config["started"])[:10] for run in runs if run.config.get("started"))
    rows = [[escape(name), escape(str(version))] for name, version in run.config["versions"].items()]
    rows += [
        ["hardware", "<br>".join(map(escape, devices))],
        ["seeds", escape(formatting.listed([str(seed) for seed in seeds]))],
        ["dates", escape(" to ".join(dict.fromkeys([started[0], started[-1]])) if started else "not recorded")],
        ["git commit", "<br>".join(f"<code>{escape(commit)}</code>" for commit in commits)],
        ["photographs", "<br>".join(f"<code>{escape(print_)}…</code>" for print_ in prints)],
        ["results as tables", markup.link("report.ipynb", "report.ipynb")],
    ]
    parameters = ExperimentFolder(experiment.path).run(run.name).parameters
    commit = next(iter(commits)).removesuffix("-dirty")
    threads = run.config.get("device", {}).get("threads")
    lines = [
        f"git checkout {quote(commit)}" if commit != "not recorded" else "",
        "python3.11 -m venv .venv && .venv/bin/pip install -c constraints.txt -e .",
        f"export OMP_NUM_THREADS={threads} MKL_NUM_THREADS={threads}" if threads else "",
        f"papermill notebooks/train.ipynb again.ipynb -f {quote(str(parameters))} -p out_dir reports/again",
        "dr-lab report reports/again",
    ]
    commands = "\n".join(line for line in lines if line)
    caption = f"What the runs ran on; versions are those of run {run.name}."
    note = (
        "The number of threads is part of it: others add up in another order, and training ends in other figures. Here "
        f"the runs had {formatting.listed(sorted({_threads(run) for run in runs}))}."
    )
    return markup.shown(
        markup.paragraphs(f"To repeat run {run.name}, on the same photographs; the others likewise:")
        + f'<pre tabindex="0"><code>{escape(commands)}</code></pre>'
        + markup.paragraphs(note, css="note")
        + markup.fold("Versions, hardware, seeds and fingerprints", markup.table(["What", "Which"], rows, caption))
    )


def _device(device: dict[str, Any]) -> str:
    described = [str(device[key]) for key in ("type", "name") if device.get(key)]
    threads = device.get("threads")
    return ", ".join([*described, formatting.counted(threads, "thread")] if threads else described) or "not recorded"


def _threads(run: RunResults) -> str:
    """Return how many threads a run computed with."""
    threads = run.config.get("device", {}).get("threads")
    return formatting.counted(threads, "thread") if threads else "a number that is not recorded"
