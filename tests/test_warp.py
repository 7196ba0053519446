import math

import numpy as np
import pytest
from data_folders import pixels, real_data
from PIL import Image
from torchvision.transforms import functional as F

from dr_lib.data.warp import crop_rotate_flip

RIGHT_ANGLES = [0.0, -0.0, 90.0, 180.0, 270.0, 360.0, -90.0, -180.0, -270.0, -360.0, 450.0]


def noise(side: int, seed: int = 0) -> np.ndarray:
    """Return a square in which no pixel is black, as only those without a source are."""
    return np.random.default_rng(seed).integers(1, 256, (side, side, 3), dtype=np.uint8)


def warped(square: np.ndarray, top=0, left=0, size=None, angle=0.0, hflip=False, vflip=False) -> np.ndarray:
    size = len(square) if size is None else size
    out = np.full((size, size, 3), 7, np.uint8)  # what was there before must not show
    assert crop_rotate_flip(square, top, left, size, angle, hflip, vflip, out) is None
    return out


def lab_warped(square: np.ndarray, top=0, left=0, size=None, angle=0.0, hflip=False, vflip=False) -> np.ndarray:
    """Return what Pillow and torchvision make of it."""
    size = len(square) if size is None else size
    image = F.rotate(F.crop(Image.fromarray(square), top, left, size, size), angle, fill=0)
    image = F.hflip(image) if hflip else image
    return np.asarray(F.vflip(image) if vflip else image)


def draws(rng: np.random.Generator, angle: float, side: int | None = None) -> dict:
    side = int(rng.integers(28, 301)) if side is None else side
    size = int(rng.integers(1, side + 1)) if rng.random() < 0.8 else side
    top, left = (int(place) for place in rng.integers(0, side - size + 1, 2))
    hflip, vflip = (bool(flip) for flip in rng.random(2) < 0.5)
    seed = int(rng.integers(100))
    return {"square": noise(side, seed)} | {
        "top": top, "left": left, "size": size, "angle": angle, "hflip": hflip, "vflip": vflip
    }  # fmt: skip


@pytest.mark.parametrize("degrees", [180, 20, 1, 1e-3, 1e-12])
def test_byte_for_byte_torchvisions_steps(degrees):
    rng = np.random.default_rng(int(degrees))
    for _ in range(600):
        drawn = draws(rng, float(rng.uniform(-degrees, degrees)))
        assert np.array_equal(warped(**drawn), lab_warped(**drawn)), {**drawn, "square": len(drawn["square"])}


@pytest.mark.parametrize("angle", RIGHT_ANGLES)
def test_right_angles_and_those_next_to_them(angle):
    rng = np.random.default_rng(9)
    for exactly in (angle, math.nextafter(angle, math.inf), math.nextafter(angle, -math.inf), angle + 1e-4):
        for side in (28, 29, 224, 1):
            drawn = draws(rng, exactly, side)
            assert np.array_equal(warped(**drawn), lab_warped(**drawn)), (exactly, side)
    square = noise(31)
    assert np.array_equal(warped(square, angle=angle), np.rot90(square, round(angle / 90)))


def test_the_labs_sizes():
    rng = np.random.default_rng(4)
    for _ in range(300):
        top, left = (int(place) for place in rng.integers(0, 33, 2))
        drawn = {"square": noise(256, 1), "top": top, "left": left, "size": 224, "angle": float(rng.uniform(-20, 20))}
        assert np.array_equal(warped(**drawn), lab_warped(**drawn))


def test_flips_alone():
    square = noise(30)
    assert np.array_equal(warped(square), square)
    assert np.array_equal(warped(square, hflip=True), square[:, ::-1])
    assert np.array_equal(warped(square, vflip=True), square[::-1])


def test_what_lies_outside_the_crop_is_black_although_the_square_goes_on():
    square = np.full((64, 64, 3), 200, np.uint8)
    corners = warped(square, top=16, left=16, size=32, angle=45.0)[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners == 0).all()


def test_a_little_more_of_anything_would_be_noticed():
    square = noise(64)
    drawn = {"square": square, "top": 5, "left": 7, "size": 48, "angle": 12.0, "hflip": True, "vflip": False}
    expected = lab_warped(**drawn)
    assert np.array_equal(warped(**drawn), expected)
    for change in ({"top": 6}, {"left": 6}, {"angle": 12.1}, {"angle": -12.0}, {"hflip": False}, {"vflip": True}):
        assert not np.array_equal(warped(**drawn | change), expected), change


def test_from_a_file_of_squares_into_a_batch(tmp_path):
    crops = np.stack([noise(40, seed) for seed in range(3)])
    crops.tofile(tmp_path / "squares")
    stored = np.memmap(tmp_path / "squares", np.uint8, "r", shape=crops.shape)
    batch = np.full((4, 32, 32, 3), 7, np.uint8)
    crop_rotate_flip(stored[1], 2, 3, 32, -9.5, False, True, batch[2])
    assert np.array_equal(batch[2], lab_warped(crops[1], 2, 3, 32, -9.5, False, True))
    assert (batch[[0, 1, 3]] == 7).all()
    assert np.array_equal(stored, crops)


@pytest.mark.parametrize("wrong", [(-1, 0, 32), (0, -1, 32), (9, 0, 32), (0, 9, 32), (0, 0, 41), (0, 0, 31)])
def test_a_crop_that_leaves_the_square_or_does_not_fill_the_place_is_refused(wrong):
    top, left, size = wrong
    with pytest.raises(ValueError, match="does not fit"):
        crop_rotate_flip(noise(40), top, left, size, 0.0, False, False, np.empty((32, 32, 3), np.uint8))


@pytest.mark.real
def test_real_photographs():
    files = sorted((real_data() / "eyepacs-64" / "images").iterdir())[:20]
    assert len(files) == 20
    rng = np.random.default_rng(8)
    for file in files:
        drawn = draws(rng, float(rng.uniform(-20, 20)), 64) | {"square": pixels(file.read_bytes())}
        assert np.array_equal(warped(**drawn), lab_warped(**drawn)), file.name
