"""Time the whole audit beside CleanVision's and imagededup's default checks, on the same photographs, interleaved.

    python benchmarks/audit.py /photos/eyepacs-1024/images --peers /tmp/peers/bin/python

Prints the table of docs/performance.md: per photograph the CPU time of all processes, photographs a second, and the
peak of their memory together (proportional set size). Ratios are those of one round, so that noise of the machine
meets both sides. Each command is a process of its own, so importing, the page and the pixel cache count, too. The peers
are in an environment of their own: ``pip install cleanvision imagededup``. ``--blend 35126`` audits so many
photographs, each the mean of two of the folder's.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
from PIL import Image

OURS = """
import sys, dr_lib
folder, scratch = sys.argv[1:]
dr_lib.audit(folder, cache_dir=f"{scratch}/cache").save(f"{scratch}/audit.html")
"""
PEERS = {
    "CleanVision": """
import sys
from cleanvision import Imagelab
Imagelab(data_path=f"{sys.argv[1]}/images", verbose=False).find_issues(verbose=False)
""",
    "imagededup": """
import sys
from imagededup.methods import PHash
PHash(verbose=False).find_duplicates(image_dir=f"{sys.argv[1]}/images")
""",
}
_SECONDS_BETWEEN_LOOKS = 0.2


class Cost(NamedTuple):
    """What one command took: seconds, CPU seconds of all its processes, and the peak of their memory, bytes."""

    seconds: float
    cpu: float
    memory: int


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("photographs", type=Path, help="folder of photographs")
    arguments.add_argument("--peers", help="Python that has cleanvision and imagededup; none: the audit alone")
    arguments.add_argument("--most", type=int, default=1000, help="at most so many photographs")
    arguments.add_argument("--blend", type=int, default=0, help="make so many photographs out of those first")
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "data"
        count = fill(folder, sorted(options.photographs.iterdir())[: options.most], options.blend)
        commands = {"dr-lab": [sys.executable, "-c", OURS]}
        if options.peers:
            commands |= {name: [options.peers, "-c", code] for name, code in PEERS.items()}
        rounds = [
            {name: cost_of([*command, str(folder)], scratch) for name, command in commands.items()}
            for _ in range(options.rounds)
        ]
    print(f"\n{count} photographs, {options.rounds} rounds\n")
    print("| | CPU time each | photographs/s | peak memory | CPU time, dr-lab / this | time, dr-lab / this |")
    print("|---|---|---|---|---|---|")
    for name in commands:
        cpu, seconds, memory = (
            statistics.median(getattr(one[name], what) for one in rounds) for what in ("cpu", "seconds", "memory")
        )
        ratios = [
            spread([getattr(one["dr-lab"], what) / getattr(one[name], what) for one in rounds])
            for what in ("cpu", "seconds")
        ]
        print(
            f"| {name} | {1e3 * cpu / count:.1f} ms | {count / seconds:.0f} | {memory / 1e6:.0f} MB "
            f"| {' | '.join(ratios if name != 'dr-lab' else ['', ''])} |",
            flush=True,
        )


def fill(folder: Path, files: list[Path], blend: int) -> int:
    """Make a data folder of ``files``, or of so many blends of two of them, and return how many there are."""
    images = folder / "images"
    images.mkdir(parents=True)
    if blend:
        pictures = [np.asarray(Image.open(file).convert("RGB")).astype(np.uint16) for file in files]
        random = np.random.default_rng(0)
        for number in range(blend):
            first, second = (pictures[at] for at in random.choice(len(pictures), 2, replace=False))
            Image.fromarray(((first + second) // 2).astype(np.uint8)).save(images / f"{number}_left.jpeg", quality=90)
    else:
        for file in files:
            (images / file.name).symlink_to(file.resolve())
    names = sorted(path.stem for path in images.iterdir())
    rows = "".join(f"{name},{number % 5}\n" for number, name in enumerate(names))
    (folder / "trainLabels.csv").write_text(f"image,level\n{rows}", encoding="utf-8")
    return len(names)


def cost_of(command: list[str], scratch: str) -> Cost:
    """Run a command that is given an empty folder of its own, and measure it with all its processes."""
    own = Path(scratch) / "own"
    own.mkdir()
    start, peak = time.monotonic(), 0
    process = subprocess.Popen([*command, str(own)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=own)
    while True:
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        peak = max(peak, memory_of(process.pid))
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    seconds = time.monotonic() - start
    if status:
        raise SystemExit(f"{command[0]}: status {os.waitstatus_to_exitcode(status)}")
    shutil.rmtree(own)
    return Cost(seconds, usage.ru_utime + usage.ru_stime, peak)


def memory_of(pid: int) -> int:
    """Return the proportional set size of a process and all that it started, bytes."""
    total = 0
    try:
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            total += process.memory_full_info().pss
    except psutil.Error:  # one of them has just ended
        pass
    return total


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
