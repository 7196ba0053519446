"""What a file is by its first bytes, and what makes a photograph of it that is read here."""

from pathlib import Path, PurePath

from dr_lib.storage.bounded_read import open_regular

PNG = b"\x89PNG\r\n\x1a\n"

BEGINNINGS = (b"\xff\xd8", PNG, b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of JPEG, PNG and TIFF files."""

SUFFIXES = (".jpeg", ".jpg", ".png", ".tif", ".tiff")
"""What a photograph may end with; case does not matter."""

PICTURE_SUFFIXES = frozenset({
    ".jfif", ".jpe", ".bmp", ".gif", ".webp", ".heic", ".heif", ".hif", ".avif", ".jp2", ".j2k", ".jpf", ".jpx", ".jxl",
    ".dcm", ".dicom", ".psd",
})  # fmt: skip
"""What other pictures end with, whether or not they can be read here."""

_CONVERT = "save it as JPEG or PNG first, with {}"
_PICTURES = (
    (4, b"ftypheic", "HEIC", _CONVERT.format("heif-convert")),
    (4, b"ftypheix", "HEIC", _CONVERT.format("heif-convert")),
    (4, b"ftypmif1", "HEIF", _CONVERT.format("heif-convert")),
    (4, b"ftypavif", "AVIF", _CONVERT.format("avifdec")),
    (4, b"jP  \r\n\x87\n", "JPEG 2000", _CONVERT.format("opj_decompress")),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000", _CONVERT.format("opj_decompress")),
    (0, b"\xff\x0a", "JPEG XL", _CONVERT.format("djxl")),
    (4, b"JXL \r\n\x87\n", "JPEG XL", _CONVERT.format("djxl")),
    (128, b"DICM", "DICOM", _CONVERT.format("dcm2img of DCMTK, or pydicom")),
    (0, b"8BPS", "Photoshop's PSD", _CONVERT.format("ImageMagick")),
)
_OTHERS = (
    (4, b"ftyp", "a film or another ISO media file", "it holds no photograph"),
    (8, b"WEBP", "WebP, cut or broken", "get it again whole"),
    (0, b"GIF8", "GIF, cut or broken", "get it again whole"),
    (0, b"BM", "BMP, cut or broken", "get it again whole"),
    (0, b"%PDF", "PDF", "take the pictures out of it with pdfimages"),
    (0, b"%!PS", "PostScript", "take the pictures out of it first"),
    (0, b"PK\x03\x04", "a ZIP archive, or an Office document", "unpack it"),
    (0, b"\x1f\x8b", "a gzip archive", "unpack it"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it"),
    (0, b"Rar!", "a RAR archive", "unpack it"),
    (0, b"\x89HDF", "HDF5", "save its pictures as PNG"),
    (0, b"\x93NUMPY", "a NumPy array", "save its pictures as PNG"),
    (0, b"version https://git-lfs", "a Git LFS pointer", "get the photograph itself with git lfs pull"),
    (0, b"<!doctype html", "HTML", "a download has failed: get it again"),
    (0, b"<html", "HTML", "a download has failed: get it again"),
    (0, b"<?xml", "XML", "get the photograph itself"),
    (0, b"<svg", "SVG", "get the photograph itself"),
    (0, b"{", "JSON", "a download has failed: get it again"),
)
"""Where the bytes stand, the bytes (letters in any case), the kind, and what to do."""
_READ_HERE = ((8, b"WEBP"), (0, b"GIF8"), (0, b"BM"), *((0, beginning) for beginning in BEGINNINGS))


def is_begun_image(data: bytes) -> bool:
    """Return whether ``data`` is, as far as it goes, the beginning of a photograph; nothing at all counts as one."""
    return any(data[: len(signature)] == signature[: len(data)] for signature in BEGINNINGS)


def kind_of(data: bytes) -> str:
    """Return what a file of another kind is and what to do with it, as ``HEIC: save it as ...``; empty if unknown."""
    return _named(data, _PICTURES + _OTHERS)


def other_picture(name: str, data: bytes) -> str:
    """Return what a picture is whose name does not end as photographs do here, and what to do with it; else nothing.

    ``data``: the beginning of the file. By its name alone, or by that where the name has no ending, as DICOM's.
    """
    if kind := _named(data, _PICTURES):
        return kind
    named = _suffix(name) in PICTURE_SUFFIXES
    if any(data[at:].startswith(signature) for at, signature in _READ_HERE) and (named or data[:2] != b"BM"):
        return f"a picture that can be read: let its name end in {SUFFIXES[0]}, {SUFFIXES[2]} or the like"
    return "of an unknown kind: save it as JPEG or PNG first" if named else ""


def may_be_other_picture(name: str) -> bool:
    """Return whether a file's name ends as pictures do that are no photographs here, or not at all."""
    suffix = _suffix(name)
    return suffix in PICTURE_SUFFIXES or not suffix.strip(".0123456789")  # parts of a DICOM's name are numbers


def is_photograph(name: str) -> bool:
    """Return whether a file's name ends as those of photographs do."""
    return _suffix(name) in SUFFIXES


def _suffix(name: str) -> str:
    return PurePath(name).suffix.lower()


def _named(data: bytes, kinds: tuple[tuple[int, bytes, str, str], ...]) -> str:
    start = data[:256].lower()
    if start[:3] == b"\xef\xbb\xbf":
        start = start[3:]
    text = start.lstrip()
    for at, signature, kind, advice in kinds:
        if (text if signature.startswith((b"<", b"{")) else start)[at:].startswith(signature.lower()):
            return f"{kind}: {advice}"
    return ""


def kind_of_other_picture(path: Path) -> str:
    """Return what a picture is that does not end as photographs do, and what to do with it; empty for other files."""
    if is_photograph(path.name) or not may_be_other_picture(path.name):
        return ""
    try:
        with open_regular(path) as stream:
            beginning = stream.read(256)
    except OSError:
        beginning = b""
    return other_picture(path.name, beginning)
