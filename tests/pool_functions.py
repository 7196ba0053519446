"""What workers are made to do; they import no more than this, which is why it is not among the tests."""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

from dr_lib.errors import InputError


def square(number):
    return number * number


def misbehave(what):
    """End or hang the process in the way asked for."""
    if what == "crash":
        ctypes.string_at(0)
    elif what == "exit":
        os._exit(3)
    elif what == "system exit":
        sys.exit(4)
    elif what == "out of memory":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "hang":
        time.sleep(600)
    elif what == "compute":
        while True:
            pass
    elif what == "hang without Python":
        ctypes.PyDLL(None).sleep(600)  # holds the interpreter's lock
    return what


def fail(number):
    if number == 3:
        raise InputError(f"photograph {number}: is wrong")
    return number


class Odd(Exception):
    def __init__(self, first, second):
        super().__init__(first + second)


def fail_oddly(_):
    raise Odd("cannot be ", "unpickled")


def end_of_file(_):
    raise EOFError("of the function's own")


def add(large, number):
    return large + number


class Arrives:
    """A function that, when it arrives in a worker, is what another one returns there."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def allocate(size):
    return len(bytes(size))


def print_something(number):
    os.write(1, b"out")
    os.write(2, b"err")
    print("more")
    return number


def surroundings(_):
    return os.getppid(), os.environ["OMP_NUM_THREADS"], "torch" in sys.modules


def note_and_hang(path):
    Path(path).write_text(str(os.getpid()))
    time.sleep(600)


def note_and_misbehave(item):
    path, what = item
    Path(path).write_text(str(os.getpid()))
    misbehave(what)


def note_and_wait(path):
    Path(path).write_text(str(os.getpid()))
    return path


def dies_first(how, name):
    """Die in the way ``how`` where ``name`` is a file, which is then no more."""
    if os.path.exists(name):
        os.unlink(name)
        if how == "memory":
            raise MemoryError
        if how == "sleep":
            time.sleep(600)
        os.kill(os.getpid(), how)
    return name


def note_and_sleep(path):
    if os.path.exists(path):
        return "not the first try"
    Path(path).touch()
    time.sleep(3)
    return "slept"


def die_or_tell_when(name):
    if not os.path.exists(name):
        Path(name).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    began = time.monotonic()
    time.sleep(0.5)
    return began, time.monotonic()


def note_and_compute(path):
    if os.path.exists(path):
        return "not the first try"
    Path(path).write_text(str(os.getpid()))
    while time.process_time() < 0.2:
        pass
    time.sleep(0.2)
    return "computed"


def begins_second(first):
    if os.path.exists(first):
        os.unlink(first)
        os.kill(os.getpid(), signal.SIGKILL)
    return square
