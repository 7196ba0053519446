"""What not every operating system has, taken away: the other way does the same."""

import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from data_folders import eyes, write_course, write_photographs
from experiment_factory import write_experiment

from dr_lib.errors import InputError
from dr_lib.storage.lock import acquire_lock, lock_owner
from dr_lib.system import posix

PROJECT = Path(__file__).parents[1]

HOLD = """
import sys
from pathlib import Path
from dr_lib.system import posix
if sys.argv[2] == "without":
    posix.fcntl = None
from dr_lib.storage.lock import acquire_lock
with acquire_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
print("free", flush=True)
sys.stdin.readline()
"""

TAKEN_AWAY = """
import os, sys
import psutil  # which itself cannot do without resource on Linux
sys.modules["fcntl"] = sys.modules["resource"] = None
for name in ("pidfd_open", "sched_getaffinity", "posix_fallocate"):
    delattr(os, name)
"""

WORK = """
import sys
from pathlib import Path
import dr_lib
from dr_lib.config import RunConfig
from dr_lib.data.normalization import Normalization
from dr_lib.models.trained import new_head, new_network
from dr_lib.training.checkpoint import save_network
data, experiment, folder = sys.argv[1:]
assert sys.modules["fcntl"] is sys.modules["resource"] is None
assert len(dr_lib.read_labels(data)) == 6
audit = dr_lib.audit(data, cache_dir=folder + "/cache")
assert audit.photographs["status"].tolist() == ["intact"] * 6
assert set(dr_lib.load_experiment(experiment).results["state"]) == {"done"}
config = RunConfig(data_dir=data, model="shufflenet_v2_x0_5", resize=36, image_size=32)
normalization = Normalization.fit("imagenet", [], 32)
save_network(Path(folder + "/net.pt"), new_network(config), new_head(config), normalization, config)
graded = dr_lib.load_model(folder + "/net.pt", cache_dir=folder + "/cache").predict([data])
assert graded["grade"].notna().sum() == 6, graded
print("all of it")
"""


@pytest.mark.parametrize("locks", ["with", "without"])
def test_a_run_is_held_by_one_process_and_by_none_that_has_ended(tmp_path, monkeypatch, locks):
    if locks == "without":
        monkeypatch.setattr(posix, "fcntl", None)
    command = [sys.executable, "-c", HOLD, tmp_path / "lock", locks]
    for kill in (False, True):
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT) as other:
            assert other.stdout.readline() == "held\n"
            assert f"process {other.pid} on" in lock_owner(tmp_path / "lock")
            with pytest.raises(InputError, match=f"process {other.pid} on"), acquire_lock(tmp_path / "lock"):
                pass
            if not kill:
                other.stdin.write("\n")
                other.stdin.flush()
                assert other.stdout.readline() == "free\n"
                assert lock_owner(tmp_path / "lock") is None
            other.kill()
        assert lock_owner(tmp_path / "lock") is None
        with acquire_lock(tmp_path / "lock"):
            pass


def test_the_flock_of_each_system_is_as_its_manual_has_it():
    for layout, fields, place in posix._FLOCKS.values():
        values = [10 + number for number in range(len(fields))]
        assert struct.unpack(layout, struct.pack(layout, *values))[place] == 10 + fields.index("type")
    assert struct.calcsize(posix._FLOCKS["linux"][0]) == 32 and struct.calcsize(posix._FLOCKS["darwin"][0]) == 24


@pytest.mark.parametrize("handles", [True, False])
def test_the_end_of_a_process_is_waited_for(monkeypatch, handles):
    if not handles:
        monkeypatch.delattr(os, "pidfd_open")
    posix.wait_for_an_end([], 60)
    for seconds, most in ((0.2, 60), (60, 0.3)):
        with subprocess.Popen(["sleep", str(seconds)]) as long, subprocess.Popen(["sleep", "60"]) as longer:
            began = time.monotonic()
            posix.wait_for_an_end([longer.pid, long.pid], most)
            assert time.monotonic() - began < 30
            assert (most == 60) == (long.poll() is not None)
            long.kill()
            longer.kill()


def test_cores_are_counted_without_affinity(monkeypatch):
    counted = posix.cores()
    monkeypatch.delattr(os, "sched_getaffinity")
    assert posix.cores() == counted
    monkeypatch.delattr("psutil.Process.cpu_affinity")
    assert posix.cores() == os.cpu_count()


def test_room_is_reserved_without_fallocate(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate")
    with (tmp_path / "file").open("w+b") as stream:
        stream.write(b"abc")
        stream.flush()
        posix.reserve(stream, 3, 2**20 + 7)
        assert os.fstat(stream.fileno()).st_size == 3 + 2**20 + 7
        assert stream.read(5) == b"abc\0\0"
        assert os.fstat(stream.fileno()).st_blocks * 512 >= 2**20  # on the disk, not a hole


def test_without_limits_there_are_none(monkeypatch):
    assert posix.soft_limit("NOFILE") > 0
    monkeypatch.setattr(posix, "resource", None)
    assert posix.soft_limit("NOFILE") is None
    posix.bound_memory(1)  # or this process would end


@pytest.mark.slow
def test_labels_audit_predict_and_experiments_do_without_what_windows_lacks(tmp_path):
    write_photographs(tmp_path / "data", [*eyes(range(1, 4))])
    write_course(tmp_path / "data", eyes(range(1, 3)), eyes(range(3, 4)))
    write_experiment(tmp_path / "experiment")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(TAKEN_AWAY)
    path = os.pathsep.join(map(str, (tmp_path / "site", PROJECT)))
    done = subprocess.run(
        [sys.executable, "-c", WORK, tmp_path / "data", tmp_path / "experiment", tmp_path],
        env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.endswith("all of it\n"), done.stderr
