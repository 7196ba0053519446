"""papermill with a kernel that meets no other, and a log worth reading.

``python -m dr_lib.notebook.runner IN OUT PARAMETERS`` executes a notebook.

Kernels that start at the same time race for TCP ports; these talk through sockets in a folder of their own.
"""

import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from jupyter_client.kernelspec import KernelSpecManager
from nbclient.exceptions import DeadKernelError
from papermill import PapermillExecutionError, execute_notebook
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines

from dr_lib.notebook.process import KERNEL_DIED
from dr_lib.storage.files import scratch_folder
from dr_lib.storage.run_folder import NotebookFiles
from dr_lib.system.environment import without_editor
from dr_lib.system.signals import Interrupted, raising_signals
from dr_lib.system.terminal import printable_lines, say

ENGINE = "dr-lab"
"""The name under which papermill knows the engine here."""

_LONGEST_FOLDER = 107 - len("/.dr-lab-12345678.scratch/kernel-ipc-1")
"""Characters; a socket's whole path may have 107 (``sun_path`` in unix(7))."""

_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_OBJECT = re.compile(r"<[^\n]*>")
"""What stands in the text of a display that only a page can show: ``<IPython.core.display.HTML object>``."""

_SECONDS_BETWEEN_HEARTBEATS = 1.0


class _Client(PapermillNotebookClient):
    """Executes a notebook; logs of a display that is rewritten each line once, when something follows it.

    So a bar below such lines, which is rewritten several times a second, leaves nothing behind. Whatever the kernel
    sends is a heartbeat in ``files``: that is how others see that it lives.
    """

    def __init__(self, *args: Any, files: NotebookFiles | None = None, **options: Any):
        super().__init__(*args, **options)
        self._files = files
        self._logged: dict[str, int] = {}
        self._last: dict[str, str] = {}
        self._showing = ""
        self._beat = 0.0
        self.process: subprocess.Popen | None = None

    def process_message(self, msg: dict[str, Any], *where: Any, **options: Any) -> Any:
        self._keep_heartbeat()
        self.process = self.process or getattr(self.km.provisioner, "process", None)  # gone after its end
        content = msg["content"]
        self._showing = (content.get("transient") or {}).get("display_id") or ""
        if self._showing and "text/plain" in content.get("data", {}):
            self._log_lines(content["data"]["text/plain"].split("\n"))
        if msg["msg_type"] == "status" and content["execution_state"] == "idle":
            self._log_rest()
        return super().process_message(msg, *where, **options)

    def log_output_message(self, output: Any) -> None:
        shown = "" if output.output_type == "stream" else "".join(output.get("data", {}).get("text/plain", ""))
        if not self._showing and not _OBJECT.fullmatch(shown):
            super().log_output_message(output)

    def papermill_execute_cells(self) -> None:
        try:
            super().papermill_execute_cells()
        finally:
            self._log_rest()

    def _log_lines(self, lines: list[str]) -> None:
        *whole, self._last[self._showing] = lines
        for line in whole[self._logged.get(self._showing, 0) :]:
            self._log(line)
        self._logged[self._showing] = len(whole)

    def _log_rest(self) -> None:
        for line in self._last.values():
            self._log(line)
        self._last.clear()

    def _log(self, line: str) -> None:
        if self.log_output and line and not _OBJECT.fullmatch(line):
            self.log.info(line)

    def _keep_heartbeat(self) -> None:
        if self._files and time.monotonic() - self._beat > _SECONDS_BETWEEN_HEARTBEATS:
            self._files.write_heartbeat()
            self._beat = time.monotonic()


class _Engine(NBClientEngine):
    """papermill's own engine, its kernel's sockets and IPython's files in a folder that nobody else knows."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, log_output: bool = False, **options: Any) -> Any:
        """Execute the notebook that ``nb_man`` holds; called by papermill."""
        short = None if len(tempfile.gettempdir()) <= _LONGEST_FOLDER else Path("/tmp")
        with scratch_folder(short) as folder:
            client = _Client(
                nb_man,
                kernel_name=kernel_name,
                log=logging.getLogger("papermill"),
                log_output=log_output,
                files=options.get("files"),
                startup_timeout=options.get("start_timeout", 60),
                extra_arguments=options.get("extra_arguments", []),
            )
            manager = client.create_kernel_manager()
            # No folder of specifications: one named python3 that somebody else has installed is of another interpreter.
            manager.kernel_spec_manager = KernelSpecManager(kernel_dirs=[])
            manager.transport = "ipc"
            manager.connection_file = str(folder / "kernel.json")
            # A history database of its own: notebooks that run at the same time would wait for each other's. And the
            # frozen-modules notice of the debugger would be the first line of every log.
            own = {"IPYTHONDIR": str(folder), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
            try:
                return client.execute(env=without_editor(os.environ) | own)
            except (DeadKernelError, RuntimeError) as error:
                if KERNEL_DIED not in str(error):
                    raise
                raise DeadKernelError(f"{KERNEL_DIED} with {_how_it_ended(client.process)}") from None


def _how_it_ended(process: subprocess.Popen | None) -> str:
    code = process.poll() if process else None
    if code is None:
        return "an unknown status"
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"status {code}"


def execute(notebook: str | Path, executed: Path | None, parameters: dict[str, Any], **options: Any) -> Any:
    """Return a notebook as papermill executes it, with the engine here; ``options`` as papermill has them.

    Also written to ``executed``, where that is given.
    """
    papermill_engines.register(ENGINE, _Engine)  # papermill finds an engine by its name alone
    return execute_notebook(
        str(notebook), executed and str(executed), parameters, engine_name=ENGINE, kernel_name="python3",
        progress_bar=False, **options,
    )  # fmt: skip


def main() -> int:
    """Execute a notebook as three arguments say, and print what it prints; return the exit status.

    What goes wrong in a cell is printed as the cell's own traceback: papermill's says nothing of the run.
    """
    notebook, executed, parameters = sys.argv[1:]
    files = NotebookFiles(Path(executed).parent, Path(executed).stem)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    # It looks for them in one cell only; the notebooks themselves refuse what is none.
    logging.getLogger("papermill").addFilter(lambda record: "Passed unknown parameter" not in record.getMessage())
    try:
        with raising_signals():
            settings = yaml.safe_load(Path(parameters).read_text(encoding="utf-8"))
            execute(notebook, Path(executed), settings, log_output=True, files=files)
    except PapermillExecutionError as error:
        print(printable_lines(_ESCAPES.sub("", str(error)).strip()))
        return 1
    except DeadKernelError as error:
        say(error)
        return 138
    except Interrupted as stop:
        print(f"interrupted by {stop.signal.name}")
        return stop.exit_status
    finally:
        files.heartbeat.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
