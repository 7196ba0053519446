"""Several processes for one run, started from one: a notebook or a command that says ``devices: N``."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import yaml

from dr_lib.config import RunConfig
from dr_lib.errors import InputError
from dr_lib.storage.files import scratch_folder
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.system.process_pool import stop_with_parent
from dr_lib.system.signals import Interrupted, Interruption
from dr_lib.system.terminal import printable_lines


def launch(config: RunConfig, *, fresh: bool = False) -> None:
    """Do the run of ``config`` in ``config.devices`` processes of ``torchrun``, and print what they print.

    The processes are new ones, so a notebook may have used the GPU before. They end with this one, after a checkpoint.
    Raises what ended the run.
    """
    with scratch_folder() as scratch:
        parameters = scratch / "parameters.yaml"
        parameters.write_text(yaml.safe_dump(config.model_dump()), encoding="utf-8")
        command = [
            sys.executable, "-X", "utf8", "-m", "dr_lib.training.launch",
            "--standalone", "--nproc-per-node", str(config.devices), "--log-dir", str(scratch),
            "-m", "dr_lib.training", str(parameters), *(["--fresh"] if fresh else []),
        ]  # fmt: skip
        last = ""
        with (
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            ) as process,
            Interruption(lambda: os.killpg(process.pid, signal.SIGTERM)) as interruption,
        ):
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("dr_lib.training: "):
                    last = line.removeprefix("dr_lib.training: ").strip()
                print(printable_lines(line), end="", flush=True)
    interruption.raise_if_requested()
    if process.returncode:
        if last.startswith("interrupted"):
            raise Interrupted(signal.SIGTERM)
        if last:
            raise InputError(last)
        status = ExperimentFolder(Path(config.out_dir)).run(config.run_name).read_status()
        if status["state"] == "failed":
            raise RuntimeError(status["reason"])
        raise RuntimeError(f"torchrun ended with status {process.returncode}; see above")


if __name__ == "__main__":  # torchrun that ends with who has started it
    stop_with_parent()
    from torch.distributed.run import main

    main()
