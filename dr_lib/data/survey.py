"""One pass over the photographs: each file is decoded once, for its facts and for its squares in the pixel store."""

import fcntl
import glob
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import features

from dr_lib.data import decoding
from dr_lib.data.examine import Facts, ReadFailure, digest_of, examine
from dr_lib.data.isolation import Died, isolated
from dr_lib.data.journal import Journal
from dr_lib.data.jpeg import UNREADABLE
from dr_lib.data.photographs import Photographs
from dr_lib.data.reading import TooLarge
from dr_lib.data.squares import SquareRecipe
from dr_lib.data.store import PixelStore, Row, StoredSquares, is_full, no_room, require_room, write_row
from dr_lib.errors import InputError
from dr_lib.files import naming, write_text
from dr_lib.progress import Progress
from dr_lib.terminal import logger

log = logger("data")

METHOD = 7
"""Raise when :func:`dr_lib.data.examine.examine` finds something else, so that older facts are found again."""

SECONDS_A_FILE = 120
"""What decoding a file may take, see :func:`isolated`; the largest photographs take well under a second."""

_SECONDS_BETWEEN_NOTES = 1.0
_FILES_BETWEEN_NOTES = 256

Wanted = Mapping[SquareRecipe, Iterable[str]]
"""Which photographs' squares are needed, by recipe."""


@dataclass(frozen=True)
class Survey:
    """What is known of the photographs of one data folder, kept in ``cache_dir`` from one process to the next.

    Facts and squares hold as long as a file's content stays; it is read again where the system tells of a change, and
    decoded again only where that is another content. Other versions of the libraries that decode
    have another folder, so that nobody writes where a run of theirs reads. What the machine alone is to blame for is
    not kept. Of several processes that miss something one finds it, the others wait for it.
    ``decode``: who decodes, :func:`decode_here` where nobody is named.
    """

    photographs: Photographs
    data_dir: Path
    cache_dir: Path
    progress: bool = True
    decode: "Decode | None" = None

    def facts(self, images: Iterable[str], squares: Wanted | None = None) -> dict[str, Facts]:
        """Return the facts of ``images``, and see to it that the ``squares`` named are in the store.

        Raises :class:`InputError` where the disk has no room for the squares, before anything is written, and where
        photographs cannot be read now, after all others are.
        """
        facts, failures = self.find(images, squares)
        self._refuse(failures)
        return facts

    def find(
        self, images: Iterable[str], squares: Wanted | None = None
    ) -> tuple[dict[str, Facts], dict[str, ReadFailure]]:
        """Return what :meth:`facts` returns, and the photographs that cannot be read now instead of raising."""
        images, squares = list(images), {recipe: list(names) for recipe, names in (squares or {}).items()}
        not_kept: dict[str, Facts | ReadFailure] = {}
        work = self._missing(images, squares)
        if work:
            with self._only_one():
                self._read_again(work)
                work = self._missing(images, squares)  # another process may have found them meanwhile
                if work:
                    not_kept = self._find(work)
        found = self._known(images) | not_kept
        return (
            {image: found[image] for image in images if isinstance(found[image], Facts)},
            {image: failure for image, failure in found.items() if isinstance(failure, ReadFailure)},
        )

    def _refuse(self, failures: Mapping[str, ReadFailure]) -> None:
        if failures:
            image, failure = next(iter(failures.items()))
            more = f", and {len(failures) - 1} more" if len(failures) > 1 else ""
            raise InputError(
                f"{self.photographs.path(image)}: cannot be read now: {failure.reason}{more}; mend this and give the "
                "same command again, or take the line out of the labels"
            )

    def squares(self, recipe: SquareRecipe, images: Iterable[str]) -> StoredSquares:
        """Return the stored squares of photographs, each checked against its checksum, made first where missing.

        Raises :class:`InputError` for a photograph that cannot be read.
        """
        images, store = list(images), self.store(recipe)
        for last in (False, True):
            if self._missing(images, {recipe: images}):
                self.facts(images, {recipe: images})
            rows = self._rows_of(store, images)
            lost = [image for image in images if image not in rows]
            if lost:
                raise InputError(
                    f"{self.photographs.path(lost[0])}: cannot be read; the audit says more (dr-lab audit)"
                )
            squares = StoredSquares(store, {image: row.number for image, row in rows.items()})
            damaged = set(rows) - squares.sound({image: row.crc for image, row in rows.items()})
            if not damaged:
                return squares
            if last:
                raise InputError(f"{store.pixels}: what is written there is not what is read; set cache_dir elsewhere")
            log.warning(
                "%s: %d of %d squares do not fit their checksums; they are made again",
                store.pixels, len(damaged), len(rows),
            )  # fmt: skip
            with self._only_one():
                not_kept = self._find({image: [recipe] for image in damaged})
            self._refuse({image: one for image, one in not_kept.items() if isinstance(one, ReadFailure)})

    def bytes_missing(self, squares: Wanted) -> int:
        """Return by how many bytes the store grows for those of ``squares`` that are not in it; decodes nothing."""
        missing = 0
        for recipe, images in squares.items():
            images, store = list(images), self.store(recipe)
            missing += store.bytes_to_add(len(images) - len(self._rows_of(store, images)))
        return missing

    @cached_property
    def folder(self) -> Path:
        """Where all that is known of ``data_dir`` is kept by these versions of the decoders."""
        return self.cache_dir / f"{self._stem}-{_digest(json.dumps(self._versions))}"

    @cached_property
    def _stem(self) -> str:
        home = self.data_dir.resolve()
        return f"{home.name}-{_digest(str(home))}"

    @cached_property
    def _versions(self) -> dict[str, str]:
        return {"format": str(METHOD)} | decoders()

    @cached_property
    def _facts_journal(self) -> Journal:
        return Journal(self.folder / "facts.jsonl", self._versions | {"data_dir": str(self.data_dir.resolve())})

    def store(self, recipe: SquareRecipe) -> PixelStore:
        """Return where the squares by ``recipe`` are kept."""
        return PixelStore(self.folder / f"squares-{recipe.key}", recipe, self._versions)

    def _known(self, images: list[str]) -> dict[str, Facts]:
        entries, keys = self._facts_journal.read(), {image: self.photographs.key(image) for image in images}
        return {image: Facts.from_json(entries[key]["facts"]) for image, key in keys.items() if key in entries}

    def _rows_of(self, store: PixelStore, images: list[str]) -> dict[str, Row]:
        """Return the rows of ``images`` that were made from the contents of their files."""
        rows, entries, keys = store.rows(), self._facts_journal.read(), map(self.photographs.key, images)
        found = ((image, rows.get(key), entries.get(key)) for image, key in zip(images, keys, strict=True))
        return {image: row for image, row, entry in found if row and entry and row.digest == entry["facts"]["digest"]}

    def _missing(self, images: list[str], squares: Mapping[SquareRecipe, list[str]]) -> dict[str, list[SquareRecipe]]:
        """Return the photographs to decode, with the squares to make of each."""
        entries = self._facts_journal.read()
        work: dict[str, list[SquareRecipe]] = {}
        unreadable, changed = set(), set()
        for image in {*images, *(image for names in squares.values() for image in names)}:
            entry = entries.get(self.photographs.key(image))
            if entry is None or entry["stamp"] != self._stamp(image):
                work[image] = []
                changed.add(image)
            elif entry["facts"]["verdict"]["verdict"] == UNREADABLE:
                unreadable.add(image)
        for recipe, names in squares.items():
            there = self._rows_of(self.store(recipe), names)
            for image in names:
                if image in changed or (image not in there and image not in unreadable):
                    work.setdefault(image, []).append(recipe)
        return work

    def _read_again(self, images: Iterable[str]) -> None:
        """Enter the new stamps of files of which something has changed, but not the content.

        Only reads: after a ``chmod -R``, or on another disk, 80 GB of photographs cost as long as the disk takes.
        """
        entries, keys = self._facts_journal.read(), {image: self.photographs.key(image) for image in images}
        stamps = {image: self._stamp(image) for image, key in keys.items() if key in entries}
        changed = [image for image, stamp in stamps.items() if stamp != entries[keys[image]]["stamp"]]
        same: dict[str, dict] = {}
        answers = isolated(
            _digest_now, changed, workers=_cores(), timeout=SECONDS_A_FILE, initializer=remember,
            initargs=(self.photographs,),
        )  # fmt: skip
        with Progress() if self.progress and changed else nullcontext() as show:
            for done, (image, digest) in enumerate(answers, start=1):
                if digest == entries[keys[image]]["facts"]["digest"]:
                    same[keys[image]] = entries[keys[image]] | {"stamp": stamps[image]}
                if show:
                    show.bar("reading changed photographs", done, len(changed))
        if same:
            self._facts_journal.append(same)

    def _find(self, work: Mapping[str, list[SquareRecipe]]) -> dict[str, Facts | ReadFailure]:
        """Decode photographs in processes of their own, and enter what they tell; return what is not to be kept."""
        recipes = {recipe for wanted in work.values() for recipe in wanted}
        stores = {recipe: self.store(recipe) for recipe in recipes}
        counts = {recipe: sum(recipe in wanted for wanted in work.values()) for recipe in recipes}
        self.folder.mkdir(parents=True, exist_ok=True)
        require_room([(stores[recipe], counts[recipe]) for recipe in recipes], self.cache_dir)
        try:
            free = {recipe: stores[recipe].reserve(counts[recipe]) for recipe in recipes}
            items = []
            # In order of the names: what lies together on the disk is read together.
            for image in sorted(work):
                places = []
                for recipe in work[image]:
                    places.append((recipe, stores[recipe].pixels, free[recipe]))
                    free[recipe] += 1
                items.append((image, tuple(places)))
            return self._examine(items, stores)
        except OSError as error:
            if not is_full(error):
                raise
            needed = sum(stores[recipe].row_bytes * counts[recipe] for recipe in recipes)
            status = os.statvfs(self.cache_dir)
            raise no_room(self.cache_dir, needed, status.f_bavail * status.f_frsize) from None

    def _examine(
        self, items: list["Item"], stores: Mapping[SquareRecipe, PixelStore]
    ) -> dict[str, Facts | ReadFailure]:
        not_kept: dict[str, Facts | ReadFailure] = {}
        stamps = {image: self._stamp(image) for image, _ in items}
        notes, noted = _Notes(self._facts_journal, stores), time.monotonic()
        label = "decoding photographs" if stores else "checking photographs"
        answers = (self.decode or decode_here)(self.photographs, items)
        with Progress() if self.progress else nullcontext() as show:
            try:
                for done, ((image, places), answer) in enumerate(answers, start=1):
                    if isinstance(answer, Died):
                        not_kept[image] = (ReadFailure if answer.passing else Facts.unreadable)(answer.reason)
                    elif isinstance(answer, ReadFailure):
                        not_kept[image] = answer
                    else:
                        notes.add(self.photographs.key(image), stamps[image], *answer, places)
                    if show:
                        show.bar(label, done, len(items))
                    if done % _FILES_BETWEEN_NOTES == 0 or time.monotonic() - noted > _SECONDS_BETWEEN_NOTES:
                        notes.write()
                        noted = time.monotonic()
            finally:  # an interrupted pass has not been for nothing
                answers.close()
                notes.write()
        return not_kept

    def _stamp(self, image: str) -> list[int]:
        return self.photographs.stamp(image)

    @contextmanager
    def _only_one(self) -> Iterator[None]:
        """Hold the folder's lock, which the system lets go of when its holder dies; wait for another holder."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "lock").touch()
        except OSError as error:
            raise InputError(
                f"cache_dir {self.cache_dir}: cannot be written ({error.strerror}); set cache_dir to a folder of yours"
            ) from None
        path = self.folder / "lock"
        with path.open("a+", encoding="utf-8") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                stream.seek(0)
                log.warning("process %s decodes these photographs; waiting for it", stream.read().strip() or "another")
                fcntl.flock(stream, fcntl.LOCK_EX)
            with naming(path):
                stream.seek(0)
                stream.truncate()
                stream.write(str(os.getpid()))
                stream.flush()
            self._say_what_it_is()
            yield

    def _say_what_it_is(self) -> None:
        note = self.folder / "README"
        if not note.exists():
            others = [folder for folder in self.cache_dir.glob(f"{glob.escape(self._stem)}*") if folder != self.folder]
            if others:
                log.warning("%s: made with other versions of the decoders; remove it unless they are in use", others[0])
            versions = ", ".join(f"{name} {value}" for name, value in self._versions.items())
            about = f"What dr-lab keeps of the photographs in {self.data_dir.resolve()}, decoded with {versions}."
            write_text(note, f"{about} It may be deleted.\n")


_Place = tuple[SquareRecipe, Path, int]
Item = tuple[str, tuple[_Place, ...]]
"""A photograph, and where its squares belong: recipe, ``pixels.npy``, number of the row."""

Answer = tuple[Facts, list[int]] | ReadFailure | Died
"""What an item comes to: its facts, and the checksums of its squares, which are written by then."""

Decode = Callable[[Photographs, Sequence[Item]], Iterator[tuple[Item, Answer]]]
"""Decodes items and writes their squares, in any order; a generator, which is closed where it is left early."""


def decode_here(photographs: Photographs, items: Sequence[Item]) -> Iterator[tuple[Item, Answer]]:
    """Decode with the processors of this machine."""
    return isolated(
        _examine_one, items, workers=_cores(), timeout=SECONDS_A_FILE, initializer=remember, initargs=(photographs,)
    )


class _Notes:
    """What was found and is not in the journals yet: rows first, so that facts never promise a square."""

    def __init__(self, facts: Journal, stores: Mapping[SquareRecipe, PixelStore]):
        self._journal, self._stores = facts, stores
        self._clear()

    def _clear(self) -> None:
        self._facts: dict[str, dict] = {}
        self._rows: dict[SquareRecipe, dict[str, Row]] = {recipe: {} for recipe in self._stores}

    def add(self, key: str, stamp: list[int], facts: Facts, crcs: list[int], places: tuple[_Place, ...]) -> None:
        self._facts[key] = {"stamp": stamp, "facts": facts.as_json()}
        for (recipe, _, number), crc in zip(places, crcs, strict=False):  # an unreadable file has no squares
            self._rows[recipe][key] = Row(number, facts.digest, crc)

    def write(self) -> None:
        for recipe, rows in self._rows.items():
            if rows:
                self._stores[recipe].note(rows)
        if self._facts:
            self._journal.append(self._facts)
        self._clear()


_photographs: Photographs


def remember(photographs: Photographs) -> None:
    """Keep in a worker what all its items need."""
    global _photographs
    _photographs = photographs


def examine_file(wanted: tuple[str, Sequence[SquareRecipe]]) -> tuple[Facts, list[np.ndarray]] | ReadFailure:
    """Return the facts of one photograph in a worker and its square by each recipe, none where it is unreadable."""
    image, recipes = wanted
    try:
        data = _photographs.read_as_is(image)
    except TooLarge as error:
        return Facts.unreadable(error.strerror), []
    except OSError as error:
        return ReadFailure(error.strerror or str(error))
    return examine(data, recipes)


def _digest_now(image: str) -> str | None:
    """Return the digest of a photograph's file in a worker, None where that cannot be read."""
    try:
        return digest_of(_photographs.read_as_is(image))
    except OSError:
        return None


def _examine_one(item: Item) -> Answer:
    """Examine one photograph in a worker, write its squares, and return its facts and the squares' checksums."""
    image, places = item
    return with_rows(examine_file((image, [recipe for recipe, _, _ in places])), places)


def with_rows(answer: tuple[Facts, list[np.ndarray]] | ReadFailure, places: tuple[_Place, ...]) -> Answer:
    """Write the squares of an answer into their rows, and return their checksums in place of them."""
    if isinstance(answer, ReadFailure):
        return answer
    facts, squares = answer
    return facts, [write_row(path, number, square) for (_, path, number), square in zip(places, squares, strict=False)]


def decoders() -> dict[str, str]:
    """Return the versions of all that decides the pixels of a square."""
    versions = {name: version(name) for name in ("pillow", "simplejpeg", "numpy", "numba", "scipy")}
    return versions | {"libjpeg_turbo": features.version("libjpeg_turbo") or "", "method": str(decoding.METHOD)}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=4).hexdigest()
