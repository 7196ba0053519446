import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import odd_decoders
import pandas as pd
import pytest
from data_folders import jpeg, picture, pixels, write_photographs
from PIL import Image
from torchvision.transforms import functional as F

from dr_lib.data import scan as scan_module
from dr_lib.data.crops import DecodedCrops, ResizeSpec
from dr_lib.data.labels import Labels
from dr_lib.data.matching import open_photographs
from dr_lib.data.scan import Scanner
from dr_lib.errors import InputError

pytestmark = pytest.mark.usefixtures("one_core")

NAMES = [f"{patient}_{eye}" for patient in range(6) for eye in ("left", "right")]
RECIPE, OTHER = ResizeSpec(48), ResizeSpec(32)


@pytest.fixture
def folder(tmp_path):
    write_photographs(tmp_path / "photographs", NAMES)
    return tmp_path / "photographs"


@pytest.fixture
def scanner(tmp_path, folder):
    return new_scanner(folder, tmp_path / "cache")


def new_scanner(folder, cache):
    photographs = open_photographs(folder, Labels(pd.DataFrame({"image": NAMES})))
    return Scanner(photographs, folder, cache, progress=False)


def lab_square(data, side):
    image = Image.fromarray(pixels(data)).convert("RGB")
    return np.asarray(F.center_crop(F.resize(image, side), [side, side]))


def count_decodings(monkeypatch):
    decoded = []
    examine = scan_module.Scanner._examine

    def counted(self, items, stores):
        decoded.extend(image for image, _ in items)
        return examine(self, items, stores)

    monkeypatch.setattr(scan_module.Scanner, "_examine", counted)
    return decoded


@pytest.mark.slow
def test_squares_are_the_labs_and_each_file_is_decoded_once(all_cores, scanner, folder, monkeypatch):
    decoded = count_decodings(monkeypatch)
    infos = scanner.scan(NAMES, {RECIPE: NAMES[:8], OTHER: NAMES[4:]})
    assert list(infos) == NAMES and decoded == sorted(NAMES)
    for recipe, names in ((RECIPE, NAMES[:8]), (OTHER, NAMES[4:])):
        crops = scanner.crops(recipe, names)
        for name in names:
            expected = lab_square((folder / f"{name}.jpeg").read_bytes(), recipe.side)
            np.testing.assert_array_equal(crops.read(name), expected)
            np.testing.assert_array_equal(DecodedCrops(scanner.photographs, recipe).read(name), expected)
    assert len(decoded) == len(NAMES)
    scanner.crops(RECIPE, NAMES)  # four more photographs, and only those
    assert decoded[len(NAMES) :] == sorted(NAMES[8:])


@pytest.mark.slow
def test_what_is_known_is_kept_and_a_changed_file_is_looked_at_again(scanner, folder, tmp_path, monkeypatch):
    scanner.scan(NAMES, {RECIPE: NAMES})
    decoded = count_decodings(monkeypatch)
    again = new_scanner(folder, tmp_path / "cache")
    assert again.scan(NAMES, {RECIPE: NAMES}) == scanner.scan(NAMES) and decoded == []
    before = again.crops(RECIPE, ["3_left"])
    old = before.read("3_left").copy()
    (folder / "3_left.jpeg").write_bytes(jpeg(picture(99)))
    np.testing.assert_array_equal(again.crops(RECIPE, NAMES).read("3_left"), lab_square(jpeg(picture(99)), RECIPE.side))
    assert decoded == ["3_left"]
    np.testing.assert_array_equal(before.read("3_left"), old)  # a run that reads is not disturbed


def of_size(size, seed):
    """Return a JPEG of so many bytes, a comment taking what its pixels do not."""
    data = jpeg(picture(seed))
    return data[:2] + b"\xff\xfe" + (size - len(data) - 2).to_bytes(2) + bytes(size - len(data) - 4) + data[2:]


def written_over(path, data):
    path.write_bytes(data)


def renamed_onto(path, data):
    beside = path.with_suffix(".new")
    beside.write_bytes(data)
    os.utime(beside, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    beside.replace(path)


def linked_anew(path, data):
    """Have a link lead to another file of the same size and times, as far as these can be set."""
    (path.parent / "other").write_bytes(data)
    path.unlink()
    path.symlink_to("other")


@pytest.mark.slow
@pytest.mark.parametrize("replace", [written_over, renamed_onto, linked_anew])
def test_another_photograph_of_the_same_size_and_time_is_noticed(scanner, folder, monkeypatch, replace):
    file, old, new = folder / "3_left.jpeg", of_size(9000, 98), of_size(9000, 99)
    file.write_bytes(old)
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    before = scanner.scan(NAMES, {RECIPE: NAMES})["3_left"].digest
    replace(file, new)
    os.utime(file, ns=times)  # as cp -p and rsync -t set it
    assert file.stat().st_size == len(old) and file.stat().st_mtime_ns == times[1]
    decoded = count_decodings(monkeypatch)
    assert scanner.scan(NAMES, {RECIPE: NAMES})["3_left"].digest != before and decoded == ["3_left"]
    np.testing.assert_array_equal(scanner.crops(RECIPE, NAMES).read("3_left"), lab_square(new, RECIPE.side))


@pytest.mark.slow
def test_the_same_content_on_another_disk_is_read_and_not_decoded(scanner, folder, tmp_path, monkeypatch):
    infos = scanner.scan(NAMES, {RECIPE: NAMES})
    sizes = [store.stat().st_size for store in scanner.folder.rglob("pixels.npy")]
    folder.rename(tmp_path / "old")
    shutil.copytree(tmp_path / "old", folder, copy_function=shutil.copy)  # other times and inodes
    decoded = count_decodings(monkeypatch)
    again = new_scanner(folder, scanner.cache_dir)
    assert again.scan(NAMES, {RECIPE: NAMES}) == infos and decoded == []
    again.crops(RECIPE, NAMES)
    assert [store.stat().st_size for store in scanner.folder.rglob("pixels.npy")] == sizes
    monkeypatch.setattr(scan_module, "map_in_workers", lambda *_, **__: pytest.fail("read again"))
    new_scanner(folder, scanner.cache_dir).scan(NAMES, {RECIPE: NAMES})


def test_an_unreadable_file_has_facts_and_no_square(scanner, folder, monkeypatch):
    (folder / "2_left.jpeg").write_bytes(b"no photograph at all")
    infos = scanner.scan(NAMES, {RECIPE: NAMES})
    assert infos["2_left"].status.kind == "unreadable" and infos["2_left"].phash == ""
    decoded = count_decodings(monkeypatch)
    scanner.scan(NAMES, {RECIPE: NAMES})
    assert decoded == []
    with pytest.raises(InputError, match=r"2_left\.jpeg: cannot be read"):
        scanner.crops(RECIPE, NAMES)


@pytest.mark.slow
def test_a_damaged_store_is_made_again_with_a_word(scanner, folder, caplog, monkeypatch):
    scanner.scan(NAMES, {RECIPE: NAMES})
    (store,) = (scanner.folder).glob("crops-*/pixels.npy")
    with store.open("r+b") as stream:
        stream.seek(128 + 3 * 48 * 48 * 3)
        stream.write(b"damage")
    decoded = count_decodings(monkeypatch)
    crops = scanner.crops(RECIPE, NAMES)
    assert "1 of 12 crops do not fit their checksums" in caplog.text and decoded == ["1_right"]
    np.testing.assert_array_equal(
        crops.read("1_right"), lab_square((folder / "1_right.jpeg").read_bytes(), RECIPE.side)
    )


@pytest.mark.slow
def test_other_versions_of_the_decoders_make_the_squares_again(scanner, monkeypatch, caplog):
    scanner.scan(NAMES, {RECIPE: NAMES})
    kept = sorted(path for path in scanner.folder.rglob("*") if path.is_file())
    before = [path.read_bytes() for path in kept]
    decoded = count_decodings(monkeypatch)
    monkeypatch.setattr(scan_module, "decoders", lambda: {"pillow": "0.1"})
    # Another environment at the same cache: it has a folder of its own, and what a run reads stays what it is.
    other = new_scanner(scanner.data_dir, scanner.cache_dir)
    other.crops(RECIPE, NAMES)
    assert len(decoded) == len(NAMES) and "made with other versions" in caplog.text
    assert other.folder != scanner.folder and "pillow 0.1" in (other.folder / "README").read_text()
    assert [path.read_bytes() for path in kept] == before
    monkeypatch.undo()
    again = new_scanner(scanner.data_dir, scanner.cache_dir)
    monkeypatch.setattr(scan_module.Scanner, "_find", lambda *_: pytest.fail("decoded again"))
    again.crops(RECIPE, NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [b"", bytes(100)])
def test_a_pixel_file_without_its_rows_is_made_again(scanner, folder, damage):
    scanner.scan(NAMES, {RECIPE: NAMES})
    (store,) = (scanner.folder).glob("crops-*/pixels.npy")
    store.write_bytes(damage)
    crops = new_scanner(folder, scanner.cache_dir).crops(RECIPE, NAMES)
    np.testing.assert_array_equal(crops.read("0_left"), lab_square((folder / "0_left.jpeg").read_bytes(), 48))


@pytest.mark.slow
def test_journals_with_lines_of_another_kind_are_mended(scanner, folder, monkeypatch):
    scanner.scan(NAMES, {RECIPE: NAMES})
    damaged = set()  # the first lines, of whichever photographs were ready first
    for journal in (scanner.folder / "image_info.jsonl", *scanner.folder.glob("crops-*/rows.jsonl")):
        first, second, *lines = journal.read_bytes().splitlines(keepends=True)
        key = second.partition(b",")[0]
        damaged.add(Path(json.loads(second)[0]).stem)
        journal.write_bytes(b"".join([first, key + b", 5]\n", *lines, key + b', {"info": {}, "stamp": 7}]\n']))
    decoded = count_decodings(monkeypatch)
    again = new_scanner(folder, scanner.cache_dir)
    again.crops(RECIPE, NAMES)
    assert again.scan(NAMES) == scanner.scan(NAMES) and set(decoded) == damaged


@pytest.mark.slow
def test_a_lost_pixel_file_is_made_again(scanner, folder, caplog):
    scanner.scan(NAMES, {RECIPE: NAMES})
    (store,) = (scanner.folder).glob("crops-*/pixels.npy")
    store.unlink()
    np.testing.assert_array_equal(
        scanner.crops(RECIPE, NAMES).read("0_left"), lab_square((folder / "0_left.jpeg").read_bytes(), 48)
    )


def _build(folder, cache, answers):
    scanner = new_scanner(folder, cache)
    decoded = []
    examine = Scanner._examine

    def counted(self, items, stores):
        decoded.extend(items)
        return examine(self, items, stores)

    Scanner._examine = counted
    crops = scanner.crops(RECIPE, NAMES)
    answers.put((len(decoded), sum(int(crops.read(name).sum()) for name in NAMES)))


@pytest.mark.slow
def test_of_two_processes_one_builds_and_the_other_waits(folder, tmp_path):
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    processes = [context.Process(target=_build, args=(folder, tmp_path / "cache", answers)) for _ in range(2)]
    for process in processes:
        process.start()
    found = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(count for count, _ in found) == [0, len(NAMES)]
    assert found[0][1] == found[1][1]


SLOW_BUILD = """
import sys, time
from pathlib import Path
import pandas as pd
from dr_lib.data import scan as module
from dr_lib.data.labels import Labels
from dr_lib.data.matching import open_photographs
from dr_lib.data.crops import ResizeSpec
folder, cache = map(Path, sys.argv[1:])
names = sorted(path.stem for path in folder.iterdir())
write = module._Notes.write
def slow(notes):
    write(notes)
    print("noted", flush=True)
    time.sleep(1)
module._Notes.write, module._FILES_BETWEEN_NOTES = slow, 3
photographs = open_photographs(folder, Labels(pd.DataFrame({"image": names})))
module.Scanner(photographs, folder, cache, progress=False).scan(names, {ResizeSpec(48): names})
"""


@pytest.mark.slow
def test_a_build_that_is_killed_goes_on_where_it_was(folder, tmp_path, monkeypatch):
    command = [sys.executable, "-c", SLOW_BUILD, folder, tmp_path / "cache"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout.readline() == "noted\n"
        killed.send_signal(signal.SIGKILL)
    decoded = count_decodings(monkeypatch)
    scanner = new_scanner(folder, tmp_path / "cache")
    crops = scanner.crops(RECIPE, NAMES)
    assert 0 < len(decoded) < len(NAMES)
    for name in NAMES:
        expected = lab_square((folder / f"{name}.jpeg").read_bytes(), RECIPE.side)
        np.testing.assert_array_equal(crops.read(name), expected)


@pytest.mark.slow
def test_a_decoder_that_crashes_or_computes_for_ever_costs_one_file(scanner, folder, monkeypatch):
    infos = scanner.scan(NAMES)
    assert all(found.status.kind == "intact" for found in infos.values())
    for name, behavior in (("1_left", "crash"), ("2_left", "compute")):
        (folder / f"{name}.jpeg").write_bytes(behavior.encode())
    (folder / "3_left.jpeg").write_bytes(jpeg(picture(99)))
    (folder / "3_left.kill_once").touch()
    monkeypatch.setattr(scan_module, "examine_one", odd_decoders.examine_or_die)
    monkeypatch.setattr(scan_module, "SECONDS_A_FILE", 1)
    infos = scanner.scan(NAMES, {RECIPE: NAMES})
    assert infos["1_left"].status.kind == infos["2_left"].status.kind == "unreadable"
    assert "SIGSEGV" in infos["1_left"].status.detail and "1 s of processor" in infos["2_left"].status.detail
    assert sum(found.status.kind == "intact" for found in infos.values()) == len(NAMES) - 2
    assert (folder / "3_left.died").exists()  # killed once from outside, which costs nothing
    monkeypatch.undo()
    assert "no image" in scanner.scan(NAMES)["1_left"].status.detail  # the death was not remembered


@pytest.mark.slow
def test_what_the_machine_is_to_blame_for_is_an_error_and_never_remembered(scanner, folder, monkeypatch):
    monkeypatch.setattr(scan_module, "examine_one", odd_decoders.examine_or_die)
    (folder / "4_left.kill").touch()
    (folder / "5_left.memory").touch()
    real = folder / "1_left.jpeg"
    real.rename(folder / "elsewhere")
    real.symlink_to("1_left.jpeg")  # a link to itself
    os.mkfifo(folder / "fifo")
    (folder / "2_left.jpeg").unlink()
    (folder / "2_left.jpeg").symlink_to("fifo")
    infos, failures = scanner.try_scan(NAMES, {RECIPE: NAMES})
    assert set(failures) == {"1_left", "2_left", "4_left", "5_left"} and set(infos) == {*NAMES} - set(failures)
    reasons = [failures[name].reason for name in ("1_left", "2_left", "4_left", "5_left")]
    for reason, words in zip(reasons, ("symbolic links", "no regular file", "SIGKILL", "out of memory"), strict=True):
        assert words in reason
    with pytest.raises(InputError, match=r"cannot be read now: .*, and 3 more; mend this") as error:
        scanner.scan(NAMES, {RECIPE: NAMES})
    assert "\n" not in str(error.value)
    # Each is mended, the last two without a change to any file, and the same photographs are used as ever.
    for note in ("4_left.kill", "5_left.memory", "1_left.jpeg", "2_left.jpeg"):
        (folder / note).unlink()
    (folder / "elsewhere").rename(real)
    (folder / "2_left.jpeg").write_bytes(jpeg(picture(2)))
    infos = scanner.scan(NAMES, {RECIPE: NAMES})
    assert {found.status.kind for found in infos.values()} == {"intact"}
    scanner.crops(RECIPE, NAMES)


def test_a_file_that_cannot_be_opened_is_not_remembered(scanner, folder, monkeypatch):
    monkeypatch.setattr(scan_module, "examine_one", odd_decoders.examine_without_permission)
    assert scanner.try_scan(["0_left"])[1]["0_left"].reason == "Permission denied"
    monkeypatch.undo()
    assert scanner.scan(["0_left"])["0_left"].status.kind == "intact"


def test_size_comes_before_content(scanner, folder):
    os.truncate(folder / "0_left.jpeg", 3 * 10**9)
    found = scanner.scan(["0_left"])["0_left"].status
    assert found.kind == "unreadable" and found.detail == "3.0 GB, of which no more than 0.6 are read"


def test_a_photograph_of_very_many_scans_ends_at_a_limit(scanner, folder, monkeypatch):
    data = jpeg(picture(0), progressive=True)
    start = data.rindex(b"\xff\xda")
    (folder / "0_left.jpeg").write_bytes(data[:-2] + data[start:-2] * 600 + data[-2:])
    found = scanner.scan(["0_left"])["0_left"].status
    assert found.kind == "unreadable" and "scans" in found.detail
    count = count_decodings(monkeypatch)
    assert scanner.scan(["0_left"])["0_left"].status == found and count == []


def test_a_disk_without_room_is_an_error_and_leaves_nothing_broken(scanner, tmp_path, monkeypatch):
    scanner.scan(NAMES[:4], {RECIPE: NAMES[:4]})
    real = os.statvfs
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result([*real(path)[:4], 0, *real(path)[5:]]))
    with pytest.raises(InputError, match=r"needs 0\.1 MB more and 0\.0 MB are free"):
        scanner.crops(RECIPE, NAMES)
    monkeypatch.undo()
    assert scanner.crops(RECIPE, NAMES).read("5_right").shape == (48, 48, 3)


@pytest.mark.skipif(shutil.which("mount") is None or os.geteuid() != 0, reason="needs root to mount a small disk")
def test_on_a_disk_that_is_really_small(folder, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        with pytest.raises(InputError, match="cache_dir"):
            new_scanner(folder, disk).crops(RECIPE, NAMES)
    finally:
        subprocess.run(["umount", disk], check=True)
