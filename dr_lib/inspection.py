"""What audit.ipynb shows of a data set: grades, patients on both sides, damaged files, samples."""

from html import escape

import pandas as pd
from IPython.display import HTML
from PIL import Image, ImageDraw, ImageOps

from dr_lib import GRADE_NAMES
from dr_lib.data.jpeg import TRUNCATED, UNREADABLE, repair
from dr_lib.data.photographs import decode
from dr_lib.data.prepare import PreparedData
from dr_lib.report import markup
from dr_lib.report.sentences import leak
from dr_lib.report.strips import grade_strips

MOST_FILES_SHOWN = 40
LOST = (217, 58, 48)
"""Colour of the line above the rows that are lost."""


def class_table(data: PreparedData) -> pd.DataFrame:
    """Return photographs and per cent of each grade in each split, as in the lab report's table."""
    columns = {"grade": [*map(str, range(5)), "all"], "name": [*GRADE_NAMES, ""]}
    for split, found in data.audit["splits"].items():
        columns[split] = [*found["counts"], found["photographs"]]
        shares = [*found["shares"], sum(found["shares"])]
        columns[f"{split} %"] = [f"{100 * share:.2f}" for share in shares]
    return pd.DataFrame(columns).set_index("grade").rename_axis(None)


def patients_table(data: PreparedData) -> pd.DataFrame:
    """Return photographs and patients of each split, and how many of its patients are also in another one."""
    patients = {split: set(data.split(split)["patient"]) for split in data.audit["splits"]}
    rows = []
    for split, own in patients.items():
        elsewhere = set().union(*(others for name, others in patients.items() if name != split))
        photographs = data.audit["splits"][split]["photographs"]
        rows.append((split, photographs, len(own), len(own & elsewhere)))
    columns = ["split", "photographs", "patients", "of them also in another split"]
    return pd.DataFrame(rows, columns=columns).set_index("split").rename_axis(None)


def describe(data: PreparedData) -> HTML:
    """Return where the labels and the split come from, who is on both sides, and the size of the photographs."""
    found = data.audit
    header = {True: ", with a header", False: ", without a header", None: ""}[found["header"]]
    both, damage = found["patients_on_both_sides"], found["damage"]
    majority = found["majority_accuracy"]
    sizes = [f"{_span(found[side])} px {word}" for side, word in (("width", "wide"), ("height", "high"))]
    return markup.shown(
        markup.bullets([
            f"Labels of form {found['form']}{header}; split {found['split_origin']}.",
            leak(both["test_patients"], both["also_in_training"], both["named"]),
            f"Always answering with the commonest training grade would be right for {100 * majority:.2f} % in testing.",
            f"{damage['intact']:,} of {damage['checked']:,} photographs are intact; they are {' and '.join(sizes)}.",
        ])
    )  # fmt: skip


def damaged_photographs(data: PreparedData) -> HTML:
    """Return every damaged file: what Pillow makes of it as it is, and what is left of it; a line where rows end."""
    files = data.audit["damage"]["files"]
    if not files:
        return markup.shown(markup.paragraphs("No photograph is damaged."))
    rows = [
        [
            f"<code>{escape(entry['image'])}</code>",
            f'{escape(entry["verdict"])}<span class="sub"> {escape(entry["detail"])}</span>',
            escape(entry["action"]),
            _as_it_is(data, entry["image"]),
            _what_is_left(data, entry),
        ]
        for entry in files[:MOST_FILES_SHOWN]
    ]
    rest = len(files) - len(rows)
    caption = f"{len(files)} damaged files." + (f" The last {rest} are in audit.json." if rest else "")
    head = ["File", "Verdict", "Action", "As it is", "With its end marker"]
    return markup.shown(markup.table(head, rows, caption, css="cards"))


def sample_photographs(data: PreparedData, per_grade: int = 5) -> HTML:
    """Return a row of training photographs for each grade, cropped to the square that a network sees."""
    train = data.split("train")
    rows = grade_strips(
        lambda grade: (
            (image, data.photographs.open(image))
            for image in train.loc[train["grade"] == grade, "image"].head(per_grade)
        )
    )
    return markup.shown(f"<figure>{rows}</figure>")


def _span(spread: list[int | float]) -> str:
    low, _, high = spread
    return f"{low}" if low == high else f"{low} to {high}"


def _as_it_is(data: PreparedData, image: str) -> str:
    try:
        return _thumbnail(decode(data.photographs.path(image).read_bytes()), f"{image} as it is")
    except Exception as error:
        return escape(f"Pillow: {type(error).__name__}" + (", " + str(error) if "0x" not in str(error) else ""))


def _what_is_left(data: PreparedData, entry: dict) -> str:
    if entry["verdict"] == UNREADABLE:
        return "nothing"
    picture = decode(repair(data.photographs.path(entry["image"]).read_bytes()))
    if entry["verdict"] == TRUNCATED:
        row = round((1 - entry["lost"]) * picture.height)
        ImageDraw.Draw(picture).line([(0, row), (picture.width, row)], fill=LOST, width=max(2, picture.height // 80))
    return _thumbnail(picture, f"{entry['image']} with its end marker")


def _thumbnail(picture: Image.Image, alternative: str, side: int = 120) -> str:
    """Return the whole picture, its aspect kept, in a square."""
    return markup.photograph(ImageOps.pad(picture, (2 * side, 2 * side)), alternative, side)
