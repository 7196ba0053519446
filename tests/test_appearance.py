import time
from io import BytesIO

import imagehash
import numpy as np
import pytest
from data_folders import jpeg, picture, real_data
from PIL import Image

from dr_lib.data.appearance import BRIGHT, DARK, HASH_SIDE, NO_STRUCTURE, appearance, perceptual_hash
from dr_lib.data.duplicates import MAX_DISTANCE


def pixels(image):
    return np.asarray(image.convert("RGB"))


def disc(level, size=200, ground=0):
    """Return a gray disc on a dark ground."""
    y, x = np.ogrid[:size, :size]
    inside = (x - size / 2) ** 2 + (y - size / 2) ** 2 < (0.4 * size) ** 2
    return np.where(inside, level, ground).astype(np.uint8)[..., None].repeat(3, axis=2)


def textured(seed, size=(600, 400)):
    """Return a picture with detail of every size down to a fiftieth of it, as vessels give a retina."""
    detail = np.random.default_rng(seed).integers(60, 256, (33, 50, 3), dtype=np.uint8)
    return Image.fromarray(detail).resize(size, Image.Resampling.BICUBIC)


def distance(one, other):
    return (int(one, 16) ^ int(other, 16)).bit_count()


@pytest.mark.parametrize("level", [3, 30, 128, 255])
def test_the_black_around_the_retina_counts_for_nothing(level):
    found = appearance(disc(level))
    assert found.brightness == pytest.approx(level / 255)
    assert found.contrast == pytest.approx(0, abs=1e-9)


def test_noise_in_the_black_counts_for_nothing_either():
    noisy = disc(150)
    noisy[noisy == 0] = np.random.default_rng(0).integers(0, 12, (noisy == 0).sum())
    assert appearance(noisy).brightness == pytest.approx(150 / 255, abs=0.002)


def test_brightness_and_contrast_are_mean_and_deviation_of_pillows_luma():
    image = picture(3, (180, 160)).point(lambda value: 60 + value // 2)  # nothing of it is dark
    luma = np.asarray(image.crop((10, 0, 170, 160)).convert("L")) / 255  # the central square
    found = appearance(pixels(image))
    assert found.brightness == pytest.approx(luma.mean())
    assert found.contrast == pytest.approx(luma.std())


def test_size_hardly_matters():
    small, large = (appearance(pixels(textured(1, size))) for size in ((300, 200), (3000, 2000)))
    assert large.brightness == pytest.approx(small.brightness, abs=0.01)
    assert large.contrast == pytest.approx(small.contrast, abs=0.01)
    assert distance(large.phash, small.phash) <= MAX_DISTANCE


def test_black_is_neither_bright_nor_like_anything():
    found = appearance(np.zeros((50, 60, 3), np.uint8))
    assert (found.brightness, found.contrast, found.phash) == (0, 0, NO_STRUCTURE)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (28, 28), (700, 5)])
def test_any_size_has_a_hash(size):
    assert len(appearance(pixels(picture(0, size))).phash) == HASH_SIDE**2 // 4


def test_the_hash_is_imagehashs_of_the_inner_half():
    image = picture(5, (240, 160))
    assert perceptual_hash(pixels(image)) == str(imagehash.phash(image.crop((60, 40, 180, 120)), 16))


@pytest.mark.parametrize(
    "copy",
    [
        lambda image: Image.open(BytesIO(jpeg(image, quality=30))),
        lambda image: image.resize((300, 200)),
        lambda image: image.resize((256, 256)),
        lambda image: image.point(lambda value: round(0.8 * value)),
    ],
    ids=["recompressed", "scaled", "squashed", "darker"],
)
def test_copies_have_nearly_the_same_hash(copy):
    for seed in range(5):
        image = textured(seed)
        assert distance(perceptual_hash(pixels(image)), perceptual_hash(pixels(copy(image)))) <= MAX_DISTANCE


def test_other_and_mirrored_photographs_have_another_hash():
    hashes = [perceptual_hash(pixels(textured(seed))) for seed in range(8)]
    hashes.append(perceptual_hash(pixels(textured(0))[:, ::-1]))
    assert min(distance(one, other) for i, one in enumerate(hashes) for other in hashes[:i]) > MAX_DISTANCE


def test_dark_and_bright_are_far_from_what_is_usual():
    assert appearance(disc(15)).brightness < DARK < appearance(disc(60)).brightness
    assert appearance(disc(200)).brightness < BRIGHT < appearance(disc(240)).brightness


@pytest.mark.slow
def test_ten_million_pixels_take_milliseconds():
    large = np.random.default_rng(0).integers(0, 256, (2592, 3888, 3), dtype=np.uint8)
    took = []
    for _ in range(5):
        started = time.process_time()
        appearance(large)
        took.append(time.process_time() - started)
    assert min(took) < 0.010  # 1 ms on a core of its own


@pytest.mark.real
def test_published_sizes_of_a_photograph_are_recognized_and_no_others():
    full, small = (real_data() / f"eyepacs-{size}" / "images" for size in ("full", "1024"))
    names = sorted({path.stem for path in full.iterdir()} & {path.stem for path in small.iterdir()})
    assert len(names) > 20
    large_hashes, small_hashes = (
        {name: perceptual_hash(pixels(Image.open(folder / f"{name}.jpeg"))) for name in names}
        for folder in (full, small)
    )
    for name in names:
        for other in names:
            assert (distance(large_hashes[name], small_hashes[other]) <= MAX_DISTANCE) == (name == other)
