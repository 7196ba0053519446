import time

import numpy as np
import pytest
from data_folders import real_data
from PIL import Image, ImageDraw

from dr_lib.config.transform_spec import check_preprocessing, describe_preprocessing
from dr_lib.data.appearance import MARKED
from dr_lib.data.preprocessing import after_crop, before_crop
from dr_lib.data.retina import Circle, find_retina, surroundings
from dr_lib.synthetic import draw_fundus
from dr_lib.synthetic.camera import draw_camera

CROP, SUBTRACT = ["CropToRetina"], ["SubtractLocalMean"]


def disc(size=(300, 200), circle=(150, 100, 90), surround=(0, 0, 0), seed=0):
    """Return a noisy reddish disc, shaded from left to right, on a noisy surround: uint8 (H, W, 3)."""
    width, height = size
    y, x = np.mgrid[:height, :width] + 0.5
    lit = np.hypot(x - circle[0], y - circle[1]) < circle[2]
    shade = (0.5 + 0.5 * x / width)[..., None]
    pixels = np.where(lit[..., None], shade * (190, 110, 60), surround)
    return (pixels + np.random.default_rng(seed).normal(0, 2, pixels.shape)).clip(0, 255).astype(np.uint8)


def assert_close(found, truth, tolerance=0.015):
    assert found is not None
    assert np.abs(np.subtract(found, truth)).max() < tolerance * truth[2], (found, truth)


CIRCLES = {
    "whole": ((300, 200), (150, 100, 90)),
    "cut at top and bottom": ((300, 200), (148, 103, 125)),
    "touching the frame": ((200, 200), (100, 100, 100)),
    "cut on all sides": ((200, 200), (100, 100, 118)),
    "off center": ((300, 200), (170, 110, 80)),
    "portrait": ((200, 300), (100, 150, 90)),
    "large": ((1400, 1000), (700, 500, 450)),
}


@pytest.mark.parametrize("surround", [(0, 0, 0), (20, 5, 20), (64, 64, 64), (128, 128, 128), (255, 255, 255)])
@pytest.mark.parametrize("name", CIRCLES)
def test_the_circle_is_found(name, surround):
    size, circle = CIRCLES[name]
    assert_close(find_retina(disc(size, circle, surround)), circle)


def test_the_circle_of_generated_photographs():
    for patient in range(12):
        for eye in ("left", "right"):
            truth = draw_camera(0, patient, eye, 192).canvas
            found = find_retina(draw_fundus(patient, eye, patient % 5, size=192).pixels)
            assert_close(found, (*truth.center, truth.radius))


@pytest.mark.parametrize(
    "add",
    [
        lambda draw: draw.text((5, 5), "OD 12.03.2009  #0815", fill=(255, 255, 255)),
        lambda draw: draw.rectangle((205, 20, 222, 50), fill=(190, 110, 60)),  # a tab
        lambda draw: draw.ellipse((60, 100, 170, 190), fill=(4, 3, 3)),  # a shadow that reaches the edge
        lambda draw: draw.rectangle((0, 180, 300, 200), fill=(0, 0, 0)),  # a shutter
        lambda draw: [draw.rectangle((0, y, 300, y + 45), fill=(0, 0, 0)) for y in (0, 155)],  # a letter box
        lambda draw: draw.rectangle((250, 150, 300, 200), fill=(90, 90, 90)),  # a label in a corner
    ],
)
def test_what_disturbs_the_circle_does_not_move_it(add):
    image = Image.fromarray(disc())
    add(ImageDraw.Draw(image))
    assert_close(find_retina(np.array(image)), (150, 100, 90), 0.025)


def test_a_surround_is_measured_with_the_writing_in_it():
    circle = Circle(150, 100, 90)
    assert surroundings(disc(), circle) == (pytest.approx(0.01, abs=0.02), 0)
    tab = drawn("rectangle", (200, 32, 214, 50), on=disc())
    assert surroundings(tab, circle)[1] == 0  # at the edge, as cameras make it
    for level in (0, 128, 255):
        image = Image.fromarray(disc(surround=(level,) * 3))
        ImageDraw.Draw(image).text((3, 3), "OD 12.03", fill=(255 - level,) * 3 if level != 128 else (255, 255, 255))
        surround, marks = surroundings(np.array(image), circle)
        assert surround == pytest.approx(level / 255, abs=0.02) and marks > 2 * MARKED
    assert surroundings(disc(circle=(150, 100, 400)), Circle(150, 100, 400)) == (0, 0)


def drawn(shape, *where, on=None, fill=(190, 110, 60)):
    image = Image.fromarray(disc(circle=(150, 100, 0)) if on is None else on)
    getattr(ImageDraw.Draw(image), shape)(*where, fill=fill)
    return np.array(image)


NONE = {
    "black": np.zeros((200, 300, 3), np.uint8),
    "white": np.full((200, 300, 3), 255, np.uint8),
    "too dark": disc() // 50,
    "noise": np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8),
    "the frame inside the circle": disc(circle=(150, 100, 400)),
    "a rectangle": drawn("rectangle", (60, 30, 240, 170)),
    "an ellipse": drawn("ellipse", (30, 30, 270, 170)),
    "a pentagon": drawn("polygon", [(100, 20), (215, 5), (220, 110), (150, 195), (75, 140)]),
    "a crescent": drawn("ellipse", (100, -10, 250, 140), on=disc(), fill=(2, 2, 2)),
    "a quarter of an edge": disc(circle=(142, 106, 168)),
    "a triangle": drawn("polygon", [(150, 5), (50, 195), (250, 195)]),
    "a star": drawn(
        "polygon",
        [
            (150 + (90 - n % 2 * 40) * np.cos(n * 0.3142), 100 + (90 - n % 2 * 40) * np.sin(n * 0.3142))
            for n in range(20)
        ],
    ),
    "half a disc": drawn("pieslice", (60, 10, 240, 190), 0, 180),
    "a ring": drawn("ellipse", (70, 20, 230, 180), on=disc(), fill=(2, 2, 2)),
    "a disc with a bright corner": drawn("rectangle", (0, 130, 150, 200), on=disc((300, 200), (150, 90, 75))),
    "one corner of the frame outside the circle": disc((200, 200), (85, 85, 138)),
    "half out of the frame": disc(circle=(300, 100, 90)),
    "small": disc(circle=(150, 100, 25)),
    "two": np.hstack([disc(circle=(150, 100, 90)), disc(circle=(150, 100, 90))]),
    "one pixel": np.full((1, 1, 3), 9, np.uint8),
    "one row": disc((300, 1), (150, 0, 90)),
    "one column": disc((1, 300), (0, 150, 90)),
    "tiny": disc((5, 4), (2, 2, 2)),
}


@pytest.mark.parametrize("name", NONE)
def test_no_circle_where_there_is_none(name):
    pixels = NONE[name]
    assert find_retina(pixels) is None
    square, found = before_crop(pixels, CROP)
    assert not found
    assert square is pixels
    assert after_crop(pixels[:, : len(pixels)], SUBTRACT).shape == pixels[:, : len(pixels)].shape


def test_a_read_only_view_will_do():
    pixels = disc()[:, ::-1]
    pixels.setflags(write=False)
    assert_close(find_retina(pixels), (150, 100, 90))


@pytest.mark.slow
def test_ten_million_pixels_take_milliseconds():
    large = np.asarray(Image.fromarray(disc()).resize((3888, 2592)))
    took = []
    for _ in range(5):
        started = time.process_time()
        assert_close(find_retina(large), (1944, 1296, 90 * 12.96), 0.005)
        took.append(time.process_time() - started)
    assert min(took) < 0.010  # 1 ms on a core of its own


def test_the_crop_is_the_bounding_square():
    pixels = disc(circle=(140, 100, 80))
    square, found = before_crop(pixels, CROP)
    assert found
    assert abs(len(square) - 160) <= 2
    assert square.shape[0] == square.shape[1]
    assert square.flags.c_contiguous
    circle = find_retina(pixels)
    top, left = round(circle.y - circle.radius), round(circle.x - circle.radius)
    np.testing.assert_array_equal(square, pixels[top : top + len(square), left : left + len(square)])


def test_a_circle_that_the_frame_cuts_keeps_its_sides():
    pixels = disc(circle=(150, 100, 125))
    square, found = before_crop(pixels, CROP)
    assert found
    side = len(square)
    assert abs(side - 250) <= 3
    assert_close(find_retina(square), (side / 2, side / 2, 125), 0.02)
    rows = np.flatnonzero(square.any(axis=(1, 2)))
    assert len(rows) == 200  # all of the photograph's, black above and below
    assert square[rows].max(axis=(0, 2))[5:-5].min() > 40  # lit from side to side
    np.testing.assert_array_equal(square[rows], pixels[:, round(150 - side / 2) :][:, :side])


def test_the_margin_is_a_share_of_the_radius():
    pixels = disc(circle=(150, 100, 80))
    square, _ = before_crop(pixels, [{"CropToRetina": {"margin": 0.5}}])
    circle = find_retina(pixels)
    assert len(square) == round(3 * circle.radius)
    assert_close(find_retina(square), (len(square) / 2, len(square) / 2, 80), 0.02)


def test_steps_that_are_not_asked_for_change_nothing():
    pixels = disc((200, 200), (100, 100, 90))
    square, found = before_crop(pixels, [])
    assert square is pixels
    assert found
    assert before_crop(pixels, SUBTRACT) == (pixels, True)
    assert after_crop(pixels, CROP) is pixels


def test_the_local_mean_is_grahams_formula():
    """Against a convolution written out: weights by distance, out to three sigmas, mirrored at the border."""
    pixels = disc((90, 90), (45, 45, 44))
    square = after_crop(pixels, [{"SubtractLocalMean": {"sigma_share": 0.05, "amplitude": 3, "keep": 0.95}}])
    circle = find_retina(pixels)
    sigma = 0.05 * circle.radius
    reach = int(3 * sigma + 0.5)
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-(offsets**2) / (2 * sigma**2))
    window = np.outer(weights, weights)[..., None] / weights.sum() ** 2
    mirrored = np.pad(pixels.astype(float), ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    checked = 0
    for y, x in np.random.default_rng(1).integers(0, 90, (300, 2)):
        distance = np.hypot(x + 0.5 - circle.x, y + 0.5 - circle.y) / circle.radius
        mean = (window * mirrored[y : y + 2 * reach + 1, x : x + 2 * reach + 1]).sum(axis=(0, 1))
        expected = np.full(3, 128) if distance > 0.95 else (3 * (pixels[y, x] - mean) + 128).clip(0, 255)
        np.testing.assert_allclose(square[y, x], expected, atol=0.51)
        checked += distance <= 0.95
    assert checked > 150


def test_other_light_looks_alike_afterwards():
    pixels = disc((200, 200), (100, 100, 95)).astype(float)
    pixels[80:84, 60:140] *= 0.7  # a vessel
    slope = np.linspace(0.7, 1.2, 200)[:, None, None]
    light, dark = (pixels * slope).astype(np.uint8), (pixels * slope[::-1]).astype(np.uint8)
    before = np.abs(light.astype(int) - dark).mean()
    one, other = after_crop(light, SUBTRACT), after_crop(dark, SUBTRACT)
    assert np.abs(one.astype(int) - other).mean() < before / 4
    assert one[82, 100].mean() < 100 < one[60, 100].mean()  # the vessel stays


def test_the_rim_and_the_cut_edges_are_gray():
    pixels, _ = before_crop(disc((300, 200), (150, 100, 120)), CROP)
    square = after_crop(pixels, SUBTRACT)
    side = len(square)
    y, x = np.mgrid[:side, :side] + 0.5
    beyond = np.hypot(x - side / 2, y - side / 2) > 0.93 * side / 2
    assert (square[beyond] == 128).all()
    lit = np.flatnonzero(pixels.any(axis=(1, 2)))
    assert (square[: lit[0] + 10] == 128).all()
    assert (square[lit[-1] - 9 :] == 128).all()
    assert (square[lit[0] + 14, 80:150] != 128).any()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["CropToRetin"], "unknown name 'CropToRetin'; did you mean 'CropToRetina'?"),
        ([{"CropToRetina": {"margins": 0.1}}], "CropToRetina has no argument 'margins'; did you mean 'margin'?"),
        ([{"CropToRetina": {"margin": -0.1}}], "margin is -0.1, needs a share of the radius"),
        ([{"SubtractLocalMean": {"keep": 0}}], "keep is 0, needs"),
        ([{"SubtractLocalMean": {"sigma_share": "wide"}}], "sigma_share is 'wide', needs"),
        (["CropToRetina", "CropToRetina"], "each once, in this order: CropToRetina, SubtractLocalMean"),
        (["SubtractLocalMean", "CropToRetina"], "each once, in this order: CropToRetina, SubtractLocalMean"),
        ("CropToRetina", "'CropToRetina' is no list"),
    ],
)
def test_mistakes_are_answered_in_one_line(value, message):
    with pytest.raises(ValueError, match=r"^preprocessing: ") as refused:
        check_preprocessing(value)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_sound_values_pass_and_are_described():
    for value in ([], CROP, SUBTRACT, CROP + SUBTRACT):
        check_preprocessing(value)
        assert len(describe_preprocessing(value)) == len(value)
    words = describe_preprocessing([{"CropToRetina": {"margin": 0.05}}, {"SubtractLocalMean": {"amplitude": 3}}])
    assert "margin of 0.05 of its radius" in words[0]
    assert words[1].startswith("3 times the difference from the local mean (Gaussian, sigma 0.0333 of")


@pytest.mark.real
def test_real_photographs_have_a_circle_and_both_eyes_the_same():
    folder = real_data() / "eyepacs-1024" / "images"
    lefts = sorted(folder.glob("*_left.jpeg"))[::8]
    assert len(lefts) == 60
    found, ratios = 0, []
    for left in lefts:
        circles = []
        for path in (left, left.with_name(left.name.replace("_left", "_right"))):
            with Image.open(path) as image:
                pixels = np.asarray(image)
            circle = find_retina(pixels)
            circles += [circle.radius / pixels.shape[1]] if circle else []
        found += len(circles)
        ratios += [circles[0] / circles[1]] if len(circles) == 2 else []
    assert found >= 118
    # One camera, one circle; here and there glare widens one of the two.
    assert np.median(np.abs(np.subtract(ratios, 1))) < 0.001
    assert (np.abs(np.subtract(ratios, 1)) < 0.03).mean() > 0.93


@pytest.mark.real
def test_the_circle_is_as_wide_as_the_lit_rows_of_the_whole_photograph():
    """Against every pixel of the rows about the center, where the frame does not cut them off."""
    off = []
    for path in sorted((real_data() / "eyepacs-1024" / "images").iterdir())[::16]:
        with Image.open(path) as image:
            pixels = np.asarray(image)
        circle, light = find_retina(pixels), pixels.max(axis=2)
        edge = np.median(light[:20, :20]) + 0.15 * np.percentile(light, 75)
        middle = light[int(circle.y) - 30 : int(circle.y) + 30]
        width = np.median([np.ptp(np.flatnonzero(row > edge)) for row in middle])
        off += [2 * circle.radius / (width + 1) - 1] if width < pixels.shape[1] - 4 else []
    assert len(off) > 50
    assert abs(np.median(off)) < 0.003
    assert np.quantile(np.abs(off), 0.9) < 0.006


@pytest.mark.real
def test_small_real_photographs_fill_their_frame():
    data = np.load(real_data() / "retinamnist.npz")
    circles = [find_retina(pixels) for pixels in data["test_images"]]
    found = np.array([circle for circle in circles if circle])
    assert len(found) >= 0.99 * len(circles)
    assert (np.abs(found - 14).max(axis=1) < 1.5).mean() > 0.95  # half of 28 px, to within one and a half
