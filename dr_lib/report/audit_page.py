"""The audit of a data set as a page: what deserves a look first, then numbers and pictures.

Each section is a function that takes the audit and gives back HTML.
``thumbnails`` give the picture of a photograph by its name, see :mod:`dr_lib.report.audit_thumbnails`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from html import escape
from typing import Any

from dr_lib import GRADE_NAMES
from dr_lib.data.appearance import UNGRADABLE
from dr_lib.data.audit import APART
from dr_lib.data.duplicates import MAX_DISC_DISTANCE, MAX_DISTANCE
from dr_lib.data.inspection import STATUS_MEANINGS, UNREADABLE
from dr_lib.data.repair_policy import ACTIONS
from dr_lib.plots import plot_grade_shares
from dr_lib.report import audit_text, data_sentences, markup
from dr_lib.report.audit_findings import SHOWN, findings, no_retina_is_usual, passed, some
from dr_lib.report.audit_thumbnails import (
    MOST_SHOWN,
    Thumbnails,
    and_more,
    beside,
    groups,
    label,
    samples,
)
from dr_lib.report.drawing import inline_svg
from dr_lib.report.formatting import SPLIT_WORDS, counted, listed, percent
from dr_lib.report.html_page import html_page
from dr_lib.system.terminal import printable

MOST_NAMED = 60
"""Names that a list shows."""
MOST_LINKED = 500
"""Names that a finding unfolds: 100 bytes each, so that the page stays quick whatever the data set's size."""


def audit_page(audit: Mapping[str, Any], thumbnails: Thumbnails) -> str:
    """Return the audit as one HTML page in the look of the report, which needs no network."""
    sections = {
        "grades": ("Grades", grades(audit, thumbnails)),
        "patients": ("Patients", patients(audit)),
        "eyes": ("Eyes of one patient", eyes(audit, thumbnails)),
    }
    if "damage" in audit:
        sections |= {
            "files": ("Files", files(audit)),
            "damage": ("Damage", damage(audit, thumbnails)),
            "duplicates": ("Duplicates", duplicates(audit, thumbnails)),
            "quality": ("Image quality", image_quality(audit, thumbnails)),
            "laterality": ("Left and right eyes", laterality(audit, thumbnails)),
            "unusual": ("Unusual photographs", unusual(audit, thumbnails)),
            "shortcuts": ("What tells grade and split without the retina", shortcuts(audit)),
        }
    if "files" in audit:
        sections["account"] = ("Files and rows", account(audit))
    parts = [answer(audit, thumbnails)]
    parts += [f'<h2 id="{ident}">{title}</h2>{shown}' for ident, (title, shown) in sections.items()]
    title = f"Audit of {printable(audit.get('data_dir') or 'a data set')}"
    return html_page("\n".join(parts), title=title)


def _of_photographs(section: Callable[..., str]) -> Callable[..., str]:
    """Have ``section`` say so, in one sentence, where the audit is of labels alone."""

    @wraps(section)
    def shown(audit: Mapping[str, Any], *thumbnails: Thumbnails) -> str:
        if "damage" not in audit:
            return markup.paragraphs(f"The photographs were not looked at{audit_text.why_not_looked_at(audit)}.")
        return section(audit, *thumbnails)

    return shown


def answer(audit: Mapping[str, Any], thumbnails: Thumbnails) -> str:
    """Return how much there is, and what deserves a look, with the names of all photographs, folded."""
    found = findings(audit)
    items = "".join(
        f'<li><span class="verdict {one.severity}">{one.severity}</span> {escape(one.text)} '
        f'<span class="sub">{escape(one.advice)} <a href="#{one.section}">Show</a></span>'
        f"{_all_names(one.photographs, thumbnails)}</li>"
        for one in found
    )
    head = f"<b>{counted(len(found), 'thing')} to look at</b>" if found else "<b>Nothing wrong found.</b>"
    listed = f"<ol>{items}</ol>" if found else ""
    recognized = (
        markup.paragraphs(f"Labels: {printable(audit['recognized'])}", css="by") if audit.get("recognized") else ""
    )
    good = passed(audit)
    folded = (
        f'<details class="more"><summary>{counted(len(good), "check")} passed</summary>{markup.bullets(good)}</details>'
        if good
        else ""
    )
    overview = f'<p class="by">{escape(audit_text.overview(audit))}</p>'
    return f'{overview}{recognized}<div class="answer">{head}{listed}</div>{folded}'


def _all_names(images: Sequence[str], thumbnails: Thumbnails) -> str:
    """Return the names of a finding, folded, each a link to its file; nothing for none that a sentence leaves out."""
    if len(images) <= SHOWN:
        return ""
    rest = f", and {len(images) - MOST_LINKED:,} more in audit.json" if len(images) > MOST_LINKED else ""
    names = ", ".join(map(thumbnails.named, images[:MOST_LINKED]))
    return f'<details class="names"><summary>All {len(images):,}</summary><p class="note">{names}{rest}</p></details>'


def grades(audit: Mapping[str, Any], thumbnails: Thumbnails) -> str:
    """Return the photographs of each grade in each split, and samples of each grade."""
    splits = {name: split for name, split in audit["splits"].items() if split["photographs"]}
    rows = [
        [
            f"<b>{grade}</b> {escape(name)}",
            *(
                f'{split["counts"][grade]:,}<span class="sub">{percent(split["shares"][grade])}</span>'
                for split in splits.values()
            ),
        ]
        for grade, name in enumerate(GRADE_NAMES)
    ]
    rows.append(["all", *(f"{split['photographs']:,}" for split in splits.values())])
    head = ["Grade", *(SPLIT_WORDS[name].capitalize() for name in splits)]
    table = markup.table(head, rows, "Photographs by grade and split.", numeric=range(1, len(head)))
    strips = "".join(
        f'<div class="strip"><div><b>{grade}</b> {escape(GRADE_NAMES[grade])}</div>{shots}</div>'
        for grade, images in enumerate(audit["samples"])
        if (shots := samples(images, grade, thumbnails))
    )
    caption = "<figcaption><b>Training photographs of each grade.</b> The first ones by name, of different patients."
    figure = f"<figure>{strips}{caption}</figcaption></figure>" if strips else ""
    said = markup.paragraphs(audit_text.majority(audit), audit_text.held_out(audit), css="says")
    return table + said + _shares(splits) + figure


def _shares(splits: Mapping[str, Any]) -> str:
    """Return the share of each grade as bars: of training, and of testing, which has to be like it."""
    shares = {SPLIT_WORDS[name]: split["shares"] for name, split in splits.items() if name != "validation"}
    if not shares:
        return ""
    spoken = "; ".join(f"{split} {', '.join(percent(share) for share in of)}" for split, of in shares.items())
    drawn = inline_svg(plot_grade_shares(shares), f"Share of grades 0 to 4: {spoken}")
    caption = f"From the top of each grade: {listed(list(shares))}."
    return markup.figure([("", drawn)], "Share of each grade.", caption)


def patients(audit: Mapping[str, Any]) -> str:
    """Return photographs and patients of each split, and who is on both sides."""
    rows = [
        [SPLIT_WORDS[name], f"{split['photographs']:,}", f"{split['patients']:,}" + markup.unknown_patients(split)]
        for name, split in audit["splits"].items()
        if split["photographs"]
    ]
    table = markup.table(["Split", "Photographs", "Patients"], rows, "Patients by split.", numeric=(1, 2))
    both = audit["patients_on_both_sides"]
    names = [*both["patients"], *both.get("in_validation", ())]
    listed = f"On both sides: {some(names, MOST_NAMED)}. All are in audit.json." if names else ""
    expected = data_sentences.half_widths(audit.get("half_widths", ()))
    said = markup.paragraphs(data_sentences.leak_of(both), css="says") + markup.paragraphs(listed, css="note")
    return table + said + markup.paragraphs(expected, css="note")


def eyes(audit: Mapping[str, Any], thumbnails: Thumbnails) -> str:
    """Return how far the grades of one patient's photographs lie apart, and the pictures of those farthest apart."""
    apart = audit["patients_apart"]
    if not apart["patients"]:
        return markup.paragraphs("No patient is known to have more than one photograph.")
    rows = [
        [f"{step}", f"{count:,}", percent(count / apart["patients"])]
        for step, count in enumerate(apart["by_difference"])
    ]
    caption = f"{counted(apart['patients'], 'patient')} with more than one photograph, by the largest difference."
    table = markup.table(["Grades apart", "Patients", "Share"], rows, caption, numeric=(1, 2))
    said = markup.paragraphs(
        "Diabetes harms the vessels of the whole body, so both eyes mostly have the same grade, or neighboring ones. "
        "Where they are far apart, a grade or a name may be wrong.",
        css="says",
    )
    far = [
        (f"Patient {patient['patient']}: {patient['difference']} grades apart", patient["photographs"])
        for patient in apart["apart"]
    ]
    return table + said + groups(far, thumbnails, f"Patients with grades {APART} or more steps apart")


@_of_photographs
def files(audit: Mapping[str, Any]) -> str:
    """Return what kind of files there are, and the names of those missing from the folder or from the labels."""
    sizes = {f"{size['width']} × {size['height']}": size["photographs"] for size in audit["sizes"]}
    values = {
        "Format": audit_text.values_of(audit["formats"], most=MOST_SHOWN),
        "Mode": audit_text.values_of(audit["modes"], most=MOST_SHOWN),
        "Size, px": audit_text.values_of(sizes, most=MOST_SHOWN),
        "EXIF orientation": audit_text.values_of(audit["orientations"], nothing="0", most=MOST_SHOWN),
        "EXIF camera": audit_text.values_of(audit["cameras"], most=MOST_SHOWN),
    }
    rows = [[escape(name), escape(text)] for name, text in values.items()]
    caption = "The readable files; in brackets the number of photographs."
    return markup.table(["Property", "Values"], rows, caption, css="cards")


def account(audit: Mapping[str, Any]) -> str:
    """Return what became of every file and every row, and the names of those that are not used."""
    rows = [
        [escape(what) if what != "all" else f"<b>all {of}</b>", f"{count:,}"]
        for of, counts in audit.get("reconciliation", {}).items()
        for what, count in counts.items()
        if count or what in ("all", "used")
    ]
    caption = "What became of every file in the folder, and of every row of the labels; the parts add up."
    lists = "".join(
        f"<h3>{escape(title)}: {len(names):,}</h3>" + markup.paragraphs(some(names, MOST_NAMED))
        for title, names in audit_text.file_problems(audit).items()
    )
    return (markup.table(["Files and rows", "Count"], rows, caption, numeric=(1,)) if rows else "") + lists


@_of_photographs
def damage(audit: Mapping[str, Any], thumbnails: Thumbnails) -> str:
    """Return how many files are damaged and how, and what is left of each; a red line where its rows end."""
    found = audit["damage"]
    rows = [
        [escape(kind.capitalize()), f"{count:,}", escape(STATUS_MEANINGS.get(kind, ""))]
        for kind, count in found["kinds"].items()
    ]
    table = markup.table(
        ["Status", "Files", "Meaning"], rows, "Each file was decoded to its end.", numeric=(1,), css="cards"
    )
    worst_first = sorted(found["files"], key=lambda entry: -entry["lost"])
    shots = [
        thumbnails.shot(
            entry["image"],
            [f"{entry['status']}, {audit_text.rows_lost(entry)}", entry["action"], _why_unreadable(entry)],
            f"{entry['status']}, {audit_text.rows_lost(entry)}",
            entry["lost"],
        )
        for entry in worst_first[:MOST_SHOWN]
    ]
    actions = dict.fromkeys(entry["action"] for entry in found["files"])
    said = markup.bullets(f"{action.capitalize()}: {ACTIONS[action]}." for action in actions)
    note = "Below the red line rows are lost. The files themselves are never changed." if shots else ""
    return table + said + markup.paragraphs(note) + beside(shots) + and_more(worst_first)


@_of_photographs
def duplicates(audit: Mapping[str, Any], thumbnails: Thumbnails) -> str:
    """Return the photographs that are there twice, side by side with their grades; the harmful ones first."""
    found = audit["duplicates"]
    html = ""
    for kind, title in (("exact", "Byte for byte the same"), ("near", "Pictures much the same")):
        worst_first = sorted(found[kind], key=lambda group: not (group["across_splits"] or group["grades_differ"]))
        html += groups([(_harm(group), group["photographs"]) for group in worst_first], thumbnails, title)
    if not html:
        return markup.paragraphs(
            "No photograph is there twice, neither byte for byte nor scaled, compressed anew, mirrored, turned or "
            f"processed (hashes within {MAX_DISTANCE} of 256 bits, or of the retina within {MAX_DISC_DISTANCE})."
        )
    said = (
        "A photograph that is trained on and tested on makes testing easier than it should be; one with two grades "
        f"teaches a contradiction. Much the same are pictures whose perceptual hashes differ in at most {MAX_DISTANCE} "
        "of 256 bits: as a rule copies, scaled or compressed anew. So are those whose retinas' hashes differ in at "
        f"most {MAX_DISC_DISTANCE}, however they lie: copies mirrored, turned, cropped or processed."
    )
    return markup.paragraphs(said) + html


@_of_photographs
def image_quality(audit: Mapping[str, Any], thumbnails: Thumbnails) -> str:
    """Return how likely the photographs can be graded, and the pictures of those that can probably not, worst first."""
    said = markup.paragraphs(
        f"How likely a photograph can be graded, from its light and the sharpness of its vessels: "
        f"{audit_text.spread_of(audit['quality'])}. Below {UNGRADABLE} it probably cannot; min_quality leaves out what "
        "is below a value of yours."
    )
    return said + _gallery(audit["low_quality"], thumbnails, "Probably not gradable", "quality")


@_of_photographs
def laterality(audit: Mapping[str, Any], thumbnails: Thumbnails) -> str:
    """Return the pictures of photographs with the optic disc on the side where the other eye has it."""
    wrong = audit["wrong_side"]
    if not wrong:
        return markup.paragraphs("Where the optic disc is clear and the name says an eye, they agree.")
    said = markup.paragraphs(
        "A right eye has its optic disc on the right. On these it is on the other side: they are turned by 180 "
        "degrees, as some cameras leave them, mirrored, or of the other eye. Where both eyes of a patient are wrong, "
        "they are turned or exchanged."
    )
    shots = [
        thumbnails.shot(
            entry["image"],
            [f"disc on the {entry['disc_side']}", "both eyes" if entry["both_eyes"] else ""],
            f"disc on the {entry['disc_side']}",
        )
        for entry in wrong[:MOST_SHOWN]
    ]
    return f"{said}<h3>Disc on the other side: {len(wrong):,}</h3>{beside(shots)}{and_more(wrong)}"


@_of_photographs
def unusual(audit: Mapping[str, Any], thumbnails: Thumbnails) -> str:
    """Return the photographs that are very dark or bright, show no round retina, or are unusual otherwise."""
    html = markup.paragraphs(
        f"Brightness of what is lit, black 0 and white 1: {audit_text.spread_of(audit['brightness'])}. "
        f"Its standard deviation, the contrast: {audit_text.spread_of(audit['contrast'])}."
    )
    for kind, title in (("dark", "Very dark"), ("bright", "Very bright"), ("no_retina", "No round retina found")):
        entries = audit[kind]
        if kind == "no_retina" and no_retina_is_usual(audit):
            html += markup.paragraphs(
                f"On {len(entries):,} photographs no round retina was found on a dark ground, so they are cut closely."
            )
        else:
            html += _gallery(entries, thumbnails, title, "brightness")
    kinds = {
        "odd_size": ("Odd sizes and aspects", "aspect"),
        "surround": ("Surround not black", "surround"),
        "marks": ("Writing beside the retina", ""),
        "colors": ("More blue than red", "redness"),
    }
    for kind, (title, measure) in kinds.items():
        html += _gallery(audit.get(kind, []), thumbnails, title, measure)
    return html


@_of_photographs
def shortcuts(audit: Mapping[str, Any]) -> str:
    """Return how well size, aspect, camera, file format and brightness alone tell grade and split."""
    areas = {(row["trait"], row["target"]): row for row in audit.get("shortcuts", ())}
    if not areas:
        return markup.paragraphs("Not measured: too few patients, or no trait in which the photographs differ.")
    heads = {"grade": "Referable DR", "split": "Testing"}
    targets = [target for target in heads if any(target == of for _, of in areas)]
    rows = [
        [escape(trait.capitalize()), *(_area(areas[trait, target]) for target in targets)]
        for trait in dict.fromkeys(trait for trait, _ in areas)
    ]
    caption = "AUC of a small tree that sees this alone, on patients that it was not fitted to; 0.5 is chance."
    table = markup.table(
        ["Trait", *(heads[target] for target in targets)], rows, caption, numeric=range(1, len(targets) + 1)
    )
    return table + markup.paragraphs(
        "The intervals over patients hold for all cells together, at 95%. Bold: above chance. What a trait tells, a "
        "network can learn in place of lesions; on photographs of another source it is of no use.",
        css="says",
    )


def _area(row: Mapping[str, Any]) -> str:
    area = f"{row['auc']:.2f}"
    return (f"<b>{area}</b>" if row["shortcut"] else area) + markup.sub(f"{row['low']:.2f} to {row['high']:.2f}")


def _gallery(entries: Sequence[Mapping[str, Any]], thumbnails: Thumbnails, title: str, measure: str) -> str:
    """Return pictures with what was measured on them, under a title that counts them; nothing for none."""
    shots = [
        thumbnails.shot(
            entry["image"],
            [label(entry), f"{measure} {entry[measure]:.2f}"] if measure in entry else [label(entry)],
            f"grade {entry['grade']}, {title.lower()}",
        )
        for entry in entries[:MOST_SHOWN]
    ]
    return f"<h3>{title}: {len(entries):,}</h3>{beside(shots)}{and_more(entries)}" if entries else ""


def _harm(group: Mapping[str, Any]) -> str:
    """Return how much alike the photographs of a group are, and what is the matter with that."""
    said = [group["position"]] if group.get("position") else []
    said += [f"{group['distance']} bits apart"] if "distance" in group else []
    said += ["on both sides of a split"] * group["across_splits"] + ["different grades"] * group["grades_differ"]
    return ", ".join(said).capitalize() or "Same split, same grade"


def _why_unreadable(entry: Mapping[str, Any]) -> str:
    return entry["detail"] if entry["status"] == UNREADABLE else ""  # of the others the share of rows says all
