"""What is seen of a run while it trains: its live line, its time, and the status of its folder."""

import time
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from dr_lib.config import RunConfig
from dr_lib.storage.run_folder import RunFolder, chosen_epoch
from dr_lib.system.progress import Progress

_SECONDS_BETWEEN_HEARTBEATS = 2.0


class Stopwatch:
    """Counts from when it is made; what was spent before an interruption is added when the run goes on."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds of work so far, without the pauses and what was lost with a killed process."""
        return time.monotonic() - self._began

    def go_on(self, seconds: float) -> None:
        """Add what a checkpoint says was spent until then."""
        self._began -= seconds


class RunProgress:
    """Shows how far a run is, and keeps its heartbeat; silent but in the ``main`` process.

    ``history``: the rows of the epochs that are done, as the trainer goes on to fill it.
    """

    def __init__(
        self, config: RunConfig, folder: RunFolder, display: Progress, history: list[dict[str, Any]], *, main: bool
    ):
        self.display = display
        self._epochs, self._folder, self._history, self._main = config.epochs, folder, history, main
        self._select_by = config.select_by
        self._beat = 0.0
        self.start()

    def start(self) -> None:
        """Measure the pace of epochs from now on."""
        self._began, self._done_before = time.monotonic(), len(self._history)

    def reporter(
        self, epoch: int, split: str, total: int, phase: str, loss: Callable[[], float] | None = None
    ) -> Callable[[int], None]:
        """Return a callback for the number of photographs seen of ``total``; ``loss``: their mean loss so far."""

        def note(seen: int) -> str:
            parts = [f"loss {loss():.3f}"] if loss else []
            parts += [_figures(self._history[-1])] if self._history else []
            return ", ".join([*parts, *self._time_left(seen / total if split == "train" else 1)])

        def report(seen: int) -> None:
            if not self._main:
                return
            self.display.bar(f"epoch {epoch}/{self._epochs} {split}", seen, total, lambda: note(seen))
            if time.monotonic() - self._beat >= _SECONDS_BETWEEN_HEARTBEATS:
                self._beat = time.monotonic()
                chosen = chosen_epoch(self._history, self._select_by) if self._history else 0
                self._folder.write_status("running", epoch=epoch, epochs=self._epochs, phase=phase, chosen=chosen)

        return report

    def epoch(self, row: dict[str, Any], *, saved: bool) -> None:
        """Show the line of an epoch that is done; ``saved``: its network is the best so far."""
        share = row["train_accuracy"]
        training = "" if share is None else f"training accuracy {100 * share:.4f}, "
        self.display.line(
            f"epoch {row['epoch']}/{self._epochs}: loss {row['train_loss']:.4f}, {training}{_figures(row)}"
            f"{', weights saved' * saved}",
            passing=True,
        )

    def _time_left(self, share: float) -> list[str]:
        """Return how long the epochs that are missing take, tests included, once one has shown it.

        ``share``: how much of the epoch's training is done.
        """
        done = len(self._history) - self._done_before
        left = self._epochs - len(self._history) - share
        if not done or left <= 0:
            return []
        seconds = (time.monotonic() - self._began) / (done + share)
        return [f"{tqdm.format_interval(round(seconds * left))} left"]


def _figures(row: dict[str, Any]) -> str:
    """Return the figures of an epoch that one watches: testing accuracy in percent, kappa of held-out photographs."""
    kappa = "" if row["val_kappa"] is None else f", validation kappa {row['val_kappa']:.4f}"
    return f"testing accuracy {100 * row['test_accuracy']:.4f}{kappa}"
