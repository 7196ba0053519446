"""The optic disc's side on generated photographs, whose names say which eye they are of."""

import pandas as pd
import pytest
from data_folders import jpeg
from PIL import Image, ImageOps

from dr_lib.data.audit import wrong_sides
from dr_lib.data.inspection import INTACT, FileStatus
from dr_lib.data.scan_image import ImageInfo, scan_image


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    from dr_lib.synthetic import make_data

    folder = tmp_path_factory.mktemp("drawn") / "data"
    make_data(folder, train=16, test=0, size=400, seed=1)
    return {file.stem: Image.open(file).convert("RGB") for file in sorted(folder.rglob("*.jpeg"))}


def side(image):
    return scan_image(jpeg(image, quality=92))[0].disc_side


def test_the_disc_is_on_the_side_of_the_eye_or_nothing_is_said(drawn):
    told = {name: answer for name, image in drawn.items() if (answer := side(image))}
    assert len(told) >= 4
    assert all(name.endswith(answer) for name, answer in told.items())
    opposite = {"left": "right", "right": "left"}
    name, answer = next(iter(told.items()))
    assert side(ImageOps.mirror(drawn[name])) == opposite[answer]
    assert side(drawn[name].resize((40, 30))) == ""  # too small to tell
    assert side(Image.new("RGB", (300, 300))) == ""


def test_photographs_with_the_disc_on_the_wrong_side_are_listed():
    sides = {"1_left": "right", "1_right": "left", "2_left": "left", "3_right": "left", "4_right": "", "scan": "left"}
    table = pd.DataFrame(
        {
            "image": list(sides),
            "grade": 0,
            "patient": ["1", "1", "2", "3", "4", "scan"],
            "split": "train",
            "eye": ["left", "right", "left", "right", "right", ""],
        }
    )
    infos = {image: ImageInfo(FileStatus(INTACT, 0.0, "", 9, 9), disc_side=side) for image, side in sides.items()}
    wrong = wrong_sides(table, infos)
    assert [(one["image"], one["both_eyes"]) for one in wrong] == [
        ("1_left", True),
        ("1_right", True),
        ("3_right", False),
    ]
    assert [one["image"] for one in wrong_sides(table.assign(eye="left"), infos)] == ["1_left"]
    assert wrong_sides(table.drop(columns="eye"), infos) == []
    assert wrong_sides(table.assign(eye=""), infos) == []
