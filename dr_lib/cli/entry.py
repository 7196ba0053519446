"""How a command begins and ends: options, streams and arguments, one line on what went wrong, an exit status."""

import errno
import io
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from dr_lib.errors import Failure, InputError
from dr_lib.storage.files import check_place, private_folder
from dr_lib.system import environment
from dr_lib.system.posix import soft_limit
from dr_lib.system.resources import check_memory_to_start, memory_limits
from dr_lib.system.signals import Interrupted, raising_signals
from dr_lib.system.terminal import one_line, say, silence

_OF_THE_SYSTEM = frozenset({
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENAMETOOLONG, errno.ENOTDIR,
    errno.EISDIR, errno.ELOOP, errno.EIO, errno.ESTALE,
})  # fmt: skip
_OF_THE_NAME = frozenset({errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP})
"""What the name itself is to blame for: bad input."""
_NO_MEMORY = re.compile("failed to map segment|[Cc]annot allocate memory|can't allocate memory|not enough memory")

DataFile = Annotated[
    Path, typer.Option("--data", metavar="FILE", help="params file that says where the photographs are")
]


def _parameters_beginning(incomplete: str) -> list[tuple[str, str]]:
    """Return what a shell offers after ``--set``: parameters with their meanings."""
    from dr_lib.config import RunConfig

    fields = RunConfig.model_fields.items()
    return [(f"{name}=", field.description or "") for name, field in fields if name.startswith(incomplete)]


ExperimentDir = Annotated[Path, typer.Argument(metavar="EXPERIMENT_DIR", help="such as reports/demo")]
Assignments = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="a parameter, over all files; repeatable",
        autocompletion=_parameters_beginning,
    ),
]


def examples(*lines: str) -> str:
    """Return what stands below the help of a command: typer starts a line after each blank one."""
    return "\n\n".join(["Examples:", *lines])


def run_command(app: Callable[..., object]) -> NoReturn:
    """Run a typer ``app`` with the arguments of this process, and exit.

    Status 2 for bad input, 1 for what has failed or the machine refuses, 128 and more for a signal; why, in one line
    on stderr. Everything else that is raised is a bug, and shown as one.
    """
    _begin_in_utf8()
    _open_streams()
    _find_place_for_fonts()
    try:
        with raising_signals():
            _check_folder()
            check_memory_to_start()
            arguments = [_at_home(argument) for argument in sys.argv[1:]]
            status = app(args=arguments or ["--help"], prog_name="dr-lab", standalone_mode=False)
    except TyperException as error:
        _end(_misuse(error), error.exit_code)
    except InputError as error:
        _end(str(error), 2)
    except Failure as error:
        _end(str(error), 1)
    except Interrupted as stop:
        _end(f"interrupted by {stop.signal.name}", stop.exit_status)
    except BrokenPipeError:
        _end("", 128 + signal.SIGPIPE)
    except Exception as error:
        reason = describe_system_error(error)
        if not reason:
            raise
        _end(reason, 2 if isinstance(error, OSError) and error.errno in _OF_THE_NAME else 1)
    except SystemExit as end:
        _end("", end.code)
    _end("", status if isinstance(status, int) else 0)


def _misuse(error: TyperException) -> str:
    """Return in one line what is wrong with the options or arguments of a command, and where they are explained."""
    context = getattr(error, "ctx", None)
    return f"{error.format_message().rstrip('.?')}; see {context.command_path if context else 'dr-lab'} --help"


def _begin_in_utf8() -> None:
    """Begin anew where Python takes names of files for ASCII, so that they are text, here and in all that is started.

    In such a locale Python does so by itself, unless it is told not to.
    """
    if sys.getfilesystemencoding() == "ascii" and not environment.in_utf8_mode():
        os.execve(sys.executable, sys.orig_argv, os.environ | {"PYTHONUTF8": "1"})


def _open_streams() -> None:
    """Let what a terminal cannot show be escaped, and what is closed be nothing, instead of ending the command."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _find_place_for_fonts() -> None:
    """Have matplotlib keep its list of fonts among the temporary files where it has no home for it.

    Else every process makes a list anew, and says so.
    """
    if not environment.has_place_for_fonts():
        with suppress(OSError, InputError):
            environment.keep_fonts_in(private_folder() / "matplotlib")


def _check_folder() -> None:
    try:
        os.getcwd()
    except FileNotFoundError:
        raise InputError("the current folder has been deleted; go to another") from None


def _at_home(argument: str) -> str:
    """Return an argument with the home folder for ``~``, which shells leave as it is in ``--out=~/x``."""
    option, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    return option + equals + (os.path.expanduser(value) if value.startswith("~") else value)


def _end(line: str, status: int | str | None) -> NoReturn:
    """Exit with ``line`` on stderr, and with status 1 instead of 0 where what was printed could not be."""
    try:
        sys.stdout.flush()
    except OSError as error:
        silence(1)  # Python would try once more at its end, and complain
        if isinstance(error, BrokenPipeError):
            status = status or 128 + signal.SIGPIPE
        else:
            line, status = line or f"standard output: cannot be written: {error.strerror}", status or 1
    if line:
        say(f"dr-lab: {one_line(line)}", sys.stderr)
    sys.exit(status)


def describe_system_error(error: Exception) -> str:
    """Return in one line what the machine lacked or refused that led to ``error``; empty where that is not the cause.

    Of a file: whether it could not be read or not be written, by whether it can be.
    """
    want = _want_of_memory(error)
    if want is not None:
        return (
            f"not enough memory{memory_limits()}: {str(want).strip() or 'no more is given'}; give more, or ask for less"
        )
    if not isinstance(error, OSError):
        return ""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return f"more files would have to be open than may be, {soft_limit('NOFILE')}; raise ulimit -n"
    if error.errno == errno.ENOMEM:
        return f"not enough memory{memory_limits()}; give more, or ask for less"
    if error.errno not in _OF_THE_SYSTEM:
        return ""
    path = error.filename2 or error.filename
    return f"{path or 'the output'}: cannot be {_verb(path, error.errno)}: {error.strerror}"


def _want_of_memory(error: BaseException | None) -> BaseException | None:
    """Return what says of ``error``, or of that which it came of, that memory was wanting; numba's loader hides it."""
    while isinstance(error, MemoryError | ImportError | RuntimeError | OSError):
        if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
            return error
        error = error.__cause__ or error.__context__
    return None


def _verb(path: str | int | None, number: int) -> str:
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG) or path is None or isinstance(path, int):
        return "written"
    if number in _OF_THE_NAME:
        return "used"
    try:
        return "read" if os.path.lexists(path) and not os.access(path, os.R_OK) else "written"
    except (OSError, ValueError):
        return "used"


def check_output(path: Path, *, folder: bool, called: str = "--out ") -> None:
    """Raise :class:`InputError` where an output cannot be written, before there is work that would be lost.

    ``folder``: whether ``path`` is to be a folder or a file. ``called``: what comes before it in messages.
    """
    where = f"{called}{path}"
    place = check_place(path, where, folder=folder)
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"{where}: {place} cannot be written; choose another folder")
    disk = shutil.disk_usage(place)
    if disk.total and not disk.free:
        raise InputError(f"{where}: no space is left on the disk of {place}; make room, or choose another folder")
