import base64
import re
import warnings
import zlib
from io import BytesIO
from itertools import pairwise

import numpy as np
import odd_decoders
import pytest
import simplejpeg
from data_folders import jpeg, picture, pixels, real_data
from PIL import Image, ImageFile

from dr_lib.data.decoding import decode_rgb
from dr_lib.data.inspection import (
    CORRUPT,
    INTACT,
    NO_END_MARKER,
    NO_IMAGE,
    STATUS_MEANINGS,
    STATUSES,
    TRUNCATED,
    UNREADABLE,
    inspect,
    repair,
)
from dr_lib.data.jpeg_rows import FILLERS
from dr_lib.data.jpeg_structure import read_structure
from dr_lib.system.process_pool import map_in_workers

KINDS = {
    "plain": {},
    "4:4:4": {"subsampling": 0},
    "optimized": {"optimize": True},
    "progressive": {"progressive": True},
    "restart every 3 blocks": {"restart_marker_blocks": 3},
    "restart every row": {"restart_marker_rows": 1},
    "gray": {"mode": "L"},
    "CMYK": {"mode": "CMYK"},
    "black below": {"black": True, "optimize": True},
}
LARGE = (1024, 683)

ARITHMETIC = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQFdBRkxOUlNSMj5aYV"
    "pQYEpRUk//yQALCABAACgBAREA/8wABgAQEAX/2gAIAQEAAD8A0o5D/wCMcn5I5Zwj4l/Ie/4kh5DVczV65vPKU7chjzQwsVjQ/iBVk3Vw1VxE"
    "B4zJ/dqv0tOr0MVvCuk1cFiL5UKKgVh+6DU+CRBsDoGaXqfU2q675PdrOZYVe8mjrzTTkoTGMaRUbu7ijslBScyeEwOLOUTmRh2+G7Nnh2l8n6"
    "hHHjADqv8AXogM+FmcbbvG0HdfSAx0pRFsuR6bbSv0Xq9X/qoQE+RGiBpjmNZ/iAZsfbOBdmeOav21Yv6J4xOID3V4nLAXcG1PrK7jPzPlmWaI"
    "Bm8H/wAcOVFL+YBYbnZW1ghnFp0ncIFHKw9bSb18dppJO+GQ3iaOjR12A8ci+p2g/9k="
)
"""A gray picture, 40 x 64 px, by ``cjpeg -arithmetic``; Pillow writes no such files."""


def encode(kind, size=(150, 117)):
    options = dict(KINDS[kind])
    image = picture(1, size, options.pop("mode", "RGB"))
    if options.pop("black", False):
        image.paste((0, 0, 0), (0, size[1] // 2, *size))
    return jpeg(image, **options)


def check(data):
    """The status, after a look at what comes with it."""
    judged = inspect(data)
    found = judged.status
    assert found.kind in STATUSES and 0 <= found.lost <= 1 and "\n" not in found.detail
    assert (judged.pixels is None) == (found.kind == UNREADABLE)
    if judged.pixels is not None:
        assert judged.pixels.shape == (found.height, found.width, 3) and judged.pixels.dtype == np.uint8
        used = repair(data) if judged.format in ("JPEG", "MPO") or found.lost else data
        with Image.open(BytesIO(used)) as image:
            if image.mode != "I;16":  # which Pillow clips
                np.testing.assert_array_equal(judged.pixels, np.asarray(image.convert("RGB")))
    return found


def flipped(data, at, bit=0):
    changed = bytearray(data)
    changed[at] ^= 1 << bit
    return bytes(changed)


def frame_start(data):
    return re.search(rb"\xff[\xc0\xc2]", data).start()


def with_size(data, width, height):
    at = frame_start(data) + 5
    return data[:at] + height.to_bytes(2) + width.to_bytes(2) + data[at + 4 :]


def scan_starts(data):
    return [found.start() for found in re.finditer(rb"\xff\xda", data)]


def assert_honest(whole, cut):
    """The rows that are not reported lost are those of the whole file; returns the status."""
    truth, status = pixels(whole), check(cut)
    if status.kind != UNREADABLE:
        np.testing.assert_array_equal(decode_rgb(repair(cut)), inspect(cut).pixels)
        kept = round((1 - status.lost) * len(truth))
        np.testing.assert_array_equal(pixels(repair(cut))[:kept], truth[:kept])
        assert (status.kind in (INTACT, NO_END_MARKER)) == (kept == len(truth))
    return status


@pytest.mark.parametrize("kind", KINDS)
def test_whole_files_are_intact(kind):
    status = check(encode(kind))
    assert (status.kind, status.lost, status.width, status.height) == (INTACT, 0, 150, 117)


@pytest.mark.parametrize("size", [(150, 117), LARGE])
@pytest.mark.parametrize("kind", KINDS)
def test_only_the_end_marker_is_missing(kind, size):
    whole = encode(kind, size)
    for cut in (whole[:-2], whole[:-1]):
        status = assert_honest(whole, cut)
        assert (status.kind, status.lost) == (NO_END_MARKER, 0)
        np.testing.assert_array_equal(pixels(repair(cut)), pixels(whole))
    assert repair(whole[:-2]) == whole  # the lab report's repair, byte for byte


@pytest.mark.parametrize("kind", KINDS)
def test_cuts_anywhere_are_measured_honestly(kind):
    whole = encode(kind)
    start = scan_starts(whole)[0]
    losses = [assert_honest(whole, whole[:at]).lost for at in np.linspace(start, len(whole) - 1, 60, dtype=int)]
    assert losses[0] == 1
    assert all(later <= earlier for earlier, later in pairwise(losses))


@pytest.mark.parametrize("kind", ["plain", "4:4:4", "restart every row", "gray"])
def test_the_share_lost_is_what_was_cut(kind):
    whole = encode(kind, (160, 160))
    start = scan_starts(whole)[0]
    for share in (0.25, 0.5, 0.75):
        cut = whole[: round(len(whole) - share * (len(whole) - start))]
        # The file decides: rows that came, from the same cut decoded with gray at its end.
        gray = (pixels(repair(cut)) != pixels(whole)).any(axis=tuple(range(1, pixels(whole).ndim)))
        assert abs(check(cut).lost - (1 - gray.argmax() / 160)) <= 16 / 160  # one row of blocks


def test_a_cut_right_before_a_restart_marker():
    whole = encode("restart every row")
    for found in re.finditer(rb"\xff[\xd0-\xd7]", whole):
        for offset in (0, 1, 2):
            assert assert_honest(whole, whole[: found.start() + offset]).kind == TRUNCATED


def test_a_progressive_file_that_lacks_scans_has_no_whole_row():
    whole = encode("progressive")
    starts = scan_starts(whole)
    assert len(starts) > 3
    for start in starts[1:]:
        for cut in (whole[:start], whole[: start + 1], whole[: start + 5], whole[: start - 8]):
            status = check(cut)
            assert (status.kind, status.lost) == (TRUNCATED, 1)
            pixels(repair(cut))
    assert check(whole[: starts[-1]] + b"\xff\xd9").lost == 1
    assert 0 < check(whole[:-20]).lost < 1  # in the last scan, rows above are whole


@pytest.mark.parametrize("kind", KINDS)
def test_gray_rows_below_an_end_marker_are_found(kind):
    for size in ((150, 117), LARGE):
        whole = encode(kind, size)
        cut = whole[: (len(whole) + scan_starts(whole)[-1]) // 2] + b"\xff\xd9"
        Image.open(BytesIO(cut)).load()  # Pillow reads it and says nothing
        status = assert_honest(whole, cut)
        assert status.kind == TRUNCATED and "end marker is there" in status.detail


@pytest.mark.parametrize(
    "tail", [b"\0" * 4096, b"\0", b"garbage", b"\xff\xd8\xff\xe1 a second picture", b"\xff\xd9\xff\xd9"]
)
def test_bytes_after_the_end_marker_do_no_harm(tail):
    assert check(encode("plain") + tail).kind == INTACT


@pytest.mark.parametrize("kind", KINDS)
def test_space_that_was_never_written_is_lost(kind):
    whole = encode(kind)
    cut = whole[: (len(whole) + scan_starts(whole)[-1]) // 2]
    padded = cut + b"\0" * (len(whole) - len(cut))
    assert assert_honest(whole, padded).kind == TRUNCATED


@pytest.mark.parametrize("kind", ["plain", "restart every row", "gray"])
@pytest.mark.parametrize("end", [None, -300])
def test_a_hole_in_the_data_is_found(kind, end):
    whole = encode(kind, LARGE)
    for at in range(scan_starts(whole)[0] + 14, len(whole) - 1000, 6000):
        assert assert_honest(whole, whole[:at] + bytes(600) + whole[at + 600 : end]).kind == CORRUPT


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bits_are_found_or_leave_no_trace(kind):
    whole = encode(kind, (512, 341))
    truth, start = pixels(whole), scan_starts(whole)[0] + 14
    statuses = []
    for number, at in enumerate(np.linspace(start, len(whole) - 3, 60, dtype=int)):
        data = flipped(whole, at, number % 8)
        found = inspect(data).status
        statuses.append(found.kind)
        if found.kind in (CORRUPT, TRUNCATED):  # truncated where a flipped bit makes a marker
            kept = round((1 - found.lost) * len(truth))
            np.testing.assert_array_equal(pixels(repair(data))[:kept], truth[:kept])
    assert NO_END_MARKER not in statuses and UNREADABLE not in statuses
    assert statuses.count(CORRUPT) > 6


def test_restart_markers_confine_corruption():
    whole = encode("restart every row", LARGE)
    start, end = read_structure(whole).pieces[20]
    for at in range(start + 2, end - 2, 7):
        status = check(flipped(whole, at, 3))
        if status.kind == CORRUPT:
            # Rows of blocks are 16 px high; the color of the row above is interpolated.
            assert status.lost == pytest.approx(1 - (20 * 16 - 1) / LARGE[1], abs=1.01 / LARGE[1])
            break
    else:
        pytest.fail("no flipped bit was found")


def test_a_missing_piece_in_the_middle_is_found():
    whole = encode("restart every row", LARGE)
    pieces = read_structure(whole).pieces
    status = check(whole[: pieces[10][0]] + whole[pieces[13][0] :])
    assert status.kind == CORRUPT and "instead of RST" in status.detail
    assert status.lost == pytest.approx(1 - 10 * 16 / LARGE[1], abs=17 / LARGE[1])


def test_data_that_ends_in_the_last_row_before_its_marker_is_the_sign_of_a_flipped_bit():
    whole = encode("plain", LARGE)
    cut = next(at for at in range(len(whole) - 20, 0, -20) if check(whole[:at]).lost > 16 / LARGE[1])
    assert check(whole[: cut + 60]).kind == TRUNCATED
    marked = check(whole[: cut + 60] + b"\xff\xd9")
    assert (marked.kind, marked.lost) == (CORRUPT, 1) and "premature end" in marked.detail
    assert check(whole[: cut - 200] + b"\xff\xd9").kind == TRUNCATED


@pytest.mark.parametrize("marker", [b"\xfe\xd9", b"\xff\xdb", b"\xff\xd1", b"\xff\x59", b"\xff\x00", b"\0\0", b"\xff"])
def test_an_end_marker_that_is_damaged_itself_is_replaced(marker):
    whole = encode("plain")
    assert assert_honest(whole, whole[:-2] + marker).kind == NO_END_MARKER


@pytest.mark.parametrize("kind", ["plain", "progressive", "restart every 3 blocks"])
def test_data_that_no_pixel_needs(kind):
    whole = encode(kind)
    assert check(whole[:-2] + b"\0" * 5 + b"\xff\xd9").kind == INTACT  # some cameras fill up
    assert check(whole[:-2] + b"\xff" * 5 + b"\xff\xd9").kind == INTACT
    assert check(whole[:-2] + b"garbage" * 3 + b"\xff\xd9").kind == CORRUPT


def test_odd_metadata_do_no_harm():
    whole = encode("plain")
    start = scan_starts(whole)[0]
    icc = b"\xff\xe2\0\x12ICC_PROFILE\0\0\1.."
    for odd in (
        whole[:11] + b"\7" + whole[12:],  # an unknown revision of JFIF
        whole[:20] + icc + whole[20:],
        whole[:start] + b"garbage" + whole[start:],
        whole[: start + 11] + b"\1" + whole[start + 12 :],  # of progressive files alone
    ):
        with pytest.raises(ValueError):
            simplejpeg.decode_jpeg(odd, "RGB")  # libjpeg complains
        assert check(odd).kind == INTACT
        np.testing.assert_array_equal(pixels(odd), pixels(whole))
        half = odd[: len(odd) // 2] + b"\xff\xd9"
        assert 0 < assert_honest(whole, half).lost < 1


def test_odd_metadata_hide_no_corruption():
    whole = encode("plain")
    start = scan_starts(whole)[0]
    corrupt = whole[:-2] + b"garbage" * 3 + b"\xff\xd9"  # no row depends on what follows
    for odd in (
        corrupt[:11] + b"\7" + corrupt[12:],
        corrupt[:start] + b"garbage" + corrupt[start:],
        corrupt[: start + 11] + b"\1" + corrupt[start + 12 :],
    ):
        assert check(odd).kind in (CORRUPT, TRUNCATED)


def test_what_is_no_image():
    whole = encode("plain")
    beginnings = (b"\xff", b"\xff\xd8", b"\xff\xd8\xff\xd9", whole[:30], whole[:200], b"\x89PNG\r\n")
    for data in (b"", b"GIF89a", b"hello" * 100, *beginnings):
        status = check(data)
        assert (status.kind, status.lost, status.width, status.height) == (UNREADABLE, 1, 0, 0)
        assert status.detail and "0x" not in status.detail
        assert status.detail.startswith(NO_IMAGE) == data.startswith((b"GIF", b"hello"))
    assert check(b"").detail == "empty file"


def test_kinds_that_cannot_be_read_are_named():
    whole = encode("plain")
    at = frame_start(whole)
    assert check(whole[: at + 4] + b"\x0c" + whole[at + 5 :]).detail == "12 bits a sample: Pillow reads JPEGs of 8"
    coded_otherwise = check(whole[: at + 1] + b"\xc9" + whole[at + 2 :])
    assert (coded_otherwise.kind, coded_otherwise.lost) == (CORRUPT, 1) and "arithmetic" in coded_otherwise.detail
    assert "image data" in check(whole[: scan_starts(whole)[0]]).detail


@pytest.mark.parametrize("kind", ["plain", "progressive"])
def test_huge_sizes_are_refused_before_anything_is_decoded(kind, monkeypatch):
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *_, **__: pytest.fail("was decoded"))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("was decoded"))
    for size in ((60_000, 60_000), (9_500, 9_500)):
        status = inspect(with_size(encode(kind), *size)).status
        assert status.kind == UNREADABLE and "limit" in status.detail


@pytest.mark.parametrize("error", [MemoryError(), ValueError("Insufficient memory (case 4)")])
def test_running_out_of_memory_is_no_status(monkeypatch, error):
    def decode_jpeg(*_, **options):
        raise error

    monkeypatch.setattr("simplejpeg.decode_jpeg", decode_jpeg)
    with pytest.raises(MemoryError):
        inspect(encode("plain"))


@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff"])
def test_too_little_memory_is_never_taken_for_damage(kind):
    stream = BytesIO()
    picture(0, (1500, 1000)).save(stream, kind)
    sizes = [*range(0, 24, 2), 200]
    found = dict(
        map_in_workers(odd_decoders.status_within, [(stream.getvalue(), size) for size in sizes], workers=1, timeout=60)
    )
    assert set(found.values()) == {"intact", "no memory"}


def test_a_sound_file_is_decoded_once(monkeypatch):
    decodings = []
    decode = simplejpeg.decode_jpeg
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *args, **named: decodings.append(1) or decode(*args, **named))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("decoded by Pillow"))
    for kind in ("plain", "progressive", "gray", "restart every row"):
        for data in (encode(kind, LARGE), encode(kind, LARGE)[:-2]):
            decodings.clear()
            inspect(data)
            assert len(decodings) == 1


def test_a_reduced_decoding_gives_the_same_status():
    for kind in KINDS:
        whole = encode(kind, LARGE)
        for data in (whole, whole[:-2], whole[: len(whole) // 2], whole[: len(whole) // 2] + b"\xff\xd9"):
            full, reduced = inspect(data), inspect(data, at_least=100)
            assert reduced.status == full.status
            np.testing.assert_array_equal(reduced.pixels, decode_rgb(repair(data), 100))
            assert min(reduced.pixels.shape[:2]) >= 200


def test_what_the_header_says():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 3, "Canon"
    judged = inspect(jpeg(picture(), exif=exif))
    assert (judged.format, judged.mode, judged.orientation, judged.camera) == ("JPEG", "RGB", 3, "Canon")
    stream = BytesIO()
    picture(mode="L").save(stream, "png")
    judged = inspect(stream.getvalue())  # whatever the file's name ends with
    assert (judged.status.kind, judged.format, judged.mode) == (INTACT, "PNG", "L")
    nothing = inspect(b"")
    assert (nothing.format, nothing.mode, nothing.orientation, nothing.camera) == ("", "", 0, "")


def test_arithmetic_coding_is_decoded_and_what_cannot_be_told_is_said():
    whole = check(ARITHMETIC)
    assert (whole.kind, whole.lost) == (INTACT, 0)
    assert whole.detail == "arithmetic coding: whether the last rows are missing does not show"
    open_end = check(ARITHMETIC[:-2])
    assert open_end.kind == TRUNCATED and 0 < open_end.lost <= 8 / 64  # never lossless: libjpeg keeps silent
    truth, losses = pixels(ARITHMETIC), []
    for at in range(scan_starts(ARITHMETIC)[0] + 10, len(ARITHMETIC) - 30, 11):
        for end in (b"", b"\xff\xd9"):
            cut = ARITHMETIC[:at] + end
            found = check(cut)
            assert found.kind == TRUNCATED
            kept = round((1 - found.lost) * 64)
            np.testing.assert_array_equal(pixels(repair(cut))[:kept], truth[:kept])
            losses.append(found.lost)
    assert losses == sorted(losses, reverse=True) and losses[0] == 1 and losses[-1] < 0.6


def test_without_the_decoders_silence_nothing_is_merely_a_missing_marker():
    """Three rows of luminance to one of color, which TurboJPEG does not take; libjpeg under Pillow says nothing."""
    stream = BytesIO()
    Image.new("RGB", (48, 48), (128, 128, 128)).save(stream, "jpeg", keep_rgb=True, quality=90)
    rare = bytearray(stream.getvalue())
    rare[rare.index(b"\xff\xc0") + 11] = 0x13
    whole, cut = check(bytes(rare)), check(bytes(rare[:-2]))
    assert whole.kind == INTACT and "whether its data is corrupt does not show" in whole.detail
    assert cut.kind == TRUNCATED and cut.lost > 0


@pytest.mark.parametrize("rest", [b"\xff\xda", b"\xff\xe9", b"\xff\xdb\0\x43\0" + bytes(range(1, 40)), b"\xff\xc4\0"])
def test_half_a_segment_in_the_place_of_the_end_marker_is_no_merely_missing_marker(rest):
    for kind in ("plain", "gray", "progressive"):
        found = check(encode(kind)[:-2] + rest)
        assert (found.kind, found.lost) == (CORRUPT, 1) and "in its place" in found.detail


def encode_png(mode="RGB", size=(60, 200), **options):
    stream = BytesIO()
    rng = np.random.default_rng(0)
    grain = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8))
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 2**16, (size[1], size[0]), np.uint16))
    else:
        image = grain.convert(mode)
    image.save(stream, "png", **options)
    return stream.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P", "1", "I;16"])
def test_a_cut_png_loses_the_rows_that_are_lost(mode):
    whole = encode_png(mode)
    truth, start = decode_rgb(whole), whole.index(b"IDAT") + 4
    for share in (0.2, 0.5, 0.9):
        cut = whole[: start + round(share * (len(whole) - start))]
        found = check(cut)
        assert found.kind == TRUNCATED and abs(found.lost - (1 - share)) < 0.15
        kept = round((1 - found.lost) * len(truth))
        np.testing.assert_array_equal(inspect(cut).pixels[:kept], truth[:kept])
        np.testing.assert_array_equal(decode_rgb(repair(cut)), inspect(cut).pixels)
    assert check(whole[: start + 2]).kind == UNREADABLE
    assert check(whole[:-14]).kind == INTACT
    assert check(whole[:-18]).lost == pytest.approx(1 / len(truth))  # what is there has no checksum
    assert check(whole[:-12]).kind == check(whole).kind == INTACT
    assert repair(whole[:-12]) and check(whole[: whole.index(b"IDAT")]).kind == UNREADABLE


def test_a_flipped_bit_in_a_png_is_found_by_its_checksums():
    whole = encode_png(size=(300, 300))
    second = [found.start() for found in re.finditer(b"IDAT", whole)][1]
    data = flipped(whole, second + 5000)
    found, truth = check(data), decode_rgb(whole)
    assert found.kind == CORRUPT and 0 < found.lost < 1
    kept = round((1 - found.lost) * 300)
    np.testing.assert_array_equal(inspect(data).pixels[:kept], truth[:kept])


def test_long_texts_do_not_keep_a_png_from_being_read():
    whole = encode_png()
    body = zlib.compress(b"x" * 5_000_000)
    for kind, text in ((b"zTXt", b"note\0\0" + body), (b"iTXt", b"note\0\1\0\0\0" + body)):
        chunk = len(text).to_bytes(4) + kind + text + zlib.crc32(kind + text).to_bytes(4)
        for at in (33, len(whole) - 12):  # after IHDR, and before IEND
            data = whole[:at] + chunk + whole[at:]
            assert inspect(data).status.kind == INTACT
            np.testing.assert_array_equal(inspect(data).pixels, decode_rgb(whole))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC: save it as JPEG or PNG first, with heif-convert"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "AVIF"),
        (b"\0\0\0\x0cjP  \r\n\x87\n\0\0", "JPEG 2000"),
        (b"\xff\x4f\xff\x51\0\x2f", "JPEG 2000"),
        (bytes(128) + b"DICM\x02\0", "DICOM"),
        (b"%PDF-1.7", "PDF"),
        (b"\n<!DOCTYPE HTML>", "HTML"),
        (b"\xef\xbb\xbf<html>", "HTML"),
        (b"PK\x03\x04", "ZIP"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "WebP, cut or broken"),
        (b"GIF89a\x01", "GIF, cut or broken"),
        (b"BM\x10\0", "BMP, cut or broken"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    ],
)
def test_files_of_other_kinds_are_named(data, name):
    detail = check(data).detail
    assert detail.startswith(NO_IMAGE) and name in detail


def test_every_status_has_its_meaning():
    assert STATUSES == (INTACT, NO_END_MARKER, TRUNCATED, CORRUPT, UNREADABLE)
    assert all(STATUS_MEANINGS.values())


@pytest.mark.parametrize("form", ["tiff", "bmp"])
def test_other_formats_are_intact_or_unreadable(form):
    stream = BytesIO()
    picture().save(stream, form)
    assert check(stream.getvalue()).kind == INTACT
    assert check(stream.getvalue()[:2000]).kind == UNREADABLE


def test_a_decompression_bomb_is_refused(monkeypatch):
    data = encode("plain")
    for limit in (10_000, 5_000):  # Pillow warns from its limit on, and raises from twice the limit on
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            status = check(data)
        assert status.kind == UNREADABLE and "limit" in status.detail


def test_pillows_switch_for_truncated_files_stays_off():
    check(encode("plain")[:-100])
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_fillers_hold_no_marker_and_start_in_four_ways():
    assert all(b"\xff" not in filler for filler in FILLERS)
    assert [filler[0] >> 6 for filler in FILLERS] == [0, 1, 2, 3]


def test_structure_of_a_plain_file():
    whole = encode("restart every 3 blocks")
    structure = read_structure(whole)
    assert structure.ended and structure.complete and structure.scans == 1
    assert structure.usable == len(whole) - 2
    restarts = len(re.findall(rb"\xff[\xd0-\xd7]", whole))
    assert structure.next_restart == restarts % 8
    assert len(structure.pieces) == restarts + 1 and not structure.litter
    assert all(whole[end : end + 1] == b"\xff" for _, end in structure.pieces)
    assert (structure.bits, structure.block_rows, structure.arithmetic) == (8, 16, False)
    plain = read_structure(encode("plain"))
    assert plain.next_restart is None and len(plain.pieces) == 1
    assert read_structure(encode("gray")).block_rows == read_structure(encode("4:4:4")).block_rows == 8
    progressive = read_structure(encode("progressive"))
    assert len(progressive.pieces) == progressive.scans > 3


def test_fill_bytes_before_a_marker_and_garbage_between_segments():
    whole = encode("plain")
    start = scan_starts(whole)[0]
    odd = whole[:start] + b"\xff\xff" + whole[start:-2] + b"\xff\xff\xff\xd9"
    assert check(odd).kind == INTACT
    np.testing.assert_array_equal(pixels(odd), pixels(whole))


@pytest.mark.real
def test_real_photographs_cut_short():
    files = sorted((real_data() / "eyepacs-1024" / "images").iterdir())[::160]
    assert len(files) == 6
    rng = np.random.default_rng(0)
    for path in files:
        whole = path.read_bytes()
        assert check(whole).kind == INTACT
        assert assert_honest(whole, whole[:-2]).kind == NO_END_MARKER
        for at in rng.integers(scan_starts(whole)[0], len(whole) - 10, 8):
            assert assert_honest(whole, whole[:at]).kind == TRUNCATED
