import itertools
import struct
import warnings
import zlib
from io import BytesIO

import numpy as np
import pytest
from data_folders import jpeg, picture, real_data
from PIL import Image, ImageFile

from dr_lib.data.decoding import Header, decode_as_stored, decode_noted, decode_rgb, decode_strictly, read_header
from dr_lib.data.inspection import inspect

SIZES = [(1, 1), (2, 3), (7, 5), (8, 8), (9, 17), (33, 16), (65, 63), (100, 99), (255, 1), (1, 255), (333, 217)]
OPTIONS = [
    {"mode": mode, "progressive": progressive, "quality": quality} | sampling | restarts
    for mode, sampling, progressive, quality, restarts in itertools.product(
        ("RGB", "L", "CMYK"),
        ({"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}, {"subsampling": "4:1:1"}, {"keep_rgb": True}),
        (False, True),
        (30, 95),
        ({}, {"restart_marker_blocks": 3}),
    )
    if mode == "RGB" or "keep_rgb" not in sampling
]


def grainy(seed, size, mode="RGB"):
    """Return a picture with fine detail, which tells decoders apart."""
    smooth = np.asarray(picture(seed, size), np.int16)
    grain = np.random.default_rng(seed).integers(-30, 30, smooth.shape)
    return Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).convert(mode)


def encode(form, size=(70, 45), mode="RGB", **options):
    stream = BytesIO()
    grainy(2, size, mode).save(stream, form, **options)
    return stream.getvalue()


def by_pillow(data, draft=0):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(BytesIO(data)) as image:
            if draft:
                image.draft(None, (draft, draft))
            return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("size", SIZES)
def test_jpegs_of_all_kinds_come_as_from_pillow(size):
    for seed, options in enumerate(OPTIONS):
        options = dict(options)
        data = jpeg(grainy(seed, size, options.pop("mode")), **options)
        pixels = decode_rgb(data)
        np.testing.assert_array_equal(pixels, by_pillow(data), str(options))
        assert pixels.dtype == np.uint8 and pixels.flags.writeable and pixels.flags.c_contiguous


@pytest.mark.parametrize("at_least", [1, 5, 20, 100])
def test_reduced_jpegs_come_as_from_pillow(at_least):
    for size in SIZES:
        for seed, options in enumerate(OPTIONS[::5]):
            options = dict(options)
            data = jpeg(grainy(seed, size, options.pop("mode")), **options)
            pixels = decode_rgb(data, at_least)
            draft = 0 if read_header(data).mode == "CMYK" else 2 * at_least
            np.testing.assert_array_equal(pixels, by_pillow(data, draft), str(options))
            assert min(pixels.shape[:2]) >= min(*size, 2 * at_least)


def test_a_large_jpeg_is_reduced_as_far_as_it_may():
    data = jpeg(picture(0, (1000, 800)))
    shapes = {at_least: decode_rgb(data, at_least).shape[:2] for at_least in (0, 401, 400, 201, 200, 101, 100, 50, 1)}
    assert shapes == {
        0: (800, 1000), 401: (800, 1000), 400: (800, 1000), 201: (800, 1000), 200: (400, 500),
        101: (400, 500), 100: (200, 250), 50: (100, 125), 1: (100, 125),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("form", "mode", "options"),
    [
        ("png", "RGB", {}),
        ("png", "RGBA", {}),
        ("png", "LA", {}),
        ("png", "P", {}),
        ("png", "P", {"transparency": 3}),
        ("png", "1", {}),
        ("tiff", "RGB", {}),
        ("tiff", "CMYK", {}),
        ("tiff", "RGB", {"compression": "tiff_lzw"}),
        ("tiff", "RGB", {"compression": "jpeg"}),
        ("bmp", "RGB", {}),
        ("gif", "P", {}),
        ("webp", "RGB", {"lossless": True}),
    ],
)
def test_other_formats_come_as_from_pillow(form, mode, options):
    data = encode(form, (70, 300), mode, **options)
    for at_least in (0, 4):
        pixels = decode_rgb(data, at_least)
        np.testing.assert_array_equal(pixels, by_pillow(data))
        assert pixels.dtype == np.uint8 and pixels.shape == (300, 70, 3) and pixels.flags.writeable


@pytest.mark.parametrize("form", ["png", "tiff"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_gray_of_16_bits_keeps_the_upper_8_of_the_bits_in_use(form, bits):
    ramp = np.linspace(0, 2**bits - 1, 70 * 45).reshape(45, 70).astype(np.uint16)
    stream = BytesIO()
    Image.fromarray(ramp).save(stream, form)
    pixels, note = decode_noted(stream.getvalue())
    assert pixels.dtype == np.uint8 and pixels.shape == (45, 70, 3) and f"{bits} bits in use" in note
    for channel in range(3):
        np.testing.assert_array_equal(pixels[..., channel], ramp >> (bits - 8))
    judged = inspect(stream.getvalue())
    assert judged.status.detail == note and judged.status.kind == "intact"
    np.testing.assert_array_equal(judged.pixels, pixels)


def test_white_and_black_of_16_bits_may_change_places():
    ramp = np.linspace(0, 2**16 - 1, 70 * 45).reshape(45, 70).astype(np.uint16)
    stream = BytesIO()
    Image.fromarray(ramp).save(stream, "tiff", tiffinfo={262: 0})
    np.testing.assert_array_equal(decode_rgb(stream.getvalue())[..., 0], (65535 - ramp) >> 8)


def tiff_of(kind: str) -> bytes:
    """Return an uncompressed TIFF of 4 x 4 gray samples of a NumPy type, which Pillow writes few of."""
    samples = np.full((4, 4), 100, kind)
    tags = [(256, 4), (257, 4), (258, 8 * samples.itemsize), (259, 1), (262, 1), (273, 8), (277, 1), (278, 4),
            (279, samples.nbytes), (339, {"u": 1, "i": 2, "f": 3}[samples.dtype.kind])]  # fmt: skip
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    end = struct.pack("<H", len(tags)) + directory + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + samples.nbytes) + samples.tobytes() + end


@pytest.mark.parametrize("kind", ["<i1", "<i2", "<f4", "<f2", "<f8", "<u8", "<u4"])
def test_samples_of_which_pillow_knows_no_white_are_refused(kind):
    status = inspect(tiff_of(kind)).status
    assert status.kind == "unreadable" and "save it with 8 or 16 bits a sample" in status.detail
    sound = inspect(tiff_of("<u1"))
    assert sound.status.kind == "intact" and (sound.pixels == 100).all()


@pytest.mark.parametrize(("mode", "name"), [("I", "32-bit integers"), ("F", "floating-point")])
def test_samples_without_a_known_white_are_refused(mode, name):
    data = encode("tiff", mode=mode)
    with pytest.raises(ValueError, match=name):
        decode_rgb(data)
    status = inspect(data).status
    assert status.kind == "unreadable" and name in status.detail and "save it with" in status.detail


COLORS = {"LA": 4, "RGB": 2, "RGBA": 6}
"""The color types of PNG (its specification, 11.2.2)."""


def deep_png(samples: np.ndarray, mode: str, passes=((0, 0, 1, 1),)) -> bytes:
    """Return a PNG of uint16 (H, W, C); ``passes``: of an interlaced one, where they begin and their steps."""
    rows = (row for x, y, across, down in passes for row in samples[y::down, x::across])
    packed = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", *samples.shape[1::-1], 16, COLORS[mode], 0, 0, len(passes) > 1)
    chunks = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    parts = (struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
             for kind, body in chunks)  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def deep_tiff(samples: np.ndarray, **options) -> bytes:
    """Return a TIFF of RGB, uint16 (H, W, 3); Pillow writes none."""
    import tifffile  # scikit-image's

    stream = BytesIO()
    tifffile.imwrite(stream, samples, photometric="rgb", **options)
    return stream.getvalue()


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize(
    ("mode", "write"),
    [
        ("RGB", lambda samples: deep_png(samples, "RGB")),
        ("RGB", lambda samples: deep_png(samples, "RGB", ADAM7)),
        ("RGBA", lambda samples: deep_png(np.dstack([samples, np.full((40, 30), 65535)]), "RGBA")),
        ("LA", lambda samples: deep_png(np.dstack([samples[..., 0], np.full((40, 30), 65535)]), "LA")),
        ("RGB", lambda samples: deep_tiff(samples, byteorder="<")),
        ("RGB", lambda samples: deep_tiff(samples, byteorder=">")),
        ("RGB", lambda samples: deep_tiff(samples, compression="deflate")),
    ],
)
def test_color_of_16_bits_keeps_the_upper_8_of_the_bits_in_use(mode, write, bits):
    samples = np.random.default_rng(0).integers(0, 2**bits, (40, 30, 3), np.uint16)
    samples[0, 0] = 2**bits - 1
    data, expected = write(samples), (samples >> (bits - 8)).astype(np.uint8)
    pixels, note = decode_noted(data)
    np.testing.assert_array_equal(pixels, expected[..., [0, 0, 0]] if mode == "LA" else expected)
    assert f"16-bit color, {bits} bits in use" in note
    assert inspect(data).status.detail == note and inspect(data).mode == read_header(data).mode == f"{mode};16"


def test_planes_of_16_bits_that_pillow_misreads_are_refused():
    samples = np.random.default_rng(0).integers(0, 2**12, (40, 30, 3), np.uint16)
    found = inspect(deep_tiff(samples.transpose(2, 0, 1), planarconfig="separate")).status
    assert found.kind == "unreadable" and "planes of 16 bits" in found.detail


@pytest.mark.parametrize("form", ["tiff", "gif", "png", "webp"])
def test_of_several_pictures_the_first_is_taken_and_that_is_said(form):
    first, second = picture(0, (40, 30)), picture(1, (40, 30))
    for further in ([], [second]):
        stream = BytesIO()
        first.save(stream, form, save_all=True, append_images=further)
        pixels, note = decode_noted(stream.getvalue())
        np.testing.assert_array_equal(pixels, by_pillow(stream.getvalue()))
        assert (further != []) == ("the first of several pictures" in note)


def test_of_several_pictures_the_first_is_decoded():
    stream = BytesIO()
    grainy(1, (40, 30)).save(stream, "mpo", save_all=True, append_images=[grainy(2, (40, 30))])
    assert read_header(stream.getvalue()).format == "MPO"
    np.testing.assert_array_equal(decode_rgb(stream.getvalue()), by_pillow(stream.getvalue()))


def test_exif_does_not_turn_the_image():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0110] = 6, "CANON  INC\0junk", "Canon CR-2"
    for form in ("jpeg", "png", "webp", "tiff"):
        data = encode(form, exif=exif)
        header = read_header(data)
        assert (header.orientation, header.camera) == (6, "CANON INC Canon CR-2"), form
        turned = form == "tiff"  # by Pillow itself
        assert decode_rgb(data).shape == (header.height, header.width, 3) == ((70, 45, 3) if turned else (45, 70, 3))
    assert read_header(encode("jpeg")) == Header("JPEG", "RGB", 70, 45, 0, "")


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("Canon", "Canon EOS 5D", "Canon EOS 5D"),
        ("TOPCON", "", "TOPCON"),
        ("", "CR6-45NM", "CR6-45NM"),
        ("a\x1b[31mb\n", "<script>", "a[31mb <script>"),
        ("x" * 500, "", "x" * 60),
    ],
)
def test_the_camera_in_few_words(make, model, camera):
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = make, model, 9
    header = read_header(encode("jpeg", exif=exif))
    assert (header.camera, header.orientation) == (camera, 0)


def test_broken_metadata_are_none_and_raise_no_warning():
    data = encode("jpeg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x03\x01\x0f\0\x02\0\0\x7f\xff\0\0\xff\xff")
    header = read_header(data)
    assert (header.orientation, header.camera) == (0, "")
    np.testing.assert_array_equal(decode_rgb(data), by_pillow(data))


def test_what_pillow_refuses_is_refused():
    whole = encode("jpeg")
    for data in (b"", b"hello", whole[:100], whole[:-300], whole[:-2], encode("png")[:-300], encode("tiff")[:300]):
        with pytest.raises(OSError):
            by_pillow(data)
        with pytest.raises(OSError):
            decode_rgb(data)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_a_format_that_would_start_a_program_is_not_opened(monkeypatch):
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was started"))
    data = encode("eps")
    with Image.open(BytesIO(data)) as image:
        assert image.format == "EPS"
    with pytest.raises(Image.UnidentifiedImageError):
        decode_rgb(data)


def test_strict_decoding_says_what_pillow_does_not():
    for mode in ("RGB", "L", "CMYK"):
        whole = encode("jpeg", mode=mode)
        header = read_header(whole)
        np.testing.assert_array_equal(decode_strictly(whole, header), by_pillow(whole))
        gray_below = whole[: len(whole) - 500] + b"\xff\xd9"
        with pytest.raises(ValueError, match="premature end of data segment"):
            decode_strictly(gray_below, header)
        np.testing.assert_array_equal(decode_rgb(gray_below), by_pillow(gray_below))  # Pillow is content with it
        stored = decode_as_stored(gray_below, header)
        assert stored.shape == (45, 70, {"RGB": 3, "L": 1, "CMYK": 4}[mode])
        if mode == "RGB":
            np.testing.assert_array_equal(stored, by_pillow(gray_below))


@pytest.mark.slow
@pytest.mark.real
def test_real_and_odd_files_come_as_from_pillow(capfd):
    folder = real_data()
    files = [path for path in sorted((folder / "odd-jpegs").rglob("*")) if path.is_file()]
    files += sorted((folder / "eyepacs-full" / "images").iterdir())[::4]
    files += sorted((folder / "eyepacs-1024" / "images").iterdir())[::20]
    opened = 0
    for path in files:
        data = path.read_bytes()
        try:
            expected = by_pillow(data)
        except Exception as error:
            with pytest.raises(type(error)):
                decode_rgb(data)
            continue
        opened += 1
        np.testing.assert_array_equal(decode_rgb(data), expected, str(path))
        if "odd-jpegs" not in path.parts:
            np.testing.assert_array_equal(decode_rgb(data, 100), by_pillow(data, 200), str(path))
        assert min(decode_rgb(data, 100).shape[:2]) >= min(*expected.shape[:2], 200)
    assert opened > 200
    assert capfd.readouterr() == ("", "")
