import re
import warnings
from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
from data_folders import jpeg, picture, pixels, real_data
from PIL import Image, ImageFile

from dr_lib.data.jpeg import (
    FILLERS,
    INTACT,
    NO_END_MARKER,
    TRUNCATED,
    UNREADABLE,
    check,
    ends_with_marker,
    repair,
)
from dr_lib.data.jpeg_structure import read_structure

KINDS = {
    "plain": {},
    "4:4:4": {"subsampling": 0},
    "optimised": {"optimize": True},
    "progressive": {"progressive": True},
    "restart every 3 blocks": {"restart_marker_blocks": 3},
    "restart every row": {"restart_marker_rows": 1},
    "grey": {"mode": "L"},
    "CMYK": {"mode": "CMYK"},
    "black below": {"black": True, "optimize": True},
}
LARGE = (1024, 683)


def encode(kind, size=(150, 117)):
    options = dict(KINDS[kind])
    image = picture(1, size, options.pop("mode", "RGB"))
    if options.pop("black", False):
        image.paste((0, 0, 0), (0, size[1] // 2, *size))
    return jpeg(image, **options)


def scan_starts(data):
    return [found.start() for found in re.finditer(rb"\xff\xda", data)]


def assert_honest(whole, cut):
    """The rows that are not reported lost are those of the whole file; returns the verdict."""
    truth, verdict = pixels(whole), check(cut)
    if verdict.verdict != UNREADABLE:
        kept = round((1 - verdict.lost) * len(truth))
        np.testing.assert_array_equal(pixels(repair(cut))[:kept], truth[:kept])
        assert (verdict.verdict in (INTACT, NO_END_MARKER)) == (kept == len(truth))
    return verdict


@pytest.mark.parametrize("kind", KINDS)
def test_whole_files_are_intact(kind):
    verdict = check(encode(kind))
    assert (verdict.verdict, verdict.lost, verdict.width, verdict.height) == (INTACT, 0, 150, 117)
    assert ends_with_marker(encode(kind))


@pytest.mark.parametrize("size", [(150, 117), LARGE])
@pytest.mark.parametrize("kind", KINDS)
def test_only_the_end_marker_is_missing(kind, size):
    whole = encode(kind, size)
    for cut in (whole[:-2], whole[:-1]):
        verdict = assert_honest(whole, cut)
        assert (verdict.verdict, verdict.lost) == (NO_END_MARKER, 0)
        assert not ends_with_marker(cut)
        np.testing.assert_array_equal(pixels(repair(cut)), pixels(whole))
    assert repair(whole[:-2]) == whole  # the lab report's repair, byte for byte


@pytest.mark.parametrize("kind", KINDS)
def test_cuts_anywhere_are_measured_honestly(kind):
    whole = encode(kind)
    start = scan_starts(whole)[0]
    losses = [assert_honest(whole, whole[:at]).lost for at in np.linspace(start, len(whole) - 1, 60, dtype=int)]
    assert losses[0] == 1
    assert all(later <= earlier for earlier, later in pairwise(losses))


@pytest.mark.parametrize("kind", ["plain", "4:4:4", "restart every row", "grey"])
def test_the_share_lost_is_what_was_cut(kind):
    whole = encode(kind, (160, 160))
    start = scan_starts(whole)[0]
    for share in (0.25, 0.5, 0.75):
        cut = whole[: round(len(whole) - share * (len(whole) - start))]
        # The file decides: rows that came, from the same cut decoded with grey at its end.
        grey = (pixels(repair(cut)) != pixels(whole)).any(axis=tuple(range(1, pixels(whole).ndim)))
        assert abs(check(cut).lost - (1 - grey.argmax() / 160)) <= 16 / 160  # one row of blocks


def test_a_cut_right_before_a_restart_marker():
    whole = encode("restart every row")
    for found in re.finditer(rb"\xff[\xd0-\xd7]", whole):
        for offset in (0, 1, 2):
            assert assert_honest(whole, whole[: found.start() + offset]).verdict == TRUNCATED


def test_a_progressive_file_that_lacks_scans_has_no_whole_row():
    whole = encode("progressive")
    starts = scan_starts(whole)
    assert len(starts) > 3
    for start in starts[1:]:
        for cut in (whole[:start], whole[: start + 1], whole[: start + 5], whole[: start - 8]):
            verdict = check(cut)
            assert (verdict.verdict, verdict.lost) == (TRUNCATED, 1)
            pixels(repair(cut))
    assert check(whole[: starts[-1]] + b"\xff\xd9").lost == 1
    assert 0 < check(whole[:-20]).lost < 1  # in the last scan, rows above are whole


@pytest.mark.parametrize("kind", KINDS)
def test_grey_rows_below_an_end_marker_are_found(kind):
    for size in ((150, 117), LARGE):
        whole = encode(kind, size)
        cut = whole[: (len(whole) + scan_starts(whole)[-1]) // 2] + b"\xff\xd9"
        Image.open(BytesIO(cut)).load()  # Pillow reads it and says nothing
        assert ends_with_marker(cut)
        verdict = assert_honest(whole, cut)
        assert verdict.verdict == TRUNCATED and "end marker is there" in verdict.detail


@pytest.mark.parametrize(
    "tail", [b"\0" * 4096, b"\0", b"garbage", b"\xff\xd8\xff\xe1 a second picture", b"\xff\xd9\xff\xd9"]
)
def test_bytes_after_the_end_marker_do_no_harm(tail):
    assert check(encode("plain") + tail).verdict == INTACT


@pytest.mark.parametrize("kind", KINDS)
def test_space_that_was_never_written_is_lost(kind):
    whole = encode(kind)
    cut = whole[: (len(whole) + scan_starts(whole)[-1]) // 2]
    padded = cut + b"\0" * (len(whole) - len(cut))
    assert assert_honest(whole, padded).verdict == TRUNCATED


def test_what_is_no_image():
    whole = encode("plain")
    for data in (b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff\xd9", whole[:30], whole[:200], b"GIF89a", b"hello" * 100):
        verdict = check(data)
        assert (verdict.verdict, verdict.lost) == (UNREADABLE, 1)
        assert verdict.detail and "0x" not in verdict.detail and "\n" not in verdict.detail


@pytest.mark.parametrize("form", ["png", "tiff", "bmp"])
def test_other_formats_are_intact_or_unreadable(form):
    stream = BytesIO()
    picture().save(stream, form)
    assert check(stream.getvalue()).verdict == INTACT
    assert check(stream.getvalue()[:2000]).verdict == UNREADABLE


def test_a_decompression_bomb_is_refused(monkeypatch):
    data = encode("plain")
    for limit in (10_000, 5_000):  # Pillow warns from its limit on, and raises from twice the limit on
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            verdict = check(data)
        assert verdict.verdict == UNREADABLE and "limit" in verdict.detail


def test_pillows_switch_for_truncated_files_stays_off():
    check(encode("plain")[:-100])
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_fillers_hold_no_marker_and_start_in_four_ways():
    assert all(b"\xff" not in filler for filler in FILLERS)
    assert [filler[0] >> 6 for filler in FILLERS] == [0, 1, 2, 3]


def test_structure_of_a_plain_file():
    whole = encode("restart every 3 blocks")
    structure = read_structure(whole)
    assert structure.ended and structure.complete and structure.scans == 1 and not structure.progressive
    assert structure.usable == len(whole) - 2
    restarts = len(re.findall(rb"\xff[\xd0-\xd7]", whole))
    assert structure.next_restart == restarts % 8
    assert read_structure(encode("plain")).next_restart is None


def test_fill_bytes_before_a_marker_and_garbage_between_segments():
    whole = encode("plain")
    start = scan_starts(whole)[0]
    odd = whole[:start] + b"\xff\xff" + whole[start:-2] + b"\xff\xff\xff\xd9"
    assert check(odd).verdict == INTACT
    np.testing.assert_array_equal(pixels(odd), pixels(whole))


@pytest.mark.real
def test_odd_and_broken_files_of_public_suites(capfd):
    files = [path for path in sorted((real_data() / "odd-jpegs").rglob("*")) if path.is_file()]
    assert len(files) == 413
    for path in files:
        data = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            verdict = check(data)
            assert 0 <= verdict.lost <= 1
            if verdict.verdict == INTACT:
                with Image.open(BytesIO(data)) as image:
                    image.convert("RGB")
            elif verdict.verdict != UNREADABLE:
                with Image.open(BytesIO(repair(data))) as image:
                    image.convert("RGB")
    assert capfd.readouterr() == ("", "")


@pytest.mark.real
def test_real_photographs_cut_short():
    files = sorted((real_data() / "eyepacs-1024" / "images").iterdir())[::160]
    assert len(files) == 6
    rng = np.random.default_rng(0)
    for path in files:
        whole = path.read_bytes()
        assert check(whole).verdict == INTACT
        assert assert_honest(whole, whole[:-2]).verdict == NO_END_MARKER
        for at in rng.integers(scan_starts(whole)[0], len(whole) - 10, 8):
            assert assert_honest(whole, whole[:at]).verdict == TRUNCATED
