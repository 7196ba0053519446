"""Loader processes: how many there is shared memory for, and what happens where one fails."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.utils.data import Dataset

from dr_lib.errors import InputError
from dr_lib.training.loaders import Batches, make_loader, workers_that_fit

CPU = torch.device("cpu")
MB = 10**6


class Whole(Dataset):
    """Makes whole batches, of 4 MB each, and does ``misfortune`` first."""

    def __init__(self, misfortune=lambda: None):
        self.misfortune = misfortune

    def __len__(self):
        return 8

    def __getitems__(self, indices):
        self.misfortune()
        return torch.zeros(len(indices), 1000, 1000, 1, dtype=torch.uint8), torch.zeros(len(indices))


def batches(misfortune=lambda: None):
    return list(Batches(make_loader(Whole(misfortune), 2, CPU, batch_size=4), lambda images, out: images, CPU))


@pytest.mark.parametrize(
    ("free", "workers"),
    [(10**12, 8), (170 * MB, 8), (169 * MB, 7), (64 * MB, 2), (30 * MB, 1), (29 * MB, 0), (0, 0)],
)
def test_as_many_loader_processes_as_shared_memory_has_room_for(free, workers, caplog):
    assert workers_that_fit(8, 10 * MB, free=free) == workers
    assert len(caplog.records) == (workers < 8)
    if workers < 8:
        assert f"num_workers: {workers} instead of 8" in caplog.text and "--shm-size" in caplog.text


def test_several_processes_share_the_memory_and_none_needs_none():
    assert workers_that_fit(8, 10 * MB, free=170 * MB, processes=2) == 3
    assert workers_that_fit(0, 10 * MB, free=0) == 0


def test_batches_of_loader_processes_arrive():
    assert [images.shape for images, _ in batches()] == [(4, 1000, 1000, 1)] * 2


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def raise_input_error():
    raise InputError("7_left.jpeg: cannot be read")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("misfortune", "error", "reason"),
    [
        (die, RuntimeError, r"a loader process has failed: .*(killed by signal|exited unexpectedly)"),
        (lambda: 1 / 0, RuntimeError, r"^a loader process has failed: division by zero$"),
        (raise_input_error, InputError, r"^7_left\.jpeg: cannot be read$"),
    ],
    ids=["killed", "a bug", "bad input"],
)
def test_a_loader_process_that_fails_ends_the_run_with_its_reason(misfortune, error, reason):
    with pytest.raises(error, match=reason):
        batches(misfortune)


def no_memory(storage):
    raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")


def test_a_want_of_shared_memory_ends_the_run_with_its_reason(monkeypatch):
    """It used to be printed by a thread of the loader process; the batch was lost, and waited for without end."""
    monkeypatch.setattr(torch.UntypedStorage, "_share_fd_cpu_", no_memory)
    with pytest.raises(RuntimeError, match=r"loader process has failed: .*No space left on device.*set num_workers"):
        batches()


@pytest.mark.slow
def test_a_batch_that_cannot_be_sent_ends_the_run(monkeypatch):
    from multiprocessing import reduction

    def no_handles(handle):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(reduction, "DupFd", no_handles)
    with pytest.raises(RuntimeError, match="loader process has failed"):
        batches()


@pytest.mark.slow
def test_loader_processes_end_with_the_one_that_trains():
    code = """
import os, sys, time; import torch, test_loaders as here
hang = lambda: (print(os.getpid(), flush=True), time.sleep(60))
loader = here.make_loader(here.Whole(hang), 2, here.CPU, batch_size=4)
iterator = iter(loader)
time.sleep(60)
"""
    options = {"stdout": subprocess.PIPE, "text": True, "env": os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}}
    with subprocess.Popen([sys.executable, "-c", code], **options) as process:
        workers = [int(process.stdout.readline()) for _ in range(2)]
        process.kill()
    deadline = time.monotonic() + 3  # torch looks only between batches, and every five seconds
    while any(alive(worker) for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
