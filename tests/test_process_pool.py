import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from pool_functions import (
    Arrives,
    add,
    allocate,
    begins_second,
    die_or_tell_when,
    dies_first,
    end_of_file,
    fail,
    fail_oddly,
    misbehave,
    note_and_compute,
    note_and_sleep,
    note_and_wait,
    print_something,
    square,
    surroundings,
)

from dr_lib.errors import InputError
from dr_lib.system.process_pool import MEMORY, WorkerDied, map_in_workers


def in_a_daemon(queue):
    queue.put(sorted(result for _, result in map_in_workers(square, range(5), workers=2, timeout=60)))


def ends_soon(pid):
    for _ in range(200):
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":  # has ended, and waits for the system's first process to take note
            return True
        time.sleep(0.05)
    return False


def test_every_item_comes_with_its_result():
    found = dict(map_in_workers(square, range(100), workers=2, timeout=60))
    assert found == {number: number**2 for number in range(100)}


def test_more_workers_than_items_and_no_items():
    assert dict(map_in_workers(square, [3], workers=4, timeout=60)) == {3: 9}
    assert list(map_in_workers(square, [], workers=4, timeout=60)) == []


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("crash", "its process ended with signal 11 (SIGSEGV)"),
        ("out of memory", "its process ended with signal 9 (SIGKILL)"),
        ("exit", "its process ended with status 3"),
        ("system exit", "its process ended with status 4"),
        ("hang", "no answer within 0.5 s"),
        ("hang without Python", "no answer within 0.5 s"),
    ],
)
def test_a_worker_that_dies_costs_one_item(what, reason):
    items = ["a", "b", what, "c", "d", "e"]
    found = dict(map_in_workers(misbehave, items, workers=1, timeout=0.5))
    assert found == {item: item for item in items} | {what: WorkerDied(reason)}


def test_the_last_item_may_be_the_one():
    assert dict(map_in_workers(misbehave, ["a", "crash"], workers=2, timeout=60))["a"] == "a"
    assert [type(answer) for _, answer in map_in_workers(misbehave, ["crash"] * 3, workers=2, timeout=60)] == [
        WorkerDied
    ] * 3


def test_results_come_as_they_are_ready():
    assert [item for item, _ in map_in_workers(misbehave, ["hang", "a", "b"], workers=2, timeout=0.8)] == [
        "a",
        "b",
        "hang",
    ]


def test_a_slow_reader_is_not_held_against_the_worker():
    answers = map_in_workers(square, range(3), workers=2, timeout=0.5)
    next(answers)
    time.sleep(0.7)
    assert not any(isinstance(answer, WorkerDied) for _, answer in answers)


def test_an_exception_of_the_function_is_raised():
    with pytest.raises(InputError, match="photograph 3: is wrong") as caught:
        list(map_in_workers(fail, range(5), workers=1, timeout=60))
    assert "pool_functions.py" in caught.value.__notes__[0]
    with pytest.raises(RuntimeError, match="Odd: cannot be unpickled"):
        list(map_in_workers(fail_oddly, [0], workers=1, timeout=60))
    with pytest.raises(EOFError, match="of the function's own"):
        list(map_in_workers(end_of_file, [0], workers=1, timeout=60))


def test_a_worker_that_cannot_begin_is_an_error():
    with pytest.raises(ZeroDivisionError):
        list(map_in_workers(Arrives(divmod, 1, 0), [1], workers=1, timeout=60))
    with pytest.raises(RuntimeError, match=r"could not start: .* status 7"):
        list(map_in_workers(Arrives(os._exit, 7), [1], workers=1, timeout=60))


def test_what_all_items_need_is_sent_once():
    large = np.arange(2**20)  # more than a pipe holds
    found = list(map_in_workers(partial(add, large), [1, 2], workers=1, timeout=60))
    np.testing.assert_array_equal(found[1][1], large + 2)


def test_memory_is_bounded():
    assert dict(map_in_workers(allocate, [10], workers=1, timeout=60)) == {10: 10}
    ((_, died),) = map_in_workers(allocate, [MEMORY], workers=1, timeout=60)
    assert died == WorkerDied("out of memory (it may use 2.1 GB)") and died.passing


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, "memory", "sleep"])
def test_what_dies_once_is_tried_again(tmp_path, how):
    first = tmp_path / "first"
    first.touch()
    found = list(map_in_workers(partial(dies_first, how), [str(first), "a", "b"], workers=1, timeout=1))
    assert found == [("a", "a"), ("b", "b"), (str(first), str(first))]


@pytest.mark.parametrize(("what", "passing"), [("crash", False), ("exit", False), ("out of memory", True),
                                               ("hang", True), ("compute", False)])  # fmt: skip
def test_only_what_a_process_does_itself_is_not_passing(what, passing):
    ((_, died),) = map_in_workers(misbehave, [what], workers=1, timeout=0.5)
    assert died.passing == passing
    assert what != "compute" or died.reason == "more than 0.5 s of processor time"


def test_time_in_which_a_worker_is_stopped_does_not_count(tmp_path):
    note = tmp_path / "pid"
    threading.Thread(target=stop_for, args=(note, 1.5)).start()
    ((_, answer),) = map_in_workers(note_and_compute, [str(note)], workers=1, timeout=0.5)
    assert answer == "computed"


def test_time_in_which_this_process_is_stopped_does_not_count(tmp_path, monkeypatch):
    note, clock = tmp_path / "pid", time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 1000 * note.exists())  # as after a night of the machine
    ((_, answer),) = map_in_workers(note_and_sleep, [str(note)], workers=1, timeout=20)
    assert answer == "slept"


def test_what_died_is_tried_again_alone(tmp_path):
    items = [str(tmp_path / name) for name in ("a", "b")]
    times = [answer for _, answer in map_in_workers(die_or_tell_when, items, workers=2, timeout=60)]
    (_, first), (second, _) = sorted(times)
    assert first <= second


def stop_for(note, seconds):
    while not (note.exists() and note.read_text()):
        time.sleep(0.01)
    pid = int(note.read_text())
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)


def test_a_worker_that_dies_while_it_starts_costs_nothing(tmp_path):
    first = str(tmp_path / "first")
    Path(first).touch()
    assert list(map_in_workers(Arrives(begins_second, first), [1, 2], workers=1, timeout=60)) == [(1, 1), (2, 4)]


def test_workers_are_light_and_silent(capfd):
    assert list(map_in_workers(print_something, [1], workers=1, timeout=60)) == [(1, 1)]
    assert capfd.readouterr() == ("", "")
    assert list(map_in_workers(surroundings, [0], workers=1, timeout=60)) == [(0, (os.getpid(), "1", False))]


def test_leaving_early_ends_the_workers(tmp_path):
    items = [str(tmp_path / "quick"), str(tmp_path / "other")]
    answers = map_in_workers(note_and_wait, items, workers=2, timeout=60)
    next(answers)
    answers.close()
    pids = [int(Path(item).read_text()) for item in items if Path(item).exists()]
    assert pids and all(ends_soon(pid) for pid in pids)


def test_a_worker_ends_when_its_parent_is_killed(tmp_path):
    note = tmp_path / "pid"
    script = f"""
import sys; sys.path[:] = {sys.path!r}
from dr_lib.system.process_pool import map_in_workers
import pool_functions as here
answers = map_in_workers(here.note_and_wait, [{str(note)!r}, {str(note) + "2"!r}], workers=1, timeout=60)
next(answers)
import os; os.kill(os.getpid(), 9)
"""
    # No guard of __main__: a worker does not run the script again.
    assert subprocess.run([sys.executable, "-c", script]).returncode == -signal.SIGKILL
    assert ends_soon(int(note.read_text()))


@pytest.mark.parametrize("what", ["hang", "hang without Python"])
def test_a_worker_that_hangs_ends_when_its_parent_is_killed(tmp_path, what):
    note = tmp_path / "pid"
    script = f"""
import sys; sys.path[:] = {sys.path!r}
from dr_lib.system.process_pool import map_in_workers
import pool_functions as here
list(map_in_workers(here.note_and_misbehave, [({str(note)!r}, {what!r})], workers=1, timeout=60))
"""
    process = subprocess.Popen([sys.executable, "-c", script])
    while not (note.exists() and note.read_text()):
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert ends_soon(int(note.read_text()))


def test_ctrl_c_ends_the_workers(tmp_path):
    note = tmp_path / "pid"
    script = f"""
import signal, sys; sys.path[:] = {sys.path!r}
from dr_lib.system.process_pool import map_in_workers
import pool_functions as here
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background commands ignore it, and hand that down
list(map_in_workers(here.note_and_hang, [{str(note)!r}], workers=1, timeout=60))
"""
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    while not (note.exists() and note.read_text()):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=20)[1]
    assert ends_soon(int(note.read_text()))


def test_from_inside_a_daemonic_process():
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=in_a_daemon, args=(queue,), daemon=True)
    process.start()
    assert queue.get(timeout=30) == [0, 1, 4, 9, 16]
    process.join()
