import numpy as np
import pytest
from data_folders import picture, pixels, real_data
from PIL import Image
from torchvision.transforms import functional as F

from dr_lib.data.resize import resize_and_crop

SIZES = {  # height, width, side
    "landscape": (333, 500, 256),
    "portrait": (455, 301, 224),
    "already square": (256, 256, 256),
    "of the right height": (64, 90, 64),
    "of the right width": (90, 64, 64),
    "enlarged": (28, 31, 224),
    "enlarged little": (200, 300, 201),
    "longer side cut down": (301, 401, 100),  # 133.2 px
    "crop between two places": (103, 100, 100),  # 1.5 px, to even
    "crop between two others": (100, 105, 100),  # 2.5 px, to even
    "twice as high": (300, 150, 64),
    "more than twice as high": (301, 150, 64),
    "more than twice as high, enlarged": (61, 30, 64),
    "a column": (300, 1, 20),
    "a row": (1, 300, 20),
    "a pixel": (1, 1, 3),
    "narrower than a window": (2000, 3, 2),
    "lower than a window": (3, 2000, 2),
    "to one pixel": (700, 900, 1),
    "large": (1500, 2100, 256),
}


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return every value in every place with the same chance: no two neighbors look alike."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def lab_square(photograph: np.ndarray, side: int) -> np.ndarray:
    """Return what Pillow and torchvision make of it."""
    return np.asarray(F.center_crop(F.resize(Image.fromarray(photograph), side), [side, side]))


@pytest.mark.parametrize("size", SIZES)
def test_byte_for_byte_torchvisions_square(size):
    height, width, side = SIZES[size]
    photograph = noise(height, width)
    square = resize_and_crop(photograph, side)
    assert square.shape == (side, side, 3) and square.dtype == np.uint8
    assert np.array_equal(square, lab_square(photograph, side))


@pytest.mark.parametrize("longest", [6, 40, 300])
def test_any_size(longest):
    rng = np.random.default_rng(longest)
    for _ in range(300):
        height, width, side = (int(number) for number in rng.integers(1, longest + 1, 3))
        photograph = noise(height, width, side)
        assert np.array_equal(resize_and_crop(photograph, side), lab_square(photograph, side)), (height, width, side)


@pytest.mark.parametrize("value", [0, 1, 254, 255])
def test_an_even_color_stays_what_it_is(value):
    assert (resize_and_crop(np.full((517, 733, 3), value, np.uint8), 100) == value).all()


def test_a_picture_rather_than_noise():
    photograph = np.asarray(picture(3, (640, 427)))
    assert np.array_equal(resize_and_crop(photograph, 224), lab_square(photograph, 224))


def test_a_shift_by_one_pixel_or_the_passes_in_another_order_would_be_noticed():
    tall = noise(301, 150)
    resized = Image.fromarray(tall).resize((64, 128), Image.Resampling.BILINEAR)
    square = resize_and_crop(tall, 64)
    assert np.array_equal(square, np.asarray(resized)[32:96])
    assert not np.array_equal(square, np.asarray(resized)[33:97])
    across = Image.fromarray(tall).resize((64, 301), Image.Resampling.BILINEAR)
    across_then_down = across.resize((64, 128), Image.Resampling.BILINEAR)
    assert not np.array_equal(square, np.asarray(across_then_down)[32:96])


def test_arrays_that_lie_otherwise_in_memory_are_taken_and_none_is_changed():
    photograph = noise(120, 150)
    before = photograph.copy()
    expected = lab_square(photograph, 50)
    assert np.array_equal(resize_and_crop(photograph, 50), expected)
    assert np.array_equal(resize_and_crop(np.asfortranarray(photograph), 50), expected)
    assert np.array_equal(resize_and_crop(np.asarray(Image.fromarray(photograph)), 50), expected)
    mirrored = photograph[:, ::-1]
    assert np.array_equal(resize_and_crop(mirrored, 50), lab_square(mirrored.copy(), 50))
    assert np.array_equal(photograph, before) and photograph.flags.writeable


@pytest.mark.parametrize("wrong", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 4), np.uint8), np.zeros((9, 9, 3))])
def test_other_arrays_are_refused(wrong):
    with pytest.raises(ValueError, match="pixels must be uint8"):
        resize_and_crop(wrong, 8)


@pytest.mark.real
def test_real_photographs():
    files = sorted((real_data() / "eyepacs-full" / "images").iterdir())[::9]
    files += sorted((real_data() / "eyepacs-1024" / "images").iterdir())[:6]
    assert len(files) == 10
    for file in files:
        photograph = pixels(file.read_bytes())
        for side in (256, 224):
            assert np.array_equal(resize_and_crop(photograph, side), lab_square(photograph, side)), file.name
