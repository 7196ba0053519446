"""The audit as text and as a page, against the numbers it was made from."""

import base64
import hashlib
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest
from data_folders import picture, real_data
from PIL import Image

from dr_lib.data.audit import audit_labels, audit_photographs
from dr_lib.data.inspection import CORRUPT, INTACT, NO_END_MARKER, TRUNCATED, UNREADABLE, FileStatus
from dr_lib.data.labels import Labels, read_labels
from dr_lib.data.patients import patient_of
from dr_lib.data.repair_policy import decide
from dr_lib.data.scan_image import ImageInfo
from dr_lib.errors import InputError
from dr_lib.report import audit_page as pages
from dr_lib.report.audit_findings import CHECKS, SHOWN, compare_audits, failing, findings, passed
from dr_lib.report.audit_page import audit_page
from dr_lib.report.audit_text import WIDTH, audit_text
from dr_lib.report.audit_thumbnails import Thumbnails, relative_address

CHROMIUM = Path("/usr/bin/chromium")
EVIL = "<script>alert(1)</script>_left"
SOUND = FileStatus(INTACT, 0.0, "", 96, 80)


def phash(seed):
    return hashlib.sha256(f"{seed}".encode()).hexdigest()


def info_of(number, status=SOUND, **changes):
    usual = {"quality": 0.9, "brightness": 0.4, "contrast": 0.1, "retina": (0.5, 0.5, 0.4), "digest": f"{number}"}
    return ImageInfo(status, "JPEG", "RGB", **usual | {"phash": phash(number)} | changes)


def sound_audit(patients=20):
    """Return the audit of a data set with which nothing is wrong, and its table and info."""
    rows = [
        (f"{patient}_{eye}", patient % 5, f"{patient}", "test" if patient % 4 == 0 else "train")
        for patient in range(1, patients + 1)
        for eye in ("left", "right")
    ]
    table = pd.DataFrame(rows, columns=["image", "grade", "patient", "split"])
    infos = {image: info_of(number) for number, image in enumerate(table["image"])}
    return audit_of(table, infos), table, infos


def audit_of(table, infos, labels=None, **options):
    table = table.assign(eye=table["image"].str.extract(r"_(left|right)$")[0].fillna(""))
    statuses = {image: one.status for image, one in infos.items()}
    decisions = decide(statuses, on_damage="repair", max_lost_share=0.1)
    paths = {kind: options.get(kind, []) for kind in ("missing", "unlabeled", "dangling")}
    paths |= {kind: options.get(kind, {}) for kind in ("several", "respelled", "other_pictures")} | {
        "folders": ["/photos"]
    }
    found = {"data_dir": "/photos", **audit_labels(labels or Labels(table, "course", header=True)), "files": paths}
    return found | audit_photographs(table, infos, decisions)


def add(table, image, grade, split):
    row = pd.DataFrame([(image, grade, patient_of(image), split)], columns=table.columns)
    return pd.concat([table, row], ignore_index=True)


@pytest.fixture(scope="module")
def troubled():
    """An audit that finds something of every kind, names that are no names among it."""
    _, table, infos = sound_audit()
    table = add(table, EVIL, 4, "train")
    table = add(table, "77_left\x1b[31m", 0, "test")
    table.loc[table["image"] == "2_left", "grade"] = 0
    table.loc[table["image"] == "2_right", "split"] = "test"
    lost = tuple(
        {"image_file": f"{split}_img.csv", "grade_file": f"{split}_label.csv", "image": image, "grade": grade}
        for split, image, grade in (("train", "1_left", 1), ("test", "2_right", 2))
    )
    infos |= {
        "1_left": info_of(101, FileStatus(TRUNCATED, 0.25, "25.0 % of the rows are lost", 96, 80)),
        "1_right": info_of(102, FileStatus(NO_END_MARKER, 0.0, "all rows are there", 96, 80), orientation=6),
        "3_left": info_of(103, FileStatus(UNREADABLE, 1.0, "no image format that Pillow knows", 0, 0), phash=""),
        "3_right": info_of(104, FileStatus(CORRUPT, 0.05, "corrupt data", 96, 80)),
        "10_left": info_of(111, quality=0.03, disc_side="right"),
        "10_right": info_of(112, disc_side="left"),
        "11_left": info_of(113, disc_side="left"),
        "5_left": info_of(105, digest="same", camera="Canon CR-1"),
        "8_left": info_of(106, digest="same"),
        "6_left": info_of(107, phash="a" * 64, brightness=0.03),
        "7_left": info_of(108, phash="b" + "a" * 63, brightness=0.95),
        EVIL: info_of(109, retina=None),
        "77_left\x1b[31m": info_of(110, brightness=0.01),
    }
    labels = Labels(table, "course", header=False, header_loss=lost)
    shortcuts = [
        {"target": target, "trait": trait, "auc": auc, "low": auc - 0.05, "high": auc + 0.05, "shortcut": auc > 0.6}
        for target, trait, auc in (
            ("grade", "camera", 0.81),
            ("grade", "aspect", 0.52),
            ("split", "camera", 0.51),
            ("split", "aspect", 0.5),
        )
    ]
    return {"shortcuts": shortcuts} | audit_of(
        table, infos, labels, missing=[f"{number}_left" for number in range(90, 97)], unlabeled=["stray"],
        several={"98_left": ["/photos/98_left.png", "/photos/98_left.jpeg"]}, dangling=["99_left.jpeg"],
        other_pictures={"97_left.heic": "HEIC: save it as JPEG", "98.heic": "HEIC: save it as JPEG"},
        respelled={"97_LEFT.png": "/photos/97_left.png"},
    )  # fmt: skip


class Page(HTMLParser):
    """What a page holds: the texts outside of scripts, tags with their attributes."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self._inside = [], "", []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag in ("script", "style"):
            self._inside.append(tag)

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self._inside.pop()

    def handle_data(self, data):
        if not self._inside:
            self.text += data

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def thumbnail(image):
    return picture(len(image), (96, 80))


def nothing(image):
    return None


def test_nothing_wrong_is_said_first():
    audit, _, _ = sound_audit()
    text = audit_text(audit)
    assert findings(audit) == []
    assert text.splitlines()[0] == "Audit of /photos"
    assert "Nothing wrong found." in text.split("\n\n")[1]
    assert "None of the 5 testing patients was trained on." in " ".join(text.split())
    assert "Nothing wrong found." in Page(audit_page(audit, Thumbnails(thumbnail))).text


def test_every_kind_of_trouble_is_found(troubled):
    said = [finding.text for finding in findings(troubled)]
    for part in (
        "loses the first line of each: 1_left (grade 1) of train_img.csv and 2_right (grade 2) of test_img.csv",
        "1 of 6 testing patients (16.7%) have their other eye",
        "The patients of 1 photograph are unknown",
        "2 or more steps apart: 1 of 20 patients with more than one photograph (5.0%)",
        "Without a file: 7 photographs (90_left, 91_left, 92_left, 93_left and 3 more)",
        "Without a row in the labels: 1 file (stray)",
        "With more than one file of their name: 1 photograph (98_left)",
        "Found under another case or ending than in the labels: 1 photograph (97_LEFT.png)",
        "Links that lead to no file: 1 file (99_left.jpeg); fetch their files, such as with datalad get",
        "not looked at: 2 files (97_left.heic, 98.heic). Of them 2 HEIC: save it as JPEG.",
        "To be turned, says EXIF: 1 photograph",
        "Of 42 photographs, 4 are damaged: 1 truncated, 1 end marker missing, 1 unreadable and 1 corrupt",
        "Byte for byte the same: 1 photograph under 2 names; 1 on both sides of a split and 1 with different grades",
        "Pictures much the same: 1 pair; 1 with different grades",
        "Very dark: 2 photographs (77_left\\x1b[31m, 6_left)",
        "Very bright: 1 photograph (7_left)",
        f"No round retina found: 1 photograph ({EVIL})",
        "Probably not gradable: 1 photograph (2.4%; the worst are 10_left)",
        "Optic disc on the other eye's side: 2 photographs (10_left, 10_right). Of 2 of them the patient",
    ):
        assert sum(part in text for text in said) == 1, part
    assert len(said) == 19


def test_findings_weigh_and_name_their_photographs(troubled):
    found = findings(troubled)
    assert [one.severity for one in found] == sorted(one.severity for one in found)  # fail, then look
    by_name = {one.name: one for one in found}
    assert by_name["leak"].severity == "fail" and by_name["leak"].photographs == ["2"]
    assert by_name["laterality"].photographs == ["10_left", "10_right"] and by_name["laterality"].advice
    assert set(by_name) | {name for name, check in CHECKS.items() if check.passed in passed(troubled)} == set(CHECKS)


def test_what_tells_the_grade_without_the_retina_is_a_finding_and_a_table(troubled):
    (found,) = [one for one in findings(troubled) if one.section == "shortcuts"]
    assert found.name == "shortcuts" and found.severity == "look"
    assert "tells referable DR: camera (AUC 0.81, 0.76 to 0.86)." in found.text and "aspect" not in found.text
    assert CHECKS["split-differs"].passed in passed(troubled)
    page = Page(pages.shortcuts(troubled)).text
    assert "Camera0.810.76 to 0.860.510.46 to 0.56" in page
    assert "  camera            grade 0.81 (0.76 to 0.86), split 0.51 (0.46 to 0.56)" in audit_text(troubled)
    few = {name: value for name, value in troubled.items() if name != "shortcuts"}
    assert not [said for said in passed(few) if "do not tell" in said]  # nobody looked
    assert "Not measured" in pages.shortcuts(few) and "0.5 is chance" not in audit_text(few)


def test_what_to_fail_on_is_chosen_by_name(troubled):
    found = findings(troubled)
    assert [one.name for one in failing(found, "leak, unreadable")] == ["leak", "unreadable"]
    assert {one.name for one in failing(found, "duplicates")} == {"duplicates", "near-duplicates"}
    assert {one.severity for one in failing(found, "fail")} == {"fail"} and not failing(found, "")
    with pytest.raises(InputError, match="--fail-on leek: no check of that name; there are header, grades, leak"):
        failing([], "leak,leek")


def test_two_audits_are_compared(troubled):
    def kept(audit):
        return audit | {"findings": [one._asdict() for one in findings(audit)]}

    before, after = kept(sound_audit()[0]), kept(troubled)
    assert compare_audits(after, after) == []
    changes = "\n".join(compare_audits(before, after))
    assert "Training: 30 photographs, now 30." not in changes and "New: leak. 1 of 6 testing patients" in changes
    assert "Gone: leak." in "\n".join(compare_audits(after, before))
    fewer = kept(troubled | {"low_quality": [{"image": name} for name in ("10_left", "12_left")]})
    assert compare_audits(after, fewer) == ["Changed: quality: 1 more (12_left), 0 fewer."]
    with pytest.raises(InputError, match="earlier version"):
        compare_audits({"splits": {}}, after)


def test_an_absent_grade_and_unnamed_patients_are_found():
    table = pd.DataFrame({"image": ["a", "b"], "grade": [0, 1], "patient": ["a", "b"], "split": ["train", "test"]})
    said = [finding.text for finding in findings(audit_labels(Labels(table)))]
    assert said[0] == "No training photograph is of grade 1, 2, 3 and 4."
    assert said[1] == "No testing photograph is of grade 0, 2, 3 and 4."
    assert said[2].startswith("The labels do not say which photographs are of the same patient")


def test_unknown_patients_are_counted_wherever_patients_are():
    """One row of 40 names a patient: nothing is known of the others, so none of them is said to be on one side."""
    table = pd.DataFrame({
        "image": [f"{number}" for number in range(40)], "grade": [number % 5 for number in range(40)],
        "patient": ["ann", *(f"{number}" for number in range(1, 40))], "split": ["test", "train"] * 20,
    })  # fmt: skip
    audit = audit_labels(Labels(table))
    assert "patients" in [finding.section for finding in findings(audit)]
    text = " ".join(audit_text(audit).split())
    page = Page(audit_page(audit, Thumbnails(nothing))).text
    for said in (text, page):
        assert "The patients of 39 photographs are unknown" in said
        assert "No known testing patient was trained on" in said
        assert "None of the 20" not in said and "None of the 1 testing patient has" not in said
    assert re.search(r" patients 0 0? ?1", text) and re.search(r"of unknown patients 20 19", text)
    assert "and 20 photographs of unknown ones" in page and "and 19 photographs of unknown ones" in page


def test_text_is_short_aligned_and_safe_for_a_terminal(troubled):
    text = audit_text(troubled)
    lines = text.splitlines()
    assert lines[3] == "19 things to look at:"
    assert max(map(len, lines)) <= WIDTH and len(lines) <= 82
    assert all(character.isprintable() or character == "\n" for character in text)
    counts = troubled["splits"]["train"]["counts"]
    assert [int(line.split()[-4]) for line in lines if re.match(r"  \d (no DR|mild|moder|sev|prolif)", line)] == counts


def test_a_big_data_set_fills_no_more_lines():
    _, table, infos = sound_audit(patients=400)
    worst = {
        image: info_of(
            number, FileStatus(TRUNCATED, 0.2 + number / 2000, "", 50 + number, 80), digest=f"{number // 3}",
            camera=f"camera {number}", orientation=number % 9,
        )
        for number, image in enumerate(infos)
    }  # fmt: skip
    dark = {image: info_of(number, digest=f"{number // 3}", brightness=0.0) for number, image in enumerate(infos)}
    for trouble in (worst, dark):
        text = audit_text(audit_of(table, trouble, missing=list(infos), unlabeled=list(infos)))
        assert len(text.splitlines()) <= 66 and max(map(len, text.splitlines())) <= WIDTH
        assert f"and {800 - SHOWN} more" in text


def test_labels_alone_make_a_text_and_a_page():
    _, table, _ = sound_audit()
    audit = audit_labels(Labels(table))
    assert "The photographs themselves were not looked at." in " ".join(audit_text(audit).split())
    page = Page(audit_page(audit, Thumbnails(nothing)))
    assert [attributes["id"] for attributes in page.of("h2")] == ["grades", "patients", "eyes"]
    assert page.of("img") == []


def test_sections_on_photographs_say_that_nobody_looked_at_them():
    _, table, _ = sound_audit()
    audit = audit_labels(Labels(table))
    shown = [section(audit, Thumbnails(nothing)) for section in (pages.damage, pages.duplicates, pages.unusual)]
    for section in (pages.files(audit), *shown):
        assert Page(section).text == "The photographs were not looked at."


def test_shares_are_drawn_of_training_and_testing():
    audit, table, _ = sound_audit()
    html = pages.grades(audit, Thumbnails(nothing))
    for split, words in (("train", "training"), ("test", "testing")):
        part = table[table["split"] == split]["grade"]
        shares = ", ".join(f"{100 * (part == grade).mean():.1f}%" for grade in range(5))
        assert f"{words} {shares}" in html
    assert "From the top of each grade: training and testing." in html
    untested = audit | {"splits": audit["splits"] | {"test": {"photographs": 0}}, "majority_accuracy": None}
    assert "From the top of each grade: training." in pages.grades(
        untested | {"majority_accuracy": None}, Thumbnails(nothing)
    )


@pytest.mark.parametrize(
    ("form", "origin", "split", "said"),
    [
        ("course", "given", "validation", True),
        ("course", "given", "train", False),  # none is held out
        ("course", "made here by patient", "validation", False),  # nothing was given for training
        ("medmnist", "given", "validation", False),  # which brings its own
    ],
)
def test_who_holds_validation_photographs_out_of_those_given_is_told(form, origin, split, said):
    _, table, _ = sound_audit()
    table.loc[table["patient"] == "1", "split"] = split
    audit = audit_labels(Labels(table, form, split_origin=origin))
    sentence = "Validation photographs are held out of the 30 given for training (validation_share)."
    assert (table["split"] != "test").sum() == 30
    assert (f"  {sentence}" in audit_text(audit).splitlines()) == said
    assert (sentence in Page(pages.grades(audit, Thumbnails(nothing))).text) == said


def test_page_has_a_section_for_each_finding_and_stands_alone(troubled):
    page = Page(audit_page(troubled, Thumbnails(thumbnail)))
    sections = {attributes["id"] for attributes in page.of("h2")}
    assert {finding.section for finding in findings(troubled)} <= sections
    assert {attributes["href"] for attributes in page.of("a")} >= {f"#{section}" for section in sections}
    for finding in findings(troubled):
        assert finding.text in page.text
    for tag, attributes in page.tags:
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith(("data:", "#")), (tag, attributes[name][:80])
    assert len(page.of("script")) == 1  # that of the contents
    assert [one["class"] for one in page.of("details")] == ["names", "more"]  # of seven files, and what passed; no code


def test_names_are_text(troubled):
    html = audit_page(troubled, Thumbnails(thumbnail))
    assert "<script>alert" not in html and EVIL in Page(html).text
    assert f"{EVIL}, grade 4" in " ".join(attributes["alt"] for attributes in Page(html).of("img"))


def test_every_picture_says_what_it_shows(troubled):
    alternatives = [attributes["alt"] for attributes in Page(audit_page(troubled, Thumbnails(thumbnail))).of("img")]
    assert all(alternatives)
    assert "1_left, truncated, 25.0% of its rows lost" in alternatives
    assert any(text.startswith("8_left, grade 3") and "testing" in text for text in alternatives)


def test_a_line_stands_where_rows_are_lost(troubled):
    white = Image.new("RGB", (220, 220), "white")
    html = pages.damage(troubled, Thumbnails(lambda image: white if image == "1_left" else None))
    (shown,) = Page(html).of("img")
    with Image.open(io.BytesIO(base64.b64decode(shown["src"].partition(",")[2]))) as image:
        row_is_red = (np.asarray(image).astype(int)[..., 1] < 160).mean(axis=1) > 0.9
    assert abs(np.flatnonzero(row_is_red).mean() - 0.75 * 220) < 2
    assert np.asarray(white).min() == 255  # the picture itself is not drawn on


def test_what_cannot_be_shown_is_named(troubled):
    assert "3_left" in pages.damage(troubled, Thumbnails(nothing))
    assert "no image format that Pillow knows" in pages.damage(troubled, Thumbnails(nothing))
    assert "<img" not in audit_page(troubled, Thumbnails(nothing))


def test_long_lists_are_cut_and_say_so():
    _, table, infos = sound_audit(patients=40)
    dark = {image: info_of(number, brightness=0.0) for number, image in enumerate(infos)}
    html = pages.unusual(audit_of(table, dark), Thumbnails(thumbnail))
    assert html.count("<img") == pages.MOST_SHOWN
    assert f"And {80 - pages.MOST_SHOWN} more in audit.json." in html


def test_the_page_does_not_grow_with_the_data_set():
    sizes, asked = [], []

    def counted(image):
        asked.append(image)

    for patients in (600, 1200):
        _, table, infos = sound_audit(patients=patients)
        table["grade"] = [(number % 3) * 2 for number in range(len(table))]  # apart in each patient, and in each group
        trouble = {
            image: info_of(
                number, FileStatus(TRUNCATED, 0.2, "", 50 + number, 80) if number % 2 else SOUND,
                digest=f"{number // 40}", camera=f"camera {number}", brightness=0.0, quality=0.1,
            )
            for number, image in enumerate(infos)
        }  # fmt: skip
        asked.clear()
        page = audit_page(audit_of(table, trouble, missing=list(infos), unlabeled=list(infos)), Thumbnails(counted))
        sizes.append((len(page) // 20_000, len(asked)))
    assert sizes[0] == sizes[1] and sizes[0][1] < 1000


def test_no_retina_anywhere_is_no_finding():
    _, table, infos = sound_audit()
    audit = audit_of(table, {image: info_of(number, retina=None) for number, image in enumerate(infos)})
    assert findings(audit) == []
    assert "On 40 photographs no round retina was found" in pages.unusual(audit, Thumbnails(thumbnail))


def test_sections_are_what_a_notebook_shows(troubled):
    page = audit_page(troubled, Thumbnails(thumbnail))
    for section in (pages.grades, pages.eyes, pages.damage, pages.duplicates, pages.image_quality, pages.unusual):
        assert section(troubled, Thumbnails(thumbnail)) in page
    for section in (pages.patients, pages.files, pages.shortcuts):
        assert section(troubled) in page


def test_each_photograph_links_its_file(troubled):
    poor = [{"image": f"{number}_left", "grade": 0, "split": "test", "quality": 0.1} for number in range(600)]
    linked = Thumbnails(
        thumbnail, lambda image: relative_address(f"/photos/a b/{image}.jpeg", Path("/photos/out/audit.html"))
    )
    html = audit_page(troubled | {"low_quality": poor}, linked)
    addresses = [attributes["href"] for attributes in Page(html).of("a")]
    assert "../a%20b/3_left.jpeg" in addresses  # damaged, and nothing to see on it
    assert "../a%20b/499_left.jpeg" in addresses and "../a%20b/500_left.jpeg" not in addresses
    assert "All 600" in Page(html).text and "and 100 more in audit.json" in Page(html).text
    assert f"../a%20b/{quote(EVIL)}.jpeg" in addresses and "<script>alert" not in html


@pytest.mark.real
def test_the_courses_audit_in_words():
    text = " ".join(audit_text(audit_labels(read_labels(real_data() / "course-csv"))).split())
    assert "3 things to look at" in text
    assert "2576_right (grade 0) of train_img.csv and 3798_left (grade 0) of test_img.csv" in text
    assert "5,618 of 6,322 testing patients (88.9%)" in text
    assert "Always answering “no DR” is right for 73.4% in testing." in text


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason="/usr/bin/chromium is missing: apt-get install chromium")
def test_page_opens_without_complaint_and_never_scrolls_sideways(troubled, tmp_path):
    from playwright.sync_api import sync_playwright

    file = tmp_path / "audit.html"
    file.write_text(audit_page(troubled | {"data_dir": "/photos/" + 30 * "long"}, Thumbnails(thumbnail)))
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=options)
        for width in (1280, 390):
            page = chromium.new_page(viewport={"width": width, "height": 844})
            complaints, requests = [], []
            page.on("console", lambda message, to=complaints: to.append(message.text))
            page.on("pageerror", lambda error, to=complaints: to.append(str(error)))
            page.on("dialog", lambda dialog, to=complaints: to.append(dialog.message))
            page.on("request", lambda sent, to=requests: to.append(sent.url))
            page.goto(file.as_uri())
            assert complaints == []
            assert [url for url in requests if not url.startswith("data:")] == [file.as_uri()]
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            sides = "[...document.querySelectorAll('.shot img')].map(e => e.getBoundingClientRect())"
            assert page.evaluate(f"Math.min(...{sides}.map(box => Math.min(box.width, box.height)))") >= 100
        chromium.close()
