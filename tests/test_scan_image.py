import hashlib
import json

import numpy as np
import pytest
from data_folders import jpeg, picture, pixels

from dr_lib.data.crops import ResizeSpec
from dr_lib.data.scan_image import ImageInfo, scan_image

EXACT, FAST = ResizeSpec(48), ResizeSpec(48, fast=True)


def test_one_decoding_gives_facts_and_squares():
    data = jpeg(picture(1, (300, 200)))
    info, (square, small) = scan_image(data, [EXACT, ResizeSpec(32)])
    assert (info.status.kind, info.status.width, info.status.height) == ("intact", 300, 200)
    assert (info.format, info.mode, info.orientation, info.camera) == ("JPEG", "RGB", 0, "")
    assert info.digest == hashlib.blake2b(data, digest_size=16).hexdigest() and len(info.phash) == 64
    np.testing.assert_array_equal(square, EXACT.make(pixels(data)))
    assert small.shape == (32, 32, 3)


def test_facts_survive_json():
    for data in (jpeg(picture(2)), b"", b"nothing of the kind", jpeg(picture(3))[:-2]):
        info, _ = scan_image(data)
        assert ImageInfo.from_json(json.loads(json.dumps(info.as_json(), allow_nan=False))) == info


def test_an_unreadable_file_has_facts_and_no_squares():
    info, crops = scan_image(b"\xff\xd8 but no more", [EXACT])
    assert info.status.kind == "unreadable" and crops == [] and info.digest


def test_a_file_without_its_end_is_examined_as_it_is_repaired():
    whole = jpeg(picture(4, (300, 200)))
    info, (square,) = scan_image(whole[:-2], [EXACT])
    assert info.status.kind == "end marker missing"
    np.testing.assert_array_equal(square, scan_image(whole, [EXACT])[1][0])


def test_fast_decoding_is_near_and_only_where_all_are_content_with_it():
    data = jpeg(picture(5, (1600, 1200)))
    exact, fast = scan_image(data, [EXACT])[1][0], scan_image(data, [FAST])[1][0]
    assert 0 < np.abs(exact.astype(int) - fast).max() <= 12
    both = scan_image(data, [EXACT, FAST])[1]
    np.testing.assert_array_equal(both[0], exact)
    assert scan_image(data, [FAST])[0].status == scan_image(data, [EXACT])[0].status


@pytest.mark.parametrize("recipe", [ResizeSpec(64, '["CropToRetina"]'), ResizeSpec(64, '["SubtractLocalMean"]')])
def test_preprocessing_is_part_of_the_square(recipe):
    data = jpeg(picture(6, (300, 200)))
    plain, worked = scan_image(data, [ResizeSpec(64), recipe])[1]
    assert worked.shape == plain.shape
    assert "LocalMean" not in recipe.preprocessing or not np.array_equal(plain, worked)
