"""One pass over the photographs: each file is decoded once, for its info and for its crops in the pixel cache."""

import shutil
import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path

from PIL import features

from dr_lib.data import decoding
from dr_lib.data.cache_folder import ScanFolder
from dr_lib.data.crops import ResizeSpec
from dr_lib.data.inspection import UNREADABLE
from dr_lib.data.photographs import Photographs
from dr_lib.data.pixel_cache import CachedCrops, PixelCache, Row, is_full, no_room, require_room
from dr_lib.data.scan_image import ImageInfo, Item, Place, ReadFailure, digest_now, examine_one
from dr_lib.errors import InputError
from dr_lib.storage.jsonl_log import JsonlLog
from dr_lib.system.posix import cores
from dr_lib.system.process_pool import WorkerDied, map_in_workers
from dr_lib.system.progress import Progress
from dr_lib.system.terminal import logger

log = logger("data")

METHOD = 10
"""Raise when :func:`dr_lib.data.scan_image.scan_image` finds something else, so that older results are found again."""

SECONDS_A_FILE = 120
"""What decoding a file may take, see :func:`map_in_workers`; the largest photographs take well under a second."""

_SECONDS_BETWEEN_NOTES = 1.0
_FILES_BETWEEN_NOTES = 256

Wanted = Mapping[ResizeSpec, Iterable[str]]
"""Which photographs' crops are needed, by recipe."""


@dataclass(frozen=True)
class Scanner:
    """What is known of the photographs of one data folder, kept in ``cache_dir`` from one process to the next.

    Info and crops hold as long as a file's content stays; it is read again where the system tells of a change, and
    decoded again only where that is another content. Other versions of the libraries that decode
    have another folder, so that nobody writes where a run of theirs reads. What the machine alone is to blame for is
    not kept. Of several processes that miss something one finds it, the others wait for it.
    """

    photographs: Photographs
    data_dir: Path
    cache_dir: Path
    progress: bool = True

    def scan(self, images: Iterable[str], crops: Wanted | None = None) -> dict[str, ImageInfo]:
        """Return what is known of ``images``, and see to it that the ``crops`` named are in the store.

        Raises :class:`InputError` where the disk has no room for the crops, before anything is written, and where
        photographs cannot be read now, after all others are.
        """
        infos, failures = self.try_scan(images, crops)
        self._refuse(failures)
        return infos

    def try_scan(
        self, images: Iterable[str], crops: Wanted | None = None
    ) -> tuple[dict[str, ImageInfo], dict[str, ReadFailure]]:
        """Return what :meth:`scan` returns, and the photographs that cannot be read now instead of raising."""
        images = list(images)
        wanted = {recipe: list(names) for recipe, names in (crops or {}).items()}
        not_kept: dict[str, ImageInfo | ReadFailure] = {}
        work = self._missing(images, wanted)
        if work:
            with self._home.locked():
                self._read_again(work)
                work = self._missing(images, wanted)  # another process may have found them meanwhile
                if work:
                    not_kept = self._find(work)
        found = self._known(images) | not_kept
        return (
            {image: info for image in images if isinstance(info := found[image], ImageInfo)},
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

    def crops(self, recipe: ResizeSpec, images: Iterable[str]) -> CachedCrops:
        """Return the stored crops of photographs, each checked against its checksum, made first where missing.

        Raises :class:`InputError` for a photograph that cannot be read.
        """
        images, store = list(images), self.store(recipe)
        for last in (False, True):
            if self._missing(images, {recipe: images}):
                self.scan(images, {recipe: images})
            rows = self._rows_of(store, images)
            lost = [image for image in images if image not in rows]
            if lost:
                raise InputError(
                    f"{self.photographs.path(lost[0])}: cannot be read; the audit says more (dr-lab audit)"
                )
            crops = CachedCrops(store, {image: row.number for image, row in rows.items()})
            damaged = set(rows) - crops.sound({image: row.crc for image, row in rows.items()})
            if not damaged:
                return crops
            if last:
                raise InputError(f"{store.pixels}: what is written there is not what is read; set cache_dir elsewhere")
            log.warning(
                "%s: %d of %d crops do not fit their checksums; they are made again",
                store.pixels, len(damaged), len(rows),
            )  # fmt: skip
            with self._home.locked():
                not_kept = self._find({image: [recipe] for image in damaged})
            self._refuse({image: one for image, one in not_kept.items() if isinstance(one, ReadFailure)})
        raise AssertionError("the last look returns or raises")

    def bytes_missing(self, crops: Wanted) -> int:
        """Return by how many bytes the store grows for those of ``crops`` that are not in it; decodes nothing."""
        missing = 0
        for recipe, images in crops.items():
            images, store = list(images), self.store(recipe)
            missing += store.bytes_to_add(len(images) - len(self._rows_of(store, images)))
        return missing

    @property
    def folder(self) -> Path:
        """Where all that is known of ``data_dir`` is kept by these versions of the decoders."""
        return self._home.path

    @cached_property
    def _home(self) -> ScanFolder:
        return ScanFolder(self.data_dir, self.cache_dir, {"format": str(METHOD)} | decoders())

    @cached_property
    def _info_log(self) -> JsonlLog:
        return JsonlLog(
            self.folder / "image_info.jsonl", self._home.versions | {"data_dir": str(self.data_dir.resolve())}
        )

    def store(self, recipe: ResizeSpec) -> PixelCache:
        """Return where the crops by ``recipe`` are kept."""
        return PixelCache(self.folder / f"crops-{recipe.key}", recipe, self._home.versions)

    def _known(self, images: list[str]) -> dict[str, ImageInfo]:
        entries, keys = self._info_log.read(), {image: self.photographs.key(image) for image in images}
        return {image: ImageInfo.from_json(entries[key]["info"]) for image, key in keys.items() if key in entries}

    def _rows_of(self, store: PixelCache, images: list[str]) -> dict[str, Row]:
        """Return the rows of ``images`` that were made from the contents of their files."""
        rows, entries, keys = store.rows(), self._info_log.read(), map(self.photographs.key, images)
        found = ((image, rows.get(key), entries.get(key)) for image, key in zip(images, keys, strict=True))
        return {image: row for image, row, entry in found if row and entry and row.digest == entry["info"]["digest"]}

    def _missing(self, images: list[str], crops: Mapping[ResizeSpec, list[str]]) -> dict[str, list[ResizeSpec]]:
        """Return the photographs to decode, with the crops to make of each."""
        entries = self._info_log.read()
        work: dict[str, list[ResizeSpec]] = {}
        unreadable, changed = set(), set()
        for image in {*images, *(image for names in crops.values() for image in names)}:
            entry = entries.get(self.photographs.key(image))
            if entry is None or entry["stamp"] != self._stamp(image):
                work[image] = []
                changed.add(image)
            elif entry["info"]["status"]["kind"] == UNREADABLE:
                unreadable.add(image)
        for recipe, names in crops.items():
            rows = self._rows_of(self.store(recipe), names)
            for image in names:
                if image in changed or (image not in rows and image not in unreadable):
                    work.setdefault(image, []).append(recipe)
        return work

    def _read_again(self, images: Iterable[str]) -> None:
        """Enter the new stamps of files of which something has changed, but not the content.

        Only reads: after a ``chmod -R``, or on another disk, 80 GB of photographs cost as long as the disk takes.
        """
        entries, keys = self._info_log.read(), {image: self.photographs.key(image) for image in images}
        stamps = {image: self._stamp(image) for image, key in keys.items() if key in entries}
        changed = [image for image, stamp in stamps.items() if stamp != entries[keys[image]]["stamp"]]
        same: dict[str, dict] = {}
        answers = map_in_workers(
            partial(digest_now, self.photographs), changed, workers=cores(), timeout=SECONDS_A_FILE
        )
        with Progress() if self.progress and changed else nullcontext() as show:
            for done, (image, digest) in enumerate(answers, start=1):
                if digest == entries[keys[image]]["info"]["digest"]:
                    same[keys[image]] = entries[keys[image]] | {"stamp": stamps[image]}
                if show:
                    show.bar("reading changed photographs", done, len(changed))
        if same:
            self._info_log.append(same)

    def _find(self, work: Mapping[str, list[ResizeSpec]]) -> dict[str, ImageInfo | ReadFailure]:
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
            raise no_room(self.cache_dir, needed, shutil.disk_usage(self.cache_dir).free) from None

    def _examine(
        self, items: list[Item], stores: Mapping[ResizeSpec, PixelCache]
    ) -> dict[str, ImageInfo | ReadFailure]:
        not_kept: dict[str, ImageInfo | ReadFailure] = {}
        stamps = {image: self._stamp(image) for image, _ in items}
        notes, noted = _Notes(self._info_log, stores), time.monotonic()
        label = "decoding photographs" if stores else "checking photographs"
        examine = partial(examine_one, self.photographs)
        answers = map_in_workers(examine, items, workers=cores(), timeout=SECONDS_A_FILE)
        with Progress() if self.progress else nullcontext() as show:
            try:
                for done, ((image, places), answer) in enumerate(answers, start=1):
                    if isinstance(answer, WorkerDied):
                        not_kept[image] = (ReadFailure if answer.passing else ImageInfo.unreadable)(answer.reason)
                    elif isinstance(answer, ReadFailure):
                        not_kept[image] = answer
                    else:
                        info, crcs = answer
                        notes.add(self.photographs.key(image), stamps[image], info, crcs, places)
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


class _Notes:
    """What was found and is not in the journals yet: rows first, so that info never promise a crop."""

    def __init__(self, info_log: JsonlLog, stores: Mapping[ResizeSpec, PixelCache]):
        self._journal, self._stores = info_log, stores
        self._clear()

    def _clear(self) -> None:
        self._infos: dict[str, dict] = {}
        self._rows: dict[ResizeSpec, dict[str, Row]] = {recipe: {} for recipe in self._stores}

    def add(self, key: str, stamp: list[int], info: ImageInfo, crcs: list[int], places: tuple[Place, ...]) -> None:
        self._infos[key] = {"stamp": stamp, "info": info.as_json()}
        for (recipe, _, number), crc in zip(places, crcs, strict=False):  # an unreadable file has no crops
            self._rows[recipe][key] = Row(number, info.digest, crc)

    def write(self) -> None:
        for recipe, rows in self._rows.items():
            if rows:
                self._stores[recipe].note(rows)
        if self._infos:
            self._journal.append(self._infos)
        self._clear()


def decoders() -> dict[str, str]:
    """Return the versions of all that decides the pixels of a crop."""
    versions = {name: version(name) for name in ("pillow", "simplejpeg", "numpy", "numba", "scipy")}
    return versions | {"libjpeg_turbo": features.version("libjpeg_turbo") or "", "method": str(decoding.METHOD)}
