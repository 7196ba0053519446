"""From a file's bytes to its pixels, the same to the bit as ``Image.open(file).convert("RGB")``, and faster.

That holds for 8 bits a sample. Samples of 16 bits are scaled by the bits in use (see :func:`decode_noted`): ``convert``
clips gray ones to white, and 12 bits of color that are stored in 16 would come nearly black.

JPEGs go through simplejpeg (libjpeg-turbo's own interface): straight into a packed array, and, other than Pillow, it
tells when libjpeg has something to complain of. Whatever it does not take without complaint goes through Pillow.
"""

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import simplejpeg
from PIL import ExifTags, Image, ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from dr_lib.data.png import without_text
from dr_lib.errors import InputError

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP")
"""What is opened, whatever the file's name says. Pillow knows forty more; one of them, EPS, starts Ghostscript."""

JPEG_FORMATS = ("JPEG", "MPO")
"""Pillow's names of a JPEG; MPO is one that further pictures follow."""

METHOD = 4
"""Raise when the same bytes give other pixels, or more is measured on them, so that what is kept is made again."""

_SAMPLE_FORMAT = 339
"""The TIFF tag that says whether samples are unsigned (1), signed (2) or floating-point numbers (3)."""
DEPTHS = (8, 10, 12, 14, 16)
"""Bits that cameras and scanners put into samples of 16 bits."""

SEVERAL_PICTURES = "the first of several pictures in the file"
"""What :func:`decode_noted` notes of a file with further pictures."""

MARGIN = 2
"""How many times as large as needed a reduced decoding is at least; Pillow's ``thumbnail`` keeps the same margin."""

OUT_OF_MEMORY = re.compile("out of memory|Insufficient memory|Memory allocation failure", re.IGNORECASE)

_ROWS_AT_ONCE = 256
_DEEP = re.compile(r"(RGB[AX]?|CMYK|LA);16([BLN])")
"""How Pillow calls color of 16 bits a sample; it keeps the upper 8 of them."""


@dataclass(frozen=True)
class Header:
    """What a file says before its pixels: Pillow's names of its ``format`` and ``mode``, and its size in px.

    ``mode`` says more than Pillow's name of color of 16 bits, whose samples it gives 8: ``RGB;16``.
    ``orientation``: EXIF's 1-8, 0 where there is none. ``camera``: EXIF's make and model, empty where there are none.
    """

    format: str
    mode: str
    width: int
    height: int
    orientation: int
    camera: str


def read_header(data: bytes) -> Header:
    """Return the header of an image in one of :data:`FORMATS`; no pixel is decoded, nothing of their size allocated.

    Raises what Pillow raises: ``UnidentifiedImageError`` or another ``OSError``, ``DecompressionBombError`` from
    twice ``Image.MAX_IMAGE_PIXELS`` on, and now and then something else, on files that are broken on purpose.
    """
    with _opened(data) as image:
        raw = _raw_mode(image)
        mode = f"{raw.partition(';')[0]};16" if ";16" in raw and image.mode[0] != "I" else image.mode
        return Header(image.format or "", mode, *image.size, *_exif(image))


def decode_rgb(data: bytes, at_least: int = 0) -> np.ndarray:
    """Return the pixels of an image file: uint8 (H, W, 3), writable. EXIF does not turn a JPEG or a PNG.

    With ``at_least`` (px, 0: off) a sound JPEG may come at a half, a quarter or an eighth of its size, its shorter
    side still at least twice ``at_least``; a crop made from it differs by up to four levels. Raises what Pillow
    raises, and :class:`InputError` for samples without a known white.
    """
    return decode_noted(data, at_least)[0]


def decode_noted(data: bytes, at_least: int = 0) -> tuple[np.ndarray, str]:
    """Return what :func:`decode_rgb` returns, and what was left out of it; empty where nothing was.

    Samples of 16 bits keep the upper 8 of the bits in use: the fewest of :data:`DEPTHS` that hold the image's largest
    value, so that 12 bits stored in 16 are not taken for black. 32-bit integers and floats have no such range. Of
    several pictures in a file the first is taken.
    """
    with _opened(data) as image:
        if image.format in JPEG_FORMATS and image.mode in ("RGB", "L"):
            try:
                return _decode_turbo(data, image.size, at_least), ""
            except ValueError:
                pass  # a complaint that Pillow may know nothing of, or a kind of JPEG that TurboJPEG does not take
        if image.mode in ("I", "F") or _has_signed_bytes(image):
            kind = "floating-point numbers" if image.mode == "F" else "32-bit integers, or signed ones"
            raise InputError(f"its pixels are {kind}, whose white is unknown; save it with 8 or 16 bits a sample")
        raw = _raw_mode(image)
        if image.mode.startswith("I;16"):
            pixels, note = _scaled(image)
        elif ";16" in raw:
            pixels, note = _scaled_color(data, image, raw)
        else:
            pixels, note = _to_array(image), ""
        return pixels, ", ".join(filter(None, (note, _further_pictures(image))))


def decode_strictly(data: bytes, header: Header, at_least: int = 0) -> np.ndarray:
    """Return what :func:`decode_rgb` returns for a JPEG, or raise ``ValueError`` with libjpeg's first complaint.

    Where there is none, all that the decoder asked for was there. ``header``: that of ``data``.
    """
    if header.mode in ("RGB", "L"):
        return _decode_turbo(data, (header.width, header.height), at_least)
    # Pillow has its own way from four inks to RGB; the complaint is had by decoding the inks alone.
    _turbo(data, header.mode, strict=True)
    return decode_rgb(data, at_least)


def decode_as_stored(data: bytes, header: Header) -> np.ndarray:
    """Return the channels that a JPEG holds, uint8 (H, W, C); what is missing or corrupt is made up by libjpeg.

    Raises ``OSError`` where it cannot go on. ``header``: that of ``data``.
    """
    try:
        return _turbo(data, {"L": "GRAY"}.get(header.mode, header.mode), strict=False)
    except ValueError as error:
        try:
            with _opened(data) as image:
                return np.array(image).reshape(image.height, image.width, -1)
        except OSError:
            raise OSError(str(error)) from None  # these words say more than Pillow's


def _decode_turbo(data: bytes, size: tuple[int, int], at_least: int) -> np.ndarray:
    width, height = size
    fits = min(size) // (MARGIN * at_least) if at_least else 1
    shrink = max(factor for factor in (1, 2, 4, 8) if factor <= max(fits, 1))
    return _turbo(data, "RGB", min_height=-(-height // shrink), min_width=-(-width // shrink))


def _turbo(*arguments: Any, **options: Any) -> np.ndarray:
    with _memory_apart():
        return simplejpeg.decode_jpeg(*arguments, **options)


@contextmanager
def _memory_apart() -> Iterator[None]:
    """Raise :class:`MemoryError` where a decoder has found no memory and takes that for an error of the file."""
    try:
        yield
    except (ValueError, OSError) as error:
        if OUT_OF_MEMORY.search(str(error)):
            raise MemoryError(str(error)) from None
        raise


def _to_array(image: Image.Image) -> np.ndarray:
    image.load()
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, _ROWS_AT_ONCE):  # else three copies of a large image are held at once
        bottom = min(top + _ROWS_AT_ONCE, image.height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)).convert("RGB"))
    return pixels


def _scaled(image: ImageFile.ImageFile) -> tuple[np.ndarray, str]:
    samples = np.asarray(image)
    bits = next(bits for bits in DEPTHS if samples.max() < 2**bits)
    if isinstance(image, TiffImageFile) and image.tag_v2.get(ExifTags.Base.PhotometricInterpretation) == 0:
        samples = (2**bits - 1) - samples  # zero is white, which Pillow heeds for 8 bits only
    gray = (samples >> (bits - 8)).astype(np.uint8)
    return np.repeat(gray[:, :, None], 3, axis=2), f"16-bit gray, {bits} bits in use: the upper 8 of these are kept"


def _scaled_color(data: bytes, image: ImageFile.ImageFile, raw: str) -> tuple[np.ndarray, str]:
    samples = _channels(image, raw)
    bits = next(bits for bits in DEPTHS if samples.max() < 2 ** (bits - 8))
    if bits < 16:
        found = _DEEP.fullmatch(raw)
        if not found:  # its alpha is multiplied in, and in what way is lost in the lower bits
            raise InputError(f"{bits} of 16 bits in use and premultiplied alpha; save it without alpha")
        with _opened(data) as again:
            # Read in the other order of bytes, the lower 8 bits are the upper ones.
            other = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}[found[2]]
            lower = "RGBA" if found[1] == "LA" else f"{found[1]};16{other}"
            again.tile = [tile._replace(args=_with_raw_mode(tile.args, lower)) for tile in again.tile]
            samples = samples << (16 - bits) | _channels(again, lower) >> (bits - 8)
    if image.mode == "CMYK":
        samples = np.asarray(Image.frombytes("CMYK", image.size, samples.tobytes()).convert("RGB"))
    return np.array(samples), f"16-bit color, {bits} bits in use: the upper 8 of these are kept"


def _channels(image: Image.Image, raw: str) -> np.ndarray:
    """Return 8 bits of each channel but alpha, uint8 (H, W, C)."""
    pixels = np.asarray(image)
    if raw == "RGBA":  # two bytes of gray, two of alpha
        return np.repeat(pixels[..., 1:2], 3, axis=2)
    return pixels if image.mode == "CMYK" else pixels[..., :3]


def _has_signed_bytes(image: ImageFile.ImageFile) -> bool:
    """Return whether a TIFF holds 8-bit samples below zero, which Pillow takes for large ones."""
    return isinstance(image, TiffImageFile) and 2 in image.tag_v2.get(_SAMPLE_FORMAT, ())


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """Return how the samples of a PNG or TIFF lie in the file, in Pillow's words, as ``RGB;16B``."""
    if image.format not in ("PNG", "TIFF") or not image.tile:
        return ""
    arguments = image.tile[0].args
    assert arguments is not None  # of tiles of these two formats
    raw = arguments if isinstance(arguments, str) else str(arguments[0])
    planes = len(raw) == 1 < len(image.getbands())
    if planes and isinstance(image, TiffImageFile) and max(image.tag_v2.get(ExifTags.Base.BitsPerSample, (0,))) > 8:
        raise InputError("uncompressed planes of 16 bits a sample, which Pillow misreads; save it as PNG")
    return raw


def _with_raw_mode(arguments: Any, raw: str) -> Any:
    return raw if isinstance(arguments, str) else (raw, *arguments[1:])


def _further_pictures(image: Image.Image) -> str:
    """Return in words that a decoded image is the first of several; those of a broken file do not count."""
    try:
        several = image.format not in JPEG_FORMATS and getattr(image, "is_animated", False)
    except MemoryError:
        raise
    except Exception:
        return ""
    return SEVERAL_PICTURES if several else ""


@contextmanager
def _opened(data: bytes) -> Iterator[ImageFile.ImageFile]:
    # Pillow warns of odd metadata and of large images. The filters are the whole process's, so in a process of many
    # threads a warning of another thread may get lost meanwhile; data sets are decoded in processes of one thread.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _memory_apart(), Image.open(BytesIO(without_text(data)), formats=FORMATS) as image:
            yield image


def _exif(image: Image.Image) -> tuple[int, str]:
    """Return orientation and camera; metadata that cannot be read are none."""
    if "exif" not in image.info and image.format != "TIFF":
        return 0, ""  # Pillow would decode a whole PNG to look for them behind its pixels
    try:
        exif = image.getexif()
        orientation = exif.get(ExifTags.Base.Orientation)
        make, model = _text(exif.get(ExifTags.Base.Make)), _text(exif.get(ExifTags.Base.Model))
    except MemoryError:
        raise
    except Exception:
        return 0, ""
    camera = model if model.lower().startswith(make.lower()) else f"{make} {model}".strip()
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 0, camera


def _text(value: Any) -> str:
    text = value.partition("\0")[0] if isinstance(value, str) else ""
    return " ".join("".join(letter for letter in text if letter.isprintable()).split())[:60]
