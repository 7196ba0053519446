"""Verdicts on many files: found once, kept in a cache, used by every run."""

import hashlib
import logging
import os
import warnings
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dr_lib.data.jpeg import UNREADABLE, Verdict, check
from dr_lib.files import read_json, write_json
from dr_lib.progress import Progress

log = logging.getLogger("dr_lib.data")

METHOD = 3
"""Raise when :func:`dr_lib.data.jpeg.check` finds something else, so that older verdicts are found again."""


def check_files(
    paths: dict[str, Path], *, data_dir: Path, cache_dir: Path, progress: bool = True
) -> dict[str, Verdict]:
    """Return the verdict on every file of ``paths`` (photograph to file).

    A verdict is kept in ``cache_dir``, one JSON file a data folder, and holds for a path as long as the file's size
    and time of change stay. Several processes may do so at once: a reader never meets half a file, the last writer
    wins, and what it did not know is found again.
    """
    cache_file = cache_path(cache_dir, data_dir)
    stamps = {image: _stamp(path) for image, path in paths.items()}
    known = _read_cache(cache_file)
    verdicts = {
        image: Verdict(**known[str(path.absolute())]["found"])
        for image, path in paths.items()
        if known.get(str(path.absolute()), {}).get("stamp") == stamps[image]
    }
    missing = [image for image in paths if image not in verdicts]
    if missing:
        try:
            _check_missing(missing, paths, verdicts, progress)
        finally:  # an interrupted check has not been for nothing
            found = {
                str(paths[image].absolute()): {"stamp": stamps[image], "found": asdict(verdicts[image])}
                for image in missing
                if image in verdicts
            }
            _write_cache(cache_file, _read_cache(cache_file) | found)
    return {image: verdicts[image] for image in paths}


def cache_path(cache_dir: Path, data_dir: Path) -> Path:
    """Return the file that keeps the verdicts on ``data_dir``."""
    digest = hashlib.blake2b(str(data_dir.resolve()).encode(), digest_size=8).hexdigest()
    return cache_dir / "verdicts" / f"{digest}.json"


def _check_missing(missing: list[str], paths: dict[str, Path], verdicts: dict[str, Verdict], progress: bool) -> None:
    # Threads, since Pillow lets go of the interpreter while it decodes: 1.7 times as fast on two cores, nothing to
    # pickle, and none of the trouble of forking a process that holds torch.
    with warnings.catch_warnings(), ThreadPoolExecutor(_cores()) as pool:
        warnings.simplefilter("ignore")  # odd metadata; set here because threads share the filters
        futures = {pool.submit(_check_file, paths[image]): image for image in missing}
        try:
            with Progress() if progress else nullcontext() as show:
                for done, future in enumerate(as_completed(futures), start=1):
                    verdicts[futures[future]] = future.result()
                    if show:
                        show.bar("checking photographs", done, len(futures))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _check_file(path: Path) -> Verdict:
    try:
        return check(path.read_bytes())
    except OSError as error:
        return Verdict(UNREADABLE, 1.0, f"cannot be read: {error.strerror}", 0, 0)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _stamp(path: Path) -> list[int]:
    """Return size in bytes and time of change in ns: what tells that a file is still the one that was checked."""
    facts = path.stat()
    return [facts.st_size, facts.st_mtime_ns]


def _read_cache(path: Path) -> dict[str, dict[str, Any]]:
    """Return ``stamp`` and ``found`` of every file that the cache knows; nothing where it cannot be used."""
    try:
        kept = read_json(path)
        return kept["files"] if kept["method"] == METHOD else {}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s: cannot be used (%s); the photographs are checked again", path, error)
        return {}


def _write_cache(path: Path, files: dict[str, dict[str, Any]]) -> None:
    try:
        write_json(path, {"method": METHOD, "files": files})
    except OSError as error:
        log.warning("%s: cannot be written (%s); the next run checks the photographs again", path, error.strerror)
