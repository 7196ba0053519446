"""How long a run takes, over all the times that it was taken up again."""

import time


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
