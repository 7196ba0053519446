"""Odd inputs, drawn at random from a seed: label files and photographs, with what is true."""

import io
import json
import os
import struct
import unicodedata
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from data_folders import jpeg, picture, write_photographs
from PIL import Image

READ, REFUSED, EITHER = "read", "refused", "either"


def pick(rng: np.random.Generator, options):
    """Return one of ``options``."""
    return list(options)[int(rng.integers(len(options)))]


# Label files


@dataclass
class Labels:
    """A label file to be: rows as meant, and the way in which they are written."""

    grades: dict[str, int]
    names: list[str] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)
    header: tuple[str, str] = ("image", "level")
    separator: str = ","
    newline: str = "\n"
    encoding: str = "utf-8"
    quoted: bool = False
    must: str = READ
    file: str = "labels.csv"
    raw: bytes | None = None

    def bytes(self) -> bytes:
        """Return the file."""
        if self.raw is not None:
            return self.raw
        rows = [self.header, *zip(self.names, self.cells, strict=True)]
        quote = (lambda text: f'"{text}"') if self.quoted else str
        lines = [self.separator.join(map(quote, row)) for row in rows]
        return (self.newline.join(lines) + self.newline).encode(self.encoding)


def _bad_cell(text: str) -> Callable[[Labels, np.random.Generator], None]:
    def change(labels: Labels, rng: np.random.Generator) -> None:
        labels.cells[int(rng.integers(len(labels.cells)))] = text
        labels.must = REFUSED

    return change


def _bad_name(text: str) -> Callable[[Labels, np.random.Generator], None]:
    def change(labels: Labels, rng: np.random.Generator) -> None:
        labels.names[int(rng.integers(len(labels.names)))] = text
        labels.must = REFUSED

    return change


def _setting(must: str = READ, **values) -> Callable[[Labels, np.random.Generator], None]:
    def change(labels: Labels, rng: np.random.Generator) -> None:
        for name, value in values.items():
            setattr(labels, name, value)
        labels.must = must

    return change


def _endings(labels: Labels, rng: np.random.Generator) -> None:
    labels.names = [f"{name}.jpeg" for name in labels.names]


def _folders(labels: Labels, rng: np.random.Generator) -> None:
    labels.names = [f"images/{name}.jpeg" for name in labels.names]


def _decimals(labels: Labels, rng: np.random.Generator) -> None:
    labels.cells = [f"{cell}.0" for cell in labels.cells]


def _blanks(labels: Labels, rng: np.random.Generator) -> None:
    labels.names = [f" {name}  " for name in labels.names]


def _repeated(labels: Labels, rng: np.random.Generator) -> None:
    labels.names.append(labels.names[0])
    labels.cells.append(labels.cells[0])


def _contradicted(labels: Labels, rng: np.random.Generator) -> None:
    labels.names.append(labels.names[0])
    labels.cells.append(str((int(labels.cells[0]) + 1) % 5))
    labels.must = REFUSED


def _random_bytes(labels: Labels, rng: np.random.Generator) -> None:
    labels.raw, labels.must = rng.bytes(400), REFUSED


def _zipped(labels: Labels, rng: np.random.Generator) -> None:
    stream = io.BytesIO()
    with ZipFile(stream, "w") as archive:
        archive.writestr("labels.csv", labels.bytes())
    labels.raw, labels.must = stream.getvalue(), EITHER


def _cut_within_a_line(labels: Labels, rng: np.random.Generator) -> None:
    whole = labels.bytes().rstrip()
    labels.raw, labels.must = whole[: whole.rindex(labels.separator.encode())], REFUSED


def _other_case(labels: Labels, rng: np.random.Generator) -> None:
    labels.names = [name.upper() for name in labels.names]
    labels.must = EITHER


def _other_unicode(labels: Labels, rng: np.random.Generator) -> None:
    labels.names = [unicodedata.normalize("NFD", name) for name in labels.names]
    labels.must = EITHER


LABEL_CHANGES = {
    "as it is": _setting(),
    "semicolons": _setting(separator=";"),
    "tabs": _setting(separator="\t"),
    "tsv": _setting(separator="\t", file="labels.tsv", must=EITHER),
    "ending in capitals": _setting(file="labels.CSV", must=EITHER),
    "lines of Windows": _setting(newline="\r\n"),
    "lines of old Macs": _setting(newline="\r", must=EITHER),
    "byte order mark": _setting(encoding="utf-8-sig"),
    "UTF-16": _setting(encoding="utf-16", must=EITHER),
    "CP1252": _setting(encoding="cp1252", must=EITHER),
    "quotes": _setting(quoted=True),
    "names of APTOS": _setting(header=("id_code", "diagnosis")),
    "capitals in the header": _setting(header=("Image", "Grade")),
    "a header of other words": _setting(header=("who", "what"), must=REFUSED),
    "endings": _endings,
    "folders": _folders,
    "decimals": _decimals,
    "blanks": _blanks,
    "a repeated line": _repeated,
    "a contradiction": _contradicted,
    "a grade in words": _bad_cell("mild"),
    "grade 7": _bad_cell("7"),
    "grade 2.5": _bad_cell("2.5"),
    "no grade": _bad_cell(""),
    "a negative grade": _bad_cell("-1"),
    "a grade of 400 digits": _bad_cell("1" * 400),
    "no name": _bad_name(""),
    "a name outside": _bad_name("../../etc/passwd"),
    "an absolute name": _bad_name("/etc/passwd"),
    "a name of 5000 letters": lambda labels, rng: (
        _bad_name("x" * 5000)(labels, rng),
        _setting(must=EITHER)(labels, rng),
    ),
    "a name with an escape": lambda labels, rng: (
        _bad_name("a\x1b[31mb")(labels, rng),
        _setting(must=EITHER)(labels, rng),
    ),
    "an empty file": _setting(raw=b"", must=REFUSED),
    "a header alone": _setting(raw=b"image,level\n", must=REFUSED),
    "a page of HTML": _setting(raw=b"<!doctype html><html><body>404</body></html>", must=REFUSED),
    "random bytes": _random_bytes,
    "a zip": _zipped,
    "cut within a line": _cut_within_a_line,
    "other case": _other_case,
    "other Unicode form": _other_unicode,
}


def odd_labels(rng: np.random.Generator, folder: Path, change: str) -> Labels:
    """Write a data folder whose label file is odd in the way ``change``, and up to one that is harmless."""
    stem = pick(rng, ["{}_left", "ü{}", "IM{:04d}", "p {}"])
    grades = {stem.format(number): int(rng.integers(5)) for number in range(12)}
    labels = Labels(grades, list(grades), [str(grade) for grade in grades.values()])
    if change != "quotes":
        LABEL_CHANGES[pick(rng, ["as it is", "semicolons", "quotes", "lines of Windows", "endings"])](labels, rng)
    must = labels.must
    LABEL_CHANGES[change](labels, rng)
    labels.must = labels.must if labels.must != READ else must
    write_photographs(folder / "images", list(grades), (40, 32))
    (folder / labels.file).write_bytes(labels.bytes())
    return labels


# Photographs


def _encoded(image: Image.Image, form: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def _flipped(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        changed[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(len(data)))]


def _hole(data: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(len(data)))
    return data[:at] + bytes(min(300, len(data) - at)) + data[at + 300 :]


def _inserted(data: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(len(data)))
    return data[:at] + rng.bytes(int(rng.integers(1, 40))) + data[at:]


def _followed(data: bytes, rng: np.random.Generator) -> bytes:
    return data + rng.bytes(int(rng.integers(1, 5000)))


DAMAGES = {"whole": lambda data, rng: data, "flipped": _flipped, "cut": _cut, "hole": _hole, "inserted": _inserted,
           "followed": _followed, "cut again": _cut}  # fmt: skip


def _deep(mode: str) -> Image.Image:
    values = np.linspace(0, 4095, 96 * 80).reshape(80, 96)
    if mode == "F":
        return Image.fromarray((values / 4095).astype(np.float32))
    return Image.fromarray(values.astype(np.uint16 if mode == "I;16" else np.int32))


def _bomb() -> bytes:
    """Return a PNG of a few bytes whose header promises 60,000 x 60,000 px."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))  # noqa: E731
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(9))) + chunk(b"IEND", b"")


PHOTOGRAPHS: dict[str, Callable[[np.random.Generator], bytes]] = {
    "jpeg": lambda rng: jpeg(picture(50)),
    "progressive": lambda rng: jpeg(picture(50), progressive=True),
    "gray jpeg": lambda rng: jpeg(picture(50, mode="L")),
    "CMYK": lambda rng: jpeg(picture(50, mode="CMYK")),
    "restart markers": lambda rng: jpeg(picture(50), restart_marker_blocks=4),
    "turned": lambda rng: jpeg(picture(50), exif=b"Exif\0\0" + Image.Exif().tobytes()),
    "png": lambda rng: _encoded(picture(50), "png"),
    "palette": lambda rng: _encoded(picture(50).quantize(16), "png"),
    "alpha": lambda rng: _encoded(picture(50, mode="RGBA"), "png"),
    "gray with alpha": lambda rng: _encoded(picture(50, mode="LA"), "png"),
    "one bit": lambda rng: _encoded(picture(50, mode="1"), "png"),
    "16 bits": lambda rng: _encoded(_deep("I;16"), "png"),
    "tiff": lambda rng: _encoded(picture(50), "tiff"),
    "tiff, LZW": lambda rng: _encoded(picture(50), "tiff", compression="tiff_lzw"),
    "32 bits": lambda rng: _encoded(_deep("I"), "tiff"),
    "floats": lambda rng: _encoded(_deep("F"), "tiff"),
    "webp": lambda rng: _encoded(picture(50), "webp"),
    "gif": lambda rng: _encoded(picture(50), "gif"),
    "bmp": lambda rng: _encoded(picture(50), "bmp"),
    "one pixel": lambda rng: jpeg(picture(50, size=(1, 1))),
    "one row": lambda rng: jpeg(picture(50, size=(4000, 1))),
    "bomb": lambda rng: _bomb(),
    "empty": lambda rng: b"\0" * int(rng.integers(3)),
    "noise": lambda rng: rng.bytes(2000),
    "signature and noise": lambda rng: b"\xff\xd8\xff\xe0" + rng.bytes(2000),
    "text": lambda rng: b"the photograph is on the other disk\n" * 9,
    "DICOM": lambda rng: bytes(128) + b"DICM" + rng.bytes(500),
    "pdf": lambda rng: b"%PDF-1.7\n" + rng.bytes(500),
}  # fmt: skip
PLACES = ("fifo", "folder", "dangling link", "link to itself", "device")


def odd_photograph(rng: np.random.Generator, path: Path, kind: str) -> None:
    """Put something at ``path`` that may be a photograph: of one of :data:`PHOTOGRAPHS` or :data:`PLACES`."""
    if kind in PHOTOGRAPHS:
        damage = DAMAGES[pick(rng, DAMAGES)]
        path.write_bytes(damage(PHOTOGRAPHS[kind](rng), rng))
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to({"dangling link": "nowhere", "link to itself": path.name, "device": "/dev/zero"}[kind])


def beside(folder: Path, grades: dict[str, int]) -> None:
    """Write sound photographs and the label file of a folder that holds something odd."""
    write_photographs(folder / "images", [name for name in grades if not name.startswith("odd")], (40, 32))
    rows = "".join(f"{name},{grade}\n" for name, grade in grades.items())
    (folder / "labels.csv").write_text(f"image,level\n{rows}", encoding="utf-8")


def opens_whole(path: Path) -> bool:
    """Tell whether Pillow decodes the file without complaint."""
    try:
        with Image.open(path) as image:
            image.load()
    except Exception:
        return False
    return True


def as_json(path: Path):
    """Return the JSON value in ``path``."""
    return json.loads(path.read_text(encoding="utf-8"))
