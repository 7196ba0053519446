"""The gallery and the report's steps show what torchvision does with the same seeds, and say how it is switched on."""

import base64
import random
import re
from html import unescape
from io import BytesIO

import numpy as np
import pytest
import torch
import yaml
from data_folders import eyes, picture, real_data, write_course, write_photographs
from experiment_factory import photograph_table, recorded, write_run
from PIL import Image
from torchvision import transforms

from dr_lib.config import RunConfig
from dr_lib.config.transform_spec import AUGMENTATIONS, PREPROCESSING
from dr_lib.data.augmentations import VIEWS, Augmentation
from dr_lib.data.decoding import decode_rgb
from dr_lib.data.normalization import KINDS, Normalization
from dr_lib.data.preprocessing import before_crop
from dr_lib.data.resize import resize_and_crop
from dr_lib.report import sections
from dr_lib.report.augmentation_gallery import as_pictures, catalog, gallery
from dr_lib.report.collect import collect
from dr_lib.report.image_rows import different_draws, in_full, step_strips
from dr_lib.storage.files import read_json, write_json

CONFIG = RunConfig(resize=72, image_size=64)
EVIL = "<script>alert(1)</script>_left"


def photograph(size=(160, 120), seed=0):
    """Return a lit, colorful circle on black, uint8 (H, W, 3)."""
    width, height = size
    pixels = 60 + np.asarray(picture(seed, size)) // 2
    y, x = np.ogrid[:height, :width]
    outside = (x + 0.5 - width / 2) ** 2 + (y + 0.5 - height / 2) ** 2 > (0.45 * height) ** 2
    pixels[outside] = 0
    return pixels


SQUARES = [resize_and_crop(photograph(seed=seed), 72) for seed in range(2, 14)]


def rows_of(html):
    """Return the pictures of each row by the row's name, as Pillow images."""
    found = {}
    for name, rest in re.findall(r"<b>([^/]*?)</b>(.*?)(?=<b>|$)", html.replace("<wbr>", ""), re.DOTALL):
        coded = re.findall(r"base64,([^\"]+)", rest)
        found[name] = [Image.open(BytesIO(base64.b64decode(one))) for one in coded]
    return found


def distance(shown, expected):
    """Return the mean difference in levels between a picture on the page and what it should show."""
    enlarged = Image.fromarray(np.asarray(expected)).resize(shown.size, Image.Resampling.LANCZOS)
    return np.abs(np.asarray(shown, np.float64) - np.asarray(enlarged, np.float64)).mean()


def torchvision_draws(steps, square, most):
    """Return the first different results of torchvision's own transforms after seeding as training does."""
    compose, found = transforms.Compose(steps), []
    state = torch.get_rng_state(), random.getstate()
    for seed in range(1, 25):
        torch.manual_seed(seed)
        random.seed(seed)
        drawn = np.asarray(compose(Image.fromarray(square)))
        if not any((drawn == earlier).all() for earlier in found):
            found.append(drawn)
    torch.set_rng_state(state[0])
    random.setstate(state[1])
    return found[:most]


@pytest.fixture(scope="module")
def page():
    return gallery(EVIL, photograph(), CONFIG, SQUARES)


@pytest.fixture(scope="module")
def rows(page):
    return rows_of(page)


def test_all_that_can_be_switched_on_is_in_the_catalog():
    examples = [example for kind in catalog(224).values() for example in kind]
    written = " ".join(example.line for example in examples)
    everything = {*AUGMENTATIONS.arguments, *PREPROCESSING.arguments, *KINDS, *VIEWS} - {"none"}
    assert {name for name in everything if not re.search(rf"\b{name}\b", written)} == set()
    lab_report = (
        "RandomCrop CenterCrop RandomResizedCrop FiveCrop TenCrop RandomHorizontalFlip RandomVerticalFlip "
        "RandomRotation Normalize Pad ColorJitter Grayscale LinearTransformation RandomAffine RandomGrayscale "
        "RandomChoice RandomApply RandomOrder Feature-wise Sample-wise"
    )
    assert set(lab_report.split()) <= {example.name for example in examples}


@pytest.mark.parametrize(("resize", "image_size"), [(256, 224), (32, 32), (20, 16)])
def test_every_line_is_a_parameter_that_a_run_takes(resize, image_size):
    for kind in catalog(image_size).values():
        for example in kind:
            written = yaml.safe_load(example.line)
            assert written == {example.parameter: example.value}
            size = {"resize": 32, "image_size": 32} if written == {"normalization": "zca"} else {}
            config = RunConfig.from_mapping({"resize": resize, "image_size": image_size} | size | written)
            Augmentation(config.augmentations, config.image_size).check_output_size(config.resize)
            assert example.says.endswith(".") and "\n" not in example.line


@pytest.mark.parametrize(
    ("name", "steps", "different"),
    [
        ("RandomCrop", [transforms.RandomCrop(64)], 4),
        ("RandomHorizontalFlip", [transforms.CenterCrop(64), transforms.RandomHorizontalFlip()], 2),
        ("RandomVerticalFlip", [transforms.CenterCrop(64), transforms.RandomVerticalFlip()], 2),
        ("RandomRotation", [transforms.CenterCrop(64), transforms.RandomRotation(45)], 4),
        ("RandomResizedCrop", [transforms.RandomResizedCrop(64, scale=(0.5, 1))], 4),
        ("ColorJitter", [transforms.CenterCrop(64), transforms.ColorJitter(0.3, 0.3, 0.3, 0.03)], 4),
        ("Grayscale", [transforms.CenterCrop(64), transforms.Grayscale(3)], 1),
        ("RandomGrayscale", [transforms.CenterCrop(64), transforms.RandomGrayscale(0.5)], 2),
        ("Pad", [transforms.CenterCrop(64), transforms.Pad(8), transforms.Resize(64)], 1),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_draws_are_those_of_torchvision(rows, name, steps, different):
    expected = torchvision_draws(steps, resize_and_crop(photograph(), 72), 4)
    assert len(rows[name]) == len(expected) == different
    near = [distance(shown, one) for shown, one in zip(rows[name], expected, strict=True)]
    assert max(near) < 4, "JPEG alone costs a few levels"
    if different > 1:
        assert distance(rows[name][0], expected[1]) > 2 * near[0], "another draw is another picture"


def test_views_are_all_shown_as_torchvision_cuts_them(rows):
    square = Image.fromarray(resize_and_crop(photograph(), 72))
    for name, crop in (("FiveCrop", transforms.FiveCrop(64)), ("TenCrop", transforms.TenCrop(64))):
        expected = crop(square)
        assert len(rows[name]) == len(expected)
        assert max(distance(shown, one) for shown, one in zip(rows[name], expected, strict=True)) < 4
    assert len(rows["Flips"]) == 4


def test_preprocessing_is_shown_before_and_after(rows):
    before, after = rows["CropToRetina"]
    assert distance(before, in_full(photograph())) < 4
    lit = [(np.asarray(one.convert("L")) > 20).mean() for one in (before, after)]
    assert lit[0] < 0.5 < 0.7 < lit[1]
    _, flat = rows["SubtractLocalMean"]
    assert abs(np.median(np.asarray(flat)) - 128) < 4


def test_normalizations_are_shown_on_the_same_four_photographs(rows, page):
    plain = rows["As they are"]
    light = [np.asarray(one).mean() for one in plain]
    assert len(plain) == 4 and light[1] < light[2] < light[3]
    for name in ("Normalize", "Feature-wise", "Sample-wise", "LinearTransformation"):
        assert len(rows[name]) == 4
    assert f"of {len(SQUARES)} training photographs" in page


def test_gray_is_zero_and_each_photograph_has_its_own_scale():
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (2, 16, 16, 3), np.uint8)
    values = Normalization.fit("imagenet", [], 16)(torch.from_numpy(crops))
    shown = as_pictures(values)
    expected = (crops / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert shown.dtype == np.uint8 and shown.shape == crops.shape
    for picture_, numbers in zip(shown, expected, strict=True):
        assert ((picture_ > 128) <= (numbers > 0)).all() and ((picture_ < 128) <= (numbers < 0)).all()
        assert np.corrcoef(picture_.ravel(), numbers.ravel())[0, 1] > 0.999
        assert max(picture_.max() - 128, 128 - picture_.min()) >= 127
    np.testing.assert_array_equal(as_pictures(10 * values), shown)
    assert (as_pictures(torch.zeros(1, 3, 4, 4)) == 128).all()


def test_the_same_page_comes_again_and_the_callers_draws_stay(page):
    torch.manual_seed(5)
    random.seed(5)
    state = torch.get_rng_state(), random.getstate()
    assert gallery(EVIL, photograph(), CONFIG, SQUARES) == page
    assert (torch.get_rng_state() == state[0]).all() and random.getstate() == state[1]


def test_names_are_text_and_every_picture_says_what_it_shows(page):
    assert "<script" not in page and "&lt;script&gt;" in page
    alternatives = [unescape(alt) for alt in re.findall(r'alt="([^"]*)"', page)]
    assert len(alternatives) == page.count("<img") == len(set(alternatives))
    assert f"{EVIL} after RandomRotation, 2 of 4" in alternatives and f"{EVIL} before CropToRetina" in alternatives
    assert page.count("<figure") == page.count("<figcaption") == 1


def test_different_draws_are_as_many_as_there_are():
    sides = lambda seed: np.full((2, 2, 3), seed % 2, np.uint8)  # noqa: E731
    assert [int(drawn[0, 0, 0]) for drawn in different_draws(sides, 4)] == [1, 0]
    assert len(different_draws(lambda seed: np.full(3, seed, np.uint8), 4)) == 4
    assert len(different_draws(lambda seed: np.zeros(3, np.uint8), 4)) == 1


def test_all_of_a_photograph_is_in_the_middle_of_black():
    pixels = np.full((10, 31, 3), 7, np.uint8)
    for turned in (pixels, pixels.transpose(1, 0, 2)):
        square = in_full(turned)
        assert square.shape == (31, 31, 3) and (square == 7).sum() == pixels.size
        assert (square[15, 15] == 7).all() and (square[0, 0] == 0).all()


def test_steps_come_in_their_order_with_their_words():
    config = CONFIG.model_copy(
        update={
            "preprocessing": ["CropToRetina", "SubtractLocalMean"],
            "augmentations": ["RandomCrop", {"RandomRotation": {"degrees": 20}}, "RandomVerticalFlip"],
            "test_time_augmentation": "FiveCrop",
        }
    )
    html = step_strips("10_left", photograph(), config, "divided by <1>")
    rows = rows_of(html)
    assert {name: len(shown) for name, shown in rows.items()} == {
        "Photograph": 1, "CropToRetina": 1, "Resize, CenterCrop": 1, "SubtractLocalMean": 1, "RandomCrop": 3,
        "RandomRotation": 3, "RandomVerticalFlip": 2, "Training": 5, "Testing": 5, "Normalization": 0,
    }  # fmt: skip
    for words in ("160 × 120 px", "random rotation by -20 to 20 degrees", "sigma 0.0333", "divided by &lt;1&gt;"):
        assert words in html
    cropped, _ = before_crop(photograph(), ["CropToRetina"])
    assert distance(rows["Resize, CenterCrop"][0], resize_and_crop(cropped, 72)) < 4
    assert "Normalization" not in step_strips("10_left", photograph(), config, "")


def test_a_step_that_needs_those_before_it_is_shown_with_them():
    steps = [{"Pad": {"padding": 20}}, {"RandomCrop": {"size": 100}}, "Resize"]
    config = CONFIG.model_copy(update={"augmentations": steps})
    square = resize_and_crop(photograph(), 72)
    with pytest.raises(ValueError, match="larger than input image size"):
        transforms.RandomCrop(100)(Image.fromarray(square))
    rows = rows_of(step_strips("10_left", photograph(), config, ""))
    assert len(rows["RandomCrop"]) == 3 and len(rows["Pad"]) == len(rows["Resize"]) == 1
    assert np.asarray(rows["Pad"][0])[:20].max() < 20, "the border is black"


def test_a_photograph_without_a_circle_is_said_to_stay():
    config = CONFIG.model_copy(update={"preprocessing": ["CropToRetina"]})
    html = step_strips("dark", np.zeros((80, 90, 3), np.uint8), config, "")
    assert "no circle was found, so all of it stays" in html and "bounding square" not in html


@pytest.fixture
def sweep_of(tmp_path):
    """Return a function that gives the sweep of runs with these parameters, their photographs on the disk."""
    training, testing = eyes(range(1, 11)), eyes(range(11, 16))
    write_course(tmp_path / "course", training, testing)
    write_photographs(tmp_path / "course", [*training, *testing])

    def collected(**runs):
        for name, parameters in runs.items():
            path = write_run(tmp_path / "experiment", photograph_table(40), name=name, epochs=1)
            config = read_json(path / "config.json")
            config["parameters"] |= {"data_dir": str(tmp_path / "course"), "resize": 40, "image_size": 32} | parameters
            config["normalization"] = f"by the figures of {name}"
            write_json(path / "config.json", config)
            recorded(path)
        return collect(tmp_path / "experiment")

    return collected


def test_report_shows_one_block_for_runs_that_are_alike(sweep_of):
    html = sections.augmented_photographs(sweep_of(first={}, second={"class_weights": "majority_ratio"})).data
    assert html.count("<figure") == html.count("<figcaption") == 1 and "differ" not in html.split("<figure")[0]
    assert "by the figures of first" in html and "grade 4" in html
    assert {"RandomCrop", "RandomRotation", "RandomHorizontalFlip", "RandomVerticalFlip"} <= rows_of(html).keys()
    assert "GaussianBlur" not in html, "only what is in use"


def test_report_shows_a_block_for_each_setting_headed_by_its_runs(sweep_of):
    blurred = {"augmentations": ["RandomCrop", {"GaussianBlur": {"kernel_size": 3}}], "normalization": "samplewise"}
    html = sections.augmented_photographs(sweep_of(plain=blurred, first={}, second={}, third={"seed": 3})).data
    said, *figures = html.split("<figure")
    assert "The runs differ in augmentations and normalization: 2 settings" in said
    assert "Runs first, second and third" in figures[0] and "GaussianBlur" not in figures[0]
    assert "Run plain" in figures[1] and "GaussianBlur" in figures[1] and "RandomRotation" not in figures[1]


def test_report_stays_small_however_many_settings_there_are(sweep_of):
    turned = {f"run{degrees}": ["RandomCrop", {"RandomRotation": {"degrees": degrees}}] for degrees in range(9)}
    runs = {name: {"augmentations": steps} for name, steps in turned.items()}
    html = sections.augmented_photographs(sweep_of(**runs)).data
    assert html.count("<figure") == 6 and "The 6 that most runs have are shown" in html
    assert len(html) < 2_000_000


@pytest.mark.slow
@pytest.mark.real
def test_real_photographs_make_a_gallery_that_a_notebook_can_hold():
    files = sorted((real_data() / "eyepacs-1024" / "images").iterdir())[:40]
    crops = [resize_and_crop(decode_rgb(path.read_bytes(), 256), 256) for path in files]
    html = gallery(files[0].stem, decode_rgb(files[0].read_bytes()), RunConfig(), crops)
    found = rows_of(html)
    assert all(found[name] for name in found if name in AUGMENTATIONS.arguments)
    before, after = (np.asarray(one.convert("L")) > 20 for one in found["CropToRetina"])
    assert before.mean() + 0.1 < after.mean()
    assert len(html) < 1_500_000
