"""Preprocessing: how many photographs there are, which files were damaged, and what was done about them."""

from collections.abc import Sequence
from html import escape

from IPython.display import HTML

from dr_lib.report import data_sentences, formatting, markup
from dr_lib.report.experiment_results import ExperimentResults

MOST_FILES_SHOWN = 60


def photographs_table(experiment: ExperimentResults) -> HTML:
    """Return photographs, patients and grades of each split, and whether patients are on both sides."""
    rows = [
        [
            escape(formatting.SPLIT_WORDS.get(name, name)),
            f"{split['photographs']:,}",
            f"{split['patients']:,}" + markup.unknown_patients(split),
            *(
                f'{n:,}<span class="sub">{formatting.percent(share)}</span>'
                for n, share in zip(split["counts"], split["shares"], strict=True)
            ),
        ]
        for name, split in experiment.splits.items()
    ]
    head = ["Split", "Photographs", "Patients", *(f"Grade {grade}" for grade in range(5))]
    table = markup.table(head, rows, "Photographs by split and grade.", numeric=range(1, 8), css="cards")
    said = []
    if experiment.audit:
        said.append(
            f"The split was {experiment.audit['split_origin']}." if experiment.audit.get("split_origin") else ""
        )
        both = experiment.audit.get("patients_on_both_sides")
        said.append(data_sentences.leak_of(both) if both else "")
        if experiment.audit.get("width"):
            width, height = (_pixels(experiment.audit[side]) for side in ("width", "height"))
            said.append(f"Photographs are {width} wide and {height} high.")
    return markup.shown(table + markup.paragraphs(" ".join(filter(None, said)), css="says"))


def damaged_files(experiment: ExperimentResults) -> HTML:
    """Return the damaged files of the audit by name: status, rows lost, what was done."""
    if not experiment.audit:
        return markup.shown(markup.paragraphs("There is no audit in this experiment, so the files were not checked."))
    damage = experiment.audit["damage"]
    files = damage["files"]
    html = markup.paragraphs(data_sentences.damage(damage["checked"], files), css="says")
    if files:
        rows = [
            [
                f"<code>{escape(str(entry['image']))}</code>",
                escape(entry["status"])
                + (f'<span class="sub">{escape(entry["detail"])}</span>' if entry.get("detail") else ""),
                formatting.percent(entry["lost"]),
                escape(entry["action"]),
            ]
            for entry in files[:MOST_FILES_SHOWN]
        ]
        rest = len(files) - len(rows)
        caption = "Damaged files." + (f" {rest:,} more are in audit.json." if rest else "")
        html += markup.table(["File", "Verdict", "Rows lost", "Action"], rows, caption, numeric=(2,), css="cards")
    if experiment.audit_page:
        html += f'<p class="note">{markup.link(experiment.audit_page, "The notebook of the audit")}</p>'
    return markup.shown(html)


def _pixels(quantiles: Sequence[float]) -> str:
    """Return least, greatest and median as ``400 to 5,184 px (median 3,888)``, or the one value that all have."""
    least, median, greatest = (f"{value:,.0f}" for value in quantiles)
    return f"{least} px" if least == greatest else f"{least} to {greatest} px (median {median})"
